"""Scans in one launch: the maps of each are those that it has alone, and a scan at fault spoils no other."""

from threading import Barrier, Thread

import numpy as np
import pytest

from bolus.compute import compute, mode, scan, together
from bolus.compute.blocks import run_method
from bolus.compute.scan import methods_for
from bolus.compute.together import run_together
from bolus.prepare import prepare
from bolus_kernels.asl.mode import mode as likeliest
from bolus_kernels.device import Device, cpu
from tests.engine.made import asl_series, recipe
from tests.engine.test_retreat import VOXELS, Memory, arrays_of_the_gpu, dsc, same  # noqa: F401

GPU = Device("cuda", "a GPU")
DELAYS = (0.5, 1.0, 1.5, 2.0)


@pytest.fixture
def launched(monkeypatch):
    """A GPU that is a processor: how many voxels it was given at a time, by the name of the method."""

    def put(room=100 * VOXELS, *error):
        memories, known = {}, {}

        def chosen(asked, protocol):
            for one in methods_for(asked, protocol):
                if one.name not in known:  # one function for all scans, as on the shelf
                    memories[one.name] = Memory(room, *error)
                    known[one.name] = memories[one.name].behind(one)
            return [known[one.name] for one in methods_for(asked, protocol)]

        monkeypatch.setattr(scan, "methods_for", chosen)
        return memories

    return put


def asl(seed, *sets, delays=DELAYS, noise=3.0):
    random = np.random.default_rng(seed)
    data = random.normal(800, noise, (10, 9, 4, 4 * len(delays))).astype(np.float32)
    data[..., 1::2] -= random.uniform(2, 10, (10, 9, 4, 1)).astype(np.float32)
    chosen = recipe(*sets)
    series = asl_series(
        data, ("control", "label") * (2 * len(delays)), post_labeling_delay=tuple(np.repeat(delays, 4))
    )
    return prepare(series, chosen), chosen


def at_once(scans, device=GPU):
    """Maps or error of each scan, where all ask for their methods at the same time."""
    found, asked, answers = {}, {}, {}
    barrier = Barrier(
        len(scans), lambda: answers.update(zip(asked, run_together(list(asked.values())), strict=True))
    )

    def one(number):
        def answer(wanted):
            asked[number] = wanted
            barrier.wait(60)
            if isinstance(answers[number], Exception):
                raise answers[number]
            return answers[number]

        try:
            found[number] = compute(*scans[number], device, answer)
        except Exception as error:
            found[number] = error

    threads = [Thread(target=one, args=(number,)) for number in range(len(scans))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(scans))]


def each_as_alone(found, scans):
    for maps, (curves, chosen) in zip(found, scans, strict=True):
        alone = compute(curves, chosen, GPU)
        same(maps, alone)
        assert maps.numbers == alone.numbers and maps.device == alone.device
        assert maps.warnings == alone.warnings


@pytest.mark.parametrize(
    ("sets", "method"),
    [
        ((), "multi_delay"),
        (("asl.multi_delay.att_prior=given",), "multi_delay"),
        (("asl.arterial=true",), "kinetic_model"),
    ],
)
def test_scans_of_one_protocol_are_one_launch_with_the_maps_that_each_has_alone(launched, sets, method):
    memories = launched()
    scans = [asl(seed, *sets, noise=seed) for seed in (2, 3, 5)]
    found = at_once(scans)
    assert memories[method].asked == [3 * VOXELS]
    each_as_alone(found, scans)


def test_one_delay_is_one_launch_too(launched):
    memories = launched()
    scans = [asl(seed, delays=(1.8,), noise=seed) for seed in (2, 3)]
    found = at_once(scans)
    assert memories["single_delay"].asked == [2 * VOXELS]
    each_as_alone(found, scans)


def test_so_is_the_mode(launched, monkeypatch):
    launched()
    shown = []

    def on_the_gpu(values, protocol, parameters, machine):
        shown.append(len(values))
        return likeliest(values, protocol, parameters, cpu())

    monkeypatch.setattr(mode, "mode", on_the_gpu)
    scans = [asl(seed, "asl.mode=true") for seed in (1, 2)]
    found = at_once(scans)
    assert shown == [2 * VOXELS]
    each_as_alone(found, scans)


def test_what_differs_is_computed_apart(launched):
    memories = launched()
    scans = [asl(1), asl(2), asl(3, delays=(0.5, 1.0, 1.5, 2.2)), asl(4, "asl.multi_delay.cbf_sd=100")]
    found = at_once(scans)
    assert sorted(memories["multi_delay"].asked) == [VOXELS, VOXELS, 2 * VOXELS]
    each_as_alone(found, scans)


def test_scans_with_an_arterial_input_are_computed_one_after_the_other(launched):
    memories = launched()
    scans = [dsc("dsc.deconvolution=csvd"), dsc("dsc.deconvolution=csvd")]
    found = at_once(scans)
    assert memories["csvd"].asked == [VOXELS] * 2
    each_as_alone(found, scans)


def test_where_the_memory_is_short_each_is_computed_alone(launched):
    memories = launched(VOXELS)
    scans = [asl(seed) for seed in (1, 2, 3)]
    found = at_once(scans)
    assert memories["multi_delay"].asked == [3 * VOXELS, VOXELS, VOXELS, VOXELS]
    each_as_alone(found, scans)


def test_an_error_of_the_launch_is_that_of_every_scan_in_it(launched):
    launched(0, ZeroDivisionError("a mistake"))
    found = at_once([asl(1), asl(2)])
    assert [type(one) for one in found] == [ZeroDivisionError] * 2


def test_a_scan_at_fault_spoils_no_other(launched):
    launched()
    asked = []
    curves, chosen = dsc("dsc.deconvolution=csvd")
    compute(curves, chosen, GPU, lambda one: asked.append(one) or run_method(one))
    (good,) = (one for one in asked if one.method.name == "csvd")
    bad = good._replace(protocol=good.protocol._replace(aif=0 * curves.protocol.aif))
    first, second, third = run_together([good, bad, good])
    assert isinstance(second, ValueError)
    for name, values in run_method(good).items():
        np.testing.assert_array_equal(first[name], values)
        np.testing.assert_array_equal(third[name], values)


def test_on_a_processor_nothing_is_joined(monkeypatch):
    monkeypatch.setattr(together, "joined", lambda protocols: pytest.fail("joined"))
    scans = [asl(1), asl(2)]
    for found, given in zip(at_once(scans, cpu()), scans, strict=True):
        same(found, compute(*given, cpu()))
