"""Tiles of voxels: some curves side by side, as the inner loops take them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import part

TILE = 128
"""Voxels side by side in a tile: 60 samples of them fit the first cache, a row of them fills registers."""
LINE = 16
"""Floats in a line of the cache."""
FINITE = np.float32(3e38)


def time_major(curves: NDArray[Any]) -> NDArray[np.float32]:
    """Curves (n, t) as (t, n) float32 to read; nothing is copied when they come as a file has them."""
    by_time = np.ascontiguousarray(curves.T, np.float32)
    by_time.flags.writeable = False  # one compiled kernel, whether or not the caller's array may be written
    return by_time


def aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Memory of a kernel that begins with a line of the cache: no register is filled from two of them."""
    size = math.prod(shape)
    memory = np.empty(size + LINE, np.float32)
    begin = -memory.ctypes.data // memory.itemsize % LINE
    return memory[begin : begin + size].reshape(shape)


@part
def gather(curves: Any, begin: int, width: int, tile: Any, finite: Any) -> None:
    """Copy `width` curves of (t, n) into a tile; one that is not finite becomes zero, as do columns left over."""
    total = np.zeros(TILE, np.float32)
    tile[:] = 0
    for t in range(curves.shape[0]):
        # Slices, because an index that is a sum does not vectorise: Numba asks whether it is negative.
        row, to = curves[t, begin : begin + width], tile[t]
        for v in range(width):
            to[v] = row[v]
            total[v] += row[v]  # carries a NaN or an infinity to the end
    for v in range(TILE):
        finite[v] = abs(total[v]) <= FINITE
        if not finite[v]:
            tile[:, v] = 0
