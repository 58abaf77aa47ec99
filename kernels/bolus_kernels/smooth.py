"""Smoothing of one image: a Gaussian along each axis in turn, many voxels side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel, part

REACH = 4.0
"""Standard deviations after which the Gaussian ends."""
_f, _d = np.float32, np.float64


def gaussian(image: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """An image (z, y, x) float32, any unit, smoothed by a Gaussian of `sigma` voxels, which sees it mirrored outside.

    Each axis is summed in double precision and kept in single, as `scipy.ndimage.gaussian_filter` does.
    """
    reach = int(REACH * sigma + 0.5)
    weight = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weight /= weight[0] + 2 * weight[1:].sum()
    one, two = (np.empty(image.shape, np.float32) for _ in range(2))
    _gaussian(np.ascontiguousarray(image, np.float32), weight, one, two)
    return one


@kernel
def _gaussian(image: Any, weight: Any, one: Any, two: Any) -> None:
    """Along z into `one`, along y into `two`, along x into `one`."""
    depth, height, width = image.shape
    sums = np.empty(width, np.float64)
    for z in range(depth):
        for y in range(height):
            _start(image[z, y], weight[0], sums)
            for j in range(1, weight.size):
                _add(image[_mirrored(z - j, depth), y], image[_mirrored(z + j, depth), y], weight[j], sums)
            _keep(sums, one[z, y])
        for y in range(height):
            _start(one[z, y], weight[0], sums)
            for j in range(1, weight.size):
                _add(one[z, _mirrored(y - j, height)], one[z, _mirrored(y + j, height)], weight[j], sums)
            _keep(sums, two[z, y])
    reach = weight.size - 1
    line = np.empty(width + 2 * reach, np.float32)
    for z in range(depth):
        for y in range(height):
            line[reach : reach + width] = two[z, y]
            for j in range(reach):
                line[j] = two[z, y, _mirrored(j - reach, width)]
                line[reach + width + j] = two[z, y, _mirrored(width + j, width)]
            _start(two[z, y], weight[0], sums)
            for j in range(1, weight.size):
                _add(
                    line[reach - j : reach - j + width], line[reach + j : reach + j + width], weight[j], sums
                )
            _keep(sums, one[z, y])


@part
def _mirrored(at: int, size: int) -> int:
    """Where a place outside an axis finds its mirror image: ... 1 0 0 1 2 ..., as often as it takes."""
    at %= 2 * size
    return at if at < size else 2 * size - 1 - at


@part
def _start(row: Any, weight: Any, sums: Any) -> None:
    for x in range(sums.size):
        sums[x] = weight * _d(row[x])


@part
def _add(before: Any, after: Any, weight: Any, sums: Any) -> None:
    for x in range(sums.size):
        sums[x] += weight * (_d(before[x]) + _d(after[x]))


@part
def _keep(sums: Any, row: Any) -> None:
    for x in range(sums.size):
        row[x] = _f(sums[x])
