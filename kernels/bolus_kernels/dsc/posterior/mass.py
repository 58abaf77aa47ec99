"""Sums over the posterior of one voxel: the flow of each template integrated, then the templates, window by window."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.posterior.amplitude import FAINTEST, MOMENTS, STEP_Q, STEP_Z, bright
from bolus_kernels.dsc.posterior.bank import LANES
from bolus_kernels.dsc.posterior.shapes import SHAPES
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp, log

ROOM = 960
"""Windows that a voxel has room for: more than every eighth transit time of the whole fine grid."""
NEGLIGIBLE = np.float32(8.0)
"""Templates whose log posterior is this far below the best's (3e-4) carry no mass."""
MARGIN = np.float32(26.0)
"""A voxel is bright where z^2 of its best template is this far above what the series needs."""
P, X, V, D, L, H, PP, XX, VV, DD, LL, HH = range(12)
"""Sums over the posterior of 1, ln(CBF/m), MTT CBF/m, delay, ln MTT, SD of transit times; and of their squares."""
SUMS = 12
ZERO, ONE, HALF, BELOW_ALL = np.float32(0), np.float32(1), np.float32(0.5), np.float32(-1e6)
Z_UNIT, Q_UNIT, Z_FIRST = np.float32(1 / STEP_Z), np.float32(1 / STEP_Q), np.float32(FAINTEST)
RULER, NO_BITS = np.float32(64), np.int32(-(2**31))
"""Best scores are found in whole 64ths: maxima of integers vectorise, those of floats do not."""
BEYOND = np.float32(1.001)


class Lattice(NamedTuple):
    """A grid of templates in float32, with what is believed of its nodes before the data.

    parts, inverse, log_inverse, shape, mtt, spread, delay : as in `bank.Grid`. prior : (rows, d), ln of the prior of
    a node, up to a constant.
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
    """Memory for one voxel: correlations and scores of the windows in use, LANES delays each.

    rows, starts : of the grid, and the first delay of each window. best : its best score, in whole 64ths. mass : of
    each shape. sums, cells, total : of the voxel, of a window, and of the moments of its flows.
    """

    correlation: NDArray[np.float32]
    score: NDArray[np.float32]
    rows: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    best: NDArray[np.int32]
    mass: NDArray[np.float32]
    sums: NDArray[np.float32]
    cells: NDArray[np.float32]
    total: NDArray[np.float32]


def room() -> Room:
    """Memory for the voxels of one thread."""
    return Room(
        np.empty((ROOM, LANES), np.float32),
        np.empty((ROOM, LANES), np.float32),
        np.empty(ROOM, np.uint32),
        np.empty(ROOM, np.uint32),
        np.empty(ROOM, np.int32),
        np.empty(SHAPES, np.float32),
        np.empty(SUMS, np.float32),
        np.empty((3, LANES), np.float32),
        np.empty(MOMENTS, np.float32),
    )


@finite_part
def sum_up(grid: Any, z_most: Any, noise: Any, unit: Any, flow: Any, count: int, room: Any) -> Any:
    """Sum the posterior over the windows: that of the best score first, then those that may add to it.

    Gives the least score that does.
    """
    per_noise, gain = ONE / noise, unit * noise
    brightly = z_most * z_most >= flow.strong * flow.strong + MARGIN
    top, first = NO_BITS, 0
    for i in range(count):
        r, start, most = room.rows[i], np.uint64(room.starts[i]), NO_BITS
        for j in range(LANES):
            z = max(room.correlation[i, j], ZERO) * per_noise
            score = HALF * z * z + grid.prior[r, start + np.uint64(j)]
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
    """Add a window of templates that stand far above the noise: the series."""
    r, start, strong, precision = room.rows[i], np.uint64(room.starts[i]), flow.strong, flow.precision
    log_gain = log(gain)
    p, pp, x, xx, v, vv, d, dd = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for j in range(LANES):
        at = start + np.uint64(j)
        z = max(room.correlation[i, j] * per_noise, strong)
        size, delay = z * grid.inverse[r, at] * gain, grid.delay[at]
        log_z = log(z)
        apart = log_z + grid.log_inverse[r, at] + log_gain
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
    """Add a window of templates of any height: the table, between its nodes in straight lines."""
    r, start = room.rows[i], np.uint64(room.starts[i])
    cells, total, moments, log_gain = room.cells, room.total, flow.moments, log(gain)
    most_z, most_q = np.float32(moments.shape[1]) - BEYOND, np.float32(moments.shape[0]) - BEYOND
    for j in range(LANES):
        z = (room.correlation[i, j] * per_noise - Z_FIRST) * Z_UNIT
        q = (-grid.log_inverse[r, start + np.uint64(j)] - log_gain - flow.least_q) * Q_UNIT
        cells[0, j], cells[1, j] = max(ZERO, min(z, most_z)), max(ZERO, min(q, most_q))
        cells[2, j] = exp(room.score[i, j] - level)
    p, pp, d, dd = ZERO, ZERO, ZERO, ZERO
    total[:] = ZERO
    for j in range(LANES):
        if room.score[i, j] >= enough:
            z, q, w, delay = cells[0, j], cells[1, j], cells[2, j], grid.delay[start + np.uint64(j)]
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
    """Add what a window summed to: its transit time is one, and so are their logarithm and spread."""
    sums, mtt, log_mtt, spread = room.sums, grid.mtt[r], log(grid.mtt[r]), grid.spread[r]
    room.mass[grid.shape[r]] += p
    sums[P], sums[PP] = sums[P] + p, sums[PP] + pp
    sums[X], sums[XX] = sums[X] + x, sums[XX] + xx
    sums[V], sums[VV] = sums[V] + v * mtt, sums[VV] + vv * mtt * mtt
    sums[D], sums[DD] = sums[D] + d, sums[DD] + dd
    sums[L], sums[LL] = sums[L] + p * log_mtt, sums[LL] + p * log_mtt * log_mtt
    sums[H], sums[HH] = sums[H] + p * spread, sums[HH] + p * spread * spread
