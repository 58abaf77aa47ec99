"""When the bolus arrives in a voxel: where a rise that is fitted up to the peak begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.jit import part
from bolus_kernels.tiles import TILE

HUGE = 1e300
HALF = 0.5


@part
def arrival(tile: Any, first: int, at: Any, linear: bool, back: Any, misfit: Any, begun: Any) -> None:
    """The sample, with a fraction, at which a flat baseline best breaks into a rise towards the peak.

    tile : (t, TILE) float32, curves from sample `first` on to the peak at : (TILE,). back, misfit : scratch, (t, TILE)
    and (t + 2, TILE). Gives begun : (TILE,) float32. For each candidate the curve is b before and b + g1 x^q +
    g2 x^{q+1} after, x the samples since then, q = 2, or 1 where `linear`, g1 >= 0, by least squares; the least sum
    of squares wins, refined by the parabola through it and its neighbours. Where the peak is the first sample it is
    the arrival. Source: Cheong et al., Phys Med Biol 48:N83 (2003), with q = 1.
    """
    longest = 0
    for v in range(TILE):
        reach = at[v] - first
        longest = max(longest, reach)
        for i in range(
            reach + 1
        ):  # the peak first, then back in time: candidates of all voxels fall into step
            back[i, v] = tile[at[v] - i, v]
        back[reach + 1 :, v] = 0
    _misfits(back, at, first, longest, linear, misfit)
    for v in range(TILE):
        reach, best = at[v] - first, 0
        for i in range(1, reach + 1):
            if best == 0 or misfit[i, v] <= misfit[best, v]:  # of equal ones the earliest
                best = i
        begun[v] = np.float32(at[v] - best)
        if 1 < best < reach:
            later, here, earlier = misfit[best - 1, v], misfit[best, v], misfit[best + 1, v]
            bend = later - 2.0 * here + earlier
            if bend > 0.0:
                begun[v] += np.float32(max(-HALF, min(HALF, HALF * (earlier - later) / bend)))


@part
def _misfits(back: Any, at: Any, first: int, longest: int, linear: bool, misfit: Any) -> None:
    """The residual sums for arrival i samples before the peak, i = 1...longest, in misfit[i].

    In double precision: near the best candidate they differ by less than single precision resolves.
    """
    count, total, squares = np.empty(TILE), np.zeros(TILE), np.zeros(TILE)
    for v in range(TILE):
        count[v] = 1.0 / (at[v] - first + 1)
    for i in range(longest + 1):
        for v in range(TILE):
            c = np.float64(back[i, v])
            total[v] += c
            squares[v] += c * c
    for v in range(TILE):
        squares[v] -= total[v] * total[v] * count[v]
    s0, s1, s2, s3 = np.zeros(TILE), np.zeros(TILE), np.zeros(TILE), np.zeros(TILE)
    p1 = p2 = p3 = p4 = p5 = p6 = 0.0  # sums of powers of x, x = 1...i
    for i in range(1, longest + 1):
        x = np.float64(i)
        p1, p2, p3 = p1 + x, p2 + x**2, p3 + x**3
        p4, p5, p6 = p4 + x**4, p5 + x**5, p6 + x**6
        a1, a2 = (p1, p2) if linear else (p2, p3)
        g11, g12, g22 = (p2, p3, p4) if linear else (p4, p5, p6)
        for v in range(TILE):
            # One step further back every x grows by 1: the sums of x^q C follow from those of lower powers.
            t0 = s0[v] + back[i - 1, v]
            t3 = s3[v] + 3.0 * s2[v] + 3.0 * s1[v] + t0
            t2 = s2[v] + 2.0 * s1[v] + t0
            t1 = s1[v] + t0
            s0[v], s1[v], s2[v], s3[v] = t0, t1, t2, t3
            share = total[v] * count[v]
            r1 = (t1 if linear else t2) - a1 * share
            r2 = (t2 if linear else t3) - a2 * share
            h11, h12, h22 = g11 - a1 * a1 * count[v], g12 - a1 * a2 * count[v], g22 - a2 * a2 * count[v]
            one = r2 * r2 / h22
            rise = h22 * r1 - h12 * r2
            both = (rise * r1 + (h11 * r2 - h12 * r1) * r2) / (h11 * h22 - h12 * h12)
            misfit[i, v] = squares[v] - (both if i > 1 and rise > 0.0 else one)
