"""The spatial prior's passes on a GPU, without one: the simulator against the CPU."""

import os
import subprocess
import sys

import numpy as np

from bolus_kernels.device import cpu
from tests.kernels.simulated_spatial import passes_on


def test_the_simulated_gpu_gives_what_the_cpu_gives(tmp_path):
    out = tmp_path / "passes.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_spatial", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    simulated, here = np.load(out), passes_on(cpu())
    assert set(simulated) == set(here)
    for name, values in here.items():
        size = np.abs(values).max()
        assert np.allclose(simulated[name], values, rtol=1e-4, atol=1e-5 * size), name
