"""From the volumes of an ASL series to its columns, and how much those of one kind scatter: one pass each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel
from bolus_kernels.tiles import TILE, time_major


class Scatter(NamedTuple):
    """Of each voxel's columns, (n,) float64: the mean over kinds of the mean of a kind, the sum of squares around
    these, the sum of squares around zero; NaN where a column is."""

    mean: NDArray[np.float64]
    within: NDArray[np.float64]
    power: NDArray[np.float64]


def combined(
    series: NDArray[Any], rows: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sums of volumes with weights, (c, n) float32, for chosen voxels.

    series : (t, N) of any real dtype, as it is stored. rows : (n,) positions in N. weights : (c, t), mostly zeros.
    """
    column, volume = np.nonzero(weights)
    starts = np.flatnonzero(
        np.diff(rows, prepend=-2) != 1
    )  # neighbours in a mask are mostly neighbours in the file
    found = np.zeros((len(weights), rows.size), np.float32)
    stored = series.view()
    stored.flags.writeable = False  # one compiled kernel, whether or not the caller's array may be written
    told = column, volume, weights[column, volume].astype(np.float32)
    _combine(stored, rows[starts], np.append(starts, rows.size), *told, found)
    return found


def scatter(curves: NDArray[Any], kind: NDArray[np.int64]) -> Scatter:
    """How the columns of one kind scatter; curves : (n, t) float32. kind : (t,), 0, 1, ... of each column."""
    n, counts = len(curves), np.bincount(kind)
    made = Scatter(np.zeros(n), np.zeros(n), np.zeros(n))
    _scatter(time_major(curves), np.argsort(kind, kind="stable"), counts, *made)
    return made


@kernel
def _combine(series: Any, first: Any, bounds: Any, column: Any, volume: Any, weight: Any, found: Any) -> None:
    """first : where each run of neighbours begins in the file; bounds : where among the chosen voxels, and the end."""
    for i in range(column.size):
        w = weight[i]
        for r in range(first.size):
            begin, end = bounds[r], bounds[r + 1]
            raw, made = series[volume[i], first[r] : first[r] + end - begin], found[column[i], begin:end]
            for v in range(end - begin):
                made[v] += w * np.float32(raw[v])


@kernel
def _scatter(curves: Any, order: Any, counts: Any, mean: Any, within: Any, power: Any) -> None:
    sums, squares = np.empty(TILE, np.float64), np.empty(TILE, np.float64)
    for begin in range(0, curves.shape[1], TILE):
        end = min(begin + TILE, curves.shape[1])
        middle, around, all_ = mean[begin:end], within[begin:end], power[begin:end]
        at = 0
        for k in range(counts.size):
            sums[:], squares[:] = 0.0, 0.0
            for i in range(at, at + counts[k]):
                row = curves[order[i], begin:end]
                for v in range(end - begin):
                    x = np.float64(row[v])
                    sums[v] += x
                    squares[v] += x * x
            at += counts[k]
            share = 1.0 / counts[k]
            for v in range(end - begin):
                middle[v] += share * sums[v] / counts.size
                around[v] += squares[v] - share * sums[v] * sums[v]
                all_[v] += squares[v]
