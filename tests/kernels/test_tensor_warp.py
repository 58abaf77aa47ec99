"""cSVD on tensor cores in an emulated warp: the text compiled as C++ gives what the CPU gives, and float64."""

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.example import BASELINE, ECHO_TIME, dsc
from bolus_kernels.cuda.text import told
from bolus_kernels.device import cpu
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.deconvolution import tensor_cuda
from bolus_kernels.dsc.echo import Echo, shares
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State
from tests.kernels.test_tensor import SAME, empty, matrix_of

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """Run a launch of the text as C++ on this processor, its warps emulated; skips where nothing compiles C++."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is here to emulate a warp with")
    folder = tmp_path_factory.mktemp("emulated")

    @cache
    def compiled(made):
        program, out = folder / "main.cpp", folder / f"{'-'.join(made.macros)}.so"
        program.write_text(
            f'#include "warp.h"\n#include "{made.file}"\n'
            "template <class... Given> bool run(void (*kernel)(Given...), int blocks, int threads, Given... given)\n"
            "{ return warp::launch(blocks, threads, [&] { kernel(given...); }); }\n"
            f'extern "C" bool emulate(int blocks, int threads, {SIGNATURES[made.macros[2]][0]})\n'
            f"{{ return run({made.name}, blocks, threads, {SIGNATURES[made.macros[2]][1]}); }}\n"
        )
        command = [
            compiler,
            "-std=c++17",
            "-O1",
            "-w",
            "-ffp-contract=off",
            "-shared",
            "-fPIC",
            *made.options,
        ]
        done = subprocess.run(
            [*command, f"-I{HERE}", str(program), "-o", str(out)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(out)).emulate

    def over_voxels(body, voxelwise, shared, maps, device):
        """As the launcher does it, in one cut."""
        given = [np.ascontiguousarray(one.T) for one in voxelwise]
        made = [np.ascontiguousarray(one.T) for one in maps]
        seen = [Seen(one) if isinstance(one, np.ndarray) else one for one in (*given, *shared, *made)]
        blocks = -(-len(voxelwise[0]) // 128)
        kernel = compiled(body)
        kernel.restype = ctypes.c_bool
        assert kernel(blocks, 128, *map(as_c, told(tuple(seen)))), "the lanes of a warp went apart"
        for one, to in zip(made, maps, strict=True):
            to[...] = one.T

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_cuda, "over_voxels", over_voxels)
        yield


ARRAYS = {name: f"ARRAY({kind}, {name})" for kind, name in (
    ("const float4", "pieces"), ("float", "top"), ("float", "at"), ("unsigned char", "state"), ("float", "written"),
    ("const float", "curves"), ("const long long", "rows"), ("const short", "series"),
)}  # fmt: skip


def signature(*names):
    """Parameters of a kernel, and how they are handed on."""
    parameters = [ARRAYS.get(name, f"{'float' if name in FLOATS else 'int'} {name}") for name in names]
    handed = [f"{name}, {name}_rows, {name}_columns" if name in ARRAYS else name for name in names]
    return ", ".join(parameters), ", ".join(handed)


FLOATS = {"slope", "inter", "saturation", "weight"}
COMMON = ("pieces", "length", "turn", "top", "at", "state", "written")
SIGNATURES = {
    "STORED=0": signature("curves", *COMMON),
    "STORED=1": signature(
        "rows", "series", "slope", "inter", "first", "stop", "saturation", "weight", *COMMON
    ),
}


class Seen:
    """An array as a GPU's tell of themselves."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = {"data": (array.ctypes.data, False), "shape": array.shape}


def as_c(one):
    kinds = {np.uintp: ctypes.c_void_p, np.int32: ctypes.c_int, np.float32: ctypes.c_float}
    kind = kinds[type(one)]
    return kind(float(one) if kind is ctypes.c_float else int(one))


def judged(maps, written, curves, protocol, matrix):
    """Against the kernel of the CPU, and against float64."""
    expected = shelf()["csvd"].function(curves, protocol, shelf()["csvd"].defaults(), cpu())
    np.testing.assert_array_equal(maps["state"], expected["state"])
    good = expected["state"] == State.GOOD
    assert 0.7 < good.mean() < 1
    truth = matrix @ curves[good].T.astype(np.float64)
    size = truth.max(axis=0)
    cbf = 6000 * protocol.density_factor * maps["cbf"]
    np.testing.assert_allclose(maps["cbf"][good], size, rtol=SAME)
    np.testing.assert_allclose(cbf[good], expected["cbf"][good], rtol=2 * SAME)
    np.testing.assert_array_equal(protocol.repetition_time * maps["tmax"][good], expected["tmax"][good])
    assert np.isnan(maps["cbf"][~good]).all() and np.isnan(maps["tmax"][~good]).all()
    assert (np.abs(written[:, good] - truth) <= SAME * size).all()


@pytest.mark.parametrize(("volumes", "voxels"), [(40, 131), (60, 77), (120, 40), (200, 33)])
def test_an_emulated_warp_gives_what_the_cpu_gives(emulated, volumes, voxels):
    curves, protocol = dsc(voxels, 8, volumes=volumes)
    curves[5, 3], curves[9, 7] = np.nan, np.inf
    curves[7::20] *= -1
    matrix = matrix_of(protocol)
    maps, written = empty(voxels, len(matrix))
    filled = (maps["cbf"], maps["tmax"], maps["state"], written.T)
    tensor_cuda.by_tensor_cores(curves, matrix, volumes, filled, SimpleNamespace())
    judged(maps, written, curves, protocol, matrix)


@pytest.mark.parametrize("slope", [1.0, 0.25])
def test_so_it_does_from_the_signal_as_it_is_stored(emulated, slope):
    curves, protocol = dsc(300, 8)
    signal = np.clip(np.rint(1500 * np.exp(-ECHO_TIME * curves.T) / slope), 0, 32767).astype(np.int16)
    signal[:, 4] = 70
    signal[:7, 10] = -20
    signal[30, 14] = 0
    signal[31, 19] = 32767
    signal[40, 24] = -5
    rows = np.flatnonzero(np.arange(300) % 3 != 0).astype(np.int64)
    echo = Echo(signal, slope, 2.0, ECHO_TIME, 32767.0)
    made = relaxation((echo,), rows, (0, BASELINE))
    bad = made.state != State.GOOD
    assert len(set(made.state)) == 4
    protocol = protocol.rows(rows)
    matrix = matrix_of(protocol)
    maps, written = empty(len(rows), len(matrix))
    filled = (maps["cbf"], maps["tmax"], maps["state"], written.T)
    (share,) = shares((echo,), (0, BASELINE))
    tensor_cuda.from_signal(share, rows, (0, BASELINE), matrix, 60, filled, SimpleNamespace())
    np.testing.assert_array_equal(maps["state"][bad], made.state[bad])
    maps["state"][bad] = State.NOT_FINITE  # as cSVD finds the curves of these
    judged(maps, written, made.values, protocol, matrix)
