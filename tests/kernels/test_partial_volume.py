"""Partial volume by regression: as the reference has it, exact where it must be, the same wherever a voxel lies."""

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.reference.partial_volume import tissue_signals
from bolus_kernels.asl.partial_volume.layout import LEAST_SHARE
from bolus_kernels.asl.partial_volume.regression import pure_signals
from bolus_kernels.device import cpu
from tests.kernels.simulated_partial_volume import REACH, SHAPE, case, regressed

LARGE = (13, 11, 3)
"""A grid in whose lines and tiles voxels lie elsewhere than in SHAPE."""


def at(voxels):
    return np.unravel_index(voxels, SHAPE, order="F")


def image(values, voxels):
    made = np.zeros(SHAPE)
    made[at(voxels)] = values
    return made


def solve(signals, shares, voxels, reach=REACH, shape=SHAPE):
    return pure_signals(signals, shares, voxels, shape, reach, cpu())


@pytest.mark.parametrize("kinds", [2, 3])
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_it_is_what_least_squares_give_around_each_voxel(kinds, reach):
    signals, shares, voxels = case(kinds)
    found = solve(signals, shares, voxels, reach)
    good = np.isfinite(signals).all(1)
    mask = image(good, voxels) > 0
    tissues = [image(share, voxels).astype(np.float32) for share in shares.T]
    compared = 0
    for column in range(signals.shape[1]):
        picture = image(signals[:, column], voxels)
        for voxel in np.flatnonzero(good):
            place = tuple(int(each[voxel]) for each in at(voxels))
            expected = tissue_signals(picture, tissues, place, reach, mask)
            ours = found.signals[:, voxel, column]
            told = np.isfinite(ours) & np.isfinite(expected)  # the reference asks that all can be told apart
            np.testing.assert_allclose(ours[told], expected[told], rtol=1e-4, atol=1e-4)
            assert (shares[voxel][told] >= LEAST_SHARE).all()
            compared += told.sum()
    assert compared > voxels.size * signals.shape[1]


def test_the_variance_is_that_of_the_pseudo_inverse_and_says_where_nothing_is_known():
    signals, shares, voxels = case(2)
    found = solve(signals, shares, voxels)
    x, y, z = at(voxels)
    good = np.isfinite(signals).all(1)
    for voxel in np.flatnonzero(good):
        near = (abs(x - x[voxel]) <= REACH) & (abs(y - y[voxel]) <= REACH) & (z == z[voxel]) & good
        inverse = np.linalg.pinv(shares[near].astype(np.float64))
        expected = (inverse**2).sum(1)
        for k in range(2):
            if np.isfinite(found.variance[k, voxel]):
                assert found.variance[k, voxel] == pytest.approx(expected[k], rel=1e-4)
                assert expected[k] < 100.01
            else:
                rare = shares[voxel, k] < LEAST_SHARE
                assert rare or expected[k] > 99.9 or not shares[near][:, k].any()
    np.testing.assert_array_equal(np.isfinite(found.signals).all(2), np.isfinite(found.variance))


def test_tissues_that_are_the_same_everywhere_are_found_exactly():
    _, shares, voxels = case(3)
    truth = np.array([[50.0, 7.0, -2.0], [20.0, 9.0, 3.0], [0.0, 1.0, 8.0]], np.float32)
    found = solve(shares @ truth, shares, voxels)
    for k in range(3):
        told = np.isfinite(found.variance[k])
        assert told.sum() > voxels.size / 3
        np.testing.assert_allclose(found.signals[k, told], np.tile(truth[k], (told.sum(), 1)), atol=3e-4)


def test_slices_that_differ_know_nothing_of_each_other():
    _, shares, voxels = case(2)
    level = 10.0 * (1 + at(voxels)[2]).astype(np.float32)[:, None]
    found = solve(shares[:, :1] * level, shares, voxels)
    told = np.isfinite(found.variance[0])
    np.testing.assert_allclose(found.signals[0, told], level[told], rtol=1e-4)


def test_a_voxel_gives_the_same_wherever_it_lies_and_whatever_is_elsewhere():
    signals, shares, voxels = case(2)
    usual = solve(signals, shares, voxels)
    order = np.random.default_rng(1).permutation(voxels.size)
    shuffled = solve(signals[order], shares[order], voxels[order])
    np.testing.assert_array_equal(shuffled.signals, usual.signals[:, order])
    np.testing.assert_array_equal(shuffled.variance, usual.variance[:, order])
    x, y, z = at(voxels)
    moved = solve(signals, shares, np.ravel_multi_index((x + 3, y + 2, z), LARGE, order="F"), shape=LARGE)
    np.testing.assert_array_equal(moved.signals, usual.signals)
    one = z == 1
    alone = solve(signals[one], shares[one], voxels[one])
    np.testing.assert_array_equal(alone.signals, usual.signals[:, one])
    first = solve(signals[:, 1:2], shares, voxels)
    np.testing.assert_array_equal(first.signals[..., 0], usual.signals[..., 1])


@pytest.mark.parametrize("what", ["signal", "share", "infinite"])
def test_a_voxel_that_is_not_finite_is_as_if_it_were_not_there(what):
    signals, shares, voxels = case(2)
    signals[20] = 10.0
    without = np.arange(voxels.size) != 100
    expected = solve(signals[without], shares[without], voxels[without])
    if what == "share":
        shares[100, 1] = np.nan
    else:
        signals[100, 2] = np.nan if what == "signal" else np.inf
    found = solve(signals, shares, voxels)
    assert np.isnan(found.signals[:, 100]).all()
    np.testing.assert_array_equal(found.signals[:, without], expected.signals)


def test_what_cannot_be_told_apart_is_nan():
    voxels = np.arange(np.prod(SHAPE))
    half = np.full((voxels.size, 2), 0.5, np.float32)
    signals = np.ones((voxels.size, 1), np.float32)
    assert np.isnan(solve(signals, half, voxels).signals).all()
    grey = np.zeros_like(half)
    grey[:, 0] = 1
    found = solve(3 * signals, grey, voxels)
    np.testing.assert_allclose(found.signals[0], 3, rtol=1e-6)
    assert np.isnan(found.signals[1]).all()
    np.testing.assert_allclose(solve(7 * signals[:1], grey[:1], voxels[:1]).signals[0], 7, rtol=1e-6)
    alike = np.zeros((voxels.size, 3), np.float32)
    alike[:, 0], alike[::7, 1:] = 1, 0.5
    alike[::7, 0] = 0
    found = solve(3 * signals, alike, voxels)  # the two others are one to the first, which is known
    np.testing.assert_allclose(found.signals[0, alike[:, 0] == 1], 3, rtol=1e-5)
    assert np.isnan(found.signals[1:]).all()
    assert solve(signals[:0], grey[:0], voxels[:0]).signals.shape == (2, 0, 1)


def test_the_simulated_gpu_gives_what_the_cpu_gives(tmp_path):
    out = tmp_path / "pure.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_partial_volume", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    simulated, here = np.load(out), regressed(cpu())
    assert set(simulated) == set(here)
    for name, values in here.items():
        assert np.isfinite(values).mean() > 0.3
        np.testing.assert_allclose(simulated[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
