"""A grid of arrivals in memory: what every delay of a series would show at each of its nodes, before any data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.kinetics import delivered, depleted, of_arrival, of_delay
from bolus_kernels.jit import finite_part, inlined, part
from bolus_kernels.scalar import exp
from bolus_kernels.tiles import TILE

NODES = 32
"""Of every grid, the first and each refinement."""
SQUARE, CARRIED, INVERSE, BELIEF, PRODUCT, FLOW, SCORE, WEIGHT = (NODES * row for row in range(8))
EARLY, MISFIT, WORK = PRODUCT, 9 * NODES, 11 * NODES
"""A row for each number that a node has; one to spare on either side of the misfit, for a neighbour's. The row of the
products is that of what is early while responses are made.

Rows lie at fixed places of one array, and on the CPU loops run over a fixed number of nodes: the compiler then knows
that no row touches another and that no node is left over, and a loop becomes a few wide instructions.
"""
TIME, DURATION, PAIRS, MEAN, REACH, LEAD, FULL, SINCE, LEAVES, SHOWS, FOUR = (
    4 * column for column in range(11)
)
"""Where the numbers of four delays lie in a row of the table of delays, and the length of such a row."""
PLACE = np.arange(NODES, dtype=np.float32)
EACH = (True,) * NODES
"""What a grid on the CPU counts its nodes by: the compiler knows the length of a tuple."""
SHARE = np.ones(NODES, np.float32)
SHARE[[0, -1]] = 0.5
"""Of the space between two nodes, what each stands for: those at the ends for half of it."""
AGO, LEFT, SHOWN = range(3)
"""Rows of the pulses of Look-Locker readouts: s since the readout before of the same label, the share of the label that
its pulse left, the share of the calibrated signal that this one shows."""
NONE_BEFORE = np.float32(1e3)
"""s; so long ago was the readout before the first: nothing of it is left."""
TYPICAL_FLOW, MOST_FLOW, LEAST_RATE = np.float32(0.01), np.float32(0.5), np.float32(0.5)
"""1/s, 1/s, 1: the flow inside 1/T1' at first; the most it may be (3000 ml/100g/min); the least share of 1/T1."""
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


class Grid(NamedTuple):
    """Memory for a grid of one voxel, float32. response : (delays / 4, 4 NODES). work : (WORK,).

    nodes : what has NODES items. On the CPU it is EACH, and loops become a few wide instructions; on a GPU an array,
    whose length is told at run time: there loops that the compiler could unroll would need more registers than it has.
    """

    response: Any
    work: Any
    nodes: Any


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
def average(tile: Any, column: Any, pairs: Any, means: Any) -> None:
    """Mean of each delay's pairs into `means`, (delays, TILE), of the curves of a tile."""
    means[:] = ZERO
    for t in range(tile.shape[0]):
        row, to = tile[t], means[column[t]]
        for v in range(TILE):
            to[v] += row[v]
    for i in range(means.shape[0]):
        to, share = means[i], ONE / max(pairs[i], ONE)
        for v in range(TILE):
            to[v] *= share


@part
def summarise_tile(tile: Any, column: Any, pairs: Any, means: Any, within: Any) -> None:
    """As `summarise`, of the curves of a tile: means of their delays, (delays, TILE), and `within`, (TILE,)."""
    average(tile, column, pairs, means)
    within[:] = ZERO
    for t in range(tile.shape[0]):
        row, mean = tile[t], means[column[t]]
        for v in range(TILE):
            within[v] += (row[v] - mean[v]) ** 2


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
    slice_delay: Any, rate: Any, flow: Any, labels: Any, low: Any, step: Any, table: Any, grid: Grid
) -> None:
    """What depends on neither data, noise nor prior: responses, the square of each arrival's.

    rate : 1/T1 of tissue, 1/s. flow : 1/s, inside 1/T1'.
    """
    response, work, relaxation = grid.response, grid.work, labels.rate_blood
    if labels.tissue_relaxation:
        relaxation = max(LEAST_RATE * rate, rate + min(flow, MOST_FLOW) / labels.partition)
    growth = relaxation - labels.rate_blood if labels.pulsed else relaxation
    for g in range(table.shape[0]):
        for k in range(4):
            time, duration = table[g, TIME + k] + slice_delay, table[g, DURATION + k]
            reach, lead, full = of_delay(time, duration, relaxation, growth)
            table[g, REACH + k], table[g, LEAD + k], table[g, FULL + k] = reach, lead, full
    for j in range(len(grid.nodes)):
        early, carried = of_arrival(low + step * PLACE[j], labels.rate_blood, relaxation, growth)
        work[EARLY + j], work[CARRIED + j], work[SQUARE + j] = early, labels.gain * carried, ZERO
    for g in range(table.shape[0]):
        a0, a1, a2, a3 = of_four(table, g, REACH)
        b0, b1, b2, b3 = of_four(table, g, LEAD)
        c0, c1, c2, c3 = of_four(table, g, FULL)
        n0, n1, n2, n3 = of_four(table, g, PAIRS)
        for j in range(len(grid.nodes)):
            early, carried = work[EARLY + j], work[CARRIED + j]
            g0, g1 = carried * delivered(early, a0, b0, c0), carried * delivered(early, a1, b1, c1)
            g2, g3 = carried * delivered(early, a2, b2, c2), carried * delivered(early, a3, b3, c3)
            response[g, j], response[g, NODES + j] = g0, g1
            response[g, 2 * NODES + j], response[g, 3 * NODES + j] = g2, g3
            work[SQUARE + j] += n0 * g0 * g0 + n1 * g1 * g1 + (n2 * g2 * g2 + n3 * g3 * g3)
    if labels.kept < ONE:
        deplete(relaxation, table, grid)


@finite_part
def deplete(relaxation: Any, table: Any, grid: Grid) -> None:
    """Take from the responses what the pulses of the readouts before took, show what is shown, sum squares anew.

    Readouts of one label lie in their order; EARLY and CARRIED, needed no more, hold what the one before would have
    found without pulses, and what it found.
    """
    response, work = grid.response, grid.work
    for j in range(len(grid.nodes)):
        work[EARLY + j], work[CARRIED + j], work[SQUARE + j] = ZERO, ZERO, ZERO
    for g in range(table.shape[0]):
        for k in range(4):
            fade, pairs = exp(-table[g, SINCE + k] * relaxation), table[g, PAIRS + k]
            kept, shows = table[g, LEAVES + k], table[g, SHOWS + k]
            row = response[g, k * NODES : (k + 1) * NODES]
            for j in range(len(grid.nodes)):
                full = row[j]
                left = depleted(full, work[EARLY + j], work[CARRIED + j], fade, kept)
                seen = shows * left
                work[EARLY + j], work[CARRIED + j], row[j] = full, left, seen
                work[SQUARE + j] += pairs * seen * seen
