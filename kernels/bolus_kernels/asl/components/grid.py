"""A grid of arrivals: the tissue's responses there, how well they tell the data, and where to look closer."""

from __future__ import annotations

from math import floor, sqrt
from typing import Any

import numpy as np

from bolus_kernels.asl.components.artery import (
    BELIEF,
    FAINTEST,
    FLOW,
    FOURTH,
    HALF,
    INVERSE,
    LEAST,
    LOSS,
    MISFIT,
    NODES,
    NOISE,
    ODDS,
    ONE,
    PLACE,
    SCORE,
    SECOND,
    SPREAD,
    THIRD,
    TRIED,
    TWO,
    VOLUME,
    ZERO,
    of_four,
)  # fmt: skip
from bolus_kernels.asl.components.response import LEAST_RATE, MOST_FLOW, RATE_STEP, STEP
from bolus_kernels.asl.kinetics import delivered, depleted, of_arrival, of_delay
from bolus_kernels.asl.nodes import AGO, LEFT, SHOWN
from bolus_kernels.asl.posterior import LOWEST, RULER
from bolus_kernels.asl.prior import believed
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp, log

_f = np.float32
NEGLIGIBLE = _f(16.0)
"""Less of log posterior than the best carries no mass, whatever the odds of the arterial intervals."""
NOTHING, LOG_TWO = _f(-1e30), _f(np.log(2))
PER_ARRIVAL, PER_RATE = _f(1.0 / STEP), _f(1.0 / RATE_STEP)
FLOW_MOST, RATE_LEAST = _f(MOST_FLOW), _f(LEAST_RATE)


@finite_part
def respond(
    low: Any,
    step: Any,
    rate: Any,
    flow: Any,
    late: Any,
    fade: Any,
    read: Any,
    tables: Any,
    belief: Any,
    room: Any,
) -> None:
    """Responses of a unit flow at the arrivals of a grid: in closed form, or between the lines of the tables."""
    relaxation = read.rate_blood
    if read.tissue_relaxation:
        relaxation = max(RATE_LEAST * rate, rate + min(flow, FLOW_MOST) / read.partition)
    node, response = room.node, room.response
    if tables.tissue.shape[0] == 0:
        growth = relaxation - read.rate_blood if read.pulsed else relaxation
        for j in range(room.nodes):
            early, carried = of_arrival(low + step * PLACE[j] + late, read.rate_blood, relaxation, growth)
            node[MISFIT + j], node[TRIED + j] = early, read.gain * carried
        for i in range(read.time.size):
            reach, lead, full = of_delay(read.time[i] + late, read.duration[i], relaxation, growth)
            g, at = i // 4, NODES * (i % 4)
            for j in range(room.nodes):
                response[g, at + j] = node[TRIED + j] * delivered(node[MISFIT + j], reach, lead, full)
        if read.kept < ONE:
            deplete(relaxation, read, room)
    else:
        place = log(relaxation) * PER_RATE
        nearest = floor(place + HALF)
        x, row = place - nearest, np.int64(nearest) - tables.rate - 1
        r = np.uint32(max(0, min(row, tables.tissue.shape[0] - 3)))
        w0, w1, w2 = fade * HALF * x * (x - ONE), fade * (ONE - x * x), fade * HALF * x * (x + ONE)
        one, two, most = np.uint32(1), np.uint32(2), tables.tissue.shape[2] - 2
        for i in range(read.time.size):
            first, second, third = tables.tissue[r, i], tables.tissue[r + one, i], tables.tissue[r + two, i]
            line = room.response[i // 4, NODES * (i % 4) : NODES * (i % 4 + 1)]
            for j in range(room.nodes):
                at = (low + step * PLACE[j]) * PER_ARRIVAL
                before = floor(at)
                up, n = at - before, np.uint32(max(0, min(np.int64(before) - tables.arrival, most)))
                m = n + one
                here = w0 * first[n] + w1 * second[n] + w2 * third[n]
                line[j] = here + up * (w0 * first[m] + w1 * second[m] + w2 * third[m] - here)
    for j in range(room.nodes):
        away = low + step * PLACE[j] + late - belief.arrival
        node[BELIEF + j] = believed(away, belief.arrival_precision, belief.arrival_tail)
    node[BELIEF] -= LOG_TWO  # nodes at an end stand for half the space of the others
    node[BELIEF + NODES - 1] -= LOG_TWO


@finite_part
def deplete(relaxation: Any, read: Any, room: Any) -> None:
    """Take from the responses what the pulses of the readouts before took; those of one label lie in their order.

    Of what is left a readout shows its own share.
    """
    node = room.node
    for j in range(room.nodes):
        node[MISFIT + j], node[TRIED + j] = ZERO, ZERO
    for i in range(read.time.size):
        fade, kept, shows = (
            exp(-read.pulses[AGO, i] * relaxation),
            read.pulses[LEFT, i],
            read.pulses[SHOWN, i],
        )
        row = room.response[i // 4, NODES * (i % 4) : NODES * (i % 4 + 1)]
        for j in range(room.nodes):
            whole = row[j]
            left = depleted(whole, node[MISFIT + j], node[TRIED + j], fade, kept)
            node[MISFIT + j], node[TRIED + j], row[j] = whole, left, shows * left


@finite_part
def score(mean: Any, freedom: Any, least: Any, read: Any, belief: Any, room: Any) -> None:
    """At each arrival, without an artery: flow, misfit, log posterior."""
    node, pair, response, rest = room.node, room.pair, room.response, room.rest
    for j in range(room.nodes):
        node[INVERSE + j], node[FLOW + j] = belief.flow_weight, ZERO
    for i in range(response.shape[0]):
        n0, n1, n2, n3 = of_four(read.pairs, 4 * i)
        y0, y1, y2, y3 = of_four(mean, 4 * i)
        for j in range(room.nodes):
            g0, g1, g2, g3 = (
                response[i, j],
                response[i, SECOND + j],
                response[i, THIRD + j],
                response[i, FOURTH + j],
            )
            node[INVERSE + j] += n0 * g0 * g0 + n1 * g1 * g1 + (n2 * g2 * g2 + n3 * g3 * g3)
            node[FLOW + j] += n0 * y0 * g0 + n1 * y1 * g1 + (n2 * y2 * g2 + n3 * y3 * g3)
    for j in range(room.nodes):
        inverse = ONE / node[INVERSE + j]
        flow = node[FLOW + j] * inverse
        node[INVERSE + j], node[FLOW + j], node[TRIED + j] = inverse, flow, flow
        node[MISFIT + j] = least + belief.flow_weight * flow * flow
        node[BELIEF + j] += HALF * log(inverse)
    for i in range(response.shape[0]):
        n0, n1, n2, n3 = of_four(read.pairs, 4 * i)
        y0, y1, y2, y3 = of_four(mean, 4 * i)
        for j in range(room.nodes):
            flow = node[FLOW + j]
            r0, r1 = y0 - flow * response[i, j], y1 - flow * response[i, SECOND + j]
            r2, r3 = y2 - flow * response[i, THIRD + j], y3 - flow * response[i, FOURTH + j]
            rest[i, j], rest[i, SECOND + j], rest[i, THIRD + j], rest[i, FOURTH + j] = r0, r1, r2, r3
            node[MISFIT + j] += n0 * r0 * r0 + n1 * r1 * r1 + (n2 * r2 * r2 + n3 * r3 * r3)
    for j in range(room.nodes):
        misfit = node[MISFIT + j]
        node[LEAST + j] = misfit
        pair[0, ODDS + j] = node[BELIEF + j] - HALF * freedom * log(misfit)
        pair[0, VOLUME + j], pair[0, SPREAD + j], pair[0, LOSS + j] = ZERO, ZERO, ZERO
        pair[0, NOISE + j] = misfit / (freedom - TWO)


@finite_part
def share(freedom: Any, room: Any) -> Any:
    """The best score by the least misfits, how many arrivals share the weight, and their mean flow."""
    node, most = room.node, LOWEST
    for j in range(room.nodes):
        score = node[BELIEF + j] - HALF * freedom * log(node[LEAST + j])
        node[SCORE + j] = score
        most = max(most, np.int32(RULER * score))
    best = _f(most) / RULER
    total, squares, flow = ZERO, ZERO, ZERO
    for j in range(room.nodes):
        weight = exp(max(node[SCORE + j] - best, FAINTEST))
        total += weight
        squares += weight * weight
        flow += weight * node[TRIED + j]
    return best, total * total / squares, flow / total


@finite_part
def window(low: Any, step: Any, high: Any, freedom: Any, least: Any, best: Any, read: Any, room: Any) -> Any:
    """The arrivals that may still carry mass: a response between two nodes is no further from either than they are.

    So with the same flow the data are nearer to it than to a node by no more than that; and never within the noise.
    """
    node, apart, response, none = room.node, room.apart, room.response, np.int32(0)
    first, last = np.int32(NODES), none
    for j in range(
        2 * room.nodes
    ):  # from NODES on, the square of the distance from each response to the next
        apart[j] = ZERO
    for i in range(response.shape[0]):
        n0, n1, n2, n3 = of_four(read.pairs, 4 * i)
        for j in range(room.nodes - 1):
            d0, d1 = (
                response[i, j] - response[i, 1 + j],
                response[i, SECOND + j] - response[i, SECOND + 1 + j],
            )
            d2, d3 = (
                response[i, THIRD + j] - response[i, THIRD + 1 + j],
                response[i, FOURTH + j] - response[i, FOURTH + 1 + j],
            )
            apart[NODES + j] += n0 * d0 * d0 + n1 * d1 * d1 + (n2 * d2 * d2 + n3 * d3 * d3)
    for j in range(room.nodes):
        misfit, far = node[LEAST + j], max(apart[NODES + j], apart[NODES - 1 + j])
        nearest: Any = max(ZERO, sqrt(max(ZERO, misfit - least)) - abs(node[TRIED + j]) * sqrt(far))
        likely = (
            node[SCORE + j] + HALF * freedom * log(misfit / (least + nearest * nearest)) >= best - NEGLIGIBLE
        )
        first = min(first, np.int32(PLACE[j]) if likely else np.int32(NODES))
        last = max(last, np.int32(PLACE[j]) if likely else none)
    return max(low, low + step * _f(first - 1)), min(high, low + step * _f(last + 1))
