"""Every GPU kernel without a GPU: no double precision in its PTX, no spills and bounded registers in its machine code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from numba import cuda, float32, float64, int64

import bolus_kernels
from bolus_kernels.asl import kinetics
from bolus_kernels.scalar import exp, log
from tests.kernels.launched import RUNS, launches, ptx, taken

CAPABILITIES = [(8, 0), (9, 0)]
VECTOR, DOUBLES = float32[::1], float64[::1]
SUMS = {".reg", "ld", "st", "mov", "cvt", "add", "mul", "fma"}
IN_DOUBLE = {
    "_weighted_sums": SUMS,  # areas, K1 and K2 are differences of large sums: double precision on the CPU as well
    "_chosen_sums": SUMS,
    "_energy": SUMS,
    "by_oscillation": SUMS,  # coefficients are divided by small singular values: likewise
    "_by_strength": None,  # the scores of two strengths may differ by less than single precision resolves: likewise
    "_best": None,  # the gain is flat around the best kep: likewise
    "_areas": None,  # the normal equations of a gamma variate are nearly singular: likewise
    "_summary": None,  # the misfits of two arrivals may differ by less than single precision resolves: likewise
}
"""Kernels that may hold double precision, and which operations, if not any, may be in it."""
REGISTERS = 104
"""Of a thread: five blocks of 128 threads then work on one multiprocessor side by side, which hides what memory takes."""
MORE_REGISTERS = {
    "_by_matrix": 136,  # what it multiplies at a time: each number that is read is used four or twelve times
    "by_oscillation": 184,  # the residue of a voxel: never written, never read
    "_best": 176,  # double precision takes two registers a number: four blocks or fewer are enough for its few sums
    "_areas": 224,  # likewise
    "_bayes": 168,  # three lattices and a room of twelve arrays, whose places are told from their strides
    "_posterior": 240,  # likewise, two models over one room
    "regress": 232,  # the shares around a voxel stay in registers
}
"""Kernels that may take more than that."""
FRAMES = {
    "_bayes": 96,
    "multi_delay": 3072,  # the responses at every node: as much as a few curves, and the cache holds what is in use
    "mode": 3072,
    "fit_posterior": 3072,
    "regress": 320,
    "solve": 28672,  # the plane of both arrivals
}
"""Bytes of a thread's own arrays, of kernels that have any."""

TENSOR = "bolus_kernels.dsc.deconvolution.tensor_cuda"
TEXTS = {(TENSOR, "by_tensor_cores"), (TENSOR, "from_signal")}
"""What launches a text of CUDA C++: test_tensor looks at that."""

every_run = pytest.mark.parametrize("name", RUNS)
every_capability = pytest.mark.parametrize("capability", CAPABILITIES, ids="sm_{0[0]}{0[1]}".format)


def without_double(body, signature, capability):
    """Refuse a kernel with double precision that IN_DOUBLE does not grant it."""
    text = ptx(body, signature, capability)
    assert ".entry" in text
    granted = IN_DOUBLE.get(body.__name__, set())
    used = {re.match(r"\s*(\.?\w+)", line)[1] for line in re.findall(r"^.*\.f64.*$", text, re.M)}
    assert granted is None or used <= granted, f"{body.__name__}: double precision in {used - granted}"


def within_limits(body, signature, capability):
    """Refuse a kernel that spills, or takes more registers or stack than its name may."""
    name, found = body.__name__, taken(ptx(body, signature, capability), capability)
    assert found.spilled == 0, f"{name}: {found.spilled} bytes spilled"
    assert found.registers <= MORE_REGISTERS.get(name, REGISTERS), f"{name}: {found.registers} registers"
    assert found.frame <= FRAMES.get(name, 0), f"{name}: a stack frame of {found.frame} bytes"


@every_capability
@every_run
def test_no_kernel_computes_in_double_precision_unless_it_must(name, capability):
    assert launches(name)
    for body, signature, _ in launches(name):
        without_double(body, signature, capability)


@every_capability
@every_run
def test_no_kernel_spills_or_takes_more_than_it_may(name, capability):
    for body, signature, _ in launches(name):
        within_limits(body, signature, capability)


def test_every_call_of_the_launcher_is_looked_at():
    root = Path(bolus_kernels.__file__).parent
    calls = set()
    for file in root.rglob("*.py"):
        module = ".".join(file.relative_to(root.parent).with_suffix("").parts)
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                named = [one.func for one in ast.walk(function) if isinstance(one, ast.Call)]
                if any(isinstance(one, ast.Name) and one.id == "over_voxels" for one in named):
                    calls.add((module, function.name))
    assert calls - TEXTS == {launch.asked_by for name in RUNS for launch in launches(name)}


def test_a_double_precision_literal_is_refused():
    def planted(x):
        x[0] = x[0] * 0.1

    with pytest.raises(AssertionError, match="double precision in"):
        without_double(planted, (VECTOR,), (9, 0))


@cache
def _keeping(count):
    """A kernel that has so many numbers at hand at once, of two registers each: all are read before one is written."""
    lines = ["def planted(x, y):", "    i = cuda.grid(1)"]
    lines += [f"    a{k} = x[i + {k}]" for k in range(count)]
    lines += [f"    y[i + {k}] = a{k} * a{count - 1 - k}" for k in range(count)]
    made = {"cuda": cuda}
    exec("\n".join(lines), made)
    return made["planted"]


@every_capability
def test_a_kernel_that_spills_is_refused(capability):
    within_limits(_keeping(10), (DOUBLES, DOUBLES), capability)
    with pytest.raises(AssertionError, match=r"planted: \d+ registers"):
        within_limits(_keeping(60), (DOUBLES, DOUBLES), capability)
    with pytest.raises(AssertionError, match=r"planted: \d+ bytes spilled"):
        within_limits(_keeping(150), (DOUBLES, DOUBLES), capability)


def test_a_kernel_with_an_array_of_its_own_is_refused():
    def planted(x, which):
        own, product = cuda.local.array(64, float32), x[0]
        for k in range(64):
            product *= x[k]
            own[k] = product
        for k in range(64):
            x[k] = own[which[k]]

    with pytest.raises(AssertionError, match="a stack frame of 256 bytes"):
        within_limits(planted, (VECTOR, int64[::1]), (9, 0))


def _shared(time, arrival, out):
    i = cuda.grid(1)
    out[i] = kinetics.pcasl(time[i], arrival[i], time[0], arrival[0], arrival[1])
    out[i] += kinetics.pasl(time[i], arrival[i], time[0], arrival[0], arrival[1])
    out[i] += exp(time[i]) + log(arrival[i])


@every_capability
def test_the_functions_that_both_machines_share_compile_without_double_precision(capability):
    without_double(_shared, (VECTOR, VECTOR, VECTOR), capability)
