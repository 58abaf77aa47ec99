"""One launcher for every GPU kernel: cut voxels to the free memory, and run a thread for each, cuts side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from bolus_kernels.cuda.lane import Lane
from bolus_kernels.cuda.text import Compiled, Text
from bolus_kernels.device import Device, empty_on_device, free_memory, is_on_device, on_device, streams
from bolus_kernels.jit import part
from bolus_kernels.tiles import FINITE

U: Any = np.uint32
"""The type of places within a kernel: one that may be negative would be looked at before every use."""
LANES = 3
"""While one cut is computed, the next goes over and the last comes back."""
CUT = 1 << 15
"""Voxels that go over together, where they have to: enough for a copy at full speed, few enough to be soon there."""
SHARE = 0.5
"""Of the free memory, all lanes together; the rest is for other processes on the GPU and the allocator's rounding."""


class Scratch(NamedTuple):
    """Memory that every voxel works in, not cleared: an array (*shape, n) on the device."""

    shape: tuple[int, ...]
    dtype: Any = np.float32


def over_voxels(
    body: Callable[..., None] | Text,
    voxelwise: Sequence[NDArray[Any]],
    shared: Sequence[Any],
    maps: Sequence[NDArray[Any]],
    device: Device,
    scratch: Sequence[Scratch] = (),
) -> None:
    """Fill maps by `body(*voxelwise, *shared, *scratch, *maps)`, whose thread `cuda.grid(1)` is a voxel; or by a text.

    voxelwise : curves and what else has a row per voxel, (n, m) or (n,), on the device (m, n) or (n,): neighbours
    touch neighbours. shared : tables that all voxels read, and numbers. maps : likewise (n, m) or (n,); where the body
    writes nothing, the one value that a map holds throughout stays. Any array may lie on the device already: then
    nothing of it is copied over the bus, and a map stays there, whatever it holds.
    """
    eaten, filled = [array.T for array in voxelwise], [array.T for array in maps]
    there = [on_device(one) if isinstance(one, np.ndarray) else one for one in shared]
    count, most = len(voxelwise[0]), _voxels_at_once([*eaten, *filled], scratch, device)
    at_once = count <= most and is_on_device(voxelwise[0])
    step = max(1, count if at_once else min(CUT, most // LANES))
    lanes = [Lane(stream) for stream in streams(max(1, min(LANES, -(-count // step))))]
    try:
        for number, begin in enumerate(range(0, count, step)):
            lane, cut = lanes[number % len(lanes)], np.s_[..., begin : begin + step]
            lane.land()
            with lane.stream:
                given, wanted = [lane.over(array[cut]) for array in eaten], [array[cut] for array in filled]
                made, width = [lane.to_fill(array) for array in wanted], given[0].shape[-1]
                room = [empty_on_device((*one.shape, width), one.dtype) for one in scratch]
                lane.start(compiled(body), width, *given, *there, *room, *made)
                for one, to in zip(made, wanted, strict=True):
                    lane.back(one, to)
    finally:
        for lane in lanes:
            lane.land()


@cache
def compiled(body: Callable[..., None] | Text) -> Any:
    """The kernel of a body, to launch as `compiled(body)[blocks, threads, stream](...)`; made at its first launch."""
    return Compiled(body) if isinstance(body, Text) else cuda.jit(body)


def _voxels_at_once(arrays: Sequence[NDArray[Any]], scratch: Sequence[Scratch], device: Device) -> int:
    """How many voxels of these arrays, with their scratch, fit into the memory that is free."""
    shapes = [(array.shape[:-1], array.dtype) for array in arrays] + [tuple(one) for one in scratch]
    each: int = sum(prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes)
    return int(SHARE * free_memory(device)) // each


@part
def finite(curves: Any, voxel: Any) -> Any:
    """Whether a column of (t, n) holds neither NaN nor infinity, nor what overflows."""
    total = np.float32(0)
    for t in range(U(curves.shape[0])):
        total += curves[t, voxel]
    return abs(total) <= FINITE
