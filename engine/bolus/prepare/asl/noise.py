"""How much one difference scatters about the mean of its delay, pooled over the brain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SUBSPACE = 4


class Noise(NamedTuple):
    """variance : 1 (squares of fractions of M0), of one pair in the middle voxel; relative : (n,), over it."""

    variance: float
    relative: NDArray[np.float32]


def noise_of(values: NDArray[Any], scale: NDArray[Any], delay: NDArray[Any], duration: NDArray[Any]) -> Noise:
    """The noise of every voxel's pairs, from what an image has everywhere alike.

    values : (n, t) float32, fractions of M0. scale : (n,), by what the signal was multiplied to give them, 1/M0.
    Pooled in units of the signal, over voxels that have all their numbers; relative is 1 where M0 is not known.
    """
    whole = np.isfinite(values).all(1) & np.isfinite(scale) & (scale > 0)
    if not whole.any():
        return Noise(0.0, np.ones(len(values), np.float32))
    squares = np.square(scale, dtype=np.float64)
    relative = np.where(np.isfinite(squares), squares / np.median(squares[whole]), 1.0).astype(np.float32)
    alike = values[whole] / np.sqrt(relative[whole, None])
    return Noise(noise_variance(alike, delay, duration), relative)


def noise_variance(values: NDArray[Any], delay: NDArray[Any], duration: NDArray[Any]) -> float:
    """The variance of one pair around the mean of its delay, pooled over voxels.

    values : (n, t) float32. With repeats: the median over voxels of the variance within delays, divided by the
    median of chi-square over its degrees of freedom. Without: what is left of the curves' second-moment matrix
    beyond its four largest components, for kinetic curves of all arrivals and relaxation times lie close to four.
    """
    if values.shape[0] == 0:
        return 0.0
    _, kind, counts = np.unique(
        np.stack([delay, duration], 1), axis=0, return_inverse=True, return_counts=True
    )
    freedom = int(counts.sum() - counts.size)
    if freedom > 0:
        within = np.zeros(values.shape[0])
        for which in range(counts.size):
            group = values[:, kind.reshape(-1) == which].astype(np.float64)
            within += ((group - group.mean(1, keepdims=True)) ** 2).sum(1)
        return float(np.median(within) / (freedom * (1 - 2 / (9 * freedom)) ** 3))
    matrix = values.astype(np.float64)
    power = np.linalg.eigvalsh(matrix.T @ matrix / matrix.shape[0])
    return float(max(0.0, power[: max(1, power.size - SUBSPACE)].mean()))
