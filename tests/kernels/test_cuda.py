"""Every method that runs on the GPU, without a GPU: numba's simulator against the CPU."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bolus_kernels import device
from bolus_kernels.device import cpu
from bolus_kernels.method import RESIDUE
from bolus_kernels.state import State, without_value
from tests.kernels.simulated_gpu import GPU, OF_READOUTS, case, methods, read_out_often, stand_in, variants

LOOSE = {
    "bayes/sd_cbv": 1e-3,  # a small SD as the difference of two squares, in single precision
}
"""What is less equal than promised, and how equal it is."""

every_method = pytest.mark.parametrize("known", methods(), ids=lambda known: known.name)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The maps of every method, of the simulated GPU."""
    out = tmp_path_factory.mktemp("simulated") / "maps.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_gpu", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(out)


@every_method
def test_the_simulated_gpu_gives_what_the_cpu_gives(known, simulated):
    """Each value to 1e-4 of itself or of the map's mean size, and the same state.

    Of a residue not each sample: that of `bayes` may be a step, and a sample stand on it.
    """
    told = {name: (case(known), parameters) for name, parameters in variants(known).items()}
    if known.name in OF_READOUTS:
        told |= {f"{name}/readouts": (read_out_often(known), its) for name, (_, its) in told.items()}
    for name, (given, parameters) in told.items():
        expected = known.function(*given, parameters, cpu())
        found = {key: simulated[f"{name}/{key}"] for key in expected}
        np.testing.assert_array_equal(found["state"], expected["state"])
        good = expected["state"] == State.GOOD
        assert good.mean() > 0.7
        assert not good[5]
        for key in expected.keys() - {"state"}:
            good = ~without_value(key, expected["state"])
            assert found[key].dtype == np.float32
            assert np.isnan(found[key][~good]).all(), key
            size = np.abs(expected[key][good])
            error = np.abs(found[key][good] - expected[key][good])
            equal = error <= LOOSE.get(f"{known.name}/{key}", 1e-4) * np.maximum(size, size.mean())
            assert equal.mean() >= (0.999 if key == RESIDUE else 1), f"{name}: {key}"


@every_method
def test_no_voxels_launch_nothing(known, monkeypatch):
    monkeypatch.setattr(device, "cupy", stand_in)
    curves, protocol = case(known)
    maps = known.function(curves[:0], protocol.rows(slice(0, 0)), known.defaults(), GPU)
    assert {len(values) for values in maps.values()} == {0}
