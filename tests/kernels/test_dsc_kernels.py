"""DSC kernels against the float64 reference, and against truth made by fine numerical integration."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference import dsc
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.concentration import relaxation
from bolus_kernels.dsc import DscProtocol
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]

TIMES = example.volume_times()
TR = example.REPETITION_TIME
NO_SATURATION = float("inf")


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
    truth = judged("csvd", curves, protocol, {"threshold": threshold})
    assert worst(found["cbf"], truth["cbf"]) <= 1e-5
    assert worst(found["mtt"], truth["mtt"]) <= 1e-4
    assert np.allclose(found["tmax"], truth["tmax"], atol=1e-6)


@pytest.mark.parametrize("snr", [None, 100.0, 50.0, 20.0])
def test_osvd_chooses_the_truncation_of_the_reference(snr: float | None) -> None:
    """Another truncation is another CBF by far more than rounding: one voxel in a thousand may differ."""
    n = 1000
    curves, protocol = example.dsc(n, 12, snr)
    found = maps_of("osvd", curves, protocol)
    truth = judged("osvd", curves, protocol, {"oscillation_index": 0.035})
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
    assert worst(found, judged("osvd", curves, protocol, {"oscillation_index": 0.035})["cbf"]) <= 1e-4


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
    found, truth = maps_of(name, curves, protocol), judged(name, curves, protocol, {})
    for key, values in truth.items():
        assert np.max(np.abs(found[key] - values)) <= 1e-4 * np.abs(values).mean(), key
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


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.37, 25.5)])
def test_relaxation_equals_the_reference(dtype: Any, slope: float, inter: float) -> None:
    rng = np.random.default_rng(23)
    stored = rng.integers(60, 4000, (60, 500)).astype(dtype)
    rows = rng.permutation(500)[:200].astype(np.int64)
    values, state = relaxation(stored, rows, slope, inter, (2, 9), 0.031, NO_SATURATION)
    assert values.shape == (200, 60) and values.dtype == np.float32 and values.flags.f_contiguous
    assert state.dtype == np.uint8 and not state.any()
    truth = np.stack(
        [
            dsc.relaxation(slope * stored[:, row].astype(np.float64) + inter, slice(2, 9), 0.031)
            for row in rows
        ]
    )
    assert np.allclose(values, truth, rtol=2e-6, atol=2e-6 / 0.031)


def test_relaxation_keeps_small_changes_of_a_large_signal() -> None:
    """The ratio before the logarithm: log(S) - log(S0) in float32 would lose them."""
    stored = np.full((60, 3), 30000, np.int16)
    stored[20:30] -= np.array([1, 3, 30], np.int16)
    values, _ = relaxation(stored, np.arange(3), 1.0, 0.0, (0, 10), 0.03, NO_SATURATION)
    truth = -np.log1p(-np.array([1, 3, 30]) / 30000) / 0.03
    assert np.allclose(values[:, 25], truth, rtol=0, atol=3e-7 / 0.03)


def broken(dtype: Any = np.float32) -> Array:
    """Twelve good voxels of 40 volumes, (40, 12)."""
    return np.random.default_rng(24).integers(300, 900, (40, 12)).astype(dtype)


def states(stored: Array, slope: float = 1.0, inter: float = 0.0, saturation: float = NO_SATURATION) -> Array:
    rows = np.arange(stored.shape[1], dtype=np.int64)
    values, state = relaxation(stored, rows, slope, inter, (1, 8), 0.03, saturation)
    assert np.array_equal(np.isnan(values).all(axis=1), state != State.GOOD)
    assert np.isfinite(values[state == State.GOOD]).all()
    return np.asarray(state)


@pytest.mark.parametrize("bad", [0, -5])
def test_a_sample_that_is_not_positive_is_missing(bad: int) -> None:
    stored = broken(np.int16)
    stored[20, 4] = bad
    assert states(stored).tolist() == [State.MISSING_SAMPLE if i == 4 else 0 for i in range(12)]


def test_a_sample_that_scales_to_nothing_is_missing() -> None:
    stored = broken(np.int16)
    stored[20, 4] = 100
    assert states(stored, slope=0.5, inter=-50.0)[4] == State.MISSING_SAMPLE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("volume", [0, 3, 20, 39])
def test_a_sample_that_is_not_finite_says_so(bad: float, volume: int) -> None:
    stored = broken()
    stored[volume, 7] = bad
    assert states(stored).tolist() == [State.NOT_FINITE if i == 7 else 0 for i in range(12)]


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_a_constant_series_has_no_signal(dtype: Any) -> None:
    stored = broken(dtype)
    stored[:, 0] = 512
    assert states(stored, slope=0.3, inter=7.0).tolist() == [
        State.NO_SIGNAL if i == 0 else 0 for i in range(12)
    ]


def test_a_saturated_sample_is_missing() -> None:
    stored = broken(np.int16)
    stored[30, 11] = 4095
    assert states(stored, saturation=4095.0).tolist() == [
        State.MISSING_SAMPLE if i == 11 else 0 for i in range(12)
    ]
    assert not states(stored).any()


def test_relaxation_of_no_voxels_is_empty() -> None:
    values, state = relaxation(broken(), np.empty(0, np.int64), 1.0, 0.0, (1, 8), 0.03, NO_SATURATION)
    assert values.shape == (0, 40) and state.shape == (0,)
