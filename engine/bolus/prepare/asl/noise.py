"""How much one difference scatters about the mean of its delay, pooled over the brain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SUBSPACE = 3
MEDIAN_OF_CHI_SQUARE = 0.4549
"""Of one degree of freedom."""


def noise_variance(values: NDArray[Any], delay: NDArray[Any], duration: NDArray[Any]) -> float:
    """The variance of one pair around the mean of its delay, pooled over voxels.

    values : (n, t) float32. With repeats: the median over voxels of the variance within delays, divided by the
    median of chi-square over its degrees of freedom. Without: what is left of the curves' second-moment matrix
    beyond its three largest components, for a kinetic curve lies close to three of them.
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


def between_neighbours(values: NDArray[Any], rows: NDArray[Any], shape: tuple[int, ...]) -> float:
    """The variance of a lone difference, whose scatter no repeat tells: from voxels that lie side by side.

    values : (n,), of the voxels `rows` (Fortran order) of a volume of `shape`. Half the median square of what two
    neighbours along x differ by, over the median of chi-square of one degree; edges of tissue are too few to matter.
    Source: after von Neumann, Ann Math Stat 12:367 (1941), the mean square successive difference.
    """
    whole = np.full(int(np.prod(shape)), np.nan)
    whole[rows] = values
    apart = np.diff(whole.reshape(shape, order="F"), axis=0)
    apart = apart[np.isfinite(apart)]
    return float(np.median(apart**2) / (2 * MEDIAN_OF_CHI_SQUARE)) if apart.size else 0.0
