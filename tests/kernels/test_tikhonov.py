"""Tikhonov's strength and residue against the reference, and what regularisation must do."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]

TIMES = example.volume_times()
TR = example.REPETITION_TIME
TIKHONOV = shelf()["tikhonov"]

selections = pytest.mark.parametrize("selection", ["gcv", "l_curve"])


def tikhonov(curves: Array, protocol: DscProtocol, selection: str) -> dict[str, Array]:
    return TIKHONOV.function(curves, protocol, TIKHONOV.defaults() | {"selection": selection}, device.cpu())


@selections
@pytest.mark.parametrize("snr", [None, 100.0, 20.0])
def test_the_strength_is_that_of_the_reference(snr: float | None, selection: str) -> None:
    """A step of the strength moves CBF by far more than rounding: one voxel may differ."""
    n = 250
    curves, protocol = example.dsc(n, 51, snr)
    found = tikhonov(curves, protocol, selection)
    truth = judged("tikhonov", curves, protocol, TIKHONOV.defaults() | {"selection": selection})
    difference = np.abs(found["cbf"] / truth["cbf"] - 1)
    agree = difference <= 1e-4
    assert np.sum(~agree) <= 1
    assert difference[agree].max() <= 1e-5
    assert np.abs(found["mtt"] / truth["mtt"] - 1)[agree].max() <= 1e-4
    assert np.sum(np.abs(found["tmax"] - truth["tmax"]) > 1e-5) <= 1


@selections
@pytest.mark.parametrize("n_times", [20, 45, 61])
def test_any_number_of_volumes_equals_the_reference(n_times: int, selection: str) -> None:
    t = TR * np.arange(n_times)
    curves = np.stack([simulate.tissue(t, 60.0, mtt, 1.0) for mtt in np.linspace(2, 8, 40)])
    curves = np.asfortranarray(simulate.noisy_relaxation(curves, 50.0, 0.03, 7, 52), np.float32)
    protocol = example.dsc(40, 53)[1]._replace(aif=simulate.arterial(t), residue=True)
    found = tikhonov(curves, protocol, selection)
    truth = judged("tikhonov", curves, protocol, TIKHONOV.defaults() | {"selection": selection})
    assert found["residue"].shape == (40, 2 * n_times)
    assert np.max(np.abs(found["cbf"] / truth["cbf"] - 1)) <= 1e-4


@selections
@pytest.mark.parametrize("snr", [100.0, 20.0])
def test_the_residue_is_smooth_where_that_of_all_singular_values_is_not(selection: str, snr: float) -> None:
    _, protocol = example.dsc(1, 54)
    clean = np.tile(simulate.tissue(TIMES, 60.0, 4.0), (200, 1))
    curves = simulate.noisy_relaxation(clean, snr, example.ECHO_TIME, example.BASELINE, 55).astype(np.float32)
    told = protocol._replace(residue=True, blood_volume=np.ones(200, np.float32))
    everything = shelf()["csvd"].function(curves, told, {"threshold": 0.0, "peak": "sampled"}, device.cpu())[
        "residue"
    ]
    smooth, rough = (
        np.median(np.abs(np.diff(residue, 2, axis=1)).sum(axis=1) / residue.max(axis=1))
        for residue in (tikhonov(curves, told, selection)["residue"], everything)
    )
    assert smooth <= 0.1 * rough


@selections
def test_the_scale_of_curve_and_input_scales_nothing_else(selection: str) -> None:
    curves, protocol = example.dsc(100, 56)
    usual = tikhonov(curves, protocol, selection)
    twice = tikhonov(2 * curves, protocol._replace(aif=4 * protocol.aif), selection)
    assert np.array_equal(twice["cbf"], usual["cbf"] / 2)
    assert np.array_equal(twice["tmax"], usual["tmax"])


@selections
def test_flow_is_flat_over_delays_of_whole_volumes(selection: str) -> None:
    _, protocol = example.dsc(1, 57)
    delays = TR * np.arange(-1, 4)
    curves = np.stack([simulate.tissue(TIMES, 60.0, 4.0, delay) for delay in delays]).astype(np.float32)
    found = tikhonov(curves, protocol._replace(blood_volume=np.ones(5, np.float32)), selection)
    assert np.ptp(found["cbf"]) <= 0.07 * found["cbf"].mean()
    assert np.allclose(np.diff(found["tmax"]), TR, atol=1e-4)


@selections
def test_a_curve_without_a_positive_flow_has_no_solution(selection: str) -> None:
    curves, protocol = example.dsc(4, 58)
    curves[1] = 0.0
    found = tikhonov(curves, protocol._replace(residue=True), selection)
    assert found["state"].tolist() == [0, State.NO_SOLUTION, 0, 0]
    assert np.isnan(found["residue"][1]).all()
