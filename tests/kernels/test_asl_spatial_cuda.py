"""The spatial prior's passes on a GPU, without one: the simulator against the CPU, and single precision in the PTX."""

import os
import re
import subprocess
import sys

import numba.cuda.dispatcher
import numpy as np
import pytest
from numba import cuda, float32, int64, types

from bolus_kernels.asl.spatial import cuda as twin
from bolus_kernels.device import cpu
from tests.kernels.simulated_spatial import passes_on

LINE, TABLE = float32[::1], float32[:, ::1]


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


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_the_passes_compile_without_double_precision(capability, monkeypatch):
    class Stand:
        compute_capability = capability

    monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: Stand)
    averaging = (int64[::1], int64[::1], LINE, TABLE, TABLE, TABLE, LINE)
    fitting = (TABLE, *[LINE] * 10, TABLE, LINE, types.int64, types.int64, *[LINE] * 4)
    for body, signature in ((twin._average, averaging), (twin._fit(8), fitting)):
        text = cuda.compile_ptx(body, signature, cc=capability)[0]
        assert ".entry" in text
        assert not re.findall(r"^.*\.f64.*$", text, re.M)
