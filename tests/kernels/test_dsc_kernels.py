"""DSC kernels against the float64 reference, and against truth made by fine numerical integration."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference import dsc
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]

TIMES = example.volume_times()
TR = example.REPETITION_TIME


def maps_of(name: str, curves: Array, protocol: DscProtocol, **parameters: float) -> dict[str, Array]:
    known = shelf()[name]
    return known.function(curves, protocol, known.defaults() | parameters, device.cpu())


def worst(found: Array, truth: Array) -> float:
    """Largest relative difference."""
    return float(np.max(np.abs(found / truth - 1)))


@pytest.mark.parametrize("snr", [None, 100.0, 20.0])
@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.2])
def test_csvd_equals_the_reference(snr: float | None, threshold: float) -> None:
    curves, protocol = example.dsc(300, 11, snr)
    found = maps_of("csvd", curves, protocol, threshold=threshold)
    truth = judged("csvd", curves, protocol, {"threshold": threshold, "peak": "sampled"})
    assert worst(found["cbf"], truth["cbf"]) <= 1e-5
    assert worst(found["mtt"], truth["mtt"]) <= 1e-4
    assert np.allclose(found["tmax"], truth["tmax"], atol=1e-6)


@pytest.mark.parametrize("snr", [None, 100.0, 50.0, 20.0])
def test_osvd_chooses_the_truncation_of_the_reference(snr: float | None) -> None:
    """Another truncation is another CBF by far more than rounding: one voxel in a thousand may differ."""
    n = 1000
    curves, protocol = example.dsc(n, 12, snr)
    found = maps_of("osvd", curves, protocol)
    truth = judged("osvd", curves, protocol, shelf()["osvd"].defaults())
    assert np.array_equal(np.isnan(found["cbf"]), np.isnan(truth["cbf"]))
    good = ~np.isnan(truth["cbf"])
    difference = np.abs(found["cbf"] / truth["cbf"] - 1)[good]
    agree = difference <= 1e-4
    assert np.sum(~agree) <= n // 1000
    assert difference[agree].max() <= 1e-5
    assert worst(found["mtt"][good][agree], truth["mtt"][good][agree]) <= 1e-4
    assert np.sum(np.abs(found["tmax"] - truth["tmax"])[good] > 1e-6) <= n // 1000


def test_osvd_scans_past_the_first_failure() -> None:
    """OI is not monotone: stopping at the first truncation that fails gives another flow in many voxels."""
    curves, protocol = example.dsc(200, 13, 50.0)
    first_failure = []
    for curve in curves:
        flow, truncated = np.nan, dsc.inverse(curve, protocol.aif, TR)
        for kept in sorted(dsc.truncations(protocol.aif, TR)):
            residue = truncated(kept)
            if residue.max() <= 0 or dsc.oscillation(residue) > 0.035:
                break
            flow = dsc.flow(residue, protocol.density_factor)
        first_failure.append(flow)
    found = maps_of("osvd", curves, protocol)["cbf"]
    differs = ~np.isclose(found, np.array(first_failure), rtol=1e-4)
    assert differs.mean() > 0.02
    assert worst(found, judged("osvd", curves, protocol, shelf()["osvd"].defaults())["cbf"]) <= 1e-4


@pytest.mark.parametrize("n_times", [20, 45, 61, 128])
@pytest.mark.parametrize("name", ["csvd", "osvd"])
def test_any_number_of_volumes_equals_the_reference(name: str, n_times: int) -> None:
    curves, protocol = example.dsc(64, 14, 50.0)
    t = TR * np.arange(n_times)
    rng = np.random.default_rng(15)
    curves = np.stack([simulate.tissue(t, 60.0, mtt, 1.0) for mtt in rng.uniform(2, 8, 64)])
    curves = np.asfortranarray(simulate.noisy_relaxation(curves, 50.0, 0.03, 7, 16), np.float32)
    protocol = protocol._replace(aif=simulate.arterial(t), reference=simulate.tissue(t, 45.0, 4.0))
    found = maps_of(name, curves, protocol)
    truth = judged(name, curves, protocol, shelf()[name].defaults())
    assert worst(found["cbf"], truth["cbf"]) <= 1e-4
    assert np.allclose(found["tmax"], truth["tmax"], atol=1e-5)


@pytest.mark.parametrize("name", ["uncorrected", "bsw"])
@pytest.mark.parametrize("snr", [None, 100.0, 20.0])
def test_blood_volume_equals_the_reference(name: str, snr: float | None) -> None:
    curves, protocol = example.dsc(300, 17, snr)
    found, truth = maps_of(name, curves, protocol), judged(name, curves, protocol, shelf()[name].defaults())
    for key in shelf()[name].maps:
        assert np.max(np.abs(found[key] - truth[key])) <= 1e-4 * np.abs(truth[key]).mean(), key
    assert worst(found["cbv"], truth["cbv"]) <= 1e-4


def test_blood_volume_recovers_what_was_simulated() -> None:
    t = 1.5 * np.arange(120)
    truth = np.linspace(1.0, 8.0, 15)
    curves = np.stack([simulate.tissue(t, 60 * cbv / 4.0, 4.0, 1.0) for cbv in truth]).astype(np.float32)
    protocol = DscProtocol(1.5, simulate.arterial(t), simulate.KAPPA_RHO, simulate.tissue(t, 45.0, 4.0))
    assert np.allclose(maps_of("uncorrected", curves, protocol)["cbv"], truth, rtol=0.03)


@pytest.mark.parametrize("k2", [-0.01, 0.0, 0.02])
def test_leakage_that_was_added_is_found_and_taken_out(k2: float) -> None:
    _, protocol = example.dsc(1, 18)
    m = simulate.tissue(TIMES, 45.0, 4.0)
    integral = np.concatenate([[0.0], np.cumsum((m[1:] + m[:-1]) / 2) * TR])
    k1 = np.linspace(0.3, 2.5, 20)
    curves = (k1[:, None] * m - k2 * integral).astype(np.float32)
    found = maps_of("bsw", curves, protocol)
    assert np.allclose(found["k1"], k1, rtol=1e-4)
    assert np.allclose(found["k2"], k2, atol=1e-5)
    clean = maps_of("uncorrected", (k1[:, None] * m).astype(np.float32), protocol)
    assert np.allclose(found["cbv"], clean["cbv"], rtol=1e-3)


@pytest.mark.parametrize("residue", ["exponential", "linear", "gamma", "biexponential"])
def test_csvd_is_flat_over_delays_without_noise(residue: str) -> None:
    ratios = []
    for delay in np.arange(-2.0, 5.01, 0.25):
        curves = simulate.tissue(TIMES, 60.0, 4.0, delay, residue)[None].astype(np.float32)
        _, protocol = example.dsc(1, 19)
        ratios.append(float(maps_of("csvd", curves, protocol)["cbf"][0]) / 60)
    assert np.ptp(ratios) <= 0.03


@pytest.mark.parametrize("residue", ["exponential", "linear"])
@pytest.mark.parametrize("cbf", [60.0, 25.0])
def test_osvd_is_flat_over_delays_at_snr_100(residue: str, cbf: float) -> None:
    _, protocol = example.dsc(1, 20)
    medians = []
    for seed, delay in enumerate(np.arange(-2.0, 5.01, 0.5)):
        clean = np.tile(simulate.tissue(TIMES, cbf, 4.0, delay, residue), (2000, 1))
        noisy = simulate.noisy_relaxation(clean, 100.0, 0.03, 7, seed)
        medians.append(np.nanmedian(maps_of("osvd", noisy.astype(np.float32), protocol)["cbf"]) / cbf)
    assert np.ptp(medians) <= 0.03


@pytest.mark.parametrize("name", ["csvd", "osvd"])
def test_tmax_follows_the_delay_on_both_sides_of_zero(name: str) -> None:
    delays = np.array([-3.0, -1.5, 0.0, 1.5, 3.0, 6.0])
    curves = np.stack([simulate.tissue(TIMES, 60.0, 4.0, delay) for delay in delays]).astype(np.float32)
    _, protocol = example.dsc(1, 21)
    tmax = maps_of(name, curves, protocol)["tmax"]
    assert np.allclose(np.diff(tmax), np.diff(delays), atol=1e-5)
    assert tmax[0] < 0
    assert np.all(np.abs(tmax - delays) <= 2 * TR)


@pytest.mark.parametrize("name", ["csvd", "osvd"])
def test_a_curve_without_a_positive_flow_has_no_solution(name: str) -> None:
    curves, protocol = example.dsc(4, 22)
    curves[1] = 0.0
    maps = maps_of(name, curves, protocol)
    assert maps["state"].tolist() == [0, State.NO_SOLUTION, 0, 0]
    assert all(np.isnan(maps[key][1]) for key in ("cbf", "mtt", "tmax"))


@pytest.mark.parametrize("name", ["csvd", "osvd", "ssvd", "tikhonov"])
def test_the_residue_function_is_written_on_request_and_changes_no_map(name: str) -> None:
    curves, protocol = example.dsc(40, 25, 50.0)
    curves[3] = np.nan
    usual, asked = maps_of(name, curves, protocol), maps_of(name, curves, protocol._replace(residue=True))
    residue = asked.pop("residue")
    assert all(usual[key].tobytes() == asked[key].tobytes() for key in usual)
    assert residue.dtype == np.float32 and residue.flags.f_contiguous
    assert np.isnan(residue[3]).all()
    defaults = shelf()[name].defaults()
    truth = judged(name, np.delete(curves, 3, 0), protocol._replace(residue=True), defaults)["residue"]
    assert np.abs(np.delete(residue, 3, 0) - truth).max() <= 2e-6 * truth.max()
    good = usual["state"] == State.GOOD
    assert np.allclose(
        residue[good].max(axis=1) * 6000 * protocol.density_factor, usual["cbf"][good], rtol=1e-6
    )
