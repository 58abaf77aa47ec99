"""Two tissues within the posterior: as the dense grid has it, on both machines, lawful, and honest about its errors."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.asl import brain as asl_brain
from benchmarks.asl import simulate as simulate_asl
from benchmarks.reference import tissue_posterior as reference
from bolus_kernels.asl.partial_volume.posterior import CBF, LEAST_FLOW, WIDTHS, tissue_posterior
from bolus_kernels.device import cpu
from bolus_kernels.state import State
from tests.kernels.simulated_tissue_posterior import PRIOR, TISSUES, case, solved

MAPS = ("cbf", "sd_cbf", "att", "sd_att")
SHAPE, REACH, LARGE = (7, 6, 2), 1, (12, 9, 3)
NAMES = ("gm", "wm")
COVERING = 1.959964


def solve(signals, amounts, protocol, voxels, shape=SHAPE, tissues=TISSUES, prior=PRIOR, reach=REACH):
    return tissue_posterior(signals, amounts, protocol, tissues, prior, voxels, shape, reach, cpu())


def same(one, other, rtol=0.0, scale=1.0):
    for tissue in NAMES:
        for name in MAPS:
            expected = getattr(other, tissue)[name] * (scale if "cbf" in name else 1)
            np.testing.assert_allclose(getattr(one, tissue)[name], expected, rtol=rtol, err_msg=name)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_it_is_the_posterior_on_a_dense_grid(labeling, noise):
    signals, amounts, protocol, voxels = case(labeling, noise, shape=SHAPE)
    found = solve(signals, amounts, protocol, voxels)
    places = np.stack(np.unravel_index(voxels, SHAPE, order="F"))
    flows = found.whole[:2]
    belief = reference.Belief(
        flows,
        tuple(max(abs(flow), LEAST_FLOW) for flow in flows),
        (found.whole.arrival, 1.0),
        (0.3, 0.3),
        10.0,
    )
    finite = np.isfinite(signals).all(1)
    for voxel in range(0, voxels.size, 9):
        away = places - places[:, [voxel]]
        near = finite & (away[2] == 0) & (np.abs(away[:2]).max(0) <= 3)
        weight = reference.weights(np.hypot(*away[:2])[near], found.width)
        expected = reference.tissue_posterior(signals[near], amounts[near], weight, protocol, 0.05, belief)
        for k, tissue in enumerate((found.gm, found.wm)):
            for name in MAPS:
                right, spread = (
                    getattr(expected, name)[k],
                    getattr(expected, f"sd_{name.removeprefix('sd_')}")[k],
                )
                assert abs(tissue[name][voxel] - right) < 0.02 * spread, (voxel, k, name)


def test_the_width_is_that_of_the_most_evidence():
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    found = solve(signals, amounts, protocol, voxels)
    places = np.stack(np.unravel_index(voxels, SHAPE, order="F"))
    flows = found.whole[:2]
    belief = reference.Belief(
        flows,
        tuple(max(abs(flow), LEAST_FLOW) for flow in flows),
        (found.whole.arrival, 1.0),
        (0.3, 0.3),
        10.0,
    )
    finite = np.isfinite(signals).all(1)
    evidence = {}
    for width in WIDTHS[:: len(WIDTHS) - 1]:
        evidence[width] = 0.0
        for voxel in np.flatnonzero(finite)[::16]:
            away = places - places[:, [voxel]]
            near = finite & (away[2] == 0) & (np.abs(away[:2]).max(0) <= 3)
            distance = np.hypot(*away[:2])[near]
            for own, sign in ((1.0, 1), (0.0, -1)):
                weight = reference.weights(distance, width, own)
                told = reference.tissue_posterior(
                    signals[near], amounts[near], weight, protocol, 0.05, belief
                )
                evidence[width] += sign * told.evidence
    assert evidence[WIDTHS[0]] > evidence[WIDTHS[-1]] + 1  # all voxels are alike here
    assert found.width == WIDTHS[0] * REACH


@pytest.mark.parametrize("often", [False, True])
def test_without_noise_it_is_the_truth(often):
    for labeling in ("PCASL", "PASL"):
        signals, amounts, protocol, voxels = case(labeling, 1e-4 if often else 1e-3, shape=SHAPE, often=often)
        found = solve(signals, amounts, protocol, voxels)
        for tissue, cbf, att, k in ((found.gm, 60.0, 0.9, 0), (found.wm, 22.0, 1.2, 1)):
            some = np.isfinite(tissue["cbf"]) & (amounts[:, k] > 90)
            assert some.sum() > 30
            np.testing.assert_allclose(tissue["cbf"][some], cbf, rtol=5e-3)
            np.testing.assert_allclose(tissue["att"][some], att, atol=2e-3)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_on_a_brain_it_is_nearer_the_truth_than_one_voxel_and_honest(labeling):
    whole = asl_brain.brain((40, 40, 3), (4.0, 4.0, 5.0), asl_brain.PHYSICAL)
    acquisition = simulate_asl.PCASL if labeling == "PCASL" else simulate_asl.PASL
    scan = simulate_asl.acquire(whole, replace(acquisition, snr=150.0))
    inside = asl_brain.mask(whole)
    voxels = np.sort(np.ravel_multi_index(np.nonzero(inside), inside.shape, order="F"))
    at = np.unravel_index(voxels, inside.shape, order="F")
    _, protocol = simulate_asl.curves(whole, scan)
    shares = np.stack([whole.fractions[name][at] for name in NAMES], axis=1)
    protocol = protocol._replace(noise_variance=2 * (850 / 150) ** 2)
    found = solve(
        np.asarray((scan.control - scan.label)[at], np.float32), (900 * shares).astype(np.float32), protocol,
        voxels, inside.shape, reach=2,
    )  # fmt: skip
    lesion = whole.fractions["rim"][at] + whole.fractions["core"][at] > 0
    for k, (name, most_bias, most_error) in enumerate((("gm", 0.05, 0.26), ("wm", 0.12, 0.4))):
        where = (shares[:, k] > 0.1) & ~lesion
        maps, truth = getattr(found, name), whole.cbf[name][at]
        error = (maps["cbf"] - truth)[where] / truth[where]
        assert abs(error.mean()) < most_bias
        assert np.sqrt(np.mean(error**2)) < most_error
        assert np.mean(np.abs(error * truth[where]) < COVERING * maps["sd_cbf"][where]) > 0.9


def test_flow_scales_with_the_signal_and_not_with_its_unit():
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    usual = solve(signals, amounts, protocol, voxels)
    other = protocol._replace(noise_variance=protocol.noise_variance * 64.0**2)
    same(solve(64 * signals, 64 * amounts, other, voxels), usual, 1e-5)
    blood = protocol._replace(
        tissue_relaxation=False
    )  # where flow is not within T1', it scales as the signal
    before = solve(signals, amounts, blood, voxels)
    louder = blood._replace(noise_variance=4 * blood.noise_variance)
    same(solve(2 * signals, amounts, louder, voxels, prior=PRIOR._replace(cbf_sd=400.0)), before, 1e-4, 2.0)


def test_tissues_that_change_names_change_maps():
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    even = PRIOR._replace(later=(0.0, 0.3))
    usual = solve(signals, amounts, protocol, voxels, prior=even)
    swapped = solve(signals, amounts[:, ::-1], protocol, voxels, tissues=TISSUES[::-1], prior=even)
    # the prior is of one tissue's arrival and the other's delay after it: all but the same the other way round
    for one, other in ((usual.gm, swapped.wm), (usual.wm, swapped.gm)):
        good = np.isfinite(one["cbf"])
        assert np.median(np.abs(one["cbf"] - other["cbf"])[good] / one["sd_cbf"][good]) < 0.2
    sure = even._replace(arrival=(0.9, 1000.0))
    usual = solve(signals, amounts, protocol, voxels, prior=sure)
    swapped = solve(signals, amounts[:, ::-1], protocol, voxels, tissues=TISSUES[::-1], prior=sure)
    for one, other in ((usual.gm, swapped.wm), (usual.wm, swapped.gm)):
        for name in MAPS:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-3, err_msg=name)


def test_a_voxel_gives_the_same_wherever_it_lies():
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    usual = solve(signals, amounts, protocol, voxels)
    x, y, z = np.unravel_index(voxels, SHAPE, order="F")
    moved = np.ravel_multi_index((x + 3, y + 2, z + 1), LARGE, order="F")
    same(solve(signals, amounts, protocol, moved, LARGE), usual)
    order = np.random.default_rng(1).permutation(voxels.size)
    shuffled = solve(signals[order], amounts[order], protocol, voxels[order])
    for tissue in NAMES:
        for name in MAPS:
            expected = getattr(usual, tissue)[name][order]
            np.testing.assert_allclose(getattr(shuffled, tissue)[name], expected, rtol=1e-4)


@pytest.mark.parametrize("what", ["signal", "amount", "infinite"])
def test_a_voxel_that_is_not_finite_is_as_if_it_were_not_there(what):
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    signals[12] = 10.0
    without = np.arange(voxels.size) != 40
    expected = solve(signals[without], amounts[without], protocol.rows(without), voxels[without])
    if what == "amount":
        amounts[40, 1] = np.nan
    else:
        signals[40, 2] = np.nan if what == "signal" else np.inf
    found = solve(signals, amounts, protocol, voxels)
    assert found.gm["state"][40] == State.NOT_FINITE
    assert (found.gm["state"][without] == State.GOOD).all()
    for tissue in NAMES:
        for name in MAPS:
            assert np.isnan(getattr(found, tissue)[name][40])
            np.testing.assert_array_equal(
                getattr(found, tissue)[name][without], getattr(expected, tissue)[name]
            )


def test_one_voxel_no_voxel_and_none_that_is_finite():
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    alone = solve(signals[30:31], amounts[30:31], protocol.rows(slice(30, 31)), voxels[30:31])
    assert np.isfinite(alone.gm["cbf"]).all() and np.isfinite(alone.wm["sd_att"]).all()
    none = solve(signals[:0], amounts[:0], protocol.rows(slice(0)), voxels[:0])
    assert none.gm["cbf"].shape == (0,)
    broken = solve(np.full_like(signals, np.nan), amounts, protocol, voxels)
    assert np.isnan(broken.wm["cbf"]).all() and (broken.wm["state"] == State.NOT_FINITE).all()


def test_where_a_tissue_is_not_it_is_only_believed():
    signals, amounts, protocol, voxels = case("PCASL", shape=SHAPE)
    amounts[:, 1] = 0
    found = solve(signals, amounts, protocol, voxels)
    good = found.wm["state"] == State.GOOD
    np.testing.assert_allclose(found.wm["cbf"][good], found.whole.white, atol=1e-3)
    np.testing.assert_allclose(found.wm["sd_cbf"][good], max(abs(found.whole.white), LEAST_FLOW), rtol=0.35)
    assert CBF == 6000


def test_the_simulated_gpu_gives_what_the_cpu_gives(tmp_path):
    out = tmp_path / "tissues.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_tissue_posterior", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    simulated, here = np.load(out), solved(cpu())
    assert set(simulated) == set(here)
    for name, values in here.items():
        assert np.isfinite(values).mean() > 0.8
        np.testing.assert_allclose(simulated[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
