"""Columns of an ASL series and their scatter against NumPy's own words for them."""

import numpy as np
import pytest

from bolus_kernels.asl.pairs import combined, scatter


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_columns_are_sums_of_volumes_with_weights(dtype):
    random = np.random.default_rng(1)
    series = random.integers(0, 200, (7, 90)).astype(dtype)
    rows = np.flatnonzero(random.random(90) < 0.6)
    weights = np.zeros((3, 7))
    weights[0, [0, 1]], weights[1, [2, 5]], weights[2, 6] = (1, -1), (0.5, -0.25), 2
    expected = weights @ series[:, rows].astype(np.float64)
    np.testing.assert_allclose(combined(series, rows, weights), expected, rtol=1e-6, atol=1e-4)


def test_columns_of_no_voxel_are_empty():
    assert combined(np.ones((2, 5), np.int16), np.empty(0, np.int64), np.ones((3, 2))).shape == (3, 0)


@pytest.mark.parametrize("n", [1, 128, 300])
def test_scatter_is_that_within_kinds(n):
    random = np.random.default_rng(2)
    kind = np.array([0, 1, 0, 2, 1, 1, 0])
    curves = np.asfortranarray(random.normal(5, 2, (n, 7)), np.float32)
    found, double = scatter(curves, kind), curves.astype(np.float64)
    means = np.stack([double[:, kind == k].mean(1) for k in range(3)], axis=1)
    np.testing.assert_allclose(found.mean, means.mean(1), rtol=1e-12)
    np.testing.assert_allclose(found.within, ((double - means[:, kind]) ** 2).sum(1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.power, (double**2).sum(1), rtol=1e-12)


def test_a_gap_in_a_curve_stays_in_its_voxel():
    curves = np.asfortranarray(np.ones((3, 4)), np.float32)
    curves[1, 2] = np.nan
    found = scatter(curves, np.array([0, 0, 1, 1]))
    assert np.isnan(found.within[1])
    np.testing.assert_array_equal(found.within[[0, 2]], 0)
