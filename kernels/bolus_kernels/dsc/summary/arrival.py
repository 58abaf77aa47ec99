"""When the bolus arrives in a voxel: where a rise that is fitted up to the peak begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.jit import part
from bolus_kernels.tiles import TILE

HALF, ONE, HUGE, NEVER = 0.5, 1.0, 1e300, np.inf
TWO, THREE = 2 * TILE, 3 * TILE
REACH, SHARE, TOTAL, SQUARES, BEST, LEAST = (TILE * row for row in range(4, 10))
QUANTITIES = 10
"""Rows of one array, which the compiler knows to lie apart; the first four are the sums of x^q C, q = 0...3."""
SIDE = 16
"""Voxels that are taken side by side at least, a divisor of TILE."""


@part
def arrival(tile: Any, first: int, at: Any, linear: bool, back: Any, misfits: Any, begun: Any) -> None:
    """The sample, with a fraction, at which a flat baseline best breaks into a rise towards the peak.

    tile : (t, TILE) float32, curves from sample `first` on to the peak at : (TILE,). back, misfits : scratch, both
    (t, TILE), float32 and float64. Gives begun : (TILE,) float32. For each candidate the curve is b before and
    b + g1 x^q + g2 x^{q+1} after, x the samples since then, q = 2, or 1 where `linear`, g1 >= 0, by least squares; the
    least sum of squares wins, refined by the parabola through it and its neighbours. Where the peak is the first
    sample it is the arrival.
    Source: Cheong et al., Phys Med Biol 48:N83 (2003), with q = 1.
    """
    order, wide = np.empty(TILE, np.int64), np.empty(tile.shape[0], np.int64)
    _by_reach(at, first, order, wide)
    sums = np.zeros(QUANTITIES * TILE)
    curves, turned = tile.ravel(), back.ravel()
    for k in range(TILE):
        v = order[k]
        reach = at[v] - first
        sums[k + REACH] = reach
        to, of = k, at[v] * TILE + v
        for _ in range(reach + 1):  # the peak first, then back in time: all voxels fall into step
            turned[to] = curves[of]
            to, of = to + TILE, of - TILE
        for _ in range(reach + 1, at[order[k - k % SIDE]] - first + 1):
            turned[to] = 0
            to += TILE
    _least_misfit(back, wide, linear, sums, misfits)
    for k in range(TILE):
        v, best = order[k], int(sums[k + BEST])
        begun[v] = np.float32(at[v] - best)
        if 1 < best < at[v] - first:
            before, after = misfits[best - 1, k], misfits[best + 1, k]
            bend = before - 2.0 * sums[k + LEAST] + after
            if bend > 0.0:
                begun[v] += np.float32(max(-HALF, min(HALF, HALF * (after - before) / bend)))


@part
def _by_reach(at: Any, first: int, order: Any, wide: Any) -> None:
    """Those voxels first that go the farthest back, so that a step is taken by few; wide[i] : how many take step i."""
    wide[:] = 0
    for v in range(TILE):
        wide[at[v] - first] += 1
    for i in range(wide.size - 2, -1, -1):
        wide[i] += wide[i + 1]
    for v in range(TILE - 1, -1, -1):
        wide[at[v] - first] -= 1  # where the next of this reach stands
        order[wide[at[v] - first]] = v
    wide[:] = 0
    for k in range(TILE):
        wide[at[order[k]] - first] = k + SIDE - k % SIDE
    for i in range(wide.size - 2, -1, -1):
        wide[i] = max(wide[i], wide[i + 1])


@part
def _least_misfit(back: Any, wide: Any, linear: bool, sums: Any, misfits: Any) -> None:
    """How many samples before the peak, BEST, the residual sum is LEAST, of equal ones the earliest; and all of them.

    Of two columns, less their means, with products h and sums r with the curve, least squares explain r2^2/h22 by the
    second, and (h22 r1 - h12 r2)^2/(h22 det h) more by the first, where what is squared is above 0. In double
    precision: near the best candidate misfits differ by less than single precision resolves. back : (t, TILE), zero
    where a voxel does not reach. misfits : (t, TILE), of each number of samples.
    """
    for i in range(wide.size):
        row = back[i]
        for k in range(wide[i]):
            c = np.float64(row[k])
            sums[k + TOTAL] += c
            sums[k + SQUARES] += c * c
    for k in range(TILE):
        share, total = ONE / (sums[k + REACH] + ONE), sums[k + TOTAL]
        sums[k + SHARE], sums[k + TOTAL] = share, total * share
        sums[k + SQUARES] -= total * total * share
        sums[k + LEAST] = HUGE
    p1 = p2 = p3 = p4 = p5 = p6 = 0.0  # sums of powers of x, x = 1...i
    for i in range(1, wide.size):
        x = np.float64(i)
        p1, p2, p3 = p1 + x, p2 + x**2, p3 + x**3
        p4, p5, p6 = p4 + x**4, p5 + x**5, p6 + x**6
        a1, a2 = (p1, p2) if linear else (p2, p3)
        g11, g12, g22 = (p2, p3, p4) if linear else (p4, p5, p6)
        a12, a22 = a1 * a2, a2 * a2
        d0, d1, flat = g11 * g22 - g12 * g12, a1 * a1 * g22 - 2.0 * a12 * g12 + a22 * g11, 0.0
        if i == 1:  # both columns are the same, and the second alone is fitted
            d0, d1, flat = x, 0.0 * x, NEVER
        row, of = back[i - 1], misfits[i]
        for k in range(wide[i]):
            # One step further back every x grows by 1: the sums of x^q C follow from those of lower powers.
            s0, s1, s2, s3 = sums[k], sums[k + TILE], sums[k + TWO], sums[k + THREE]
            t0 = s0 + row[k]
            t3 = s3 + 3.0 * s2 + 3.0 * s1 + t0
            t2 = s2 + 2.0 * s1 + t0
            t1 = s1 + t0
            sums[k], sums[k + TILE], sums[k + TWO], sums[k + THREE] = t0, t1, t2, t3
            share, total = sums[k + SHARE], sums[k + TOTAL]
            r1 = (t1 if linear else t2) - a1 * total
            r2 = (t2 if linear else t3) - a2 * total
            h12, h22, det = g12 - a12 * share, g22 - a22 * share, d0 - d1 * share
            rise = h22 * r1 - h12 * r2
            rise = rise if rise > flat else 0.0
            misfit = sums[k + SQUARES] - (r2 * r2 * det + rise * rise) / (h22 * det)
            of[k] = misfit
            better = misfit <= sums[k + LEAST] and x <= sums[k + REACH]
            sums[k + BEST] = x if better else sums[k + BEST]
            sums[k + LEAST] = misfit if better else sums[k + LEAST]
