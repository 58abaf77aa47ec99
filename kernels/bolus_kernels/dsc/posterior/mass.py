"""Sums over the posterior of one voxel: the flow of each template integrated, then the templates, window by window."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.posterior.amplitude import FAINTEST, MOMENTS, STEP_Q, STEP_Z, bright
from bolus_kernels.dsc.posterior.bank import LANES, MTTS
from bolus_kernels.dsc.posterior.returning import stretch
from bolus_kernels.dsc.posterior.shapes import SHAPES
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp, log

ROOM = 320
"""Windows that a voxel has room for; one in twenty would have more, and makes do with fewer transit times."""
NEGLIGIBLE, MOST_APART = np.float32(8.0), np.float32(9.0)
"""Templates whose log posterior is this far below the best's (3e-4) carry no mass. CBF is within 3 SDs of its prior."""
MARGIN = np.float32(26.0)
"""A voxel is bright where z^2 of its best template is this far above what the series needs."""
P, X, V, D, L, H, XX, VV, DD, LL, HH, ABOUT = range(12)
"""Sums over the posterior of 1; of ln(CBF/m), MTT CBF/m, delay, ln MTT, SD of transit times; of their squares. All are
counted from the values of the best template, kept from ABOUT on: so that of a sharp posterior digits are left."""
SUMS = ABOUT + H
ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
BELOW_ALL, LOWEST = np.float32(-1e6), np.float32(-1e4)
Z_UNIT, Q_UNIT, Z_FIRST = np.float32(1 / STEP_Z), np.float32(1 / STEP_Q), np.float32(FAINTEST)
RULER, NO_BITS, LANE_BITS = np.float32(64), np.int32(-(2**31)), np.int32(LANES.bit_length() - 1)
"""Best scores are found in whole 64ths: maxima of integers vectorise, those of floats do not; below them the lane."""
BEYOND = np.float32(1.001)


class Lattice(NamedTuple):
    """A grid of templates in float32, with what is believed of its nodes before the data.

    parts, log_inverse, shape, mtt, spread, delay : as in `bank.Grid`. log_mtt : (rows,), ln of it. volume : (rows, d),
    inverse times mtt. prior : (rows, d), ln of the prior of a node, up to a constant. along : (rows, d), as in `bank`.
    """

    parts: NDArray[np.float32]
    volume: NDArray[np.float32]
    log_inverse: NDArray[np.float32]
    shape: NDArray[np.uint32]
    mtt: NDArray[np.float32]
    log_mtt: NDArray[np.float32]
    spread: NDArray[np.float32]
    delay: NDArray[np.float32]
    prior: NDArray[np.float32]
    along: NDArray[np.float32]


class Flow(NamedTuple):
    """The prior of ln CBF for the kernel: precision; `amplitude.table` with its first ln q; where the series holds."""

    precision: np.float32
    moments: NDArray[np.float32]
    least_q: np.float32
    strong: np.float32


class Room(NamedTuple):
    """Memory for one voxel: correlations and scores of the windows in use, LANES delays each, one after the other.

    rows, starts : of the grid, and the first delay of each window. best : its best score, in whole 64ths, and in the
    last bits its place. ridge : of the coarse rows. chosen : templates with mass. nodes : what is told of each. ends :
    where those of a shape end. mass : of each shape. sums, total : of the voxel, and of the moments of its flows.
    """

    correlation: NDArray[np.float32]
    score: NDArray[np.float32]
    rows: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    best: NDArray[np.int32]
    ridge: NDArray[np.float32]
    chosen: NDArray[np.uint32]
    nodes: NDArray[np.float32]
    ends: NDArray[np.int32]
    mass: NDArray[np.float32]
    sums: NDArray[np.float32]
    total: NDArray[np.float32]


def room() -> Room:
    """Memory for the voxels of one thread."""
    return Room(
        np.empty(ROOM * LANES, np.float32),
        np.empty(ROOM * LANES, np.float32),
        np.empty(ROOM, np.uint32),
        np.empty(ROOM, np.uint32),
        np.empty(ROOM, np.int32),
        np.empty((4, SHAPES * MTTS), np.float32),
        np.empty(ROOM * LANES, np.uint32),
        np.empty((6, ROOM * LANES), np.float32),
        np.empty(SHAPES, np.int32),
        np.empty(SHAPES, np.float32),
        np.empty(SUMS, np.float32),
        np.empty(MOMENTS, np.float32),
    )


@finite_part
def score_windows(grid: Any, most: Any, noise: Any, count: int, room: Any) -> int:
    """Log posterior, at the flow that fits best, less z^2/2 of the best fit; gives the window of the best score."""
    correlation, score, per_noise, top, first = room.correlation, room.score, ONE / noise, NO_BITS, 0
    z_most = most * per_noise
    for i in range(count):
        r, start, place, best = room.rows[i], np.uint64(room.starts[i]), np.uint64(LANES * i), NO_BITS
        for j in range(LANES):
            z = max(correlation[place + np.uint64(j)], ZERO) * per_noise
            own = HALF * (z - z_most) * (z + z_most) + grid.prior[r, start + np.uint64(j)]
            score[place + np.uint64(j)] = own
            whole = np.int32(RULER * max(own, LOWEST))
            best = max(best, np.int32(np.int32(whole << LANE_BITS) + np.int32(j)))
        room.best[i] = best
        if best > top:
            top, first = best, i
    return first


@finite_part
def node_of(window: int, room: Any) -> Any:
    """Where the best score of a window is."""
    return np.uint64(LANES * window + (room.best[window] & (LANES - 1)))


@finite_part
def sum_up(
    grid: Any, z_most: Any, noise: Any, unit: Any, flow: Any, top: int, count: int, share: Any, room: Any
) -> None:
    """Sum the posterior over those templates that may add to it; top : the window of the best score.

    share : that the templates lose along what returns, 0 for none.
    The integral over the flow is at most 1/(z spread), and less by the prior of CBF where that is far from its own.
    """
    per_noise, gain, node = ONE / noise, unit * noise, node_of(top, room)
    at = np.uint64(room.starts[top]) + node - np.uint64(LANES * top)
    longer = stretch(grid.along[room.rows[top], at], share)
    apart = log(z_most * gain * longer) + grid.log_inverse[room.rows[top], at]
    level = room.score[node]
    enough = level - NEGLIGIBLE - HALF * min(apart * apart * flow.precision, MOST_APART)
    room.sums[:], room.mass[:] = ZERO, ZERO
    about, r = room.sums[ABOUT:], room.rows[top]
    about[X - X], about[D - X] = apart, grid.delay[at]
    about[L - X], about[H - X] = grid.log_mtt[r], grid.spread[r]
    about[V - X] = room.correlation[node] * unit * longer * grid.volume[r, at]
    if z_most * z_most >= flow.strong * flow.strong + MARGIN:
        add_bright(keep(grid, enough, count, share, room), per_noise, gain, flow, level, room)
    else:
        add_faint(grid, per_noise, gain, flow, level, enough, count, share, room)


@finite_part
def keep(grid: Any, enough: Any, count: int, share: Any, room: Any) -> int:
    """Move the templates that reach a score to the front, with what is known of them; gives how many they are."""
    correlation, score, nodes, chosen, kept = room.correlation, room.score, room.nodes, room.chosen, 0
    room.ends[:] = 0
    for i in range(count):
        if np.float32(room.best[i] >> LANE_BITS) >= RULER * enough - ONE:
            for j in range(LANES):
                chosen[kept] = LANES * i + j
                kept += 1 if score[np.uint64(LANES * i) + np.uint64(j)] >= enough else 0
            room.ends[grid.shape[room.rows[i]]] = kept
    for n in range(kept):
        node = np.uint64(chosen[n])
        window = node >> np.uint64(LANE_BITS)
        r, at = room.rows[window], np.uint64(room.starts[window]) + (node & np.uint64(LANES - 1))
        nodes[0, n], nodes[1, n], nodes[2, n] = grid.volume[r, at], grid.log_inverse[r, at], grid.delay[at]
        nodes[3, n], nodes[4, n] = grid.log_mtt[r], grid.spread[r]
        correlation[n], score[n] = correlation[node], score[node]
        nodes[5, n] = grid.along[r, at]
    if share > ZERO:
        for n in range(kept):
            longer = stretch(nodes[5, n], share)
            nodes[0, n] *= longer
            nodes[1, n] += log(longer)
    return kept


@finite_part
def add_bright(kept: int, per_noise: Any, gain: Any, flow: Any, level: Any, room: Any) -> None:
    """Add templates that stand far above the noise: the series."""
    strong, precision, sums, nodes = flow.strong, flow.precision, room.sums, room.nodes
    log_gain, correlation, score = log(gain), room.correlation, room.score
    p, x, xx, v, vv, d, dd = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    t, tt, h, hh = ZERO, ZERO, ZERO, ZERO
    x0, v0, d0 = sums[ABOUT], sums[ABOUT + V - X], sums[ABOUT + D - X]
    t0, h0 = sums[ABOUT + L - X], sums[ABOUT + H - X]
    for n in range(kept):
        z = max(correlation[n] * per_noise, strong)
        volume, log_z = z * nodes[0, n] * gain, log(z)
        late, long, wide = nodes[2, n] - d0, nodes[3, n] - t0, nodes[4, n] - h0
        evidence, mean, narrow, once, scatter = bright(z, log_z, log_z + nodes[1, n] + log_gain, precision)
        w = exp(score[n] + evidence - level)
        score[n] = w
        mean, once = mean - x0, volume * once - v0
        p += w
        x += w * mean
        xx += w * (mean * mean + narrow)
        v += w * once
        vv += w * (once * once + volume * volume * scatter)
        d += w * late
        dd += w * late * late
        t += w * long
        tt += w * long * long
        h += w * wide
        hh += w * wide * wide
    sums[P], sums[X], sums[XX], sums[V], sums[VV], sums[D], sums[DD] = p, x, xx, v, vv, d, dd
    sums[L], sums[LL], sums[H], sums[HH] = t, tt, h, hh
    first = 0
    for s in range(SHAPES):  # templates of one shape follow one another
        whole = ZERO
        for n in range(first, room.ends[s]):
            whole += score[n]
        room.mass[s], first = whole, max(first, room.ends[s])


@finite_part
def add_faint(
    grid: Any, per_noise: Any, gain: Any, flow: Any, level: Any, enough: Any, count: int, share: Any, room: Any,
) -> None:  # fmt: skip
    """Add templates of any height: the table, between its nodes in straight lines."""
    total, moments, sums, log_gain = room.total, flow.moments, room.sums, log(gain)
    most_z, most_q = np.float32(moments.shape[1]) - BEYOND, np.float32(moments.shape[0]) - BEYOND
    for i in range(count):
        if np.float32(room.best[i] >> LANE_BITS) < RULER * enough - ONE:
            continue
        r, start, place = room.rows[i], np.uint64(room.starts[i]), np.uint64(LANES * i)
        d, dd = ZERO, ZERO
        total[:] = ZERO
        for j in range(LANES):
            own, at = room.score[place + np.uint64(j)], start + np.uint64(j)
            if own >= enough:
                z = (room.correlation[place + np.uint64(j)] * per_noise - Z_FIRST) * Z_UNIT
                longer = log(stretch(grid.along[r, at], share)) if share > ZERO else ZERO
                q = (-grid.log_inverse[r, at] - longer - log_gain - flow.least_q) * Q_UNIT
                z, q = max(ZERO, min(z, most_z)), max(ZERO, min(q, most_q))
                w, late = exp(own - level), grid.delay[at] - sums[ABOUT + D - X]
                iz, iq = np.uint32(z), np.uint32(q)
                z, q = z - np.float32(iz), q - np.float32(iq)
                w11 = w * z * q
                w01, w10 = w * z - w11, w * q - w11
                w00 = w - w * z - w10
                jz, jq = iz + np.uint32(1), iq + np.uint32(1)
                for m in range(MOMENTS):
                    near = w00 * moments[iq, iz, m] + w01 * moments[iq, jz, m]
                    total[m] += near + (w10 * moments[jq, iz, m] + w11 * moments[jq, jz, m])
                whole = w00 * moments[iq, iz, 0] + w01 * moments[iq, jz, 0]
                whole += w10 * moments[jq, iz, 0] + w11 * moments[jq, jz, 0]
                d += whole * late
                dd += whole * late * late
        p, mtt, x0, v0 = total[0], grid.mtt[r], sums[ABOUT], sums[ABOUT + V - X]
        long, wide = grid.log_mtt[r] - sums[ABOUT + L - X], grid.spread[r] - sums[ABOUT + H - X]
        v, vv = total[3] * mtt, total[4] * mtt * mtt
        room.mass[grid.shape[r]] += p
        sums[P], sums[D], sums[DD] = sums[P] + p, sums[D] + d, sums[DD] + dd
        sums[X], sums[XX] = sums[X] + total[1] - p * x0, sums[XX] + total[2] + x0 * (p * x0 - TWO * total[1])
        sums[V], sums[VV] = sums[V] + v - p * v0, sums[VV] + vv + v0 * (p * v0 - TWO * v)
        sums[L], sums[LL] = sums[L] + p * long, sums[LL] + p * long * long
        sums[H], sums[HH] = sums[H] + p * wide, sums[HH] + p * wide * wide
