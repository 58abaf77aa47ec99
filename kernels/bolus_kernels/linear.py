"""Weighted sums over time: one pass over the curves for every quantity that is linear in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel
from bolus_kernels.tiles import TILE, time_major


def weighted_sums(curves: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """sum over t of weights[i, t] curves[n, t], summed in double precision, in the order of time.

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
        for t in range(times):
            for i in range(weights.shape[0]):
                weight = weights[i, t]
                for v in range(begin, end):
                    sums[i, v] += weight * np.float64(curves[t, v])
