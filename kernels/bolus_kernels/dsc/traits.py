"""What tells one DSC curve from another at a glance, in one pass over all of them: how high, smooth, noisy, late."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel, part
from bolus_kernels.tiles import TILE, time_major

_f = np.float32
ZERO, ONE, QUARTER, LOW = _f(0), _f(1), _f(0.25), _f(-3e38)


class Shape(NamedTuple):
    """One number a curve, each (n,) float32: sum of samples, maximum of (1, 2, 1)/4, both 1/s; sums of the squares
    of second differences and of samples."""

    area: NDArray[np.float32]
    height: NDArray[np.float32]
    roughness: NDArray[np.float32]
    power: NDArray[np.float32]


class Level(NamedTuple):
    """One number a curve, each (n,) float32, 1/s: standard deviation of the baseline, mean of the end, peak."""

    spread: NDArray[np.float32]
    late: NDArray[np.float32]
    peak: NDArray[np.float32]


def shape_of(curves: NDArray[Any]) -> Shape:
    """Area, smoothed height, roughness and power of curves (n, t) float32; an area is not finite where a sample is."""
    made = Shape(*(np.empty(len(curves), np.float32) for _ in Shape._fields))
    _shape(time_major(curves), *made)
    return made


def level_of(curves: NDArray[Any], baseline: tuple[int, int], last: int) -> Level:
    """Spread over the baseline volumes (first, stop), mean of the `last` volumes and peak of curves (n, t) float32."""
    made = Level(*(np.empty(len(curves), np.float32) for _ in Level._fields))
    _level(time_major(curves), *baseline, last, *made)
    return made


def mean_curve(curves: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean (t,) of some rows (m,) of curves (n, t) of any real dtype, summed in double precision."""
    sums = np.empty(curves.shape[1])
    by_time = np.ascontiguousarray(curves.T).view()
    by_time.flags.writeable = False  # one compiled kernel, whether or not the caller's array may be written
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    _sum(by_time, rows[np.append(0, breaks)], rows[np.append(breaks, rows.size) - 1] + 1, sums)
    return sums / rows.size


def marked_mean(curves: NDArray[Any], marked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The same of the rows that are marked (n,), for many of them; curves (n, t) float32."""
    sums = np.empty(curves.shape[1])
    _sum_marked(time_major(curves), marked, sums)
    return sums / np.count_nonzero(marked)


@kernel
def _shape(curves: Any, area: Any, height: Any, roughness: Any, power: Any) -> None:
    n = curves.shape[1]
    for begin in range(0, n, TILE):
        tell_shape(curves, begin, min(begin + TILE, n), area, height, roughness, power)


@part
def tell_shape(curves: Any, begin: int, end: int, area: Any, height: Any, roughness: Any, power: Any) -> None:
    """What `Shape` holds of a tile of curves of (t, n)."""
    times = curves.shape[0]
    total, top, rough, squares = (
        area[begin:end],
        height[begin:end],
        roughness[begin:end],
        power[begin:end],
    )
    total[:], top[:], rough[:], squares[:] = ZERO, LOW, ZERO, ZERO
    for t in range(times - 2):
        row, middle, after = curves[t, begin:end], curves[t + 1, begin:end], curves[t + 2, begin:end]
        for v in range(end - begin):
            sides, twice = row[v] + after[v], middle[v] + middle[v]
            smooth, bend = (sides + twice) * QUARTER, sides - twice
            top[v] = smooth if smooth > top[v] else top[v]
            rough[v] += bend * bend
            total[v] += row[v]
            squares[v] += row[v] * row[v]
    for t in range(times - 2, times):
        row = curves[t, begin:end]
        for v in range(end - begin):
            total[v] += row[v]
            squares[v] += row[v] * row[v]


@kernel
def _level(curves: Any, first: int, stop: int, last: int, spread: Any, late: Any, peak: Any) -> None:
    n = curves.shape[1]
    for begin in range(0, n, TILE):
        tell_level(curves, begin, min(begin + TILE, n), first, stop, last, spread, late, peak)


@part
def tell_level(
    curves: Any, begin: int, end: int, first: int, stop: int, last: int, spread: Any, late: Any, peak: Any
) -> None:
    """What `Level` holds of a tile of curves of (t, n)."""
    times = curves.shape[0]
    mean = np.zeros(TILE, np.float32)
    share, late_share = ONE / _f(stop - first), ONE / _f(last)
    squares, tail, top = spread[begin:end], late[begin:end], peak[begin:end]
    squares[:], tail[:], top[:] = ZERO, ZERO, LOW
    for t in range(first, stop):
        row = curves[t, begin:end]
        for v in range(end - begin):
            mean[v] += share * row[v]
    for t in range(first, stop):
        row = curves[t, begin:end]
        for v in range(end - begin):
            squares[v] += (row[v] - mean[v]) * (row[v] - mean[v])
    for t in range(times - last, times):
        row = curves[t, begin:end]
        for v in range(end - begin):
            tail[v] += late_share * row[v]
    for t in range(0, times, 2):  # the last once more where their number is odd
        row, after = curves[t, begin:end], curves[min(t + 1, times - 1), begin:end]
        for v in range(end - begin):
            higher = row[v] if row[v] > after[v] else after[v]
            top[v] = higher if higher > top[v] else top[v]
    for v in range(end - begin):
        squares[v] = np.sqrt(share * squares[v])


@kernel
def _sum(curves: Any, first: Any, stop: Any, sums: Any) -> None:
    """Run by run: rows that follow one another are neighbours in memory, and are added side by side."""
    for t in range(curves.shape[0]):
        row, total = curves[t], 0.0
        for i in range(first.size):
            run = row[first[i] : stop[i]]
            for v in range(run.size):
                total += np.float64(run[v])
        sums[t] = total


@kernel
def _sum_marked(curves: Any, marked: Any, sums: Any) -> None:
    for t in range(curves.shape[0]):
        row, total = curves[t], 0.0
        for v in range(marked.size):
            total += np.float64(row[v] if marked[v] else ZERO)
        sums[t] = total
