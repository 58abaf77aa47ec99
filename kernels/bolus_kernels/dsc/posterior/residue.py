"""The exact posterior of one voxel's flow, transit times and delay: a sum over a bank, refined where it is sharp."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.dsc.posterior.bank import (
    DELAYS,
    FINE_DELAYS,
    FINE_MTTS,
    LANES,
    MORE_DELAYS,
    MORE_MTTS,
    MTTS,
)
from bolus_kernels.dsc.posterior.mass import NO_BITS, PP, ROOM, RULER, XX, ZERO, P, X, sum_up
from bolus_kernels.dsc.posterior.shapes import SHAPES
from bolus_kernels.jit import finite_part

AROUND, BETWEEN = np.float32(2.0), np.float32(15.0)
"""How much better a fine node may be than the coarse ones around it: the second shared by the coarse nodes."""
KEEN, SHARP, RESOLVED = np.float32(4.0), np.float32(7.0), np.float32(18.0)
"""Coarse nodes that must share the mass: before every second fine transit time will do, before every fourth, before
no fine grid is needed."""
UNKNOWNS = 4
"""Degrees of freedom that the best template takes: constant, flow, transit time, delay."""
ROUNDING = np.float32(4e-6)
"""Of the mean: what a curve that is constant still varies by."""


@finite_part
def voxel_posterior(
    told: Any, square: Any, floor: Any, freedom: Any, unit: Any, flow: Any, coarse: Any, fine: Any, room: Any,
    result: Any,
) -> int:  # fmt: skip
    """Mean and SD of every unknown; gives the most probable shape, or -1 where no template has a positive flow.

    told : (COMPONENTS,), the curve in components. square : its squared norm. floor : the least noise variance.
    unit : what turns a correlation over a norm into CBF/m. result : (10,), in the order X, V, D, L, H: means, SDs.
    """
    sums, mass, count = room.sums, room.mass, SHAPES * MTTS
    for i in range(count):
        room.rows[i], room.starts[i] = i, 0
    for level in range(2):
        grid = coarse if level == 0 else fine
        best = correlate(grid, told, count, room)
        if not best > ZERO:
            return -1
        noise = sqrt(max(square - best * best, ZERO) / freedom + floor)
        enough = sum_up(grid, best / noise, noise, unit, flow, count, room)
        sharing = sums[P] * sums[P] / sums[PP]
        if level > 0 or sharing >= RESOLVED:
            break
        least = enough - AROUND - BETWEEN / sharing
        step, count = 1 if sharing < KEEN else (2 if sharing < SHARP else 4), ROOM + 1
        while count > ROOM:
            count = around(least, step, room)
            step *= 2
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
    parts, best = grid.parts, NO_BITS
    c0, c1, c2, c3, c4, c5, c6 = told[0], told[1], told[2], told[3], told[4], told[5], told[6]
    c7, c8, c9, c10, c11, c12, c13 = told[7], told[8], told[9], told[10], told[11], told[12], told[13]
    c14, c15, c16, c17, c18, c19 = told[14], told[15], told[16], told[17], told[18], told[19]
    for i in range(count):
        r, start = room.rows[i], np.uint64(room.starts[i])
        for j in range(LANES):  # written out: a loop over components would not leave the sums in registers
            at = start + np.uint64(j)
            a = c0 * parts[r, 0, at] + c1 * parts[r, 1, at] + c2 * parts[r, 2, at] + c3 * parts[r, 3, at]
            b = c4 * parts[r, 4, at] + c5 * parts[r, 5, at] + c6 * parts[r, 6, at] + c7 * parts[r, 7, at]
            a += c8 * parts[r, 8, at] + c9 * parts[r, 9, at] + c10 * parts[r, 10, at] + c11 * parts[r, 11, at]
            b += (
                c12 * parts[r, 12, at]
                + c13 * parts[r, 13, at]
                + c14 * parts[r, 14, at]
                + c15 * parts[r, 15, at]
            )
            a += (
                c16 * parts[r, 16, at]
                + c17 * parts[r, 17, at]
                + c18 * parts[r, 18, at]
                + c19 * parts[r, 19, at]
            )
            room.correlation[i, j] = a + b
            best = max(
                best, np.float32(a + b).view(np.int32)
            )  # the bits of positive numbers are in their order
    return np.int32(best).view(np.float32)


@finite_part
def around(least: Any, step: int, room: Any) -> int:
    """Windows of the fine grid around every coarse node that reaches the least score; gives how many there are.

    step : from one fine transit time to the next. Between two coarse transit times they hold the delays that either
    needs. Of more than there is room for the last are left out.
    """
    count, most = 0, ROOM - 1
    for s in range(SHAPES):
        early, late = DELAYS, -1
        for i in range(MTTS):
            row, low, high = s * MTTS + i, DELAYS, -1
            if np.float32(room.best[row]) >= RULER * least:
                for j in range(DELAYS):
                    if room.score[row, j] > least:
                        low, high = min(low, j), j
            first = MORE_DELAYS * max(min(early, low) - 1, 0)
            last = MORE_DELAYS * min(max(late, high) + 1, DELAYS - 1)
            if i > 0 and max(late, high) >= 0:
                windows = (last - first) // LANES + 1
                first = min(first, FINE_DELAYS - LANES * windows)
                stop = MORE_MTTS * i + (1 if i == MTTS - 1 else 0)
                for fine in range(MORE_MTTS * (i - 1), stop, step):
                    for window in range(windows):
                        place = min(count, most)
                        room.rows[place], room.starts[place] = s * FINE_MTTS + fine, first + LANES * window
                        count += 1
            early, late = low, high
    return count
