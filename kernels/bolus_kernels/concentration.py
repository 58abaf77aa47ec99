"""DSC signal to relaxation: the voxels of a mask, from the stored dtype to delta R2*, with a state for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import inlined, kernel, part
from bolus_kernels.scalar import log
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE

ZERO, TINY, HUGE, NAN = np.float32(0), np.float32(1e-30), np.float32(3e38), np.float32(np.nan)
GOOD, NOT_FINITE, MISSING_SAMPLE = int(State.GOOD), int(State.NOT_FINITE), int(State.MISSING_SAMPLE)
NO_BASELINE, NO_SIGNAL = int(State.NO_BASELINE), int(State.NO_SIGNAL)


def relaxation(
    series: NDArray[Any],
    rows: NDArray[np.int64],
    slope: float,
    inter: float,
    baseline: tuple[int, int],
    echo_time: float,
    saturation: float = np.inf,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """dR2*(t) = -ln(S(t)/S0)/TE for chosen voxels, S0 the mean over the baseline volumes.

    series : (t, N) in its stored dtype, S = slope * stored + inter. rows : (n,) positions in N.
    baseline : (first, stop) volumes. echo_time : s. saturation : stored values at or above it are missing.
    Gives values : (n, t) float32, 1/s, Fortran order, NaN where state : (n,) uint8 is not good.
    Raises ValueError for an empty baseline or an echo time that is not positive.
    Source: Rosen et al., Magn Reson Med 14:249 (1990), eq. 4; the ratio is taken before the logarithm.
    """
    first, stop = baseline
    if not 0 <= first < stop <= series.shape[0]:
        raise ValueError(f"the baseline {baseline} does not lie inside {series.shape[0]} volumes")
    if not echo_time > 0:
        raise ValueError(f"the echo time must be positive: {echo_time}")
    series = series.view()
    series.flags.writeable = False  # one compiled kernel, whether or not the caller's array may be written
    values = np.empty((series.shape[0], rows.size), np.float32)
    state = np.empty(rows.size, np.uint8)
    _relaxation(
        series, np.ascontiguousarray(rows, np.int64), np.float32(slope), np.float32(inter), first, stop,
        np.float32(-1.0 / echo_time), np.float32(saturation), values, state,
    )  # fmt: skip
    return values.T, state


@kernel
def _relaxation(
    series: Any, rows: Any, slope: Any, inter: Any, first: int, stop: int, scale: Any, saturation: Any,
    values: Any, state: Any,
) -> None:  # fmt: skip
    times, n = values.shape
    tile = np.empty((times + -times % 4, TILE), np.float32)
    low, high = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    base, total, gain = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        _collect(series, rows[begin : begin + width], tile)
        _extremes(tile, low, high, total)
        base[:] = ZERO
        for t in range(first, stop):
            row = tile[t]
            for v in range(TILE):
                base[v] += row[v]
        for v in range(width):
            mean = slope * (base[v] / np.float32(stop - first)) + inter
            lowest = slope * (low[v] if slope > ZERO else high[v]) + inter
            finite = abs(total[v]) <= HUGE
            state[begin + v] = _judge(finite, low[v] == high[v], mean, lowest, high[v] >= saturation)
            base[v] = np.float32(1) / mean
            gain[v] = scale if state[begin + v] == GOOD else NAN  # the logarithm of a NaN's bits is finite
        for t in range(times):
            row, made = tile[t], values[t, begin : begin + width]
            for v in range(width):
                made[v] = gain[v] * log((slope * row[v] + inter) * base[v])


@part
def _collect(series: Any, rows: Any, tile: Any) -> None:
    """Copy the voxels of a tile, run by run: neighbours in a mask are mostly neighbours in the file."""
    times, width = series.shape[0], rows.size
    start = 0
    while start < width:
        end = start + 1
        while end < width and rows[end] == rows[end - 1] + 1:
            end += 1
        source = series[:, rows[start] : rows[end - 1] + 1]
        target = tile[:, start:end]
        for t in range(times):
            for v in range(end - start):
                target[t, v] = np.float32(source[t, v])
        start = end
    for t in range(times, tile.shape[0]):  # the last volume again, so that volumes can be taken by fours
        tile[t] = tile[times - 1]


@part
def _extremes(tile: Any, low: Any, high: Any, total: Any) -> None:
    """The least and greatest value of each voxel, and a sum that carries a NaN or infinity, which they do not."""
    low[:], high[:], total[:] = HUGE, -HUGE, ZERO
    for t in range(0, tile.shape[0] - 3, 4):
        for v in range(TILE):
            x0, x1, x2, x3 = tile[t, v], tile[t + 1, v], tile[t + 2, v], tile[t + 3, v]
            a, b = (x0 if x0 < x1 else x1), (x2 if x2 < x3 else x3)
            c, d = (x0 if x0 > x1 else x1), (x2 if x2 > x3 else x3)
            a, c = (a if a < b else b), (c if c > d else d)
            low[v] = a if a < low[v] else low[v]
            high[v] = c if c > high[v] else high[v]
            total[v] += (x0 + x1) + (x2 + x3)


@inlined
def _judge(finite: bool, constant: bool, mean: Any, lowest: Any, saturated: bool) -> int:
    if not finite:
        return NOT_FINITE
    if constant:
        return NO_SIGNAL
    if not mean > TINY:
        return NO_BASELINE
    if not lowest > TINY or saturated:
        return MISSING_SAMPLE
    return GOOD
