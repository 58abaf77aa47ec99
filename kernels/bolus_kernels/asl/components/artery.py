"""Blood in an artery beside flow in the tissue: their joint fit at every arrival, and how likely it is."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from bolus_kernels.asl.prior import believed
from bolus_kernels.jit import finite_part, inlined, part
from bolus_kernels.scalar import exp, log

NODES = 32
"""Arrivals of a grid, side by side."""
_f = np.float32
ZERO, ONE, TWO, HALF = _f(0), _f(1), _f(2), _f(0.5)
FAINTEST, FAINT, LEAST_ODDS = _f(-40.0), _f(1e-30), _f(1e-37)
SECOND, THIRD, FOURTH = NODES, 2 * NODES, 3 * NODES
"""Where the responses of four delays, side by side, begin in a row of `Room.response`."""
LEAST_SHARE, LEAST_LEFT = _f(1e-5), _f(1e-3)
"""Of the arterial signal that tissue's cannot imitate: less is rounding. Of the misfit that an artery takes from: what
is left is not the difference where it is less."""
PER_ROOT_TWO, PER_ROOT_TWO_PI = _f(np.sqrt(0.5)), _f(1 / np.sqrt(2 * np.pi))
X9, X8, X7, X6, X5 = _f(-0.0255229445), _f(0.0644618744), _f(0.0307524348), _f(-0.19854791), _f(0.0794685189)
X4, X3, X2, X1, X0 = _f(0.0582618553), _f(0.180414835), _f(0.246512211), _f(0.282104219), _f(0.282094747)
"""Minimax fit, of degree 9 in t = 1/(1 + x/2), of e^(x^2) erfc(x)/t: to 1.6e-7 of itself."""
PLACE = np.arange(NODES, dtype=np.float32)
INVERSE, FLOW, BELIEF, MISFIT, LEAST, SCORE, TRIED = (NODES * row for row in range(7))
"""Where the numbers of an arrival begin in `Room.node`."""
ODDS, VOLUME, SPREAD, LOSS, NOISE = (NODES * row for row in range(5))
"""Where those of an arrival and an arterial interval begin in a row of `Room.pair`: log posterior (later weight),
mean and variance of the arterial volume, flow lost to a unit of it, noise variance."""


class Belief(NamedTuple):
    """What is believed before the data, float32: s, shares of the noise, the log odds of an arterial component."""

    arrival: np.float32
    arrival_precision: np.float32
    arrival_most: np.float32
    lead: np.float32
    flow_weight: np.float32
    volume_weight: np.float32
    log_odds: np.float32
    noise_weight: np.float32
    noise_variance: np.float32
    arrival_tail: np.float32


class Room(NamedTuple):
    """Where a voxel is worked on, float32.

    response : (delays / 4, 4 NODES), of a unit flow. rest : the same, what the tissue alone leaves of the data.
    node : (7 NODES,). apart : (2 NODES,). pair : (intervals + 1, 5 NODES), the first without an arterial component.
    interval : (2, intervals), square, prior of each. seen : (intervals, delays / 4, 4), what their signal is multiplied
    with. sums : (2, 9), of the model without an artery and of the one with. nodes : NODES, which a GPU's compiler must
    not know: it would take every loop over them apart, and all their addresses need more registers than there are.
    """

    response: Any
    rest: Any
    node: Any
    apart: Any
    pair: Any
    interval: Any
    seen: Any
    sums: Any
    nodes: int


def shapes(intervals: int, delays: int) -> tuple[tuple[int, ...], ...]:
    """Of every array in a room, in their order."""
    rows = delays // 4
    lines = (rows, 4 * NODES), (rows, 4 * NODES), (7 * NODES,), (2 * NODES,)
    return (*lines, (intervals + 1, 5 * NODES), (2, intervals), (intervals, rows, 4), (2, 9))


@part
def of_voxel(belief: Any, noise: Any, arrival: Any, precision: Any, log_odds: Any) -> Any:
    """What is believed of a voxel with noise and an expected arrival of its own; the SDs of flow and volume stay."""
    more = noise / belief.noise_variance
    return Belief(
        arrival, precision, belief.arrival_most, belief.lead, more * belief.flow_weight,
        more * belief.volume_weight, log_odds, belief.noise_weight, noise, belief.arrival_tail,
    )  # fmt: skip


@inlined
def tail(x: Any) -> Any:
    """e^(x^2) erfc x of x >= 0, to 4e-7."""
    t = ONE / (ONE + HALF * x)
    p = (((X9 * t + X8) * t + X7) * t + X6) * t + X5
    return t * (((((p * t + X4) * t + X3) * t + X2) * t + X1) * t + X0)


@finite_part
def intervals(fade: Any, late: Any, read: Any, tables: Any, belief: Any, room: Any) -> None:
    """Of each arterial interval: its signal's square, its prior per second."""
    whole = FAINT
    for k in range(tables.blood.shape[0]):
        square = belief.volume_weight
        for i in range(read.pairs.size):
            h = fade * tables.blood[k, i]
            room.seen[k, i // 4, i % 4] = read.pairs[i] * h
            square += read.pairs[i] * h * h
        away = HALF * (max(tables.early[k], -late) + tables.late[k]) + late - belief.arrival + belief.lead
        weight = exp(max(believed(away, belief.arrival_precision, belief.arrival_tail), FAINTEST))
        room.interval[0, k], room.interval[1, k] = square, weight
        whole += weight * max(ZERO, tables.late[k] - max(tables.early[k], -late))
    for k in range(tables.blood.shape[0]):
        room.interval[1, k] /= whole


@inlined
def of_four(values: Any, i: Any) -> Any:
    """Four numbers side by side."""
    return values[i], values[i + 1], values[i + 2], values[i + 3]


@finite_part
def fit_artery(k: int, room: Any) -> Any:
    """Flow and arterial volume together: volume, its precision, the flow lost to it, and the misfit of both.

    Gives whether a misfit is so small a difference of large numbers that it must be summed anew.
    """
    node, pair, response, rest, seen = room.node, room.pair, room.response, room.rest, room.seen
    square, lost = room.interval[0, k], np.int32(0)
    for j in range(
        2 * room.nodes
    ):  # the product with what tissue leaves, and that with the tissue's response
        pair[k + 1, VOLUME + j] = ZERO
    for i in range(response.shape[0]):
        h0, h1, h2, h3 = seen[k, i, 0], seen[k, i, 1], seen[k, i, 2], seen[k, i, 3]
        for j in range(room.nodes):
            r0, r1, r2, r3 = rest[i, j], rest[i, SECOND + j], rest[i, THIRD + j], rest[i, FOURTH + j]
            g0, g1 = response[i, j], response[i, SECOND + j]
            g2, g3 = response[i, THIRD + j], response[i, FOURTH + j]
            pair[k + 1, VOLUME + j] += h0 * r0 + h1 * r1 + (h2 * r2 + h3 * r3)
            pair[k + 1, SPREAD + j] += h0 * g0 + h1 * g1 + (h2 * g2 + h3 * g3)
    for j in range(room.nodes):
        cross, inverse, alone = pair[k + 1, SPREAD + j], node[INVERSE + j], node[MISFIT + j]
        own = max(square - cross * cross * inverse, LEAST_SHARE * square)
        volume = pair[k + 1, VOLUME + j] / own
        misfit = alone - volume * volume * own
        pair[k + 1, VOLUME + j], pair[k + 1, SPREAD + j], pair[k + 1, LOSS + j] = volume, own, cross * inverse
        pair[k + 1, NOISE + j] = misfit
        lost = max(lost, np.int32(1) if misfit < LEAST_LEFT * alone else np.int32(0))
    return lost > 0


@finite_part
def sum_anew(
    k: int, mean: Any, fade: Any, floor: Any, read: Any, tables: Any, belief: Any, room: Any
) -> None:
    """The misfit of flow and arterial volume together, readout by readout."""
    node, pair, response = room.node, room.pair, room.response
    for j in range(room.nodes):
        volume = pair[k + 1, VOLUME + j]
        flow = node[FLOW + j] - pair[k + 1, LOSS + j] * volume
        node[SCORE + j] = flow
        pair[k + 1, NOISE + j] = (
            floor + belief.flow_weight * flow * flow + belief.volume_weight * volume * volume
        )
    for i in range(response.shape[0]):
        n0, n1, n2, n3 = of_four(read.pairs, 4 * i)
        y0, y1, y2, y3 = of_four(mean, 4 * i)
        h0, h1, h2, h3 = of_four(tables.blood[k], 4 * i)
        h0, h1, h2, h3 = fade * h0, fade * h1, fade * h2, fade * h3
        for j in range(room.nodes):
            flow, volume = node[SCORE + j], pair[k + 1, VOLUME + j]
            g0, g1 = response[i, j], response[i, SECOND + j]
            g2, g3 = response[i, THIRD + j], response[i, FOURTH + j]
            r0, r1 = y0 - flow * g0 - volume * h0, y1 - flow * g1 - volume * h1
            r2, r3 = y2 - flow * g2 - volume * h2, y3 - flow * g3 - volume * h3
            pair[k + 1, NOISE + j] += n0 * r0 * r0 + n1 * r1 * r1 + (n2 * r2 * r2 + n3 * r3 * r3)


@finite_part
def lower(k: int, low: Any, step: Any, tables: Any, room: Any) -> None:
    """Lower the least misfit of every arrival to what an artery of this interval would leave, and note its flow."""
    node, pair, early = room.node, room.pair, tables.early[k]
    for j in range(room.nodes):
        misfit, least, volume = pair[k + 1, NOISE + j], node[LEAST + j], pair[k + 1, VOLUME + j]
        tried, flow = node[TRIED + j], node[FLOW + j] - pair[k + 1, LOSS + j] * volume
        # Not `and`, and nothing loaded in a branch: a loop with branches is not made of wide instructions.
        better = (volume > ZERO) & (misfit < least) & (low + step * PLACE[j] > early)
        node[LEAST + j] = misfit if better else least
        node[TRIED + j] = flow if better else tried


@finite_part
def score_artery(
    k: int, low: Any, step: Any, late: Any, freedom: Any, tables: Any, belief: Any, room: Any
) -> None:
    """Log posterior of every arrival with blood in an artery that filled within one interval, and its volume.

    Of what `lower` has left. The volume has a half-normal prior: its integral is that of a normal tail, whose
    misfit, where the data would rather have less than none, is the one at none.
    """
    begin, end, weight = max(tables.early[k], -late), tables.late[k], room.interval[1, k]
    node, pair = room.node, room.pair
    for j in range(room.nodes):
        volume, own = pair[k + 1, VOLUME + j], pair[k + 1, SPREAD + j]
        misfit = pair[k + 1, NOISE + j] + (volume * volume * own if volume < ZERO else ZERO)
        deviation = sqrt(misfit / (freedom * own))
        x = abs(volume) / deviation
        beyond, bell = HALF * tail(x * PER_ROOT_TWO), exp(-HALF * x * x)
        above = beyond if volume < ZERO else ONE - beyond * bell
        steep = PER_ROOT_TWO_PI * (ONE if volume < ZERO else bell) / above
        width = max(ZERO, min(end, low + step * PLACE[j]) - begin)
        odds = TWO * above * weight * width * sqrt(belief.volume_weight / own)
        score = node[BELIEF + j] + belief.log_odds - HALF * freedom * log(misfit)
        bent = x * steep if volume < ZERO else -x * steep
        pair[k + 1, ODDS + j] = score + log(max(odds, LEAST_ODDS))
        pair[k + 1, NOISE + j] = misfit / (freedom - TWO)
        pair[k + 1, VOLUME + j] = max(ZERO, volume + deviation * steep)
        pair[k + 1, SPREAD + j] = deviation * deviation * max(ZERO, ONE + bent - steep * steep)
