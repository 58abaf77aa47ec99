"""One launcher for every GPU kernel: move arrays, cut voxels to the free memory, run one thread a voxel, bring back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from bolus_kernels.device import (
    Device,
    empty_on_device,
    free_memory,
    from_device,
    full_on_device,
    is_on_device,
    on_device,
)
from bolus_kernels.jit import part
from bolus_kernels.tiles import FINITE

THREADS = 128
MOST_VOXELS = 1 << 20
"""Voxels of one launch: whole scans, which fill the largest GPU there is; more would only take memory."""
SHARE = 0.5
"""Of the free memory; the rest is for another process on the same GPU, and for the allocator's rounding."""


class Scratch(NamedTuple):
    """Memory that every voxel works in, not cleared: an array (*shape, n) on the device."""

    shape: tuple[int, ...]
    dtype: Any = np.float32


def over_voxels(
    body: Callable[..., None],
    voxelwise: Sequence[NDArray[Any]],
    shared: Sequence[Any],
    maps: Sequence[NDArray[Any]],
    device: Device,
    scratch: Sequence[Scratch] = (),
) -> None:
    """Fill maps by `body(*voxelwise, *shared, *scratch, *maps)`, whose thread `cuda.grid(1)` is a voxel.

    voxelwise : curves and what else has a row per voxel, (n, m) or (n,), on the device (m, n) or (n,): neighbours
    touch neighbours. shared : tables that all voxels read, and numbers. maps : likewise (n, m) or (n,); where the body
    writes nothing, the one value that a map holds throughout stays. Any array may lie on the device already: then
    nothing of it is copied over the bus, and a map stays there, whatever it holds.
    """
    eaten, filled = [array.T for array in voxelwise], [array.T for array in maps]
    there = [on_device(one) if isinstance(one, np.ndarray) else one for one in shared]
    step = _voxels_at_once([*eaten, *filled], scratch, device)
    for begin in range(0, len(voxelwise[0]), step):
        cut = np.s_[..., begin : begin + step]
        given = [on_device(array[cut]) for array in eaten]
        wanted = [array[cut] for array in filled]
        made = [_to_fill(array) for array in wanted]
        width = given[0].shape[-1]
        room = [empty_on_device((*one.shape, width), one.dtype) for one in scratch]
        compiled(body)[-(-width // THREADS), THREADS](*given, *there, *room, *made)
        for array, result in zip(wanted, made, strict=True):
            if result is not array:
                array[...] = result if is_on_device(array) else from_device(result)


def _to_fill(array: Any) -> Any:
    """Some voxels of a map as the body fills them: of one in the host's memory only the value it holds goes over."""
    if is_on_device(array):
        return on_device(array)
    return full_on_device(array.shape, array.dtype, array.flat[0] if array.size else 0)


@cache
def compiled(body: Callable[..., None]) -> Any:
    """The kernel of a body, ready to launch as `compiled(body)[blocks, threads](...)`; compiled at its first launch."""
    return cuda.jit(body)


def _voxels_at_once(arrays: Sequence[NDArray[Any]], scratch: Sequence[Scratch], device: Device) -> int:
    """How many voxels of these arrays, with their scratch, fit into the memory that is free."""
    shapes = [(array.shape[:-1], array.dtype) for array in arrays] + [tuple(one) for one in scratch]
    each: int = sum(prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes)
    return max(1, min(MOST_VOXELS, int(SHARE * free_memory(device)) // each))


@part
def finite(curves: Any, voxel: int) -> Any:
    """Whether a column of (t, n) holds neither NaN nor infinity, nor what overflows."""
    total = np.float32(0)
    for t in range(curves.shape[0]):
        total += curves[t, voxel]
    return abs(total) <= FINITE
