"""DSC signal to relaxation: against the reference in float64, several echoes free of T1, and broken samples."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import simulate
from benchmarks.reference import dsc
from bolus_kernels.dsc.concentration import relaxation, relaxation_and_traits
from bolus_kernels.dsc.echo import Echo, usual_echo
from bolus_kernels.dsc.traits import level_of, shape_of
from bolus_kernels.state import State

Array = NDArray[Any]
NO_SATURATION = float("inf")


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.37, 25.5)])
def test_relaxation_equals_the_reference(dtype: Any, slope: float, inter: float) -> None:
    rng = np.random.default_rng(23)
    stored = rng.integers(60, 4000, (60, 500)).astype(dtype)
    rows = rng.permutation(500)[:200].astype(np.int64)
    values, state, signal, single = relaxation((Echo(stored, slope, inter, 0.031),), rows, (2, 9))
    assert values.shape == (200, 60) and values.dtype == np.float32 and values.flags.f_contiguous
    assert state.dtype == np.uint8 and not state.any() and single is None
    steady = slope * stored[2:9, rows].astype(np.float64).mean(0) + inter
    assert signal.dtype == np.float32 and np.allclose(signal, steady, rtol=1e-6)
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
    values = relaxation((Echo(stored, 1.0, 0.0, 0.03),), np.arange(3), (0, 10)).values
    truth = -np.log1p(-np.array([1, 3, 30]) / 30000) / 0.03
    assert np.allclose(values[:, 25], truth, rtol=0, atol=3e-7 / 0.03)


def broken(dtype: Any = np.float32) -> Array:
    """Twelve good voxels of 40 volumes, (40, 12)."""
    return np.random.default_rng(24).integers(300, 900, (40, 12)).astype(dtype)


def states(stored: Array, slope: float = 1.0, inter: float = 0.0, saturation: float = NO_SATURATION) -> Array:
    rows = np.arange(stored.shape[1], dtype=np.int64)
    values, state, *_ = relaxation((Echo(stored, slope, inter, 0.03, saturation),), rows, (1, 8))
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
    values, state, signal, _ = relaxation((Echo(broken(), 1.0, 0.0, 0.03),), np.empty(0, np.int64), (1, 8))
    assert values.shape == (0, 40) and state.shape == signal.shape == (0,)


TIMES = 1.5 * np.arange(60)
ECHO_TIMES = (0.012, 0.031, 0.05)


def shot(t1_change: float, echo_times: tuple[float, ...] = ECHO_TIMES, dtype: Any = np.float64) -> list[Echo]:
    """Echoes of 40 voxels whose tracer also shortens T1, which lifts every echo by the same factor."""
    truth = np.stack([simulate.tissue(TIMES, cbf, 4.0, 1.0) for cbf in np.linspace(10, 120, 40)])
    lift = 1 + t1_change * truth / truth.max()
    signal = [1000 * np.exp(-te / 0.05) * lift * np.exp(-te * truth) for te in echo_times]
    return [Echo(s.T.astype(dtype), 1.0, 0.0, te) for s, te in zip(signal, echo_times, strict=True)]


@pytest.mark.parametrize("echo_times", [(0.012, 0.035), ECHO_TIMES, (0.009, 0.02, 0.031, 0.045)])
@pytest.mark.parametrize("t1_change", [0.0, 0.4])
def test_several_echoes_are_free_of_t1(echo_times: tuple[float, ...], t1_change: float) -> None:
    truth = np.stack([simulate.tissue(TIMES, cbf, 4.0, 1.0) for cbf in np.linspace(10, 120, 40)])
    made = relaxation(shot(t1_change, echo_times), np.arange(40), (0, 7))
    assert not made.state.any() and made.values.flags.f_contiguous
    assert np.allclose(made.values, truth, rtol=1e-5, atol=2e-4)
    one = relaxation([shot(t1_change, echo_times)[usual_echo(echo_times)]], np.arange(40), (0, 7))
    assert made.single_echo is not None
    assert made.single_echo.tobytes() == one.values.tobytes()
    assert made.baseline_signal.tobytes() == one.baseline_signal.tobytes()
    if t1_change:
        assert np.abs(one.values - truth).max() > 1.0


def test_two_echoes_are_the_logarithm_of_a_ratio_of_ratios() -> None:
    rng = np.random.default_rng(25)
    first, second = (rng.integers(200, 3000, (50, 300)).astype(np.int16) for _ in range(2))
    made = relaxation([Echo(first, 1.0, 0.0, 0.012), Echo(second, 0.5, 3.0, 0.037)], np.arange(300), (1, 9))
    a, b = first.astype(np.float64), 0.5 * second + 3.0
    truth = np.log((a / a[1:9].mean(0)) / (b / b[1:9].mean(0))) / (0.037 - 0.012)
    assert np.allclose(made.values, truth.T, rtol=1e-5, atol=1e-4)


def test_three_echoes_are_the_slope_of_a_straight_line() -> None:
    rng = np.random.default_rng(26)
    stored = [rng.integers(200, 3000, (50, 70)).astype(np.uint16) for _ in ECHO_TIMES]
    echoes = [Echo(s, 1.0, 0.0, te) for s, te in zip(stored, ECHO_TIMES, strict=True)]
    made = relaxation(echoes, np.arange(70), (0, 5))
    logs = np.stack([-np.log(s / s[:5].mean(0, dtype=np.float64)) for s in stored])
    slope = np.polyfit(ECHO_TIMES, logs.reshape(3, -1), 1)[0].reshape(50, 70)
    assert np.allclose(made.values, slope.T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("echo", [0, 1, 2])
@pytest.mark.parametrize(
    ("bad", "state"),
    [(0.0, State.MISSING_SAMPLE), (9e3, State.MISSING_SAMPLE), (np.nan, State.NOT_FINITE)],
)
def test_a_sample_lost_in_one_echo_is_a_state_and_never_a_spike(echo: int, bad: float, state: State) -> None:
    echoes = [each._replace(saturation=9e3) for each in shot(0.2)]
    whole = relaxation(echoes, np.arange(40), (0, 7))
    echoes[echo].series[14, 5] = bad
    lost = relaxation(echoes, np.arange(40), (0, 7))
    assert lost.state[5] == state and np.isnan(lost.values[5]).all()
    kept = np.arange(40) != 5
    assert not lost.state[kept].any() and np.array_equal(lost.values[kept], whole.values[kept])


def test_echoes_of_two_dtypes_are_the_same_numbers() -> None:
    short, long = shot(0.1, (0.012, 0.035), np.int16)
    mixed = relaxation([short, long._replace(series=long.series.astype(np.float32))], np.arange(40), (0, 7))
    assert np.array_equal(mixed.values, relaxation([short, long], np.arange(40), (0, 7)).values)


def test_a_voxel_is_the_same_in_any_company() -> None:
    echoes = shot(0.3, dtype=np.int16)
    many = [echo._replace(series=np.tile(echo.series, (1, 9))) for echo in echoes]
    rows = np.random.default_rng(27).permutation(360)
    together, alone = relaxation(many, rows, (0, 7)), relaxation(echoes, np.arange(40), (0, 7))
    assert np.asarray(together.values).tobytes() == alone.values[rows % 40].copy(order="F").tobytes()


def refused(echoes: list[Echo], baseline: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        relaxation(echoes, np.arange(3), baseline)


def test_what_makes_no_sense_is_refused() -> None:
    good, other = Echo(broken(), 1.0, 0.0, 0.03), Echo(broken()[:20], 1.0, 0.0, 0.05)
    refused([good], (5, 5), "baseline")
    refused([good], (0, 41), "baseline")
    refused([good._replace(echo_time=0.0)], (0, 5), "positive")
    refused([good, good], (0, 5), "each another")
    refused([good, other], (0, 5), "shapes")


def test_the_usual_echo_is_the_one_nearest_to_30_ms() -> None:
    assert [usual_echo(times) for times in [(0.07,), (0.008, 0.035), ECHO_TIMES, (0.025, 0.06)]] == [
        0,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_shape_and_level_are_told_of_the_finished_curves(count):
    stored = np.random.default_rng(8).integers(200, 900, (count, 13, 300)).astype(np.int16)
    stored[0, 4, 17] = 0
    echoes = [Echo(series, 1.0, 0.0, 0.02 * (1 + echo)) for echo, series in enumerate(stored)]
    made, *told = relaxation_and_traits(echoes, np.arange(0, 300, 2), (1, 6), 4)
    known = relaxation(echoes, np.arange(0, 300, 2), (1, 6)).values
    np.testing.assert_array_equal(made.values, known)
    for one, other in zip((*told[0], *told[1]), (*shape_of(known), *level_of(known, (1, 6), 4)), strict=True):
        np.testing.assert_array_equal(one, other)
