"""The mode of the ASL posterior: against its reference, at the global minimum, and the same on a GPU."""

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import example
from benchmarks.asl import mode as asl_mode
from benchmarks.reference import asl
from benchmarks.reference.mode import mode as reference
from bolus_kernels.asl.mode import mode
from bolus_kernels.asl.protocol import ArrivalPrior
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State
from tests.kernels.simulated_mode import modes_on

USUAL = shelf()["multi_delay"].defaults()


def scan(labeling, n, noise, seed):
    rng = np.random.default_rng(seed)
    protocol = example.asl_protocol(
        n, noise, labeling=labeling, duration=0.8 if labeling == "PASL" else 1.8, repeats=2,
        t1_tissue=rng.uniform(1.1, 1.6, n),
    )  # fmt: skip
    protocol = protocol._replace(
        relative_noise=rng.uniform(0.5, 2.0, n).astype(np.float32),
        slice_delay=rng.choice(np.array([0.0, 0.3], np.float32), n),
    )
    cbf, att = rng.uniform(15, 100, n), rng.uniform(0.5, 2.0, n)
    return example.asl_curves(protocol, cbf, att, noise, seed + 1), protocol, cbf, att


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
@pytest.mark.parametrize("noise", [1e-4, 1e-3, 4e-3])
@pytest.mark.parametrize("tail", [0.0, 1 / 16])
def test_no_pair_is_likelier_on_the_dense_grid(labeling, noise, tail):
    """Flow to 0.02 SD, arrival to 5 ms."""
    curves, protocol, _, _ = scan(labeling, 25, noise, 1)
    protocol = protocol._replace(arrival_prior=ArrivalPrior(1.1, 0.5, tail, "test"))
    found = mode(curves, protocol, USUAL, cpu())
    sd = shelf()["multi_delay"].function(curves, protocol, USUAL, cpu())["sd_cbf"]
    prior = asl.Prior(1.1, 0.5, USUAL["cbf_sd"], USUAL["noise_weight"], tail)
    truth = np.array([reference(curve, protocol, v, prior) for v, curve in enumerate(curves)])
    assert not found["state"].any()
    assert np.abs(found["cbf"] - truth[:, 0]).max() <= 0.02 * sd.max()
    assert np.abs(found["att"] - truth[:, 1]).max() <= 0.005


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_without_noise_it_is_the_truth(labeling):
    curves, protocol, cbf, att = scan(labeling, 300, 0.0, 3)
    found = mode(curves, protocol, USUAL, cpu())
    assert np.abs(found["cbf"] - cbf).max() <= 0.05
    assert np.abs(found["att"] - att).max() <= 2e-3


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_with_flat_priors_it_is_the_global_least_squares_fit(labeling):
    above = asl_mode.above_the_minimum(labeling, noise=2e-3, voxels=60)
    assert above.ours == 0


def test_a_voxel_that_cannot_be_computed_has_a_state_and_a_given_arrival_is_taken():
    curves, protocol, _, att = scan("PCASL", 6, 1e-3, 5)
    curves[1, 4], t1, given = np.nan, protocol.t1_tissue.copy(), att.copy()
    t1[2], given[3] = 0.0, 9.0
    found = mode(curves, protocol._replace(t1_tissue=t1, arterial_transit_time=given), USUAL, cpu())
    assert found["state"].tolist() == [0, State.NOT_FINITE, State.NO_SOLUTION, State.NO_SOLUTION, 0, 0]
    assert np.isnan(found["cbf"]).tolist() == (found["state"] != 0).tolist()
    assert np.allclose(found["att"][[0, 4, 5]], att[[0, 4, 5]], atol=2e-3)
    assert len(mode(curves[:0], protocol.rows(slice(0, 0)), USUAL, cpu())["cbf"]) == 0


def test_the_simulated_gpu_gives_what_the_cpu_gives(tmp_path):
    out = tmp_path / "modes.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_mode", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    simulated, here = np.load(out), modes_on(cpu())
    assert set(simulated) == set(here)
    for name, values in here.items():
        np.testing.assert_array_equal(np.isnan(simulated[name]), np.isnan(values))
        size = np.abs(values)
        error = np.abs(simulated[name] - values.astype(float))
        assert not np.any(error > 1e-4 * np.maximum(size, np.nanmean(size))), name
