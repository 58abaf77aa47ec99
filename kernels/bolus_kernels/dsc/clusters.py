"""Curves in clusters: each goes to the nearest centre until none moves, with the same sums on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel
from bolus_kernels.tiles import TILE


def moved(curves: NDArray[np.float64], member: NDArray[np.int64], clusters: int, rounds: int) -> NDArray[Any]:
    """The cluster (n,) of each curve (n, t) when none moves any more, or after so many rounds; member : (n,), at first.

    A cluster that has lost all its curves is gone; of two centres as near the first is taken. No BLAS, whose
    rounding depends on the number of its threads.
    Source: Lloyd, IEEE Trans Inf Theory 28:129 (1982).
    """
    found = member.copy()
    full = np.zeros((len(curves), curves.shape[1] + -curves.shape[1] % 4))  # samples of zero up to fours
    full[:, : curves.shape[1]] = curves
    _move(full, np.ascontiguousarray(full.T), found, clusters, rounds)
    return found


@kernel
def _move(curves: Any, by_time: Any, member: Any, clusters: int, rounds: int) -> None:
    """by_time : the curves again, (t, n), many of which are compared with a centre side by side."""
    n, times = curves.shape
    centres, count = np.empty((clusters, times)), np.empty(clusters)
    along, least, best = np.empty(TILE), np.empty(TILE), np.empty(TILE, np.int64)
    for _ in range(rounds):
        centres[:], count[:] = 0.0, 0.0
        for i in range(n):
            centre, curve = centres[member[i]], curves[i]
            for t in range(times):
                centre[t] += curve[t]
            count[member[i]] += 1.0
        for c in range(clusters):
            centre = centres[c]
            for t in range(times):
                centre[t] /= max(count[c], 1.0)
        changed = False
        for begin in range(0, n, TILE):
            width = min(TILE, n - begin)
            least[:], best[:] = np.inf, 0
            for c in range(clusters):
                if count[c] == 0.0:
                    continue
                centre, length = centres[c], 0.0
                along[:] = 0.0
                for t in range(0, times, 4):
                    c0, c1, c2, c3 = centre[t], centre[t + 1], centre[t + 2], centre[t + 3]
                    length += c0 * c0 + c1 * c1 + c2 * c2 + c3 * c3
                    r0, r1 = by_time[t, begin : begin + width], by_time[t + 1, begin : begin + width]
                    r2, r3 = by_time[t + 2, begin : begin + width], by_time[t + 3, begin : begin + width]
                    for v in range(width):
                        along[v] += c0 * r0[v] + c1 * r1[v] + c2 * r2[v] + c3 * r3[v]
                for v in range(width):
                    apart = length - 2.0 * along[v]
                    best[v] = c if apart < least[v] else best[v]
                    least[v] = apart if apart < least[v] else least[v]
            for v in range(width):
                changed = changed or best[v] != member[begin + v]
                member[begin + v] = best[v]
        if not changed:
            break
