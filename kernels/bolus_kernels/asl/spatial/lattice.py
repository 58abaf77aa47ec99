"""Voxels on a padded grid, x fastest: a neighbour is the same jump away from every voxel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LANES = 32
"""Voxels of one line that are worked on side by side."""


class Lattice(NamedTuple):
    """Where voxels lie in an array (size,) with room for `reach` around them.

    place : (n,) int64, of each voxel. base, width : (m,) int64, stretches of at most LANES places along x that hold
    them all. stride : (3,) int64, from a voxel to the next along x, y and z. voxel_size : (3,) mm.
    """

    place: NDArray[np.int64]
    base: NDArray[np.int64]
    width: NDArray[np.int64]
    stride: NDArray[np.int64]
    size: int
    voxel_size: NDArray[np.float64]


class Window(NamedTuple):
    """Neighbours within a radius: jump : (w,) int64, to each; near : (w,) float32, 1 in the centre, 0 at the rim."""

    jump: NDArray[np.int64]
    near: NDArray[np.float32]

    def without_centre(self) -> Window:
        """The same neighbours, but not the voxel itself."""
        return self._replace(near=np.where(self.jump == 0, np.float32(0), self.near))


def lattice(voxels: NDArray[Any], voxel_size: NDArray[Any], reach: float) -> Lattice:
    """Lay out voxels (n, 3), whole numbers, each of voxel_size (3,) mm, so that no window of `reach` mm leaves."""
    size = np.asarray(voxel_size, np.float64)
    margin = np.floor(reach / size).astype(np.int64)
    at = np.asarray(voxels, np.int64).reshape(-1, 3)
    low, high = (at.min(0), at.max(0)) if len(at) else (np.zeros(3, np.int64), np.zeros(3, np.int64))
    shape = high - low + 1 + 2 * margin
    stride = np.array([1, shape[0], shape[0] * shape[1]])
    place = (at - low + margin) @ stride
    base = _stretches(place, int(shape[0]))
    width = np.minimum(LANES, shape[0] - base % shape[0])
    return Lattice(place, base, width, stride, int(np.prod(shape)) + LANES, size)


def _stretches(place: NDArray[np.int64], line: int) -> NDArray[np.int64]:
    """First places of the stretches: each line is cut from its first voxel on; those without voxels are left out."""
    if not place.size:
        return place
    lines, which = np.unique(place // line, return_inverse=True)
    first = np.full(lines.size, place.max())
    np.minimum.at(first, which, place)
    return np.unique(place - (place - first[which]) % LANES)


def window(grid: Lattice, radius: float) -> Window:
    """All neighbours nearer than radius (mm), weighed by 1 - (distance/radius)^2."""
    reach = np.floor(radius / grid.voxel_size).astype(np.int64)
    axes = [np.arange(-steps, steps + 1) for steps in reach]
    offset = np.stack(np.meshgrid(*axes[::-1], indexing="ij"), -1).reshape(-1, 3)[:, ::-1]
    near = 1 - np.sum((offset * grid.voxel_size / radius) ** 2, axis=1)
    inside = near > 0
    return Window(offset[inside] @ grid.stride, near[inside].astype(np.float32))


def spread(grid: Lattice, values: NDArray[Any]) -> NDArray[np.float32]:
    """Values (n, k) of voxels on the lattice, (k, size) float32; 0 where there is no voxel."""
    laid = np.zeros((values.shape[1], grid.size), np.float32)
    laid[:, grid.place] = values.T
    return laid
