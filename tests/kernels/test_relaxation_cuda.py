"""The conversion of DSC signal on a GPU, without one: the simulator against the CPU, and what goes over the bus."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bolus_kernels.device import cpu
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State
from tests.kernels.launched import Bus
from tests.kernels.simulated_gpu import GPU
from tests.kernels.simulated_relaxation import (
    BASELINE,
    CHAIN,
    VOXELS,
    chained,
    converted,
    echoes,
    protocol_of,
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "relaxation.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_relaxation", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(out)


def test_the_simulated_gpu_gives_what_the_cpu_gives(simulated):
    here = converted(cpu())
    seen = set()
    for name, values in here.items():
        found = simulated[name]
        assert found.dtype == values.dtype and found.shape == values.shape
        if name.endswith("state"):
            seen |= set(values.tolist())
            np.testing.assert_array_equal(found, values, err_msg=name)
        else:
            size = np.nanmean(np.abs(np.where(np.isinf(values), np.nan, values)))
            np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5 * size, err_msg=name)
    assert seen == {
        State.GOOD, State.NOT_FINITE, State.MISSING_SAMPLE, State.NO_BASELINE, State.NO_SIGNAL
    }  # fmt: skip
    assert (here["int16 2 state"] > 0).sum() > (here["int16 1 state"] > 0).sum()


def test_methods_take_the_curves_where_the_conversion_left_them(simulated):
    here = chained(cpu())
    assert {name.split()[0] for name in here} == set(CHAIN)
    for name, values in here.items():
        if name.endswith("state"):
            np.testing.assert_array_equal(simulated[name], values, err_msg=name)
        else:
            assert np.isfinite(values).mean() > 0.7
            size = np.nanmean(np.abs(values))
            np.testing.assert_allclose(simulated[name], values, rtol=1e-4, atol=1e-4 * size, err_msg=name)


def test_only_the_stored_signal_goes_over_the_bus_and_only_maps_come_back(monkeypatch):
    bus = Bus(monkeypatch)
    series = echoes(np.int16, 1)
    made = relaxation(series, np.arange(VOXELS), BASELINE, GPU)
    assert bus.there == series[0].series.nbytes + 8 * VOXELS
    assert bus.back == VOXELS * (1 + 4)
    known, before = shelf()["csvd"], bus.there
    protocol = protocol_of(made)
    known.function(made.values, protocol, known.defaults(), GPU)
    matrix = 4 * 2 * len(protocol.aif) * len(protocol.aif)
    assert bus.there - before == matrix
    assert bus.back == VOXELS * (1 + 4) + VOXELS * (4 + 4 + 1)


def test_a_scan_that_does_not_fit_at_once_goes_over_in_cuts(monkeypatch):
    whole = Bus(monkeypatch)
    relaxation(echoes(np.int16, 2), np.arange(VOXELS), BASELINE, GPU)
    assert whole.launches == 2
    cut = Bus(monkeypatch, memory=4_000)
    relaxation(echoes(np.int16, 2), np.arange(VOXELS), BASELINE, GPU)
    assert cut.launches > 4 and cut.there == whole.there and cut.back == whole.back
