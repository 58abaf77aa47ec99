"""A voxel and its neighbours under a window, and what all of them show as if they were two voxels."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.partial_volume.layout import ALIKE, ONE, ZERO, Layout
from bolus_kernels.jit import finite_part

EXTENT = 3
"""Of the window's widest SD, to each side."""
LEAST_SHARE = 0.01
"""Neighbours that weigh less, next to the voxel's own 1, are left out."""


class Window(NamedTuple):
    """row : (places,) int64, which voxel lies there, -1 where none does. jumps : (m,) int64, from a voxel's place to
    each neighbour, its own last. shares : (m,) float32, the weight of each one's log likelihood.
    """

    row: NDArray[np.int64]
    jumps: NDArray[np.int64]
    shares: NDArray[np.float32]


def window(laid: Layout, reach: int, width: float, own: float) -> Window:
    """Weights e^(-distance^2 / 2 width^2) within `reach` voxels to each side, and `own` for the voxel itself.

    width : the SD, in voxels.
    """
    away = np.arange(-reach, reach + 1) ** 2
    shares = np.exp(-(away[:, None] + away) / (2 * width**2)).reshape(-1)
    middle = shares.size // 2
    kept = np.append(np.setdiff1d(np.flatnonzero(shares >= LEAST_SHARE), middle), middle)
    shares[middle] = own
    return Window(laid.row.reshape(-1), laid.jumps[kept] - laid.margin, shares[kept].astype(np.float32))


@finite_part
def gather(
    place: int, means: Any, within: Any, amounts: Any, row: Any, jumps: Any, shares: Any, pairs: Any, seen: Any
) -> Any:  # fmt: skip
    """What a voxel and its neighbours show, as two voxels would: fills `seen`, (2, delays).

    Gives their amounts (grey, shared) and (0, white), the squares around them, and how many voxels they are worth.
    GM's amounts first and what they leave of WM's next, so that single precision is enough.
    """
    squares, whole, counted = ZERO, ZERO, ZERO
    for w in range(jumps.size):
        other = row[place + jumps[w]]
        if other >= 0:
            squares += shares[w] * amounts[0, other] * amounts[0, other]
            whole += shares[w] * amounts[1, other] * amounts[1, other]
            counted += shares[w]
    grey = sqrt(squares)
    inverse, shared, left_over = (ONE / grey if grey > ZERO else ZERO), ZERO, ZERO
    for w in range(jumps.size):
        other = row[place + jumps[w]]
        if other >= 0:
            shared += shares[w] * inverse * amounts[0, other] * amounts[1, other]
    for w in range(jumps.size):
        other = row[place + jumps[w]]
        if other >= 0:
            left = amounts[1, other] - shared * inverse * amounts[0, other]
            left_over += shares[w] * left * left
    white = sqrt(left_over if left_over > ALIKE * whole else ZERO)
    beyond = ONE / white if white > ZERO else ZERO
    seen[:] = ZERO
    for w in range(jumps.size):
        other = row[place + jumps[w]]
        if other >= 0:
            along = inverse * amounts[0, other]
            across = beyond * (amounts[1, other] - shared * along)
            for i in range(pairs.size):
                seen[0, i] += shares[w] * along * means[i, other]
                seen[1, i] += shares[w] * across * means[i, other]
    rest = ZERO
    for w in range(jumps.size):
        other = row[place + jumps[w]]
        if other >= 0:
            along = inverse * amounts[0, other]
            across = beyond * (amounts[1, other] - shared * along)
            rest += shares[w] * within[other]
            for i in range(pairs.size):
                left = means[i, other] - along * seen[0, i] - across * seen[1, i]
                rest += shares[w] * pairs[i] * left * left
    return grey, shared, white, rest, counted
