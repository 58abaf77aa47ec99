"""The exact posterior of one voxel's flow, transit times and delay: a sum over a bank, refined where it is sharp."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.posterior.amplitude import FAINTEST, MOMENTS, STEP_Q, STEP_Z, bright
from bolus_kernels.dsc.posterior.bank import (
    BLOCKS,
    COMPONENTS,
    DELAYS,
    FINE_MTTS,
    LANES,
    MORE_DELAYS,
    MORE_MTTS,
    MTTS,
    SHAPES,
)
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp, log

NEGLIGIBLE = np.float32(8.0)
"""Templates whose log posterior is this far below the best's (3e-4) carry no mass."""
AROUND, BETWEEN = np.float32(2.0), np.float32(15.0)
"""How much better a fine node may be than the coarse ones around it: the second shared by the coarse nodes."""
KEEN, SHARP, RESOLVED = np.float32(4.0), np.float32(7.0), np.float32(12.0)
"""Coarse nodes that must share the mass: before every second fine transit time will do, before every fourth, before
no fine grid is needed."""
ROWS = 960
"""Rows of the fine grid that a voxel has room for: more than every fourth transit time of all of it."""
MARGIN = np.float32(26.0)
"""A voxel is bright where z^2 of its best template is this far above what the series needs."""
UNKNOWNS = 4
"""Degrees of freedom that the best template takes: constant, flow, transit time, delay."""
P, X, V, D, L, H, PP, XX, VV, DD, LL, HH = range(12)
"""Sums over the posterior of 1, ln(CBF/m), MTT CBF/m, delay, ln MTT, SD of transit times; and of their squares."""
SUMS = 12
ZERO, ONE, HALF, BELOW_ALL = np.float32(0), np.float32(1), np.float32(0.5), np.float32(-1e6)
ROUNDING = np.float32(4e-6)
"""Of the mean: what a curve that is constant still varies by."""
Z_UNIT, Q_UNIT, Z_FIRST = np.float32(1 / STEP_Z), np.float32(1 / STEP_Q), np.float32(FAINTEST)
RULER, NO_BITS = np.float32(64), np.int32(-(2**31))
"""Best scores are found in whole 64ths: maxima of integers vectorise, those of floats do not."""
BEYOND = np.float32(1.001)


class Lattice(NamedTuple):
    """A grid of templates in float32, with what is believed of its nodes before the data.

    parts, inverse, shape, mtt, spread, delay : as in `bank.Grid`. log_inverse : ln of it.
    prior : (rows, LANES), ln of the prior of a node, up to a constant.
    """

    parts: NDArray[np.float32]
    inverse: NDArray[np.float32]
    log_inverse: NDArray[np.float32]
    shape: NDArray[np.uint32]
    mtt: NDArray[np.float32]
    spread: NDArray[np.float32]
    delay: NDArray[np.float32]
    prior: NDArray[np.float32]


class Flow(NamedTuple):
    """The prior of ln CBF for the kernel: precision; `amplitude.table` with its first ln q; where the series holds."""

    precision: np.float32
    moments: NDArray[np.float32]
    least_q: np.float32
    strong: np.float32


class Room(NamedTuple):
    """Memory for one voxel: correlations and scores of the rows in use, which these are, mass of each shape, sums."""

    correlation: NDArray[np.float32]
    score: NDArray[np.float32]
    rows: NDArray[np.uint32]
    best: NDArray[np.int32]
    mass: NDArray[np.float32]
    sums: NDArray[np.float32]
    cells: NDArray[np.float32]
    total: NDArray[np.float32]


def room() -> Room:
    """Memory for the voxels of one thread."""
    return Room(
        np.empty((ROWS, LANES), np.float32),
        np.empty((ROWS, LANES), np.float32),
        np.empty(ROWS, np.uint32),
        np.empty(ROWS, np.int32),
        np.empty(SHAPES, np.float32),
        np.empty(SUMS, np.float32),
        np.empty((3, LANES), np.float32),
        np.empty(MOMENTS, np.float32),
    )


@finite_part
def voxel_posterior(
    told: Any, square: Any, floor: Any, freedom: Any, unit: Any, flow: Any, coarse: Any, fine: Any, room: Any,
    result: Any,
) -> int:  # fmt: skip
    """Mean and SD of every unknown; gives the most probable shape, or -1 where no template has a positive flow.

    told : (COMPONENTS,), the curve in components. square : its squared norm. floor : the least noise variance.
    unit : what turns a correlation over a norm into CBF/m. result : (10,), in the order X, V, D, L, H: means, SDs.
    """
    sums, mass, count = room.sums, room.mass, SHAPES * MTTS
    for i in range(count):
        room.rows[i] = i
    for level in range(2):
        grid = coarse if level == 0 else fine
        best = correlate(grid, told, count, room)
        if not best > ZERO:
            return -1
        noise = sqrt(max(square - best * best, ZERO) / freedom + floor)
        enough = sum_up(grid, best / noise, noise, unit, flow, count, room)
        sharing = sums[P] * sums[P] / sums[PP]
        if level > 0 or sharing >= RESOLVED:
            break
        least = enough - AROUND - BETWEEN / sharing
        step, count = 1 if sharing < KEEN else (2 if sharing < SHARP else 4), ROWS + 1
        while count > ROWS:
            count = around(room.score, least, step, room.rows)
            step *= 2
    for i in range(5):
        mean = sums[X + i] / sums[P]
        result[i], result[5 + i] = mean, sqrt(max(sums[XX + i] / sums[P] - mean * mean, ZERO))
    likely = 0
    for s in range(SHAPES):
        likely = s if mass[s] > mass[likely] else likely
    return likely


@finite_part
def correlate(grid: Any, told: Any, count: int, room: Any) -> Any:
    """Correlations of the curve with every template of the chosen rows; gives the largest, or a negative number."""
    best = NO_BITS
    for i in range(count):
        r = room.rows[i]
        for j in range(LANES):
            room.correlation[i, j] = ZERO
        for k in range(0, COMPONENTS, 8):
            c0, c1, c2, c3 = told[k], told[k + 1], told[k + 2], told[k + 3]
            c4, c5, c6, c7 = told[k + 4], told[k + 5], told[k + 6], told[k + 7]
            for j in range(LANES):
                place = k * LANES + j
                half = c0 * grid.parts[r, place] + c1 * grid.parts[r, place + LANES]
                half += c2 * grid.parts[r, place + 2 * LANES] + c3 * grid.parts[r, place + 3 * LANES]
                rest = c4 * grid.parts[r, place + 4 * LANES] + c5 * grid.parts[r, place + 5 * LANES]
                rest += c6 * grid.parts[r, place + 6 * LANES] + c7 * grid.parts[r, place + 7 * LANES]
                room.correlation[i, j] += half + rest
        for j in range(LANES):  # the bits of positive numbers are in the order of the numbers
            best = max(best, np.float32(room.correlation[i, j]).view(np.int32))
    return np.int32(best).view(np.float32)


@finite_part
def sum_up(grid: Any, z_most: Any, noise: Any, unit: Any, flow: Any, count: int, room: Any) -> Any:
    """Sum the posterior over the chosen rows: that of the best score first, then those that may add to it.

    Gives the least score that does.
    """
    per_noise, gain = ONE / noise, unit * noise
    brightly = z_most * z_most >= flow.strong * flow.strong + MARGIN
    top, first = NO_BITS, 0
    for i in range(count):
        r, most = room.rows[i], NO_BITS
        for j in range(LANES):
            z = max(room.correlation[i, j], ZERO) * per_noise
            score = HALF * z * z + grid.prior[r, j]
            room.score[i, j] = score
            most = max(most, np.int32(RULER * score))
        room.best[i] = most
        if most > top:
            top, first = most, i
    room.sums[:], room.mass[:] = ZERO, ZERO
    level, enough = np.float32(top) / RULER, BELOW_ALL
    for turn in range(count + 1):
        i = turn - 1 if turn > 0 else first
        if turn > 0 and (i == first or np.float32(room.best[i]) < RULER * enough):
            continue
        if brightly:
            add_bright(grid, i, per_noise, gain, flow, level, room)
        else:
            add_faint(grid, i, per_noise, gain, flow, level, enough, room)
        if turn == 0:
            enough = level + log(room.sums[P]) - NEGLIGIBLE
    return enough


@finite_part
def add_bright(grid: Any, i: int, per_noise: Any, gain: Any, flow: Any, level: Any, room: Any) -> None:
    """Add a row of templates that stand far above the noise: the series."""
    r, strong, precision = room.rows[i], flow.strong, flow.precision
    log_gain = log(gain)
    p, pp, x, xx, v, vv, d, dd = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for j in range(LANES):
        z = max(room.correlation[i, j] * per_noise, strong)
        size, delay = z * grid.inverse[r, j] * gain, grid.delay[r, j]
        log_z = log(z)
        apart = log_z + grid.log_inverse[r, j] + log_gain
        evidence, mean, square, once, twice = bright(z, log_z, apart, precision)
        w = exp(room.score[i, j] + evidence - level)
        p += w
        pp += w * w
        x += w * mean
        xx += w * square
        v += w * size * once
        vv += w * size * size * twice
        d += w * delay
        dd += w * delay * delay
    add(grid, r, p, pp, x, xx, v, vv, d, dd, room)


@finite_part
def add_faint(
    grid: Any, i: int, per_noise: Any, gain: Any, flow: Any, level: Any, enough: Any, room: Any
) -> None:
    """Add a row of templates of any height: the table, between its nodes in straight lines."""
    r, cells, total, moments = room.rows[i], room.cells, room.total, flow.moments
    log_gain = log(gain)
    most_z, most_q = np.float32(moments.shape[1]) - BEYOND, np.float32(moments.shape[0]) - BEYOND
    for j in range(LANES):
        z = (room.correlation[i, j] * per_noise - Z_FIRST) * Z_UNIT
        q = (-grid.log_inverse[r, j] - log_gain - flow.least_q) * Q_UNIT
        cells[0, j], cells[1, j] = max(ZERO, min(z, most_z)), max(ZERO, min(q, most_q))
        cells[2, j] = exp(room.score[i, j] - level)
    p, pp, d, dd = ZERO, ZERO, ZERO, ZERO
    total[:] = ZERO
    for j in range(LANES):
        if room.score[i, j] >= enough:
            z, q, w, delay = cells[0, j], cells[1, j], cells[2, j], grid.delay[r, j]
            iz, iq = np.uint32(z), np.uint32(q)
            z, q = z - np.float32(iz), q - np.float32(iq)
            w11 = w * z * q
            w01, w10 = w * z - w11, w * q - w11
            w00 = w - w * z - w10
            jz, jq = iz + np.uint32(1), iq + np.uint32(1)
            for m in range(MOMENTS):
                near = w00 * moments[iq, iz, m] + w01 * moments[iq, jz, m]
                total[m] += near + (w10 * moments[jq, iz, m] + w11 * moments[jq, jz, m])
            share = w00 * moments[iq, iz, 0] + w01 * moments[iq, jz, 0]
            share += w10 * moments[jq, iz, 0] + w11 * moments[jq, jz, 0]
            p += share
            pp += share * share
            d += share * delay
            dd += share * delay * delay
    add(grid, r, p, pp, total[1], total[2], total[3], total[4], d, dd, room)


@finite_part
def add(
    grid: Any, r: int, p: Any, pp: Any, x: Any, xx: Any, v: Any, vv: Any, d: Any, dd: Any, room: Any
) -> None:
    """Add what a row summed to: its transit time is one, and so are their logarithm and spread."""
    sums, mtt, log_mtt, spread = room.sums, grid.mtt[r], log(grid.mtt[r]), grid.spread[r]
    room.mass[grid.shape[r]] += p
    sums[P], sums[PP] = sums[P] + p, sums[PP] + pp
    sums[X], sums[XX] = sums[X] + x, sums[XX] + xx
    sums[V], sums[VV] = sums[V] + v * mtt, sums[VV] + vv * mtt * mtt
    sums[D], sums[DD] = sums[D] + d, sums[DD] + dd
    sums[L], sums[LL] = sums[L] + p * log_mtt, sums[LL] + p * log_mtt * log_mtt
    sums[H], sums[HH] = sums[H] + p * spread, sums[HH] + p * spread * spread


@finite_part
def around(score: Any, least: Any, step: int, rows: Any) -> int:
    """The rows of the fine grid around every coarse node that reaches the least score; gives how many there are.

    score : (>= coarse rows, LANES). step : from one fine transit time to the next. Of more than `rows` has room for
    the last are left out.
    """
    count, most = 0, rows.size - 1
    for s in range(SHAPES):
        low, high, early, late = MTTS, -1, DELAYS, -1
        for i in range(MTTS):
            for j in range(DELAYS):
                if score[s * MTTS + i, j] > least:
                    low, high, early, late = min(low, i), i, min(early, j), max(late, j)
        if high >= 0:
            begin, end = (
                MORE_DELAYS * max(early - 1, 0) // LANES,
                MORE_DELAYS * min(late + 1, DELAYS - 1) // LANES,
            )
            for i in range(MORE_MTTS * max(low - 1, 0), MORE_MTTS * min(high + 1, MTTS - 1) + 1, step):
                for block in range(begin, end + 1):
                    rows[min(count, most)] = (s * FINE_MTTS + i) * BLOCKS + block
                    count += 1
    return count
