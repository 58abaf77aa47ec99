"""DSC signal to relaxation: the voxels of a mask, from the stored dtype to delta R2*, with a state for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device, cpu
from bolus_kernels.dsc.echo import GOOD, Echo, judge, shares
from bolus_kernels.dsc.traits import Level, Shape, tell_level, tell_shape
from bolus_kernels.jit import kernel, part
from bolus_kernels.scalar import log
from bolus_kernels.tiles import TILE

HERE = cpu()
STRIP = 4
"""Tiles that are read together: so much of each volume in one go that the processor fetches the rest ahead."""
ZERO, ONE, HUGE, NAN = np.float32(0), np.float32(1), np.float32(3e38), np.float32(np.nan)


class Relaxation(NamedTuple):
    """Curves of voxels : (n, t) float32, 1/s, Fortran order, NaN where state : (n,) uint8 is not good.

    baseline_signal : (n,) float32, of the usual echo. single_echo : (n, t) as the curves, of the usual echo alone;
    None where there is only one. Both kinds of curves lie where they were made; the rest lies in the host's memory.
    """

    values: NDArray[np.float32]
    state: NDArray[np.uint8]
    baseline_signal: NDArray[np.float32]
    single_echo: NDArray[np.float32] | None


def relaxation(
    echoes: Sequence[Echo], rows: NDArray[np.int64], baseline: tuple[int, int], device: Device = HERE
) -> Relaxation:
    """dR2*(t) for chosen voxels: -ln(S(t)/S0)/TE of one echo; of several, free of T1, the slope of -ln(S/S0) over TE.

    rows : (n,) positions in N. baseline : (first, stop) volumes, whose mean is S0. A voxel that misses a sample in
    any echo has no curve. Raises ValueError for an empty baseline, an echo time that is not positive, equal echo
    times or echoes of different shapes.
    Source: Rosen et al., Magn Reson Med 14:249 (1990), eq. 4; the ratio is taken before the logarithm. Several
    echoes: least squares with an intercept, which takes up T1; of two, Vonken et al., Magn Reson Med 41:343 (1999).
    """
    if device.kind == "cuda":
        from bolus_kernels.dsc.concentration_cuda import relaxed

        return Relaxation(*relaxed(shares(echoes, baseline), rows, baseline, device))
    return relaxation_and_traits(echoes, rows, baseline, 0)[0]


def relaxation_and_traits(
    echoes: Sequence[Echo], rows: NDArray[np.int64], baseline: tuple[int, int], last: int
) -> tuple[Relaxation, Shape, Level]:
    """The same, with the curves' `shape_of` and `level_of`, which are told before a tile leaves the cache.

    last : volumes of the end, for the level; 0 asks for neither, and gives none.
    """
    known, times, several = shares(echoes, baseline), len(echoes[0].series), len(echoes) > 1
    values = np.empty((times, rows.size), np.float32)
    single = np.empty((times, rows.size if several else 0), np.float32)
    state, signal = np.empty(rows.size, np.uint8), np.empty(rows.size, np.float32)
    told = rows.size if last else 0
    shapes, levels = Shape(*np.empty((4, told), np.float32)), Level(*np.empty((3, told), np.float32))
    for index, (echo, weight, alone, usual) in enumerate(known):
        series = echo.series.view()
        series.flags.writeable = (
            False  # one compiled kernel, whether or not the caller's array may be written
        )
        _relaxation(
            series, np.ascontiguousarray(rows, np.int64), np.float32(echo.slope), np.float32(echo.inter),
            *baseline, np.float32(echo.saturation), weight, alone, index > 0, usual,
            values, single, state, signal, last if index == len(known) - 1 else 0, shapes, levels,
        )  # fmt: skip
    return Relaxation(values.T, state, signal, single.T if several else None), shapes, levels


@kernel
def _relaxation(
    series: Any, rows: Any, slope: Any, inter: Any, first: int, stop: int, saturation: Any, weight: Any, alone: Any,
    later: bool, usual: bool, values: Any, single: Any, state: Any, signal: Any, last: int, shapes: Any, levels: Any,
) -> None:  # fmt: skip
    """One echo, with its weight, into the curves, or added to those of the echoes before it where it is a `later` one.

    The usual echo gives `signal` and, where `alone` is not 0, its own curve `single`. `last` volumes of
    finished curves are those of their level; 0 where they are not finished, or not asked for.
    """
    times, n = values.shape
    tiles, runs = (
        np.empty((STRIP, times + -times % 4, TILE), np.float32),
        np.empty((STRIP * TILE, 2), np.int64),
    )
    low, high = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    base, total, gain = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        if begin % (STRIP * TILE) == 0:
            _collect(series, rows[begin : begin + STRIP * TILE], tiles, runs)
        tile = tiles[begin // TILE % STRIP]
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
            found = judge(finite, low[v] == high[v], mean, lowest, high[v] >= saturation)
            if not later or state[begin + v] == GOOD:
                state[begin + v] = found
            if usual:
                signal[begin + v] = mean
            base[v] = ONE / mean
            gain[v] = weight if found == GOOD else NAN  # the logarithm of a NaN's bits is finite
        for t in range(times):
            row, made = tile[t], values[t, begin : begin + width]
            if later:
                for v in range(width):
                    made[v] += gain[v] * log((slope * row[v] + inter) * base[v])
            else:
                for v in range(width):
                    made[v] = gain[v] * log((slope * row[v] + inter) * base[v])
        if alone != ZERO:
            for v in range(width):
                gain[v] = alone if gain[v] == gain[v] else NAN
            for t in range(times):
                row, made = tile[t], single[t, begin : begin + width]
                for v in range(width):
                    made[v] = gain[v] * log((slope * row[v] + inter) * base[v])
        if last > 0:
            tell_shape(
                values, begin, begin + width, shapes.area, shapes.height, shapes.roughness, shapes.power
            )
            tell_level(
                values, begin, begin + width, first, stop, last, levels.spread, levels.late, levels.peak
            )


@part
def _collect(series: Any, rows: Any, tiles: Any, runs: Any) -> None:
    """Copy the voxels of some tiles, run by run: neighbours in a mask are mostly neighbours in the file.

    A run ends with its tile. One volume after another, so that each is read as far as it goes.
    """
    times, width = series.shape[0], rows.size
    count, start = 0, 0
    while start < width:
        end = start + 1
        while end < width and end % TILE != 0 and rows[end] == rows[end - 1] + 1:
            end += 1
        runs[count, 0], runs[count, 1] = start, end
        start, count = end, count + 1
    for t in range(times):
        for run in range(count):
            start, long = runs[run, 0], runs[run, 1] - runs[run, 0]
            at = start % TILE
            source = series[t, rows[start] : rows[start] + long]
            target = tiles[start // TILE, t, at : at + long]
            for v in range(long):
                target[v] = np.float32(source[v])
    for k in range(tiles.shape[0]):
        for t in range(times, tiles.shape[1]):  # the last volume again, so that volumes can be taken by fours
            tiles[k, t] = tiles[k, times - 1]


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
