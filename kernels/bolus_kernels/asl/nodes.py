"""A grid of arrivals in memory: what every delay of a series would show at each of its nodes, before any data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.kinetics import delivered, depleted, of_arrival, of_delay
from bolus_kernels.jit import finite_part, inlined, part
from bolus_kernels.scalar import exp

COARSE, FINE = 32, 16
"""Nodes of the first grid and of each refinement."""
BLOCKS = COARSE // FINE
SQUARE, CARRIED, INVERSE, BELIEF, PRODUCT, FLOW, SCORE, WEIGHT = (FINE * row for row in range(8))
EARLY, MISFIT, WORK = SQUARE, 9 * FINE, 11 * FINE
"""A row for each number that a node has; one to spare on either side of the misfit, for a neighbour's. The row of the
squares is that of what is early while responses are made.

Rows lie at fixed places of one array, and loops run over FINE nodes: the compiler then knows that no row touches
another and that no node is left over, and a loop becomes a few wide instructions.
"""
TIME, DURATION, PAIRS, MEAN, REACH, LEAD, FULL, SINCE, LEAVES, SHOWS, FOUR = (
    4 * column for column in range(11)
)
"""Where the numbers of four delays lie in a row of the table of delays, and the length of such a row."""
PLACE = np.arange(COARSE, dtype=np.float32).reshape(BLOCKS, FINE)
AGO, LEFT, SHOWN = range(3)
"""Rows of the pulses of Look-Locker readouts: s since the readout before of the same label, the share of the label that
its pulse left, the share of the calibrated signal that this one shows."""
NONE_BEFORE = np.float32(1e3)
"""s; so long ago was the readout before the first: nothing of it is left."""
ZERO, ONE = np.float32(0), np.float32(1)


class Labels(NamedTuple):
    """The distinct delays, float32: time since labelling, bolus duration (s), pairs of each; rates (1/s).

    Kernels take delays four by four: the last is repeated, without pairs, until four divides their number. pulses :
    (3, delays), as AGO, LEFT and SHOWN say; the readout before of the same label is the delay before it (of the first,
    AGO is NONE_BEFORE). kept : the least that any pulse leaves, 1 without such readouts.
    """

    time: NDArray[np.float32]
    duration: NDArray[np.float32]
    pairs: NDArray[np.float32]
    rate_blood: np.float32
    partition: np.float32
    gain: np.float32
    pulsed: bool
    tissue_relaxation: bool
    pulses: NDArray[np.float32]
    kept: np.float32


@part
def summarise(curve: Any, column: Any, pairs: Any, mean: Any) -> Any:
    """Mean of each delay's pairs into `mean`, and the sum of squares around them: all that the data say."""
    mean[:] = ZERO
    for t in range(curve.size):
        mean[column[t]] += curve[t]
    for i in range(mean.size):
        mean[i] /= max(pairs[i], ONE)
    within = ZERO
    for t in range(curve.size):
        within += (curve[t] - mean[column[t]]) ** 2
    return within


@part
def tabulate(labels: Any, table: Any) -> None:
    """Lay the delays out in `table`, (delays / 4, FOUR) float32, four side by side."""
    for i in range(labels.time.size):
        g, k = i // 4, i % 4
        table[g, TIME + k], table[g, DURATION + k] = labels.time[i], labels.duration[i]
        table[g, PAIRS + k], table[g, SINCE + k] = labels.pairs[i], labels.pulses[AGO, i]
        table[g, LEAVES + k], table[g, SHOWS + k] = labels.pulses[LEFT, i], labels.pulses[SHOWN, i]


@inlined
def of_four(table: Any, g: Any, k: Any) -> Any:
    """Four numbers side by side in row g of a table."""
    return table[g, k], table[g, k + 1], table[g, k + 2], table[g, k + 3]


@finite_part
def respond(
    slice_delay: Any, relaxation: Any, growth: Any, rate_blood: Any, gain: Any, kept: Any,
    low: Any, step: Any, nodes: int, table: Any, response: Any, work: Any,
) -> None:  # fmt: skip
    """What depends on neither data, noise nor prior: responses, the square of each arrival's."""
    for g in range(table.shape[0]):
        for k in range(4):
            time, duration = table[g, TIME + k] + slice_delay, table[g, DURATION + k]
            reach, lead, full = of_delay(time, duration, relaxation, growth)
            table[g, REACH + k], table[g, LEAD + k], table[g, FULL + k] = reach, lead, full
    for b in range(nodes // FINE):
        for j in range(FINE):
            early, carried = of_arrival(low + step * PLACE[b, j], rate_blood, relaxation, growth)
            work[b, EARLY + j], work[b, CARRIED + j], work[b, INVERSE + j] = early, gain * carried, ZERO
    for g in range(table.shape[0]):
        a0, a1, a2, a3 = of_four(table, g, REACH)
        b0, b1, b2, b3 = of_four(table, g, LEAD)
        c0, c1, c2, c3 = of_four(table, g, FULL)
        n0, n1, n2, n3 = of_four(table, g, PAIRS)
        for b in range(nodes // FINE):
            for j in range(FINE):
                early, carried = work[b, EARLY + j], work[b, CARRIED + j]
                g0, g1 = carried * delivered(early, a0, b0, c0), carried * delivered(early, a1, b1, c1)
                g2, g3 = carried * delivered(early, a2, b2, c2), carried * delivered(early, a3, b3, c3)
                response[g, b, j], response[g, b, FINE + j] = g0, g1
                response[g, b, 2 * FINE + j], response[g, b, 3 * FINE + j] = g2, g3
                work[b, INVERSE + j] += n0 * g0 * g0 + n1 * g1 * g1 + (n2 * g2 * g2 + n3 * g3 * g3)
    if kept < ONE:
        deplete(relaxation, nodes, table, response, work)
    for b in range(nodes // FINE):
        for j in range(FINE):
            work[b, SQUARE + j], work[b, PRODUCT + j] = work[b, INVERSE + j], ZERO


@finite_part
def deplete(relaxation: Any, nodes: int, table: Any, response: Any, work: Any) -> None:
    """Take from the responses what the pulses of the readouts before took, show what is shown, sum squares anew.

    Readouts of one label lie in their order; EARLY and CARRIED, needed no more, hold what the one before would have
    found without pulses, and what it found.
    """
    for b in range(nodes // FINE):
        for j in range(FINE):
            work[b, EARLY + j], work[b, CARRIED + j], work[b, INVERSE + j] = ZERO, ZERO, ZERO
    for g in range(table.shape[0]):
        for k in range(4):
            fade, pairs = exp(-table[g, SINCE + k] * relaxation), table[g, PAIRS + k]
            kept, shows = table[g, LEAVES + k], table[g, SHOWS + k]
            for b in range(nodes // FINE):
                row = response[g, b, k * FINE : (k + 1) * FINE]
                for j in range(FINE):
                    full = row[j]
                    left = depleted(full, work[b, EARLY + j], work[b, CARRIED + j], fade, kept)
                    seen = shows * left
                    work[b, EARLY + j], work[b, CARRIED + j], row[j] = full, left, seen
                    work[b, INVERSE + j] += pairs * seen * seen
