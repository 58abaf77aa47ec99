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
LEAST_SHARE = _f(1e-5)
"""Of the arterial signal that tissue's cannot imitate: less is rounding."""
PER_ROOT_TWO, PER_ROOT_TWO_PI = _f(np.sqrt(0.5)), _f(1 / np.sqrt(2 * np.pi))
X9, X8, X7, X6, X5 = _f(0.17087292), _f(-0.82215291), _f(1.48851723), _f(-1.13520545), _f(0.27886902)
X4, X3, X2, X1, X0 = _f(-0.18628842), _f(0.09678427), _f(0.37409195), _f(1.00002368), _f(-1.26551223)
"""Chebyshev fit, of degree 9 in t = 1/(1 + x/2), of log(e^(x^2) erfc(x)/t)."""
PLACE = np.arange(NODES, dtype=np.float32)
INVERSE, FLOW, BELIEF, CROSS, MISFIT, LEAST, SCORE, TRIED = (NODES * row for row in range(8))
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

    response : (delays / 4, 4 NODES). node : (8 NODES,). pair : (intervals + 1, 5 NODES), the first without an
    arterial component. interval : (3, intervals), square, product with the data, prior of each.
    sums : (2, 9), of the model without an artery and of the one with. nodes : NODES, which a GPU's compiler must
    not know: it would take every loop over them apart, and all their addresses need more registers than there are.
    """

    response: Any
    node: Any
    pair: Any
    interval: Any
    sums: Any
    nodes: int


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
    return t * exp(((((p * t + X4) * t + X3) * t + X2) * t + X1) * t + X0)


@finite_part
def intervals(mean: Any, fade: Any, late: Any, read: Any, tables: Any, belief: Any, room: Any) -> None:
    """Of each arterial interval: its signal's square, its product with the data, its prior per second."""
    whole = FAINT
    for k in range(tables.blood.shape[0]):
        square, product = belief.volume_weight, ZERO
        for i in range(mean.size):
            h = fade * tables.blood[k, i]
            square += read.pairs[i] * h * h
            product += read.pairs[i] * h * mean[i]
        away = HALF * (max(tables.early[k], -late) + tables.late[k]) + late - belief.arrival + belief.lead
        weight = exp(max(believed(away, belief.arrival_precision, belief.arrival_tail), FAINTEST))
        room.interval[0, k], room.interval[1, k], room.interval[2, k] = square, product, weight
        whole += weight * max(ZERO, tables.late[k] - max(tables.early[k], -late))
    for k in range(tables.blood.shape[0]):
        room.interval[2, k] /= whole


@inlined
def of_four(values: Any, i: Any) -> Any:
    """Four numbers side by side."""
    return values[i], values[i + 1], values[i + 2], values[i + 3]


@finite_part
def _fit(k: int, mean: Any, fade: Any, floor: Any, read: Any, tables: Any, belief: Any, room: Any) -> None:
    """Flow and arterial volume together: volume, its precision, the flow lost to it, and the misfit of both."""
    node, pair, blood = room.node, room.pair[k + 1], tables.blood[k]
    square, product = room.interval[0, k], room.interval[1, k]
    for j in range(room.nodes):
        node[CROSS + j] = ZERO
    for i in range(0, mean.size, 4):
        n0, n1, n2, n3 = of_four(read.pairs, i)
        h0, h1, h2, h3 = of_four(blood, i)
        h0, h1, h2, h3 = fade * n0 * h0, fade * n1 * h1, fade * n2 * h2, fade * n3 * h3
        g = room.response[i // 4]
        for j in range(room.nodes):
            node[CROSS + j] += h0 * g[j] + h1 * g[SECOND + j] + (h2 * g[THIRD + j] + h3 * g[FOURTH + j])
    for j in range(room.nodes):
        cross, inverse = node[CROSS + j], node[INVERSE + j]
        own = max(square - cross * cross * inverse, LEAST_SHARE * square)
        volume = (product - cross * node[FLOW + j]) / own
        flow = node[FLOW + j] - cross * inverse * volume
        pair[VOLUME + j], pair[SPREAD + j], pair[LOSS + j] = volume, own, cross * inverse
        node[SCORE + j] = flow
        node[MISFIT + j] = floor + belief.flow_weight * flow * flow + belief.volume_weight * volume * volume
    for i in range(0, mean.size, 4):
        n0, n1, n2, n3 = of_four(read.pairs, i)
        y0, y1, y2, y3 = of_four(mean, i)
        h0, h1, h2, h3 = of_four(blood, i)
        h0, h1, h2, h3 = fade * h0, fade * h1, fade * h2, fade * h3
        g = room.response[i // 4]
        for j in range(room.nodes):
            flow, volume = node[SCORE + j], pair[VOLUME + j]
            r0, r1 = y0 - flow * g[j] - volume * h0, y1 - flow * g[SECOND + j] - volume * h1
            r2, r3 = y2 - flow * g[THIRD + j] - volume * h2, y3 - flow * g[FOURTH + j] - volume * h3
            node[MISFIT + j] += n0 * r0 * r0 + n1 * r1 * r1 + (n2 * r2 * r2 + n3 * r3 * r3)


@finite_part
def lower(
    k: int,
    mean: Any,
    low: Any,
    step: Any,
    fade: Any,
    floor: Any,
    read: Any,
    tables: Any,
    belief: Any,
    room: Any,
) -> None:
    """Lower the least misfit of every arrival to what an artery of this interval would leave, and note its flow."""
    _fit(k, mean, fade, floor, read, tables, belief, room)
    node, pair, early = room.node, room.pair[k + 1], tables.early[k]
    for j in range(room.nodes):
        misfit, least = node[MISFIT + j], node[LEAST + j]
        pair[NOISE + j] = misfit
        better = pair[VOLUME + j] > ZERO and misfit < least and low + step * PLACE[j] > early
        node[LEAST + j] = misfit if better else least
        node[TRIED + j] = node[SCORE + j] if better else node[TRIED + j]


@finite_part
def score_artery(
    k: int, low: Any, step: Any, late: Any, freedom: Any, tables: Any, belief: Any, room: Any
) -> None:
    """Log posterior of every arrival with blood in an artery that filled within one interval, and its volume.

    Of what `lower` has left. The volume has a half-normal prior: its integral is that of a normal tail, whose
    misfit, where the data would rather have less than none, is the one at none.
    """
    begin, end, weight = max(tables.early[k], -late), tables.late[k], room.interval[2, k]
    node, pair = room.node, room.pair[k + 1]
    for j in range(room.nodes):
        volume, own = pair[VOLUME + j], pair[SPREAD + j]
        misfit = pair[NOISE + j] + (volume * volume * own if volume < ZERO else ZERO)
        deviation = sqrt(misfit / (freedom * own))
        x = abs(volume) / deviation
        beyond, bell = HALF * tail(x * PER_ROOT_TWO), exp(-HALF * x * x)
        above = beyond if volume < ZERO else ONE - beyond * bell
        steep = PER_ROOT_TWO_PI * (ONE if volume < ZERO else bell) / above
        width = max(ZERO, min(end, low + step * PLACE[j]) - begin)
        odds = TWO * above * weight * width * sqrt(belief.volume_weight / own)
        score = node[BELIEF + j] + belief.log_odds - HALF * freedom * log(misfit)
        bent = x * steep if volume < ZERO else -x * steep
        pair[ODDS + j] = score + log(max(odds, LEAST_ODDS))
        pair[NOISE + j] = misfit / (freedom - TWO)
        pair[VOLUME + j] = max(ZERO, volume + deviation * steep)
        pair[SPREAD + j] = deviation * deviation * max(ZERO, ONE + bent - steep * steep)
