"""cSVD on tensor cores, without any: its arithmetic in NumPy, its text as machine code, how it is launched."""

import re
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.example import dsc
from bolus_kernels import device
from bolus_kernels.cuda import lane, launch
from bolus_kernels.dsc.deconvolution.circulant import spectrum
from bolus_kernels.dsc.deconvolution.cuda import by_matrix
from bolus_kernels.dsc.deconvolution.tensor_cuda import DEPTH, LONGEST, halves, pieces, text, to_tf32
from tests.kernels.simulated_gpu import There, stand_in

SAME = 1e-5
REGISTERS = 184
"""Of a thread: two blocks of 128 on one multiprocessor at least, each with four products under way for every unit."""
LENGTHS = (8, 60, 120, 128, 200, 256)
CAPABILITIES = ["80", "90"]


def matrix_of(protocol):
    """Of cSVD at its defaults."""
    basis = spectrum(protocol)
    kept = basis.largest(int(np.sum(basis.size >= 0.1 * basis.size[0])))
    return kept.synthesis @ kept.analysis


def product(matrix, curves, rounded):
    """Three products of TF32 summed as the kernel does it: eight samples on tensor cores, `rounded` there, eights in float32."""
    sums = np.zeros((len(matrix), curves.shape[1]), np.float32)
    (a_large, a_left), b_large = halves(matrix), to_tf32(curves)
    b_left = ((curves - b_large).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    for k in range(0, matrix.shape[1], DEPTH):
        eight, part = slice(k, k + DEPTH), np.zeros_like(sums)
        for a, b in ((a_left, b_large), (a_large, b_left), (a_large, b_large)):
            part = rounded(part + a[:, eight].astype(np.float64) @ b[eight].astype(np.float64))
        sums += part
    return sums


def nearest(values):
    return values.astype(np.float32)


def cut(values):
    """As tensor cores are said to do it: towards zero."""
    near = values.astype(np.float32)
    return np.where(np.abs(near) > np.abs(values), np.nextafter(near, np.float32(0)), near)


def test_a_number_is_two_of_ten_bits_and_next_to_nothing():
    values = (
        np.random.default_rng(1).normal(0, 10.0 ** np.arange(-6, 6)[:, None], (12, 1000)).astype(np.float32)
    )
    large, left = halves(values)
    for part in (large, left):
        assert not (part.view(np.uint32) & 0x1FFF).any()
    assert (np.abs(values - large) <= 2.0**-11 * np.abs(values)).all()
    assert (np.abs(values.astype(np.float64) - large - left) <= 2.0**-22 * np.abs(values)).all()
    halfway = np.array([1 + 2.0**-11, -1 - 2.0**-11, np.inf], np.float32)
    np.testing.assert_array_equal(to_tf32(halfway), [1 + 2.0**-10, -1 - 2.0**-10, np.inf])


@pytest.mark.parametrize("rounded", [nearest, cut])
@pytest.mark.parametrize("volumes", [40, 60, 120])
def test_three_products_of_tf32_are_those_of_float64_to_1e_5(volumes, rounded):
    curves, protocol = dsc(300, 4, volumes=volumes)
    random = np.random.default_rng(2).normal(0, 10, (300, volumes)).astype(np.float32)
    for given in (curves.T, random.T):
        matrix = matrix_of(protocol)
        expected = matrix @ given.astype(np.float64)
        found = product(matrix, given, rounded)
        size = expected.max(axis=0)
        assert (np.abs(found - expected) <= SAME * size).all()
        assert (np.abs(found.max(axis=0) - size) <= SAME * size).all()


def test_one_product_of_tf32_would_not_be():
    curves, protocol = dsc(300, 4)
    matrix = matrix_of(protocol)
    expected = (matrix @ curves.T.astype(np.float64)).max(axis=0)
    once = (
        to_tf32(matrix.astype(np.float32)).astype(np.float64) @ to_tf32(np.ascontiguousarray(curves.T))
    ).max(axis=0)
    assert (np.abs(once - expected) / expected).max() > SAME


def test_pieces_hold_the_matrix_and_zeros_around_it():
    matrix = np.random.default_rng(3).normal(size=(18, 11))
    found = pieces(matrix).reshape(2, 2, 2, 32, 4)  # rows, columns, large or left, lane, number
    for row, column in np.ndindex(32, 16):
        of = found[
            row // 16, column // 8, :, row % 8 * 4 + column % 4, (row % 16 >= 8) + 2 * (column % 8 >= 4)
        ]
        expected = halves(matrix[row, column : column + 1])[0] if row < 18 and column < 11 else 0.0
        assert of[0] == expected
    assert found.astype(np.float64).sum() == pytest.approx(matrix.sum(), rel=1e-6)


@cache
def machine_code(made, capability):
    """The text compiled by NVIDIA's runtime compiler, as CuPy does it, without a driver: its PTX, and what it takes."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="NVIDIA's runtime compiler is not installed")
    _, program = nvrtc.nvrtcCreateProgram(made.file.read_bytes(), made.file.name.encode(), 0, [], [])
    options = [f"--gpu-architecture=sm_{capability}", "--ptxas-options=-v", *made.options]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [one.encode() for one in options])
    log = text_of(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, log
    (registers,) = re.findall(r"Used (\d+) registers", log)
    taken = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    return text_of(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program), int(registers), set(taken)


def text_of(size_of, fill, program):
    found = b" " * size_of(program)[1]
    fill(program, found)
    return found.decode().rstrip("\0 ")


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("times", LENGTHS)
def test_the_text_becomes_machine_code_without_double_precision_or_spills(times, stored, capability):
    ptx, registers, taken = machine_code(text(times, stored), capability)
    assert ".f64" not in ptx
    assert "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" in ptx
    assert taken == {("0", "0", "0")}
    assert registers <= REGISTERS


def test_longer_curves_are_refused():
    with pytest.raises(ValueError, match="256 samples at most, not 257"):
        text(LONGEST + 1, False)


def empty(n, length):
    maps = {
        "cbf": np.full(n, np.nan, np.float32),
        "tmax": np.full(n, np.nan, np.float32),
        "state": np.zeros(n, np.uint8),
    }
    return maps, np.full((length, n), np.nan, np.float32)


def test_a_text_is_launched_as_any_kernel_with_pointers_and_sizes(monkeypatch):
    launched = []

    class RawKernel:
        num_regs, local_size_bytes = 168, 0

        def __init__(self, code, name, options):
            assert "by_tensor_cores" in code and name == "by_tensor_cores"
            self.options = options

        def __call__(self, blocks, threads, given):
            launched.append((self.options, blocks, threads, given))

    class Here(There):
        @property
        def __cuda_array_interface__(self):
            return {"data": (self.ctypes.data, False), "shape": self.shape}

    cupy = stand_in(1 << 24, Here)
    cupy.RawKernel = RawKernel
    monkeypatch.setattr(device, "cupy", lambda: cupy)
    monkeypatch.setattr(lane, "cuda", SimpleNamespace(as_cuda_array=lambda one, sync: one))
    launch.compiled.cache_clear()
    curves, protocol = dsc(300, 8)
    matrix = matrix_of(protocol)
    maps, written = empty(300, len(matrix))
    by_matrix(curves, matrix, 60, maps, written[:, :0], device.Device("cuda", "a GPU"), "tf32x3")
    ((options, blocks, threads, given),) = launched
    assert options == ("-DSTEPS=8", "-DTILES=4", "-DSTORED=0") and blocks == (3,) and threads == (128,)
    assert [int(one) for one in given[1:3]] == [60, 300]
    assert [int(one) for one in given[4:8]] == [8 * 8 * 2 * 32, 4, 120, 60]
    assert [int(one) for one in given[9:11]] == [1, 300] and [int(one) for one in given[-2:]] == [120, 0]
    assert {type(one) for one in given} == {np.uintp, np.int32}
    kernel = launch.compiled(text(60, False))
    assert kernel.get_regs_per_thread() == {"": 168} and kernel.get_local_mem_per_thread() == {"": 0}
    launch.compiled.cache_clear()
