"""Two tissues in one set of curves: the exact posterior of both flows over a grid of both arrivals."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.asl.kinetics import delivered, depleted, of_arrival, of_delay
from bolus_kernels.asl.nodes import AGO, LEAST_RATE, LEFT, MOST_FLOW, SHOWN, TYPICAL_FLOW
from bolus_kernels.asl.partial_volume.plane import (
    GREY,
    MISFIT,
    OF_GREY,
    OF_WHITE,
    SCORE,
    WHITE,
    likely,
    moments,
    weigh,
)
from bolus_kernels.asl.posterior import FINEST, HALF, ONE, ZERO
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp, log

LEVELS = 5
"""The most refinements."""
RESOLVED = np.float32(8.0)
"""Nodes that must share the mass before the sum over them is the integral."""


@finite_part
def pair_posterior(
    seen: Any, grey: Any, shared: Any, white: Any, rest: Any, freedom: Any, slice_delay: Any,
    labels: Any, tissues: Any, belief: Any, room: Any, told: Any,
) -> None:  # fmt: skip
    """Fill `told`, (TOLD,): flows in 1/s and arrivals in s, with their SDs, GM first, and the log evidence.

    seen : (2, delays), what two voxels would show whose tissues' amounts are (grey, shared) and (0, white): all that
    any number of voxels say of flows and arrivals. rest : the squares that no flow explains; freedom : of the noise.
    The evidence leaves out factors that are one number for all data of as many pairs; its gamma function is Stirling's.
    """
    most = belief.arrival_most + slice_delay
    low_grey, high_grey, low_white, high_white = ZERO, most, ZERO, most
    flow_grey, flow_white, (coarse, fine) = TYPICAL_FLOW, TYPICAL_FLOW, room.nodes
    nodes = coarse
    for level in range(LEVELS):
        step_grey = (high_grey - low_grey) / np.float32(nodes - 1)
        step_white = (high_white - low_white) / np.float32(nodes - 1)
        respond(0, low_grey, step_grey, nodes, tissues.grey_rate, tissues.grey_partition, flow_grey,
                slice_delay, labels, room)  # fmt: skip
        respond(1, low_white, step_white, nodes, tissues.white_rate, tissues.white_partition, flow_white,
                slice_delay, labels, room)  # fmt: skip
        project(seen, grey, shared, white, nodes, labels, belief, room)
        best = score(
            seen, grey, shared, white, rest, freedom, low_grey, step_grey, low_white, step_white, nodes,
            labels, belief, room,
        )  # fmt: skip
        last = level == LEVELS - 1
        sharing, first_grey, last_grey, first_white, last_white = likely(rest, freedom, best, nodes, room)
        if last or (level > 0 and (sharing > RESOLVED or (step_grey < FINEST and step_white < FINEST))):
            moments(low_grey, step_grey, low_white, step_white, best, nodes, freedom, room, told)
            break
        flow_grey, flow_white = weigh(best, nodes, room)
        high_grey = min(most, low_grey + step_grey * np.float32(last_grey + 1))
        low_grey = max(ZERO, low_grey + step_grey * np.float32(first_grey - 1))
        high_white = min(most, low_white + step_white * np.float32(last_white + 1))
        low_white = max(ZERO, low_white + step_white * np.float32(first_white - 1))
        wide = max(last_grey - first_grey, last_white - first_white)
        nodes = coarse if wide > nodes // 2 else fine


@finite_part
def respond(
    tissue: int, low: Any, step: Any, nodes: int, rate: Any, partition: Any, flow: Any, slice_delay: Any,
    labels: Any, room: Any,
) -> None:  # fmt: skip
    """A tissue's response at each delay for each arrival, and the sum of its squares over the pairs."""
    relaxation = labels.rate_blood
    if labels.tissue_relaxation:
        relaxation = max(LEAST_RATE * rate, rate + min(flow, MOST_FLOW) / partition)
    growth = relaxation - labels.rate_blood if labels.pulsed else relaxation
    room.square[tissue, :] = ZERO
    for b in range(nodes):
        early, carried = of_arrival(low + step * np.float32(b), labels.rate_blood, relaxation, growth)
        room.cross[b], room.along[tissue, b] = early, labels.gain * carried
    for i in range(labels.time.size):
        time, pairs = labels.time[i] + slice_delay, labels.pairs[i]
        reach, lead, full = of_delay(time, labels.duration[i], relaxation, growth)
        for b in range(nodes):
            response = room.along[tissue, b] * delivered(room.cross[b], reach, lead, full)
            room.response[tissue, i, b] = response
            room.square[tissue, b] += pairs * response * response
    if labels.kept < ONE:
        deplete(tissue, relaxation, nodes, labels, room)


@finite_part
def deplete(tissue: int, relaxation: Any, nodes: int, labels: Any, room: Any) -> None:
    """Take from the responses what the pulses of the readouts before took, show what is shown, sum squares anew.

    Readouts of one label lie in their order; a line of two planes, filled only later, holds what the one before would
    have found without pulses, and what it found.
    """
    room.square[tissue, :], room.plane[GREY, 0, :], room.plane[WHITE, 0, :] = ZERO, ZERO, ZERO
    for i in range(labels.time.size):
        fade, pairs = exp(-labels.pulses[AGO, i] * relaxation), labels.pairs[i]
        kept, shows = labels.pulses[LEFT, i], labels.pulses[SHOWN, i]
        for b in range(nodes):
            full = room.response[tissue, i, b]
            left = depleted(full, room.plane[GREY, 0, b], room.plane[WHITE, 0, b], fade, kept)
            room.plane[GREY, 0, b], room.plane[WHITE, 0, b] = full, left
            room.response[tissue, i, b] = shows * left
            room.square[tissue, b] += pairs * (shows * left) * (shows * left)


@finite_part
def project(
    seen: Any, grey: Any, shared: Any, white: Any, nodes: int, labels: Any, belief: Any, room: Any
) -> None:
    """What the data and the prior say along each tissue's response, for each of its arrivals."""
    room.along[0, :], room.along[1, :] = belief.grey_weight * belief.grey, belief.white_weight * belief.white
    for i in range(labels.time.size):
        of_grey = labels.pairs[i] * grey * seen[0, i]
        of_white = labels.pairs[i] * (shared * seen[0, i] + white * seen[1, i])
        for b in range(nodes):
            room.along[0, b] += of_grey * room.response[0, i, b]
            room.along[1, b] += of_white * room.response[1, i, b]


@finite_part
def score(
    seen: Any, grey: Any, shared: Any, white: Any, rest: Any, freedom: Any, low_grey: Any, step_grey: Any,
    low_white: Any, step_white: Any, nodes: int, labels: Any, belief: Any, room: Any,
) -> Any:  # fmt: skip
    """Fill the planes at each pair of arrivals, flows and noise integrated out; gives the best log posterior."""
    best = np.float32(-3e38)
    weight_grey, weight_white = belief.grey_weight, belief.white_weight
    amount_grey, amount_white = grey * grey, shared * shared + white * white
    for a in range(nodes):
        room.cross[:] = ZERO
        for i in range(labels.time.size):
            one = labels.pairs[i] * room.response[0, i, a]
            for b in range(nodes):
                room.cross[b] += one * room.response[1, i, b]
        for b in range(nodes):
            of_grey, of_white = amount_grey * room.square[0, a], amount_white * room.square[1, b]
            both = grey * shared * room.cross[b]
            apart = room.square[0, a] * room.square[1, b]
            alike = max(ZERO, apart - room.cross[b] * room.cross[b])
            known = amount_grey * (shared * shared * alike + white * white * apart)
            inverse = ONE / (weight_grey * (weight_white + of_white) + weight_white * of_grey + known)
            along_grey, along_white = room.along[0, a], room.along[1, b]
            room.plane[GREY, a, b] = inverse * ((weight_white + of_white) * along_grey - both * along_white)
            room.plane[WHITE, a, b] = inverse * ((weight_grey + of_grey) * along_white - both * along_grey)
            room.plane[OF_GREY, a, b] = inverse * (weight_white + of_white)
            room.plane[OF_WHITE, a, b] = inverse * (weight_grey + of_grey)
            away_grey = room.plane[GREY, a, b] - belief.grey
            away_white = room.plane[WHITE, a, b] - belief.white
            penalty = weight_grey * away_grey * away_grey + weight_white * away_white * away_white
            room.plane[MISFIT, a, b] = rest + penalty
            room.plane[SCORE, a, b] = HALF * log(inverse)
        for i in range(labels.time.size):
            one, pairs = grey * room.response[0, i, a], labels.pairs[i]
            first, second = seen[0, i], seen[1, i]
            for b in range(nodes):
                of_white = room.plane[WHITE, a, b] * room.response[1, i, b]
                left, other = (
                    first - one * room.plane[GREY, a, b] - shared * of_white,
                    second - white * of_white,
                )
                room.plane[MISFIT, a, b] += pairs * (left * left + other * other)
        at = low_grey + step_grey * np.float32(a)
        from_mean = at - belief.arrival
        expected = HALF * belief.arrival_precision * from_mean * from_mean
        for b in range(nodes):
            behind = low_white + step_white * np.float32(b) - at - belief.later
            prior = expected + HALF * belief.later_precision * behind * behind
            found = room.plane[SCORE, a, b] - prior - HALF * freedom * log(room.plane[MISFIT, a, b])
            room.plane[SCORE, a, b] = found
            best = max(best, found)
    return best
