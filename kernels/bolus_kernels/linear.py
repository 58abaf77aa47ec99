"""Weighted sums over time: one pass over the curves for every quantity that is linear in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel
from bolus_kernels.tiles import TILE, time_major


def weighted_sums(curves: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """sum over t of weights[i, t] curves[n, t], summed in double precision, four samples at a time.

    curves : (n, t) float32. weights : (m, t), any unit. Gives (m, n) float64; NaN where a curve holds NaN.
    """
    sums = np.empty((weights.shape[0], curves.shape[0]))
    _weighted_sums(time_major(curves), np.ascontiguousarray(weights), sums)
    return sums


@kernel
def _weighted_sums(curves: Any, weights: Any, sums: Any) -> None:
    times, n = curves.shape
    for begin in range(0, n, TILE):
        end = min(begin + TILE, n)
        sums[:, begin:end] = 0.0
        for t in range(0, times - 3, 4):
            c0, c1, c2, c3 = curves[t], curves[t + 1], curves[t + 2], curves[t + 3]
            for i in range(weights.shape[0]):
                w0, w1, w2, w3 = weights[i, t], weights[i, t + 1], weights[i, t + 2], weights[i, t + 3]
                for v in range(begin, end):
                    sums[i, v] += w0 * c0[v] + w1 * c1[v] + w2 * c2[v] + w3 * c3[v]
        for t in range(times - times % 4, times):
            for i in range(weights.shape[0]):
                for v in range(begin, end):
                    sums[i, v] += weights[i, t] * curves[t, v]
