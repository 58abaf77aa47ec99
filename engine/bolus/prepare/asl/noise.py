"""How much one difference scatters about the mean of its delay, pooled over the brain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.pairs import scatter

SUBSPACE = 4
MEDIAN_OF_CHI_SQUARE = 0.4549
"""Of one degree of freedom."""


class Noise(NamedTuple):
    """variance : 1 (squares of fractions of M0), of one pair in the middle voxel; relative : (n,), over it."""

    variance: float
    relative: NDArray[np.float32]


def noise_of(values: NDArray[Any], scale: NDArray[Any], *alike: NDArray[Any]) -> Noise:
    """The noise of every voxel's pairs, from what an image has everywhere alike.

    values : (n, t) float32, fractions of M0. scale : (n,), by what the signal was multiplied to give them, 1/M0.
    alike : what repeats share, (t,) each. Pooled in units of the signal, over voxels that have all their numbers;
    relative is 1 where M0 is not known.
    """
    kind, freedom = _kinds(*alike)
    if (
        freedom > 0
    ):  # a pass over the curves as they lie: scaled alike, they would be another copy of the scan
        within = scatter(values, kind).within
        whole, relative = _relative(np.isfinite(within), scale)
        return Noise(_typical(within[whole] / relative[whole], freedom), relative)
    whole, relative = _relative(np.isfinite(values.T).all(0), scale)
    even = values.T[:, whole] / np.sqrt(relative[whole])
    return Noise(noise_variance(even.T, *alike), relative)


def noise_of_lone(
    values: NDArray[Any], scale: NDArray[Any], rows: NDArray[Any], shape: tuple[int, ...]
) -> Noise:
    """The same of a lone pair, (n, 1), of the voxels `rows` (Fortran order) of a volume of `shape`: by neighbours."""
    whole, relative = _relative(np.isfinite(values.T).all(0), scale)
    alike = values[whole, 0] / np.sqrt(relative[whole])
    return Noise(between_neighbours(alike, rows[whole], shape), relative)


def _kinds(*alike: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Which delay, duration, ... a column has, by number, and how many columns repeat one."""
    _, kind, counts = np.unique(np.stack(alike, 1), axis=0, return_inverse=True, return_counts=True)
    return kind.reshape(-1), int(counts.sum() - counts.size)


def _typical(within: NDArray[np.float64], freedom: int) -> float:
    """A variance from sums of squares with so many degrees of freedom, by their median; 0 of none."""
    return float(np.median(within) / (freedom * (1 - 2 / (9 * freedom)) ** 3)) if within.size else 0.0


def _relative(
    finite: NDArray[np.bool_], scale: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which voxels have all their numbers, and the variance of each over that of the middle one."""
    whole = finite & np.isfinite(scale) & (scale > 0)
    if not whole.any():
        return whole, np.ones(len(scale), np.float32)
    squares = np.square(scale, dtype=np.float64)
    return whole, np.where(np.isfinite(squares), squares / np.median(squares[whole]), 1.0).astype(np.float32)


def noise_variance(values: NDArray[Any], *alike: NDArray[Any]) -> float:
    """The variance of one pair around the mean of its delay, pooled over voxels.

    values : (n, t) float32. alike : what repeats share, delay, label duration, ..., (t,) each. With repeats: the
    median over voxels of the variance within delays, divided by the median of chi-square over its degrees of freedom.
    Without: what is left of the curves' second-moment matrix beyond its four largest components, for kinetic curves of
    all arrivals and relaxation times lie close to four.
    """
    if values.shape[0] == 0:
        return 0.0
    kind, freedom = _kinds(*alike)
    if freedom > 0:
        return _typical(scatter(values, kind).within, freedom)
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
