"""Where voxels and their neighbours lie for the regression, and below what a tissue's signal cannot be told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.tiles import TILE

LEAST_SHARE = np.float32(0.1)
"""Of a tissue in a voxel, below which nothing is said of it there."""
LEAST_SQUARES = np.float32(0.01)
"""Of a tissue's shares beyond what the other tissues explain, summed over the neighbours: below it the pure signal
would scatter more than ten times as much as a voxel does, as that of one voxel of the least share would."""
LEAST_SEEN = np.float32(1e-6)
"""Of a tissue's shares, squared and summed over the neighbours, below which it is none of them."""
ALIKE = np.float32(1e-10)
"""Share of a tissue's sum of squares beyond another tissue that is rounding: they cannot be told apart."""
ZERO, ONE = np.float32(0), np.float32(1)


class Layout(NamedTuple):
    """Slices with `margin` places around them, x fastest; a neighbour is the same jump away from every voxel.

    row : (slices, places) int64, which voxel lies there, -1 where none that can be used does. place : (n,) int64, of
    each voxel in the flat `row`. jumps : (m,) int64, from `margin` places before a voxel to each neighbour.
    """

    row: NDArray[np.int64]
    place: NDArray[np.int64]
    jumps: NDArray[np.int64]
    margin: int


def layout(
    voxels: NDArray[np.int64], good: NDArray[np.bool_], shape: tuple[int, int, int], reach: int
) -> Layout:
    """Where voxels (n,) lie, with room for `reach` neighbours around every slice; good : (n,)."""
    x, y, z = np.unravel_index(voxels, shape, order="F")
    line, lines = shape[0] + 2 * reach, shape[1] + 2 * reach
    row = np.full((shape[2], line * lines + TILE), -1, np.int64)
    place = z * row.shape[1] + (y + reach) * line + x + reach
    row.reshape(-1)[place] = np.where(good, np.arange(len(voxels)), -1)
    steps = np.arange(2 * reach + 1)
    return Layout(row, place, (line * steps[:, None] + steps).reshape(-1), reach * line + reach)
