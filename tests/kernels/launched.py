"""Every kernel that anything launches on a GPU, told without one: its arguments, its PTX, what its machine code takes."""

import re
import sys
from functools import cache
from typing import NamedTuple

import numba
import numba.cuda.dispatcher
import numpy as np
import pytest
from cuda.bindings import nvjitlink
from numba.cuda import compiler

from bolus_kernels import device
from bolus_kernels.cuda import launch
from tests.kernels import (
    simulated_mode,
    simulated_partial_volume,
    simulated_relaxation,
    simulated_spatial,
    simulated_tissue_posterior,
)
from tests.kernels.simulated_gpu import (
    GPU,
    MEMORY,
    OF_READOUTS,
    There,
    case,
    methods,
    read_out_often,
    stand_in,
    variants,
)


def of_method(known):
    """Run a method, with each of its choices and whatever else changes its kernels' arguments."""
    for parameters in variants(known).values():
        known.function(*case(known), parameters, GPU)
        if known.name in OF_READOUTS:
            known.function(*read_out_often(known), parameters, GPU)


RUNS = {known.name: (of_method, known) for known in methods()} | {
    "mode": (simulated_mode.modes_on, GPU),
    "spatial": (simulated_spatial.passes_on, GPU),
    "regression": (simulated_partial_volume.regressed, GPU),
    "tissue_posterior": (simulated_tissue_posterior.solved, GPU),
    "relaxation": (simulated_relaxation.converted, GPU),
}
"""What runs on a GPU: name -> a function, and what it is given."""


class Launch(NamedTuple):
    """A kernel's body with the types of its arguments, and the function of this package that asks for it."""

    body: object
    signature: tuple
    asked_by: tuple[str, str]


@cache
def launches(name):
    """The kernels that one of RUNS launches, told without running them."""
    found = {}

    class Recorder:
        def __init__(self, body):
            frame = sys._getframe(2)  # who called the launcher that asks for this kernel
            self.body, self.asked_by = body, (frame.f_globals["__name__"], frame.f_code.co_name)

        def __getitem__(self, configuration):
            return self

        def __call__(self, *given):
            signature = tuple(
                numba.typeof(np.asarray(one) if isinstance(one, There) else one) for one in given
            )
            found[self.body, signature] = Launch(self.body, signature, self.asked_by)

    run, given = RUNS[name]
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):  # maps stay unfilled
        patch.setattr(device, "cupy", stand_in)
        patch.setattr(launch, "compiled", Recorder)
        run(given)
    return list(found.values())


@cache
def lowered(body, signature):
    """A kernel as Numba hands it to NVVM, the same for every architecture; nested functions ask for a device."""

    class Stand:
        compute_capability = (9, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: Stand)
        return compiler._compile_pyfunc_with_fixup(
            body, signature, device=False, cc=Stand.compute_capability, abi="numba"
        )[0]


@cache
def ptx(body, signature, capability):
    """A kernel compiled to PTX for one architecture."""
    return lowered(body, signature).get_asm_str(cc=capability)


def idle(memory=MEMORY, there=There):
    """The stand-in for CuPy where kernels compute nothing: as if they had written zeros, or left the NaN of a map."""
    cupy = stand_in(memory, there)
    cupy.empty = lambda shape, dtype: np.zeros(shape, dtype).view(there)
    cupy.full = lambda shape, value, dtype: np.full(shape, value if value != value else 0, dtype).view(there)
    return cupy


class Bus:
    """A GPU that computes nothing: what would go over to it and come back, in bytes, and how often it would be started.

    moved : the shapes of what went over.
    """

    def __init__(self, monkeypatch, memory=MEMORY):
        self.moved, self.there, self.back, self.launches = [], 0, 0, 0

        class Counted(There):
            def set(counted, array, stream):
                self.moved.append(array.shape)
                self.there += array.nbytes
                There.set(counted, array, stream)

            def get(counted, out=None, blocking=True):
                self.back += counted.nbytes
                return There.get(counted, out, blocking)

        cupy = idle(memory, Counted)
        monkeypatch.setattr(device, "cupy", lambda: cupy)
        monkeypatch.setattr(launch, "compiled", lambda body: self)

    def __getitem__(self, configuration):
        return self

    def __call__(self, *given):
        self.launches += 1


class Taken(NamedTuple):
    """What each thread takes: registers; bytes of the stack frame; bytes that registers had no room for."""

    registers: int
    frame: int
    spilled: int


@cache
def taken(text, capability):
    """What PTX takes once it is machine code of an architecture; the linker assembles it without a driver."""
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"]
    linker, code = nvjitlink.create(len(options), options), text.encode()
    nvjitlink.add_data(linker, nvjitlink.InputType.PTX, code, len(code), "kernel")
    nvjitlink.complete(linker)
    log = bytearray(nvjitlink.get_info_log_size(linker))
    nvjitlink.get_info_log(linker, log)
    nvjitlink.destroy(linker)
    said = log.decode()
    (registers,) = re.findall(r"Used (\d+) registers", said)
    stack = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said)
    frames, stored, loaded = np.array(stack, np.int64).T  # of the kernel, and of functions that it calls
    return Taken(int(registers), int(frames.sum()), int(max(stored.sum(), loaded.sum())))
