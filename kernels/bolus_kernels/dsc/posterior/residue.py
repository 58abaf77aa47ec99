"""The exact posterior of one voxel's flow, transit times and delay: a sum over a bank, refined where it is sharp."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.dsc.posterior.bank import HALF_MORE, MORE_DELAYS, MORE_MTTS, MTTS
from bolus_kernels.dsc.posterior.correlate import correlate
from bolus_kernels.dsc.posterior.mass import (
    ABOUT,
    HALF,
    ROOM,
    TWO,
    XX,
    ZERO,
    H,
    L,
    P,
    X,
    node_of,
    score_windows,
    sum_up,
)
from bolus_kernels.dsc.posterior.returning import let_return
from bolus_kernels.dsc.posterior.ridge import around, ridge
from bolus_kernels.dsc.posterior.shapes import BETWEEN, SHAPES
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp

WORTH, UNSURE = np.float32(9.0), np.float32(0.05)
"""Nodes of a finer grid are looked at where they may come this close to the best, and a share of its bends closer."""
RESOLVED_ALONG, RESOLVED_ACROSS = np.float32(1.7**2), np.float32(2.0**2)
"""How much the score may bend from node to node: that of steps of so many SDs, of transit times and of delays."""
TRIES = 12
"""To find so few windows that there is room for them; of those of the last the rest is left out."""
UNKNOWNS = 6
"""Degrees of freedom that the best template takes: constant, flow, transit time, delay, and two of its shape."""
ROUNDING = np.float32(4e-6)
"""Of the mean: what a curve that is constant still varies by."""
QUARTER = np.float32(1 / 4)
UNRESOLVED = np.float32(BETWEEN**2)
"""Variance between the shapes of the bank, added as far as one of them has all the mass: where several share it, what
lies between them is in their scatter."""


@finite_part
def voxel_posterior(
    told: Any, voxel: int, best: Any, square: Any, floor: Any, freedom: Any, unit: Any, flow: Any, coarse: Any,
    middle: Any, fine: Any, returned: Any, expected: Any, room: Any, result: Any,
) -> int:  # fmt: skip
    """Mean and SD of every unknown; gives the most probable shape, or -1 where no template has a positive flow.

    told : (COMPONENTS, n), curves in components, this one's at `voxel`. best : the largest of its correlations with
    the coarse grid, which the room holds. square : its squared norm. floor : the least noise variance; where
    the best template leaves more, it is in there. unit : what turns a correlation over a norm into CBF/m. result :
    (10,), in the order X, V, D, L, H: means, SDs. returned, expected : of `let_return`; 0 where nothing leaks.
    """
    sums, mass, count, grid, share = room.sums, room.mass, SHAPES * MTTS, coarse, ZERO
    for i in range(count):
        room.rows[i], room.starts[i] = i, 0
    for level in range(2):
        if expected > ZERO:
            best, variance, share = let_return(grid, returned, expected, square, freedom, floor, count, room)
        else:
            left = max(square - best * best, ZERO) / freedom
            variance = sqrt(left * left + floor * floor)
        if not best > ZERO:
            return -1
        noise = sqrt(variance)
        top = score_windows(grid, best, noise, count, room)
        if level > 0:
            break
        best_score = room.score[node_of(top, room)]
        highest, across, along = ridge(best_score, room)
        if across <= RESOLVED_ACROSS and along <= RESOLVED_ALONG:
            break
        denser = HALF_MORE if across <= np.float32(HALF_MORE**2) * RESOLVED_ACROSS else MORE_DELAYS
        grid, step, share = middle if denser == HALF_MORE else fine, MORE_MTTS, along
        while step > 1 and share > RESOLVED_ALONG:
            step, share = step // 2, share * QUARTER
        least = min(highest - WORTH - UNSURE * (along + across), best_score)
        for _ in range(TRIES):
            count = around(least, denser, step, room)
            if count <= ROOM:
                break
            least = least if step < MORE_MTTS else HALF * (least + best_score)
            step = min(2 * step, MORE_MTTS)
        count = min(count, ROOM)
        best = correlate(grid, told, voxel, count, room)
    sum_up(grid, best / noise, noise, unit, flow, top, count, share, room)
    likely, alone = 0, ZERO
    for s in range(SHAPES):
        likely = s if mass[s] > mass[likely] else likely
        alone += mass[s] * mass[s]
    between = UNRESOLVED * alone / (sums[P] * sums[P])
    for i in range(X, XX):
        mean = sums[i] / sums[P]
        variance = max(sums[XX - X + i] / sums[P] - mean * mean, ZERO)
        if i in (X, L, H):
            variance += between * exp(TWO * result[L - X]) if i == H else between
        result[i - X], result[XX - X + i - X] = sums[ABOUT + i - X] + mean, sqrt(variance)
    return likely
