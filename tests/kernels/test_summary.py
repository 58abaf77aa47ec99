"""Arrival, peak, recovery and contrast to noise: against what was simulated, whatever the tissue and its noise."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State, without_value

Array = NDArray[Any]

TR = 1.5
TIMES = TR * np.arange(60)
ONSET = 12.0


def told(n: int, **changes: Any) -> DscProtocol:
    base = DscProtocol(TR, simulate.arterial(TIMES), simulate.KAPPA_RHO, simulate.tissue(TIMES, 45.0, 4.0))
    steady = np.full(n, 800, np.float32)
    return base._replace(**{"baseline": (0, 7), "echo_time": 0.03, "baseline_signal": steady, **changes})


def summary(curves: Array, protocol: DscProtocol | None = None, **parameters: Any) -> dict[str, Array]:
    known = shelf()["summary"]
    values = np.asfortranarray(curves, np.float32)
    given = known.defaults() | parameters
    return known.function(values, protocol or told(len(values)), given, device.cpu())


def tissues(n: int, seed: int, alpha: float = 3.0) -> tuple[Array, Array]:
    """Curves of many flows, transit times, delays and residues, and when blood arrives in each (s)."""
    rng = np.random.default_rng(seed)
    curves, arrivals = np.empty((n, 60)), np.empty(n)
    for voxel in range(n):
        delay = 0.005 * round(rng.uniform(-2, 5) / 0.005)
        residue = str(rng.choice(sorted(simulate.RESIDUES)))
        flow, mtt = rng.uniform(10, 120), rng.uniform(2, 10)
        curves[voxel] = simulate.tissue(
            TIMES,
            flow,
            mtt,
            delay,
            residue,
            lambda t: 200 * simulate.gamma_variate(t, ONSET, alpha, 4.5 / alpha),
        )
        arrivals[voxel] = ONSET + delay
    return curves, arrivals


@pytest.mark.parametrize(("alpha", "allowed"), [(2.0, 0.3), (3.0, 0.3), (4.0, 0.55)])
@pytest.mark.parametrize(("cnr", "spread"), [(10, 1.0), (20, 0.6), (50, 0.4), (None, 0.35)])
def test_arrival_is_that_of_the_blood(alpha: float, allowed: float, cnr: float | None, spread: float) -> None:
    """The median within a part of a volume, the more the smoother the bolus begins; half of all errors lie in `spread`."""
    curves, truth = tissues(600, 3, alpha)
    if cnr is not None:
        noise = curves.max(axis=1, keepdims=True) / cnr
        curves += noise * np.random.default_rng(4).normal(size=curves.shape)
    maps = summary(curves)
    assert (maps["state"] == State.GOOD).mean() > 0.99
    error = (maps["bat"] - truth)[maps["state"] == State.GOOD] / TR
    low, middle, high = np.percentile(error, [25, 50, 75])
    assert abs(middle) <= allowed
    assert high - low <= spread


@pytest.mark.parametrize("onset", ["smooth", "linear"])
@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("snr", [None, 50.0, 15.0])
def test_summary_equals_the_reference(onset: str, first: int, snr: float | None) -> None:
    curves, protocol = example.dsc(200, 31, snr)
    protocol = protocol._replace(baseline=(first, 7))
    curves += np.float32(1e-3) * np.random.default_rng(5).normal(size=curves.shape).astype(np.float32)
    chosen = {"onset": onset, "recovery_from": 20.0, "recovery_to": 40.0}
    found = summary(curves, protocol, **chosen)
    truth = judged("summary", curves, protocol, shelf()["summary"].defaults() | chosen)
    assert np.isnan(truth["psr"]).any() == (snr == 15.0)  # where the peak is noise, late in the series
    for name, values in truth.items():
        size = np.nanmean(np.abs(values))
        assert np.allclose(found[name], values, rtol=1e-4, atol=1e-4 * size, equal_nan=True), name


def test_recovery_height_and_noise_are_those_of_the_signal() -> None:
    rng = np.random.default_rng(6)
    curves = np.stack([simulate.tissue(TIMES, cbf, 4.0, 1.0) for cbf in np.linspace(10, 100, 50)])
    curves += rng.normal(0, 0.05, curves.shape)
    steady = rng.uniform(200, 2000, 50).astype(np.float32)
    signal = steady[:, None] * np.exp(-0.03 * curves)
    maps = summary(curves, told(50, baseline_signal=steady))
    peak = curves.argmax(axis=1)
    lowest = signal.min(axis=1)
    after = np.array([s[p + 20 : p + 41].mean() for s, p in zip(signal, peak, strict=True)])  # 30 to 60 s
    assert np.allclose(maps["peakheight"], steady - lowest, rtol=1e-5)
    assert np.allclose(maps["psr"], 100 * (after - lowest) / (steady - lowest), rtol=1e-4)
    assert np.allclose(maps["cnr"], curves.max(axis=1) / curves[:, :7].std(axis=1, ddof=1), rtol=1e-4)
    assert np.all(np.abs(maps["bat"] + maps["ttp"] - TIMES[peak]) <= TR / 2)


def test_recovery_has_a_value_where_the_late_window_holds_five_samples_and_a_state_where_not() -> None:
    """A peak at every volume: the window goes from whole to empty, and psr alone is lost where it holds four."""
    bolus = simulate.tissue(TIMES, 60.0, 4.0)
    bolus[:8] = 0.0
    top = int(bolus.argmax())
    curves = np.stack([np.roll(bolus, peak - top) for peak in range(top, 60)])
    for row, peak in zip(curves, range(top, 60), strict=True):
        row[: peak - top] = 0.0  # what was rolled in
    curves += np.random.default_rng(7).normal(0, 0.02, curves.shape)
    curves = np.asfortranarray(curves, np.float32)
    peak = curves.argmax(axis=1)
    assert np.array_equal(peak, np.arange(top, 60))
    held = np.array([np.count_nonzero(np.abs(TIMES - TIMES[p] - 45) <= 15) for p in peak])
    assert set(held) == set(range(22))
    maps, truth = summary(curves), judged("summary", curves, told(len(curves)), shelf()["summary"].defaults())
    assert np.array_equal(maps["state"], np.where(held >= 5, State.GOOD, State.NO_RECOVERY))
    assert np.array_equal(np.isnan(maps["psr"]), held < 5)
    for name, values in truth.items():
        assert np.array_equal(np.isnan(values), without_value(name, maps["state"])), name
        assert np.allclose(
            maps[name], values, rtol=1e-4, atol=1e-4 * np.nanmean(np.abs(values)), equal_nan=True
        ), name


def test_a_failure_that_leaves_no_map_goes_before_a_late_window_that_is_missing() -> None:
    curves = np.stack([simulate.tissue(TIMES[:30], 60.0, 4.0)] * 3)
    curves += np.random.default_rng(7).normal(0, 0.02, curves.shape)
    curves[1] = -np.abs(curves[1]) - 1
    curves[2, 3] = np.nan
    maps = summary(curves)
    assert maps["state"].tolist() == [State.NO_RECOVERY, State.NO_SOLUTION, State.NOT_FINITE]
    assert np.isfinite(maps["cnr"]).tolist() == [True, False, False]


def test_a_bolus_that_leaks_does_not_recover_and_one_that_shortens_t1_overshoots() -> None:
    blood = simulate.tissue(TIMES, 60.0, 4.0)
    leaked = np.cumsum(blood) * TR
    noise = np.random.default_rng(8).normal(0, 0.02, (3, 60))
    psr = summary(np.stack([blood + 0.01 * leaked, blood, blood - 0.01 * leaked]) + noise)["psr"]
    assert psr[0] < 90 < psr[1] < 100 < psr[2]


def test_recovery_is_told_from_one_echo_where_there_are_several() -> None:
    """Several echoes are free of T1: only the single echo knows how far the signal came back."""
    blood = np.tile(simulate.tissue(TIMES, 60.0, 4.0), (4, 1))
    blood += np.random.default_rng(9).normal(0, 0.02, blood.shape)
    single = np.asfortranarray(blood - 0.012 * np.cumsum(blood, axis=1) * TR, np.float32)
    plain, one = summary(blood), summary(single)
    both = summary(blood, told(4, single_echo=single))
    for name in ("bat", "ttp", "cnr"):
        assert np.array_equal(both[name], plain[name])
    assert np.all(both["psr"] > plain["psr"] + 5)
    assert np.allclose(both["psr"], one["psr"], rtol=0.02)


@pytest.mark.parametrize("shift", [1, 6, 15])
def test_a_later_bolus_arrives_later_and_is_otherwise_the_same(shift: int) -> None:
    curves = np.stack([simulate.tissue(TIMES, 60.0, mtt, 0.5) for mtt in (3.0, 5.0, 7.0)])
    curves += np.random.default_rng(10).normal(0, 0.01, curves.shape)
    later = np.concatenate(
        [np.roll(curves[:, :7], 1, axis=1)[:, np.arange(shift) % 7], curves[:, :-shift]], axis=1
    )
    here, there = summary(curves), summary(later)
    assert np.allclose(there["bat"] - here["bat"], shift * TR, atol=0.2)
    assert np.allclose(there["ttp"], here["ttp"], atol=0.2)
    assert np.allclose(there["peakheight"], here["peakheight"], rtol=1e-3)


def test_the_dose_scales_nothing_but_heights() -> None:
    curves, protocol = example.dsc(100, 32, 50.0)
    once, twice = summary(curves, protocol), summary(2 * curves, protocol)
    for name in ("bat", "ttp", "cnr"):
        assert np.allclose(once[name], twice[name], rtol=1e-4), name
    assert np.all(twice["peakheight"] > 1.3 * once["peakheight"])


def test_a_curve_without_a_bolus_has_no_solution() -> None:
    curves, protocol = example.dsc(5, 33)
    curves[1] = 0.0
    curves[2] = -np.abs(curves[2]) - 1
    curves[3] = np.linspace(5, 0, 60)  # the greatest sample is the first
    maps = summary(curves, protocol)
    assert maps["state"].tolist() == [0, State.NO_SOLUTION, State.NO_SOLUTION, State.NO_SOLUTION, 0]


def test_a_baseline_without_noise_is_no_failure() -> None:
    curves = np.stack([simulate.tissue(TIMES, 60.0, 4.0)] * 2)
    curves[:, :7] = 0.0
    maps = summary(curves)
    assert not maps["state"].any() and np.allclose(maps["cnr"], 1e6, rtol=1e-3)


def test_a_baseline_of_one_volume_tells_no_noise_and_no_signal_is_refused() -> None:
    curves, protocol = example.dsc(3, 34)
    assert np.all(summary(curves, protocol._replace(baseline=(0, 1)))["state"] == State.NO_SOLUTION)
    with pytest.raises(ValueError, match="baseline signal"):
        summary(curves, protocol._replace(baseline_signal=None))


@pytest.mark.parametrize("n_times", [12, 33, 61, 140])
def test_any_number_of_volumes_equals_the_reference(n_times: int) -> None:
    times = TR * np.arange(n_times)
    rng = np.random.default_rng(35)
    curves = np.stack([simulate.tissue(times, 60.0, mtt, -2.0) for mtt in rng.uniform(2, 8, 40)])
    curves += rng.normal(0, 0.05, curves.shape)
    curves = np.asfortranarray(curves, np.float32)
    known = {"recovery_from": 5.0, "recovery_to": 15.0} if n_times > 30 else {}
    protocol = told(40, baseline=(0, 5))
    found = summary(curves, protocol, **known)
    truth = judged("summary", curves, protocol, shelf()["summary"].defaults() | known)
    assert np.all(np.isnan(truth["psr"])) == (n_times == 12)
    for name, values in truth.items():
        size = np.abs(values[np.isfinite(values)]).mean() if np.isfinite(values).any() else 0.0
        assert np.allclose(found[name], values, rtol=1e-4, atol=1e-4 * size, equal_nan=True), name
