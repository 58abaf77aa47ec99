"""Tiles of voxels: gather some curves side by side, and multiply a matrix with them, the same for every place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel

TILE = 128
"""Voxels side by side in a tile: 60 samples of them fit the first cache, a row of them fills registers."""
FINITE = np.float32(3e38)


def time_major(curves: NDArray[Any]) -> NDArray[np.float32]:
    """Curves (n, t) as (t, n) float32 in memory; nothing is copied when they come as a file has them."""
    return np.ascontiguousarray(curves.T, np.float32)


def padded(matrix: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """A matrix with rows and columns of zeros added until both counts are multiples of four, as `multiply` takes."""
    rows, columns = matrix.shape
    whole = np.zeros((rows + -rows % 4, columns + -columns % 4), dtype)
    whole[:rows, :columns] = matrix
    return whole


@kernel
def gather(curves: Any, begin: int, width: int, tile: Any, finite: Any) -> None:
    """Copy `width` curves of (t, n) into a tile; one that is not finite becomes zero, as do columns left over."""
    total = np.zeros(TILE, np.float32)
    tile[:] = 0
    for t in range(curves.shape[0]):
        for v in range(width):
            tile[t, v] = curves[t, begin + v]
            total[v] += curves[t, begin + v]  # carries a NaN or an infinity to the end
    for v in range(TILE):
        finite[v] = abs(total[v]) <= FINITE
        if not finite[v]:
            tile[:, v] = 0


@kernel
def multiply(matrix: Any, tile: Any, product: Any) -> None:
    """product = matrix @ tile in blocks of 4 x 4, with one order of summation for every voxel of a tile.

    A library's product sums differently at the edge of a tile, and a voxel's value would depend on its place.
    """
    product[:] = 0
    for r in range(0, matrix.shape[0], 4):
        for k in range(0, matrix.shape[1], 4):
            a0, a1, a2, a3 = matrix[r, k], matrix[r, k + 1], matrix[r, k + 2], matrix[r, k + 3]
            b0, b1, b2, b3 = (
                matrix[r + 1, k],
                matrix[r + 1, k + 1],
                matrix[r + 1, k + 2],
                matrix[r + 1, k + 3],
            )
            c0, c1, c2, c3 = (
                matrix[r + 2, k],
                matrix[r + 2, k + 1],
                matrix[r + 2, k + 2],
                matrix[r + 2, k + 3],
            )
            d0, d1, d2, d3 = (
                matrix[r + 3, k],
                matrix[r + 3, k + 1],
                matrix[r + 3, k + 2],
                matrix[r + 3, k + 3],
            )
            for v in range(TILE):
                x0, x1, x2, x3 = tile[k, v], tile[k + 1, v], tile[k + 2, v], tile[k + 3, v]
                product[r, v] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                product[r + 1, v] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                product[r + 2, v] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                product[r + 3, v] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
