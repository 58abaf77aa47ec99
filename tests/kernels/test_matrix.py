"""The test matrix that every method of the shelf passes, by being there."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.example import example
from benchmarks.reference.judge import JUDGES, allowed, judged
from bolus_kernels import device
from bolus_kernels.dsc.protocol import VOXELWISE
from bolus_kernels.method import AIC, RESIDUE, STANDARD_DEVIATION, Method
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State, without_value

Maps = dict[str, NDArray[Any]]
SHELF = list(shelf().values())
N, JUDGED = 300, {"kinetic_model": 5}
"""Voxels of a case; voxels that a reference judges, where it takes seconds for each."""

CHOICES = [
    (known, chosen)
    for known in SHELF
    for chosen in [{}, *({name: other} for name, names in known.choices.items() for other in names[1:])]
]

every_method = pytest.mark.parametrize("known", SHELF, ids=[known.name for known in SHELF])
every_choice = pytest.mark.parametrize(
    ("known", "chosen"), CHOICES, ids=["-".join([known.name, *chosen.values()]) for known, chosen in CHOICES]
)


@cache
def _made(name: str, n: int) -> tuple[Any, Any]:
    return example(shelf()[name], n)


def case(known: Method, n: int = N) -> tuple[Any, Any]:
    """Curves (n, t), free to be changed, and their protocol."""
    curves, protocol = _made(known.name, n)
    return curves.copy(order="F"), protocol


def run(
    known: Method, curves: Any, protocol: Any, parameters: Mapping[str, Any] | None = None, threads: int = 1
) -> Maps:
    given = known.defaults() if parameters is None else dict(parameters)
    maps = known.function(curves, protocol, given, device.cpu(threads))
    asked = {RESIDUE} if getattr(protocol, "residue", False) else set()
    assert {*known.maps, "state"} | asked <= set(maps) <= {*known.maps, "state", AIC} | asked
    for name, values in maps.items():
        assert values.shape[0] == len(curves) and values.ndim == (2 if name == RESIDUE else 1)
        assert values.dtype == (np.uint8 if name == "state" else np.float32)
    return maps


def same(first: Maps, second: Maps) -> bool:
    """Every bit of every map, NaN included."""
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_the_shelf_has_the_methods_of_the_foundation() -> None:
    assert {"csvd", "osvd", "uncorrected", "bsw", "single_delay", "multi_delay"} <= set(shelf())


@every_method
def test_no_voxels_give_empty_maps(known: Method) -> None:
    curves, protocol = case(known, 0)
    run(known, curves, protocol)


@every_method
def test_one_voxel_is_what_it_is_among_many(known: Method) -> None:
    curves, protocol = case(known, 5)
    alone = run(known, curves[2:3], protocol.rows(slice(2, 3)))
    among = run(known, curves, protocol)
    assert same(alone, {name: values[2:3] for name, values in among.items()})


@every_method
def test_blocks_of_voxels_give_what_the_whole_gives(known: Method) -> None:
    curves, protocol = case(known)
    whole = run(known, curves, protocol)
    blocks = [slice(0, 97), slice(97, 98), slice(98, N)]
    parts = [run(known, curves[block], protocol.rows(block)) for block in blocks]
    assert same(whole, {name: np.concatenate([part[name] for part in parts]) for name in whole})


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_broken_curve_is_nan_with_a_state_and_harms_no_neighbour(known: Method, bad: float) -> None:
    curves, protocol = case(known)
    good = run(known, curves, protocol)
    broken = curves.copy(order="F")
    at = [0, 63, 64, 170, N - 1]
    broken[at, [0, 1, 2, 3, curves.shape[1] - 1]] = bad
    maps = run(known, broken, protocol)
    assert np.all(maps["state"][at] == State.NOT_FINITE)
    assert all(np.isnan(maps[name][at]).all() for name in known.maps)
    left = np.delete(np.arange(N), at)
    assert same({k: v[left] for k, v in maps.items()}, {k: v[left] for k, v in good.items()})


@every_method
def test_a_voxel_without_a_good_state_is_nan_and_one_with_it_is_not(known: Method) -> None:
    curves, protocol = case(known)
    curves[::7] = -np.abs(curves[::7])
    maps = run(known, curves, protocol)
    for name in known.maps:
        assert np.array_equal(np.isnan(maps[name]), without_value(name, maps["state"]))
    assert np.mean(maps["state"] == State.GOOD) > 0.8


@every_method
def test_a_wild_curve_is_finite_or_has_a_state(known: Method) -> None:
    """Curves divided by a calibration near zero, spikes, steps: over twelve orders of magnitude."""
    curves, protocol = case(known)
    rng = np.random.default_rng(60)
    wild = rng.normal(size=curves.shape) * 10.0 ** rng.uniform(-6, 6, (N, 1))
    wild[::3] = curves[::3] * 10.0 ** rng.uniform(-6, 6, (N, 1))[::3]
    wild[1::3, 5] *= 1000
    maps = run(known, np.asfortranarray(wild, np.float32), protocol)
    good = maps["state"] == State.GOOD
    for name in known.maps:
        assert np.isfinite(maps[name][good]).all(), name
        assert np.isnan(maps[name][without_value(name, maps["state"])]).all(), name
        if name.startswith(STANDARD_DEVIATION):
            assert (maps[name][good] >= 0).all(), name


@every_method
def test_the_order_of_voxels_does_not_matter(known: Method) -> None:
    curves, protocol = case(known)
    back: dict[str, Any] = {
        name: np.asfortranarray(value[::-1])
        for name, value in protocol._asdict().items()
        if name in {*VOXELWISE, "t1_tissue", "slice_delay", "relative_noise"} and value is not None
    }
    if known.contrast == "asl":
        back["arrival_prior"] = protocol.arrival_prior.rows(slice(None, None, -1))
    forward = run(known, curves, protocol)
    reversed_ = run(known, np.asfortranarray(curves[::-1]), protocol._replace(**back))
    assert same(forward, {name: values[::-1].copy() for name, values in reversed_.items()})


@every_method
def test_the_order_in_memory_does_not_matter(known: Method) -> None:
    curves, protocol = case(known)
    assert curves.flags.f_contiguous
    assert same(run(known, curves, protocol), run(known, np.ascontiguousarray(curves), protocol))


@every_method
def test_curves_are_not_written_to(known: Method) -> None:
    curves, protocol = case(known)
    before = curves.copy()
    curves.flags.writeable = False
    run(known, curves, protocol)
    assert np.array_equal(curves, before)


@every_method
def test_two_runs_and_any_number_of_threads_are_identical(known: Method) -> None:
    curves, protocol = case(known)
    first = run(known, curves, protocol)
    assert same(first, run(known, curves, protocol))
    assert same(first, run(known, curves, protocol, threads=3))


@every_method
def test_every_parameter_runs_at_both_ends_of_its_range_and_changes_something(known: Method) -> None:
    """Under one of the method's choices at least: some parameters belong to a choice."""
    curves, protocol = case(known)
    chosen = [known.defaults() | choice for method, choice in CHOICES if method is known]
    usual = [run(known, curves, protocol, parameters) for parameters in chosen]
    for name, parameter in known.parameters.items():
        obeyed = False
        for parameters, before in zip(chosen, usual, strict=True):
            for end in (parameter.low, parameter.high):
                maps = run(known, curves, protocol, parameters | {name: end})
                for key in known.maps:
                    assert np.array_equal(np.isnan(maps[key]), without_value(key, maps["state"]))
                obeyed |= not same(before, maps)
            if obeyed:
                break
        assert obeyed, f"{name} is not obeyed"


@every_choice
def test_every_choice_is_obeyed_and_agrees_with_its_reference(known: Method, chosen: dict[str, str]) -> None:
    """Maps, and what a method gives beside them, each within what its judge allows.

    Where two shapes of normal tissue fit equally well, either may be taken, and the fits alone must agree.
    """
    assert known.name in JUDGES, f"{known.name} has no reference in benchmarks/reference/judge.py"
    protocol: Any
    curves, protocol = example(known, JUDGED.get(known.name, 30), seed=7)
    if known.family == "deconvolution":
        protocol = protocol._replace(residue=True)
    parameters = known.defaults() | chosen
    found = run(known, curves, protocol, parameters)
    assert not chosen or not same(found, run(known, curves, protocol)), f"{chosen} is not obeyed"
    truth = judged(known.name, curves, protocol, parameters)
    assert set(truth) - {AIC, RESIDUE} == set(known.maps)
    ties = 0.05 if chosen.get("alignment", "none") != "none" else 0.0
    strayed = np.zeros(len(curves), np.bool_)
    for name, limit in allowed(known.name, truth, parameters).items():
        if name in found:
            assert found[name].shape == truth[name].shape
            assert np.array_equal(np.isnan(found[name]), np.isnan(truth[name])), name
            strays = np.abs(found[name] - truth[name]) > limit
            assert name != AIC or not strays.any()
            strayed |= strays.reshape(len(curves), -1).any(axis=1)
    assert np.mean(strayed) <= ties, np.flatnonzero(strayed)


def test_every_leakage_model_says_how_well_it_fits() -> None:
    models = [shelf()[name] for name in ("uncorrected", "bsw", "bidirectional") if name in shelf()]
    assert len(models) >= 2
    assert all(AIC in run(known, *case(known)) for known in models)
