"""Correlations of curves with templates, both told in components: of one curve by windows, of a pack with all."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.dsc.posterior.bank import LANES
from bolus_kernels.dsc.posterior.mass import NO_BITS
from bolus_kernels.jit import finite_part, inlined

PACK = 4
"""Voxels that read the templates of the coarse grid together: of more, sums would not stay in registers."""


@inlined
def components(told: Any, v: Any) -> Any:
    """The components of voxel v, one by one: an array would be read anew for every template."""
    return (
        told[0, v], told[1, v], told[2, v], told[3, v], told[4, v], told[5, v], told[6, v], told[7, v],
        told[8, v], told[9, v], told[10, v], told[11, v], told[12, v], told[13, v], told[14, v], told[15, v],
        told[16, v], told[17, v], told[18, v], told[19, v],
    )  # fmt: skip


@inlined
def along(c: Any, parts: Any, r: Any, at: Any) -> Any:
    """Correlation with one template; written out: a loop over components would not leave its sum in registers."""
    a = c[0] * parts[r, 0, at] + c[1] * parts[r, 1, at] + c[2] * parts[r, 2, at] + c[3] * parts[r, 3, at]
    b = c[4] * parts[r, 4, at] + c[5] * parts[r, 5, at] + c[6] * parts[r, 6, at] + c[7] * parts[r, 7, at]
    a += c[8] * parts[r, 8, at] + c[9] * parts[r, 9, at] + c[10] * parts[r, 10, at] + c[11] * parts[r, 11, at]
    b += c[12] * parts[r, 12, at] + c[13] * parts[r, 13, at]
    a += c[14] * parts[r, 14, at] + c[15] * parts[r, 15, at]
    b += c[16] * parts[r, 16, at] + c[17] * parts[r, 17, at]
    return a + c[18] * parts[r, 18, at] + (b + c[19] * parts[r, 19, at])


@finite_part
def correlate(grid: Any, told: Any, voxel: int, count: int, room: Any) -> Any:
    """Correlations of a curve with the templates of the windows; gives the largest, or a negative number."""
    parts, correlation, best = grid.parts, room.correlation, NO_BITS
    own = components(told, voxel)
    for i in range(count):
        r, start, first = room.rows[i], np.uint64(room.starts[i]), np.uint64(LANES * i)
        for j in range(LANES):
            z = along(own, parts, r, start + np.uint64(j))
            correlation[first + np.uint64(j)] = z
            best = max(best, np.float32(z).view(np.int32))  # the bits of positive numbers are in their order
    return np.int32(best).view(np.float32)


@finite_part
def correlate_pack(grid: Any, told: Any, voxel: int, correlation: Any, best: Any) -> None:
    """Correlations of PACK curves, from `voxel` on, with the whole coarse grid, and the largest of each.

    correlation : (PACK, rows LANES). best : (PACK,).
    """
    parts = grid.parts
    c0, c1 = components(told, voxel), components(told, voxel + 1)
    c2, c3 = components(told, voxel + 2), components(told, voxel + 3)
    z0, z1, z2, z3 = correlation[0], correlation[1], correlation[2], correlation[3]
    b0, b1, b2, b3 = NO_BITS, NO_BITS, NO_BITS, NO_BITS
    for r in range(parts.shape[0]):
        first = np.uint64(LANES * r)
        for j in range(LANES):
            at = np.uint64(j)
            d0, d1 = along(c0, parts, r, at), along(c1, parts, r, at)
            d2, d3 = along(c2, parts, r, at), along(c3, parts, r, at)
            z0[first + at], z1[first + at], z2[first + at], z3[first + at] = d0, d1, d2, d3
            b0, b1 = max(b0, np.float32(d0).view(np.int32)), max(b1, np.float32(d1).view(np.int32))
            b2, b3 = max(b2, np.float32(d2).view(np.int32)), max(b3, np.float32(d3).view(np.int32))
    best[0], best[1] = np.int32(b0).view(np.float32), np.int32(b1).view(np.float32)
    best[2], best[3] = np.int32(b2).view(np.float32), np.int32(b3).view(np.float32)
