"""Order without sorting: quantiles of many numbers by counting bits, of curves' steps by halving; histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel, part
from bolus_kernels.tiles import TILE, time_major

BINS = 1 << 16
"""Values of the leading, then of the trailing half of a number's 32 bits."""
STRIDE = 256
"""Bins whose counts are added up at once, a divisor of BINS."""
LANES = 4
"""Numbers that are counted side by side, for an image's background falls into one bin, which can but grow in turn."""
SAMPLED, TRIES = 16, 2
"""Of so many numbers one tells roughly where a quantile lies; steps that are taken from there."""
LAST, FLIP, SIGN = np.int32(31), np.int32(0x7FFFFFFF), np.int64(0x80000000)
ONE, INFINITE = np.int32(1), np.int32(0x7F800000)
HALF, LARGEST = np.float32(0.5), 3e38


def median(values: NDArray[Any]) -> float:
    """The median of the finite ones of float32 numbers (...); NaN where there is none."""
    return quantile(values, 0.5)


def quantile(values: NDArray[Any], share: float) -> float:
    """The number below which a share (0...1) of the finite ones of float32 numbers (...) lies, linear between them.

    NaN where there is none. Several times as fast as NumPy's, which moves the numbers.
    """
    bits = np.ascontiguousarray(values, np.float32).ravel().view(np.int32)
    between, *keys = _quantile(bits, share)
    if keys[0] < 0:
        return float("nan")
    lower, upper = map(_number, keys)
    return lower + between * (upper - lower)


def median_step(curves: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The median size of a difference between neighbours in time, (m,), of some rows (m,) of curves (n, t) float32.

    Of an even number of differences the mean of the middle two; not finite where the curve is not.
    """
    middle = np.empty((2, rows.size), np.int32)
    order = np.argsort(rows, kind="stable")  # neighbours in a row lie side by side in memory
    _median_step(time_major(curves[rows[order]]), middle)
    found = np.empty(rows.size, np.float32)
    found[order] = HALF * middle.view(np.float32).sum(axis=0)
    return found


def histogram(values: NDArray[Any], low: float, top: float, bins: int) -> NDArray[np.int64]:
    """How many of float32 numbers (...), none under `low`, lie in each of so many bins up to `top`; the last has more.

    What is `top` or above counts in the last bin.
    """
    counts = np.zeros((LANES, bins), np.int64)
    flat = np.ascontiguousarray(values, np.float32).ravel()
    _histogram(flat, np.float32(low), np.float32(top), np.float32(min(bins / (top - low), LARGEST)), counts)
    return np.asarray(counts.sum(axis=0))


def _number(key: int) -> float:
    """The number of a key: see `_quantile`."""
    bits = np.uint32(key ^ (0x80000000 if key >> 31 else 0xFFFFFFFF))
    return float(bits.view(np.float32))


@kernel
def _quantile(bits: Any, share: float) -> tuple[float, int, int]:
    """How far the quantile lies between two numbers, and these as keys, in the order of the numbers; -1 for none."""
    leading = np.zeros(BINS, np.int32)
    # A few tell where to look, and looking there which way to go; where that leads nowhere, all are counted.
    some = _count_leading(bits, SAMPLED, leading)
    high = _reached(leading, int(share * (some - 1)))[0] if some > 0 else 0
    n, before, inside = _around(bits, high)
    if n == 0:
        return 0.0, -1, -1
    place = share * (n - 1)
    rank = int(place)
    for _ in range(TRIES):
        if rank < before:
            high -= 1
        elif rank >= before + inside:
            high += 1
        else:
            break
        n, before, inside = _around(bits, high)
    if not before <= rank < before + inside - 1:
        leading[:] = 0
        _count_leading(bits, 1, leading)
        high, before = _reached(leading, rank)
        inside = int(leading[high])
    trailing = np.zeros(BINS, np.int32)
    _count_trailing(bits, high, trailing)
    lower = (high << 16) + _reached(trailing, rank - before)[0]
    if place == rank:
        return place - rank, lower, lower
    if rank + 1 - before >= inside:  # the next number has another first half
        high, before = _reached(leading, rank + 1)
        trailing[:] = 0
        _count_trailing(bits, high, trailing)
    return place - rank, lower, (high << 16) + _reached(trailing, rank + 1 - before)[0]


@part
def _count_leading(bits: Any, step: int, leading: Any) -> int:
    """Count the leading halves of every `step`-th number that is finite; how many these are."""
    n = 0
    for v in range(0, bits.size, step):
        finite = (bits[v] & INFINITE) != INFINITE
        leading[_key(bits[v]) >> 16] += np.int32(finite)
        n += finite
    return n


@part
def _around(bits: Any, high: int) -> tuple[int, int, int]:
    """How many numbers are finite; of these, how many have a lower leading half than `high`, and how many have it."""
    least, last = np.int32((high << 16) - SIGN), np.int32((high << 16) + BINS - 1 - SIGN)
    n, before, inside = np.int32(0), np.int32(0), np.int32(0)
    for v in range(bits.size):
        finite = np.int32((bits[v] & INFINITE) != INFINITE)
        ordered = bits[v] ^ ((bits[v] >> LAST) & FLIP)
        n += finite
        before += finite & np.int32(ordered < least)
        inside += finite & np.int32(ordered >= least) & np.int32(ordered <= last)
    return int(n), int(before), int(inside)


@part
def _key(bits: Any) -> Any:
    return np.int64(bits ^ ((bits >> LAST) & FLIP)) + SIGN


@part
def _count_trailing(bits: Any, high: Any, trailing: Any) -> None:
    """Count the trailing halves of the numbers whose leading one is `high`."""
    for v in range(bits.size):
        key = _key(bits[v])
        if key >> 16 == high:
            trailing[key & (BINS - 1)] += np.int32(1)


@part
def _reached(counts: Any, rank: int) -> tuple[int, int]:
    """The bin that holds the number of this rank, and how many lie in the bins before."""
    at, before = 0, 0
    for begin in range(0, counts.size, STRIDE):  # over many bins at once: mostly they hold nothing
        several = counts[begin : begin + STRIDE].sum()
        if before + several > rank:
            at = begin
            break
        before += several
    while before + counts[at] <= rank:
        before += counts[at]
        at += 1
    return at, before


@kernel
def _histogram(values: Any, low: Any, top: Any, per_bin: Any, counts: Any) -> None:
    whole = values.size - values.size % LANES
    for v in range(0, whole, LANES):
        four = values[v : v + LANES]
        for lane in range(LANES):
            counts[lane, _bin(four[lane], low, top, per_bin, counts.shape[1])] += 1
    for v in range(whole, values.size):
        counts[0, _bin(values[v], low, top, per_bin, counts.shape[1])] += 1


@part
def _bin(value: Any, low: Any, top: Any, per_bin: Any, bins: int) -> int:
    return max(0, min(int((min(value, top) - low) * per_bin), bins - 1))


@kernel
def _median_step(curves: Any, found: Any) -> None:
    """Both middle ones of the steps of curves (t, n), as bits: of numbers above zero these have the same order."""
    count = curves.shape[0] - 1
    sizes = np.zeros((count, TILE), np.float32)
    steps = sizes.view(np.int32)
    low, high, middle = np.empty(TILE, np.int32), np.empty(TILE, np.int32), np.empty(TILE, np.int32)
    below, above = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
    wanted = np.int32((count + 1) // 2)
    for begin in range(0, curves.shape[1], TILE):
        width = min(TILE, curves.shape[1] - begin)
        for t in range(count):
            row, after, size = (
                curves[t, begin : begin + width],
                curves[t + 1, begin : begin + width],
                sizes[t],
            )
            for v in range(width):
                size[v] = abs(after[v] - row[v])
        low[:], high[:] = -ONE, INFINITE
        for _ in range(32):
            below[:] = 0
            for v in range(TILE):
                middle[v] = low[v] + ((high[v] - low[v]) >> ONE)
            for t in range(count):
                step = steps[t]
                for v in range(TILE):
                    below[v] += np.int32(step[v] <= middle[v])
            for v in range(TILE):
                enough = below[v] >= wanted
                low[v], high[v] = (low[v], middle[v]) if enough else (middle[v], high[v])
        below[:], above[:] = 0, INFINITE
        for t in range(count):
            step = steps[t]
            for v in range(TILE):
                now, before = step[v], above[v]
                below[v] += np.int32(now <= high[v])
                above[v] = now if (now > high[v]) & (now < before) else before
        for v in range(width):
            found[0, begin + v] = high[v]
            found[1, begin + v] = high[v] if count % 2 or below[v] > wanted else above[v]
