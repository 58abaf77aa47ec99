"""Curves in clusters: each goes to the nearest centre until none moves, with the same sums on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel


def moved(curves: NDArray[np.float64], member: NDArray[np.int64], clusters: int, rounds: int) -> NDArray[Any]:
    """The cluster (n,) of each curve (n, t) when none moves any more, or after so many rounds; member : (n,), at first.

    A cluster that has lost all its curves is gone; of two centres as near the first is taken. No BLAS, whose
    rounding depends on the number of its threads.
    Source: Lloyd, IEEE Trans Inf Theory 28:129 (1982).
    """
    found = member.copy()
    _move(np.ascontiguousarray(curves), found, clusters, rounds)
    return found


@kernel
def _move(curves: Any, member: Any, clusters: int, rounds: int) -> None:
    n, times = curves.shape
    centres, count, length = np.empty((clusters, times)), np.empty(clusters), np.empty(clusters)
    for _ in range(rounds):
        centres[:], count[:], length[:] = 0.0, 0.0, 0.0
        for i in range(n):
            centre, curve = centres[member[i]], curves[i]
            for t in range(times):
                centre[t] += curve[t]
            count[member[i]] += 1.0
        for c in range(clusters):
            centre = centres[c]
            for t in range(times):
                centre[t] /= max(count[c], 1.0)
                length[c] += centre[t] * centre[t]
        changed = False
        for i in range(n):
            curve, best, least = curves[i], 0, np.inf
            for c in range(clusters):
                centre, along = centres[c], 0.0
                for t in range(times):
                    along += curve[t] * centre[t]
                if count[c] > 0.0 and length[c] - 2.0 * along < least:
                    best, least = c, length[c] - 2.0 * along
            changed = changed or best != member[i]
            member[i] = best
        if not changed:
            break
