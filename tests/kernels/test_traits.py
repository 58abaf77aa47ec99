"""Traits of curves against NumPy's own words for them, and clusters against the definition of Lloyd's rounds."""

import numpy as np
import pytest

from bolus_kernels.dsc.clusters import moved
from bolus_kernels.dsc.traits import level_of, mean_curve, shape_of


def curves(n, times, seed=0):
    made = np.random.default_rng(seed).normal(1, 2, (n, times)).astype(np.float32)
    return np.asfortranarray(made)


@pytest.mark.parametrize("times", [11, 12, 60])
@pytest.mark.parametrize("n", [1, 128, 301])
def test_traits_are_what_they_are_called(n, times):
    made = curves(n, times)
    double = made.astype(np.float64)
    shape, level = shape_of(made), level_of(made, (1, 6), 4)
    smooth = (double[:, :-2] + 2 * double[:, 1:-1] + double[:, 2:]) / 4
    expected = [double.sum(1), smooth.max(1), (np.diff(double, 2) ** 2).sum(1), (double**2).sum(1)]
    expected += [double[:, 1:6].std(1), double[:, -4:].mean(1), double.max(1)]
    for found, truth in zip((*shape, *level), expected, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-4)
    rows = np.arange(0, n, 2)
    np.testing.assert_allclose(mean_curve(made, rows), double[rows].mean(0), rtol=1e-12)


def test_a_broken_sample_shows_in_the_area_and_the_spread_and_harms_no_neighbour():
    made = curves(5, 20)
    whole = shape_of(made), level_of(made, (0, 6), 4)
    made[2, 3] = np.nan
    shape, level = shape_of(made), level_of(made, (0, 6), 4)
    assert np.isnan(shape.area[2]) and np.isnan(level.spread[2])
    others = [0, 1, 3, 4]
    for found, before in zip((*shape, *level), (*whole[0], *whole[1]), strict=True):
        np.testing.assert_array_equal(found[others], before[others])


def test_no_curve_is_nearer_to_another_centre_than_to_its_own():
    random = np.random.default_rng(3)
    made = random.normal(size=(400, 9)) + np.repeat(3 * random.normal(size=(4, 9)), 100, axis=0)
    found = moved(made, np.arange(400) * 5 // 400, 5, 100)
    present = np.unique(found)
    centres = np.stack([made[found == cluster].mean(0) for cluster in present])
    apart = ((made[:, None] - centres) ** 2).sum(2)
    np.testing.assert_array_equal(present[np.argmin(apart, axis=1)], found)


def test_one_round_is_one_round_and_a_lost_cluster_stays_lost():
    made = np.array([[0.0], [1.0], [10.0], [11.0]])
    member = np.array([0, 2, 2, 2])
    np.testing.assert_array_equal(moved(made, member, 3, 1), [0, 0, 2, 2])
    np.testing.assert_array_equal(moved(made, member, 3, 50), [0, 0, 2, 2])
    np.testing.assert_array_equal(member, [0, 2, 2, 2])
