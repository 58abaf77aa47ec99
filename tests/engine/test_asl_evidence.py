"""What a scan says of itself before its ASL voxels are computed: noise of every voxel, and when blood arrives."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.asl import simulate as simulate_asl
from benchmarks.asl.brain import brain, mask
from bolus.compute import compute
from bolus.errors import BolusError
from bolus.prepare import prepare
from bolus.prepare.asl import noise_of
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.mode import mode
from bolus_kernels.asl.points import SPACING
from bolus_kernels.asl.scatter import WIDTHS
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf
from tests.engine.made import asl_series, recipe, volume

SIDES, VOXEL = (28, 28, 4), (8.0, 8.0, 12.0)
TOLD = ("asl.multi_delay.att_prior=given", "asl.multi_delay.att_mean=0.9", "asl.multi_delay.att_sd=0.3")


@cache
def head():
    """The brain of the benchmarks, its coil twice as sensitive on one side."""
    sensitivity = np.broadcast_to(np.linspace(0.7, 1.4, SIDES[0])[:, None, None], SIDES)
    return brain(SIDES, VOXEL)._replace(sensitivity=sensitivity)


@cache
def series(labeling="PCASL", delays=None):
    acquisition = replace(
        simulate_asl.PCASL if labeling == "PCASL" else simulate_asl.PASL, snr=150.0, repeats=2
    )
    acquisition = replace(acquisition, delays=delays or acquisition.delays)
    scan = simulate_asl.acquire(head(), acquisition)
    images = np.stack([scan.control, scan.label], axis=4).reshape(*SIDES, -1)
    made = asl_series(
        images,
        ["control", "label"] * scan.control.shape[3],
        labeling=labeling,
        post_labeling_delay=tuple(np.repeat(scan.delays, 2)),
        labeling_duration=tuple(np.repeat(scan.durations, 2)),
        m0=volume(scan.m0),
        labeling_efficiency=acquisition.efficiency,
    )
    return replace(made, given={"label-brain_mask": volume(mask(head()).astype(np.uint8))})


def items_of(curves, *sets):
    return {item.ending: item for item in compute(curves, recipe(*sets), cpu()).items}


def evidence(curves):
    place = curves.voxels, curves.grid.shape, curves.grid.zooms
    return arrival_evidence(curves.values, curves.protocol, shelf()["multi_delay"].defaults(), *place)


def of_brain(item, curves):
    return item.data.reshape(-1, order="F")[curves.voxels]


def test_the_noise_of_a_voxel_is_that_of_the_image_over_its_m0():
    rng, sigma = np.random.default_rng(1), 3.0
    m0 = rng.uniform(400, 1600, 3000)
    delay = np.tile([0.5, 1.0, 1.5, 2.0], 3)
    values = rng.normal(8, sigma, (3000, 12)) / m0[:, None]
    m0[7], values[9, 3] = np.nan, np.nan
    found = noise_of(values.astype(np.float32), 1 / m0, delay, np.full(12, 1.8))
    known = np.isfinite(m0)
    own = found.variance * found.relative[known]
    np.testing.assert_allclose(own, (sigma / m0[known]) ** 2, rtol=0.03)
    assert np.median(found.relative) == pytest.approx(1, abs=0.01) and found.relative[7] == 1
    nothing = noise_of(np.full((3, 4), np.nan, np.float32), np.ones(3), np.ones(4), np.ones(4))
    assert nothing.variance == 0 and nothing.relative.tolist() == [1, 1, 1]


def test_the_protocol_tells_each_voxel_s_noise():
    curves = prepare(series(), recipe())
    inside = mask(head())
    m0 = simulate_asl.magnetisation(head()).reshape(-1, order="F")[curves.voxels]
    expected = 2 * (850 / 150 / m0) ** 2  # the difference of two images
    found = curves.protocol.noise_variance * curves.protocol.relative_noise
    assert found.size == inside.sum()
    np.testing.assert_allclose(np.median(found / expected), 1, rtol=0.03)
    assert np.quantile(np.abs(found / expected - 1), 0.9) < 0.05  # M0 has noise of its own


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_every_map_tells_the_prior_that_it_was_made_with(labeling):
    curves = prepare(series(labeling), recipe())
    items = items_of(curves, "asl.spatial=true")
    found = evidence(curves)
    assert 0.7 < np.median(found.mean) < 1.3 and found.sd.min() >= WIDTHS[0] and found.sd.max() <= 1.0
    for name in ("cbf", "att", "desc-sd_cbf", "desc-sd_att", "desc-spatial_cbf"):
        told = items[name].parameters["ArrivalPrior"]
        for name_of, values in (("Mean", found.mean), ("StandardDeviation", found.sd)):
            assert (
                told[name_of]["Value"] == pytest.approx(np.median(values)) and told[name_of]["Units"] == "s"
            )
            assert found.how in told[name_of]["Source"]
            np.testing.assert_array_equal(of_brain(items[told[name_of]["Map"]], curves), values)
        assert told["Tail"] == found.tail and told["Regions"]["Widths"]["Value"] == WIDTHS
        assert told["Regions"]["Spacing"] == {**told["Regions"]["Spacing"], "Value": SPACING, "Units": "mm"}
        assert told["Regions"]["Prior"]["Value"] == ((1.3, 1.0) if labeling == "PCASL" else (0.7, 1.0))
        said = items[name].parameters
        assert said["att_prior"] == "evidence" and not {"att_mean", "att_sd"} & said.keys()
    plain = curves.protocol._replace(arrival_prior=found)
    known = shelf()["multi_delay"]
    expected = known.function(curves.values, plain, known.defaults(), cpu())["cbf"]
    np.testing.assert_array_equal(items["cbf"].data.reshape(-1, order="F")[curves.voxels], expected)


@pytest.mark.parametrize("arterial", [False, True])
def test_a_given_prior_is_taken_and_the_scan_not_asked(arterial):
    method, more = ("kinetic_model", ("asl.arterial=true",)) if arterial else ("multi_delay", ())
    sets = tuple(text.replace("multi_delay", method) for text in TOLD) + more
    curves = prepare(series(), recipe())
    usual, given = items_of(curves, *more), items_of(curves, *sets)
    assert "ArrivalPrior" in usual["cbf"].parameters and "ArrivalPrior" not in given["cbf"].parameters
    assert given["cbf"].parameters["att_prior"] == "given" and given["cbf"].parameters["att_mean"] == 0.9
    assert given["cbf"].parameters["att_sd"] == 0.3
    assert np.abs(given["att"].data - usual["att"].data).max() > 0.1
    known = shelf()[method]
    parameters = known.defaults() | {"att_prior": "given", "att_mean": 0.9, "att_sd": 0.3}
    expected = known.function(curves.values, curves.protocol, parameters, cpu())["att"]
    np.testing.assert_array_equal(given["att"].data.reshape(-1, order="F")[curves.voxels], expected)


def test_each_map_says_the_prior_of_arrivals_that_it_was_made_with():
    """Of two methods with priors of their own kind."""
    curves = prepare(series(), recipe())
    items = items_of(curves, "asl.arterial=true", "asl.spatial=true", "asl.kinetic_model.att_prior=given")
    one, other = items["cbf"].parameters, items["desc-spatial_cbf"].parameters
    assert one["att_mean"] == 1.3 and "ArrivalPrior" not in one
    assert "ArrivalPrior" in other and "att_mean" not in other
    assert "still in arteries" in items["desc-spatial_cbf"].method
    assert "still in arteries" not in items_of(curves, "asl.spatial=true")["desc-spatial_cbf"].method


def test_one_delay_asks_for_no_arrivals():
    curves = prepare(series(delays=(1.8,)), recipe())
    assert "ArrivalPrior" not in items_of(curves)["cbf"].parameters
    assert "ArrivalPrior" not in items_of(curves, "asl.spatial=true")["cbf"].parameters
    told = items_of(curves, "asl.quantification=multi_delay")["cbf"].parameters["ArrivalPrior"]
    assert told["Mean"] == {"Value": 1.3, "Units": "s", "Source": "literature"}


def test_a_brighter_scan_has_the_same_maps():
    """Signal, its noise and M0 in the same proportion, and as stored: only the gain of the receiver has changed."""
    once = series()
    image, m0 = once.images[0], once.acquisition.m0
    louder = replace(
        once,
        images=(replace(image, data=2 * image.data),),
        acquisition=replace(once.acquisition, m0=replace(m0, data=2 * m0.data)),
    )
    maps, doubled = (items_of(prepare(one, recipe())) for one in (once, louder))
    for name in ("cbf", "att", "desc-sd_cbf"):
        np.testing.assert_allclose(doubled[name].data, maps[name].data, rtol=1e-4, atol=1e-4)


def test_the_mode_is_written_where_it_is_asked_for():
    curves = prepare(series(), recipe())
    usual, items = items_of(curves), items_of(curves, "asl.mode=true")
    assert set(items) - set(usual) == {"desc-mode_cbf", "desc-mode_att"}
    known, prior = shelf()["multi_delay"], items["desc-mode_att"].parameters["ArrivalPrior"]
    assert prior == usual["att"].parameters["ArrivalPrior"]
    assert items["desc-mode_cbf"].unit == "ml/100g/min" and items["desc-mode_att"].unit == "s"
    assert "likeliest" in items["desc-mode_cbf"].description and "argmax" in items["desc-mode_cbf"].equation
    told = curves.protocol._replace(arrival_prior=evidence(curves))
    expected = mode(curves.values, told, known.defaults(), cpu())["att"]
    np.testing.assert_array_equal(items["desc-mode_att"].data.reshape(-1, order="F")[curves.voxels], expected)


@pytest.mark.parametrize(("delays", "sets"), [((1.8,), ()), (None, ("asl.arterial=true",))])
def test_a_mode_that_is_not_there_is_told(delays, sets):
    made = compute(prepare(series(delays=delays), recipe()), recipe("asl.mode=true", *sets), cpu())
    assert not [item for item in made.items if "mode" in item.ending]
    assert any("asl.mode was not done" in warning for warning in made.warnings)


def test_what_one_delay_cannot_tell_is_told():
    def warnings(delays, *sets):
        made = compute(prepare(series(delays=delays), recipe()), recipe(*sets), cpu())
        return [warning for warning in made.warnings if "delay" in warning]

    assert warnings((1.8,)) == warnings(None, "asl.arterial=true") == []
    assert warnings((1.8,), "asl.arterial=true") == ["asl.arterial was not done: it needs several delays"]
    (only,) = warnings((1.8,), "asl.quantification=multi_delay")
    assert "the prior's" in only


def test_a_mode_of_one_delay_is_refused_at_the_door():
    with pytest.raises(BolusError, match=r"asl\.mode"):
        recipe("asl.mode=true", "asl.quantification=single_delay")
