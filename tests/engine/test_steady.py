"""The steady state and the bolus of a series: early, late, drifting, moved, twice, cut off, or not there at all."""

import numpy as np
import pytest

from benchmarks import simulate
from bolus.errors import Code
from bolus.prepare.relaxed import clipped, echoes_of
from bolus.prepare.steady import steady_state
from tests.engine.made import dsc_series, dsc_signal

SERIES = dsc_series(dsc_signal().astype(np.float32))
SEEDS = range(6)
# The brain's mean over thousands of voxels of SNR 20 has an SNR of 1000 and more; 50 is a mean over a few.
ratios = pytest.mark.parametrize("snr", [50, 100, 1000])


def brain(seed, snr, tr=1.5, count=60, onset=12.0, flow=70.0, again=None, drift=0.0):
    """The mean signal of a brain whose blood arrives at `onset` s, and once more, so much larger, `again` s later."""
    times = tr * np.arange(count)

    def blood(t):
        second = again[1] * simulate.arterial(t, onset + again[0]) if again else 0
        return simulate.arterial(t, onset) + second

    grey = simulate.tissue(times, 1.0, 4.0, 0.5, "exponential", blood)
    white = simulate.tissue(times, 0.4, 5.0, 1.0, "gamma", blood)
    signal = np.exp(-0.03 * flow * (0.6 * grey + 0.4 * white)) * (1 + drift * np.arange(count) / count)
    return 1000 * (signal + np.random.default_rng(seed).normal(0, 1 / snr, count))


def check(steady, arrival, first=0):
    """The baseline ends no later than two volumes after the first blood, and holds most of what is before it."""
    assert steady.baseline[0] == first
    assert max(first + 3, first + 0.6 * (arrival - first)) <= steady.baseline[1] <= arrival + 2


@ratios
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("onset", "tr", "count"),
    [(6.0, 1.5, 60), (8.0, 2.0, 60), (12.0, 1.5, 60), (40.0, 1.5, 60), (14.0, 2.5, 45)],
)
def test_a_bolus_is_found_early_or_late(snr, seed, onset, tr, count):
    steady = steady_state(SERIES, brain(seed, snr, tr, count, onset))
    if snr == 1000:
        check(steady, onset / tr)
        assert steady.doubts == ()
    assert 3 <= steady.baseline[1] <= onset / tr + 3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("drift", [-0.08, -0.03, 0.03, 0.08])
@pytest.mark.parametrize("onset", [9.0, 40.0])
def test_a_drift_is_no_arrival(seed, drift, onset):
    steady = steady_state(SERIES, brain(seed, 1000, onset=onset, drift=drift))
    check(steady, onset / 1.5)
    assert steady.doubts == ()


@ratios
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("drift", [0.0, 0.05, -0.05])
def test_no_bolus_is_said_plainly(refused, snr, seed, drift):
    error = refused(steady_state, SERIES, brain(seed, snr, flow=0.0, drift=drift))
    assert error.code is Code.DATA and "a bolus of contrast agent" in error.expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("volume", "factor"), [(3, 0.8), (5, 1.25), (15, 0.8), (45, 0.75), (59, 0.7)])
def test_one_volume_that_moved_is_told_and_never_in_the_baseline(seed, volume, factor):
    mean = brain(seed, 1000)
    mean[volume] *= factor
    steady = steady_state(SERIES, mean)
    (doubt,) = steady.doubts
    assert f"({volume}, counted from 0)" in doubt
    assert not steady.baseline[0] <= volume < steady.baseline[1]
    assert steady.baseline[1] - steady.baseline[0] >= 3 and steady.baseline[1] <= 10


@pytest.mark.parametrize("volume", [1, 5, 12, 14, 30, 59])
@pytest.mark.parametrize("factor", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("dropped", [0, 4])
def test_a_volume_that_is_lost_is_refused_by_its_number(refused, volume, factor, dropped):
    mean = brain(volume, 1000)
    mean[volume] *= factor
    error = refused(steady_state, SERIES, mean, dropped)
    assert error.code is Code.DATA and f"volume {volume + dropped} " in error.seen


@ratios
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [0.5, 1.0, 3.0])
def test_two_boluses_are_told_and_the_baseline_is_before_both(snr, seed, size):
    steady = steady_state(SERIES, brain(seed, snr, onset=15.0, again=(45.0, size)))
    assert 3 <= steady.baseline[1] <= 10 + 3
    if snr == 1000:
        check(steady, 10)
        assert sum("two boluses, the second at volume 4" in doubt for doubt in steady.doubts) == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("end", [10, 12, 14])
def test_a_bolus_without_an_end_is_refused(refused, seed, end):
    assert refused(steady_state, SERIES, brain(seed, 1000)[:end]).code in (Code.TOO_FEW, Code.DATA)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bolus_that_is_cut_off_is_told(seed):
    mean = brain(seed, 1000, onset=66.0)
    (doubt,) = steady_state(SERIES, mean[:55]).doubts
    assert "ends while the bolus is still passing" in doubt
    assert steady_state(SERIES, brain(seed, 1000, onset=45.0)).doubts == ()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gains", [(1.3,), (1.5, 1.2), (3.0, 1.6, 1.2)])
def test_first_volumes_that_are_bright_are_left_out_and_told(seed, gains):
    mean = brain(seed, 1000)
    mean[: len(gains)] *= gains
    steady = steady_state(SERIES, mean, 2)
    check(steady, 8, len(gains))
    (doubt,) = steady.doubts
    assert f"dsc.dummy_scans = {2 + len(gains)}" in doubt


def noisy(shape=(12, 12, 6), level=4000.0, snr=40.0, bright=0.2):
    """A stored series of which a part lies near the level at which a converter may clip."""
    rng = np.random.default_rng(11)
    head = np.where(rng.uniform(size=shape) < bright, level, level * rng.uniform(0.3, 0.8, shape))
    return head[..., None] * (1 + rng.normal(0, 1 / snr, (*shape, 20)))


def clip(signal):
    series = dsc_series(signal)
    rows = np.arange(signal[..., 0].size)
    (echo,), doubts = clipped(echoes_of(series, series.acquisition, 0), rows, 2)
    return echo.saturation, doubts


@pytest.mark.parametrize(
    ("top", "dtype"), [(4095, np.int16), (4095, np.float32), (4095, np.uint16), (2000, np.int32)]
)
def test_the_level_of_clipping_is_found_and_told(top, dtype):
    level, (doubt,) = clip(np.minimum(np.rint(noisy(level=1.2 * top)), top).astype(dtype))
    assert level == top and f"{top}" in doubt


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
@pytest.mark.parametrize("top", [60.0, 200.0])
def test_what_is_not_clipped_is_not_cut(dtype, top):
    for signal in (noisy(level=top / 1.15), np.repeat(noisy(level=top)[..., :1], 20, axis=3)):
        stored = (
            np.minimum(np.rint(signal), 255).astype(dtype)
            if dtype is np.uint8
            else np.rint(signal).astype(dtype)
        )
        level, doubts = clip(stored)
        assert doubts == [] and level == (np.inf if dtype is np.float32 else np.iinfo(dtype).max)


def test_a_type_is_clipped_at_its_end():
    assert clip(np.minimum(np.rint(noisy(level=300)), 255).astype(np.uint8))[0] == 255
