"""Run methods of the shelf on numba's CUDA simulator, in a process of its own: `python simulated_gpu.py OUT.npz`."""

import os
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numba
import numpy as np


@contextmanager
def compiling():
    """Let what the host makes be compiled, in a process where the simulator's functions must not be."""
    asked, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, False
    yield
    numba.config.DISABLE_JIT = asked


with compiling():
    from bolus_kernels.dsc.posterior import bank

from benchmarks.example import example, look_locker  # noqa: E402
from bolus_kernels import device  # noqa: E402
from bolus_kernels.dsc.protocol import DscProtocol  # noqa: E402
from bolus_kernels.shelf import shelf  # noqa: E402

GPU = device.Device("cuda", "simulated")
VOXELS, FEWER = 60, {"bayes": 12, "gamma_variate": 24}
"""Voxels of a case; fewer where one takes the simulator long."""
OF_READOUTS = ("multi_delay", "kinetic_model")
MEMORY = 1 << 20
"""Bytes the stand-in has free: so few that voxels go over in several launches."""


class There(np.ndarray):
    """An array in the memory of the GPU that is not there."""

    def set(self, array, stream):
        self[...] = array

    def get(self, out=None, blocking=True):
        return np.array(self) if out is None else np.copyto(out, self)


class Stream:
    """A stream that does what it is asked at once."""

    ptr = 0

    def __init__(self, non_blocking=False):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def record(self):
        return self

    def wait_event(self, event):
        pass

    def synchronize(self):
        pass


def stand_in(memory=MEMORY, there=There):
    """What `device` asks of CuPy, from NumPy: the simulator takes NumPy's arrays for the GPU's."""
    return SimpleNamespace(
        ndarray=there,
        ascontiguousarray=lambda array: array if array.flags.c_contiguous else array.copy("C"),
        asnumpy=lambda array: array.get(),
        empty=lambda shape, dtype: np.empty(shape, dtype).view(there),
        full=lambda shape, value, dtype: np.full(shape, value, dtype).view(there),
        concatenate=lambda arrays, axis: np.concatenate(arrays, axis).view(there),
        get_default_memory_pool=lambda: SimpleNamespace(
            free_all_blocks=lambda: None, free_bytes=lambda: memory // 4
        ),
        cuda=SimpleNamespace(
            Stream=Stream,
            get_current_stream=Stream,
            alloc_pinned_memory=bytearray,
            runtime=SimpleNamespace(memGetInfo=lambda: (memory - memory // 4, memory)),
        ),
    )


def simulator():
    """Let the simulator stand for a GPU, without its detours: threads in turn, for none waits for another; plain arrays."""
    from numba.cuda.simulator import kernel

    begin = kernel.BlockThread.start

    def run_to_its_end(thread):
        begin(thread)
        thread.join()

    kernel.BlockThread.start = run_to_its_end
    kernel.FakeWithinKernelCUDAArray = lambda array: np.asarray(array._ary)
    device.cupy = stand_in
    return GPU


def methods():
    return [known for known in shelf().values() if known.cuda]


def variants(known):
    """The method at its defaults, and with each of its choices taken otherwise: name -> parameters."""
    usual = known.defaults()
    others = {
        f"{known.name}-{name}-{other}": usual | {name: other}
        for name, names in known.choices.items()
        for other in names[1:]
    }
    return {known.name: usual} | others


def case(known):
    """Good curves, one that is not finite, some turned over, which many a method cannot solve, and some late ones."""
    curves, protocol = example(known, FEWER.get(known.name, VOXELS), seed=11)
    curves[5, 3] = np.nan
    curves[7::40] *= -1
    if known.family == "summary":
        curves[8::9] = np.roll(curves[8::9], 26, axis=1)  # peaks too late for signal recovery
        curves[10, :26] = 0.0  # a baseline without noise
    if isinstance(protocol, DscProtocol) and known.family == "deconvolution":
        protocol = protocol._replace(residue=True)
    return curves, protocol


def read_out_often(known):
    """The case with Look-Locker readouts, each of an angle of its own, of the methods that several delays suit."""
    curves, protocol = case(known)
    protocol = look_locker(protocol, 0.4, 0.5)
    angles = np.tile(np.linspace(0.2, 0.9, 20), (curves.shape[1], 1))
    return curves, protocol._replace(
        look_locker=protocol.look_locker._replace(flip_angle=angles, calibrated_angle=0.9)
    )


def main():
    gpu, maps = simulator(), {}
    bank.bank = compiling()(bank.bank)  # its templates: minutes uncompiled
    for known in methods():
        for name, parameters in variants(known).items():
            found = known.function(*case(known), parameters, gpu)
            maps |= {f"{name}/{key}": values for key, values in found.items()}
            if known.name in OF_READOUTS:
                found = known.function(*read_out_often(known), parameters, gpu)
                maps |= {f"{name}/readouts/{key}": values for key, values in found.items()}
    np.savez(sys.argv[1], **maps)


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    main()
