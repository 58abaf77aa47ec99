"""The points that regions are around, on a lattice over the volume, and how near each is to a voxel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import part

Array = NDArray[np.float32]

SPACING = 12.0
"""mm, between the points that regions are around: more, and a late territory is taken for the tissue beside it; less,
and white matter has no signal of its own. Results differ little between 10 and 16."""
SPREAD = np.float32(0.6)
"""s, by how much arrivals may differ within a region, tissues among them, where points are weighed with each other."""
ZERO, ONE = np.float32(0), np.float32(1)


class Lattice(NamedTuple):
    """Points about SPACING mm apart, from one side of a volume to the other, and where voxels lie between them.

    place : (x + y + z,), of each voxel's x, then of each y and z: how many points are before it, with a fraction.
    shape, points : of the volume and of the lattice, (3,) int64.
    """

    place: Array
    shape: NDArray[np.int64]
    points: NDArray[np.int64]


def lattice(shape: tuple[int, ...], voxel_size: tuple[float, ...]) -> Lattice:
    """The lattice of a volume; two points along each axis at least, which a single slice lies between."""
    points = [max(1, round(n * size / SPACING)) + 1 for n, size in zip(shape, voxel_size, strict=True)]
    place = [(np.arange(n) + 0.5) / n * (many - 1) for n, many in zip(shape, points, strict=True)]
    whole = np.concatenate(place).astype(np.float32)
    return Lattice(whole, np.array(shape, np.int64), np.array(points, np.int64))


@part
def around(voxel: int, grid: Any, point: Any, near: Any) -> None:
    """The eight points around a voxel, (8,), and how near each is: shares that sum to 1."""
    point[:], near[:] = 0, ONE
    rest, start, stride, step = voxel, 0, 1, 1
    for axis in range(3):
        place = grid.place[start + rest % grid.shape[axis]]
        before = min(np.int64(place), grid.points[axis] - 2)
        after = place - np.float32(before)
        for corner in range(8):
            far = (corner // step) % 2
            point[corner] += stride * (before + far)
            near[corner] *= after if far == 1 else ONE - after
        rest, start = rest // grid.shape[axis], start + grid.shape[axis]
        stride, step = stride * grid.points[axis], 2 * step


@part
def expected(told: Any, point: Any, near: Any) -> Any:
    """Mean (s) of a voxel's arrival, by nearness and certainty, and its variance (s^2) but for the scatter in a region:
    what the points do not know, and how far they are apart.

    told : (points, 2), how certain each is of an arrival SPREAD about its own, 1/s^2, and that times its own, s; 0
    where it knows of none. Third, the nearness of those that know.
    """
    precision, total, squares, whole = ZERO, ZERO, ZERO, ZERO
    for corner in range(8):
        certain, weighed = told[point[corner], 0], told[point[corner], 1]
        if near[corner] * certain > ZERO:
            precision += near[corner] * certain
            total += near[corner] * weighed
            squares += near[corner] * weighed * (weighed / certain)
            whole += near[corner]
    mean = total / precision
    apart = max(squares / precision - mean * mean, ZERO)
    return mean, max(whole / precision - SPREAD * SPREAD, ZERO) + apart, whole
