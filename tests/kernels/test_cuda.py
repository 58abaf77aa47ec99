"""Every method that runs on the GPU, without a GPU: its PTX, and numba's simulator against the CPU."""

import os
import re
import subprocess
import sys
from functools import cache

import numba
import numba.cuda.dispatcher
import numpy as np
import pytest
from numba import cuda, float32

from bolus_kernels import device
from bolus_kernels.asl import kinetics
from bolus_kernels.cuda import launch
from bolus_kernels.device import cpu
from bolus_kernels.method import RESIDUE
from bolus_kernels.scalar import exp, log
from bolus_kernels.state import State, without_value
from tests.kernels.simulated_gpu import GPU, OF_READOUTS, case, methods, read_out_often, stand_in, variants

CAPABILITIES = [(8, 0), (9, 0)]
VECTOR = float32[::1]
SUMS = {".reg", "ld", "st", "mov", "cvt", "add", "mul", "fma"}
IN_DOUBLE = {
    "_weighted_sums": SUMS,  # areas, K1 and K2 are differences of large sums: double precision on the CPU as well
    "_chosen_sums": SUMS,
    "_energy": SUMS,
    "_by_oscillation": SUMS,  # coefficients are divided by small singular values: likewise
    "_by_strength": None,  # the scores of two strengths may differ by less than single precision resolves: likewise
    "_best": None,  # the gain is flat around the best kep: likewise
    "_areas": None,  # the normal equations of a gamma variate are nearly singular: likewise
    "_summary": None,  # the misfits of two arrivals may differ by less than single precision resolves: likewise
}
"""Kernels that may hold double precision, and which operations, if not any, may be in it."""
COMPILED = {}
LOOSE = {
    "bayes/sd_cbv": 1e-3,  # a small SD as the difference of two squares, in single precision
}
"""What is less equal than promised, and how equal it is."""

every_method = pytest.mark.parametrize("known", methods(), ids=lambda known: known.name)
every_capability = pytest.mark.parametrize("capability", CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)


@pytest.fixture
def ptx(monkeypatch):
    """Compile a function to PTX for one architecture; nested functions ask for a device, so one stands in."""

    def compile_for(function, signature, capability):
        class Stand:
            compute_capability = capability

        monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: Stand)
        key = function, signature, capability
        if key not in COMPILED:  # methods share kernels
            COMPILED[key] = cuda.compile_ptx(function, signature, cc=capability)[0]
        return COMPILED[key]

    return compile_for


@cache
def launches(name):
    """The kernels that a method launches, each with its signature, told without running them."""
    (known,) = (known for known in methods() if known.name == name)
    found = {}

    class Recorder:
        def __init__(self, body):
            self.body = body

        def __getitem__(self, configuration):
            return self

        def __call__(self, *given):
            found[self.body] = tuple(numba.typeof(one) for one in given)

    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):  # maps stay unfilled
        patch.setattr(device, "cupy", stand_in)
        patch.setattr(launch, "compiled", Recorder)
        for parameters in variants(known).values():
            known.function(*case(known), parameters, GPU)
    return found


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The maps of every method, of the simulated GPU."""
    out = tmp_path_factory.mktemp("simulated") / "maps.npz"
    flags = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.kernels.simulated_gpu", str(out)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(out)


def doubles(text):
    return re.findall(r"^.*\.f64.*$", text, re.M)


@every_capability
def test_the_functions_that_both_machines_share_compile_without_double_precision(ptx, capability):
    def one(time, arrival, out):
        i = cuda.grid(1)
        out[i] = kinetics.pcasl(time[i], arrival[i], time[0], arrival[0], arrival[1])
        out[i] += kinetics.pasl(time[i], arrival[i], time[0], arrival[0], arrival[1])
        out[i] += exp(time[i]) + log(arrival[i])

    text = ptx(one, (VECTOR, VECTOR, VECTOR), capability)
    assert ".entry" in text
    assert doubles(text) == []


def test_a_double_precision_literal_would_be_found(ptx):
    def poisoned(x):
        x[0] = x[0] * 0.1

    assert doubles(ptx(poisoned, (VECTOR,), (9, 0)))


@every_capability
@every_method
def test_kernels_compile_without_double_precision(known, capability, ptx):
    found = launches(known.name)
    assert found
    for body, signature in found.items():
        text = ptx(body, signature, capability)
        assert "fma.rn." in text
        cheap = IN_DOUBLE.get(body.__name__, set())
        used = {re.match(r"\s*(\.?\w+)", line)[1] for line in doubles(text)}
        assert cheap is None or used <= cheap, body.__name__


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
