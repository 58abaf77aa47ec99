"""Quantiles against NumPy's, for numbers that are many, few, equal, negative, tiny or not finite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bolus_kernels.order import histogram, median, median_step, quantile

numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(arrays(np.float32, st.integers(1, 40), elements=numbers), st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_a_quantile_is_that_of_the_finite_numbers(values, share):
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size:
        found, expected = quantile(values, share), np.quantile(finite, share)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12 * np.ptp(finite))
        assert median(values) == pytest.approx(np.median(finite), rel=1e-12, abs=1e-12 * np.ptp(finite))
    else:
        assert np.isnan(quantile(values, share))


@pytest.mark.parametrize("n", [1, 2, 99_999, 100_000])
@pytest.mark.parametrize("kind", ["normal", "equal", "few", "wide"])
def test_the_median_of_many_numbers(n, kind):
    random = np.random.default_rng(n)
    made = {
        "normal": random.normal(0, 1, n),
        "equal": np.full(n, 3.25),
        "few": random.integers(-2, 3, n) * 1.5,
        "wide": random.normal(0, 1, n) * 10.0 ** random.integers(-40, 38, n),
    }[kind].astype(np.float32)
    assert median(made) == pytest.approx(np.median(made.astype(np.float64)), rel=1e-12)


def test_no_number_has_no_median():
    assert np.isnan(median(np.empty(0, np.float32)))


@pytest.mark.parametrize("times", [2, 3, 8, 60, 61])
@pytest.mark.parametrize("n", [1, 128, 700])
def test_the_median_step_of_chosen_curves(n, times):
    random = np.random.default_rng(times)
    curves = np.asfortranarray(np.round(random.normal(0, 1, (2 * n, times)), 1), np.float32)
    rows = random.permutation(2 * n)[:n]
    expected = np.median(np.abs(np.diff(curves[rows].astype(np.float64), axis=1)), axis=1)
    np.testing.assert_allclose(median_step(curves, rows), expected, rtol=1e-6)


def test_a_curve_that_is_not_finite_has_no_median_step_and_harms_no_neighbour():
    curves = np.asfortranarray(np.random.default_rng(0).normal(0, 1, (9, 12)), np.float32)
    before = median_step(curves, np.arange(9))
    curves[4, :] = np.nan
    after = median_step(curves, np.arange(9))
    assert not np.isfinite(after[4])
    np.testing.assert_array_equal(np.delete(after, 4), np.delete(before, 4))


@pytest.mark.parametrize("n", [1, 3, 4, 7, 50_001])
def test_a_histogram_counts_every_number_once_and_what_lies_above_in_the_last_bin(n):
    values = np.random.default_rng(n).normal(10, 3, n).astype(np.float32)
    low, top = float(values.min()), 14.0 if n > 4 else float(values.min()) + 1
    expected = np.histogram(np.minimum(values, np.float32(top)), 32, (low, top))[0]
    found = histogram(values, low, top, 32)
    assert found.sum() == n and found.size == 32
    assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() <= 1e-4 * n  # numbers at an edge, by rounding


def test_numbers_too_near_each_other_to_be_told_apart_are_counted_all_the_same():
    values = np.array([1e-40, 2e-40, 3e-40], np.float32)
    assert histogram(values, float(values[0]), float(values[2]), 16).sum() == 3
