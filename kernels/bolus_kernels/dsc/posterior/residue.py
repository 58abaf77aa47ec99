"""The exact posterior of one voxel's flow, transit times and delay: a sum over a bank, refined where it is sharp."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.dsc.posterior.bank import HALF_MORE, LANES, MORE_DELAYS, MTTS
from bolus_kernels.dsc.posterior.mass import NO_BITS, ROOM, XX, ZERO, P, X, node_of, score_windows, sum_up
from bolus_kernels.dsc.posterior.ridge import around, ridge
from bolus_kernels.dsc.posterior.shapes import SHAPES
from bolus_kernels.jit import finite_part

WORTH, UNSURE = np.float32(8.0), np.float32(0.05)
"""Nodes of a finer grid are looked at where they may come this close to the best."""
RESOLVED_ALONG, RESOLVED_ACROSS = np.float32(1.7**2), np.float32(2.0**2)
"""How much the score may bend from a node to the next: steps of so many SDs, squared, of transit times and of delays."""
UNKNOWNS = 4
"""Degrees of freedom that the best template takes: constant, flow, transit time, delay."""
ROUNDING = np.float32(4e-6)
"""Of the mean: what a curve that is constant still varies by."""
FOUR, NINE = np.float32(4), np.float32(9)


@finite_part
def voxel_posterior(
    told: Any, square: Any, floor: Any, freedom: Any, unit: Any, flow: Any, coarse: Any, middle: Any, fine: Any,
    room: Any, result: Any,
) -> int:  # fmt: skip
    """Mean and SD of every unknown; gives the most probable shape, or -1 where no template has a positive flow.

    told : (COMPONENTS,), the curve in components. square : its squared norm. floor : the least noise variance.
    unit : what turns a correlation over a norm into CBF/m. result : (10,), in the order X, V, D, L, H: means, SDs.
    """
    sums, mass, count, grid = room.sums, room.mass, SHAPES * MTTS, coarse
    for i in range(count):
        room.rows[i], room.starts[i] = i, 0
    for level in range(2):
        best = correlate(grid, told, count, room)
        if not best > ZERO:
            return -1
        noise = sqrt(max(square - best * best, ZERO) / freedom + floor)
        top = score_windows(grid, best, noise, count, room)
        if level > 0:
            break
        highest, across, along = ridge(room.score[node_of(top, room)], room)
        if across <= RESOLVED_ACROSS and along <= RESOLVED_ALONG:
            break
        denser = HALF_MORE if across <= NINE * RESOLVED_ACROSS else MORE_DELAYS
        grid = middle if denser == HALF_MORE else fine
        step = 8 if along <= RESOLVED_ALONG else (4 if along <= FOUR * RESOLVED_ALONG else 2)
        step = 1 if along > FOUR * FOUR * RESOLVED_ALONG else step
        count = ROOM + 1
        while count > ROOM:
            count = around(highest - WORTH - UNSURE * (along + across), denser, step, room)
            step *= 2
    sum_up(grid, best / noise, noise, unit, flow, top, count, room)
    for i in range(5):
        mean = sums[X + i] / sums[P]
        result[i], result[5 + i] = mean, sqrt(max(sums[XX + i] / sums[P] - mean * mean, ZERO))
    likely = 0
    for s in range(SHAPES):
        likely = s if mass[s] > mass[likely] else likely
    return likely


@finite_part
def correlate(grid: Any, told: Any, count: int, room: Any) -> Any:
    """Correlations of the curve with every template of the windows; gives the largest, or a negative number."""
    parts, correlation, best = grid.parts, room.correlation, NO_BITS
    c0, c1, c2, c3, c4, c5, c6 = told[0], told[1], told[2], told[3], told[4], told[5], told[6]
    c7, c8, c9, c10, c11, c12, c13 = told[7], told[8], told[9], told[10], told[11], told[12], told[13]
    c14, c15, c16, c17, c18, c19 = told[14], told[15], told[16], told[17], told[18], told[19]
    for i in range(count):
        r, start, first = room.rows[i], np.uint64(room.starts[i]), np.uint64(LANES * i)
        for j in range(LANES):  # written out: a loop over components would not leave the sums in registers
            at = start + np.uint64(j)
            a = c0 * parts[r, 0, at] + c1 * parts[r, 1, at] + c2 * parts[r, 2, at] + c3 * parts[r, 3, at]
            b = c4 * parts[r, 4, at] + c5 * parts[r, 5, at] + c6 * parts[r, 6, at] + c7 * parts[r, 7, at]
            a += c8 * parts[r, 8, at] + c9 * parts[r, 9, at] + c10 * parts[r, 10, at] + c11 * parts[r, 11, at]
            b += c12 * parts[r, 12, at] + c13 * parts[r, 13, at]
            a += c14 * parts[r, 14, at] + c15 * parts[r, 15, at]
            b += c16 * parts[r, 16, at] + c17 * parts[r, 17, at]
            a += c18 * parts[r, 18, at] + c19 * parts[r, 19, at]
            correlation[first + np.uint64(j)] = a + b
            # the bits of positive numbers are in their order
            best = max(best, np.float32(a + b).view(np.int32))
    return np.int32(best).view(np.float32)
