"""The exact posterior of one voxel's flow and arrival: a grid over arrivals that refines itself."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.asl.nodes import (
    BELIEF,
    FLOW,
    INVERSE,
    MEAN,
    MISFIT,
    NODES,
    PAIRS,
    PLACE,
    PRODUCT,
    SCORE,
    SHARE,
    SQUARE,
    TYPICAL_FLOW,
    WEIGHT,
    Grid,
    of_four,
    respond,
)
from bolus_kernels.asl.prior import believed
from bolus_kernels.jit import finite_part, part
from bolus_kernels.scalar import exp, log
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE

LEVELS = 6
"""The most refinements of one voxel."""
NEGLIGIBLE = np.float32(14.0)
"""Nodes whose log posterior is this far below the best (8e-7) carry no mass."""
FAINTEST = np.float32(-40.0)
"""No weight is less than e to this: squares stay normal numbers, which are faster."""
RESOLVED = np.float32(3.0)
"""Nodes that must share the mass before the sum over them is the integral."""
SETTLED = np.float32(0.25)
"""Variances of the flow that a grid may be off the flow inside 1/T1': its error is a thirtieth of that distance."""
FINEST = np.float32(2e-5)
"""s; no grid is finer, because float32 curves cannot tell arrivals apart below it."""
ZERO, ONE, TWO, HALF, EIGHTH = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5), np.float32(0.125)
RULER, LOWEST = np.float32(64), np.int32(-(2**31))
"""The best score is found in whole 64ths, from below all: maxima of integers vectorise, those of floats do not."""
FLOW_UNIT = np.float32(6000)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


@part
def solvable(
    finite: bool, within: Any, t1_tissue: Any, slice_delay: Any, noise: Any, arrival: Any, most: Any
) -> int:
    """The state of a voxel before it is computed, from what would break its arithmetic."""
    if not (finite and within <= FINITE):
        return NOT_FINITE
    if not (t1_tissue > ZERO and t1_tissue <= FINITE and abs(slice_delay) <= FINITE and noise <= FINITE):
        return NO_SOLUTION
    if not (arrival >= ZERO and arrival <= most + slice_delay):
        return NO_SOLUTION
    return 0


@finite_part
def voxel_posterior(
    mean: Any, within: Any, rate: Any, slice_delay: Any, known: bool, labels: Any, prior: Any,
    table: Any, first: Grid, finer: Grid, result: Any,
) -> None:  # fmt: skip
    """Sum over a grid of arrivals, then over finer ones, until the mass is resolved: f, its SD, ATT, its SD.

    And until the flow inside 1/T1' has settled: it is that of the grid before, which is a factor of 30 nearer each
    time. Voxels of one rate and slice delay share the first grid, whatever their noise and prior: it is `known` where
    `first` holds that of the voxel before. Where it never is, `first` and `finer` may be one memory.
    """
    freedom = prior.noise_weight
    for i in range(mean.size):
        freedom += labels.pairs[i]
        table[i // 4, MEAN + i % 4] = mean[i]
    floor = within + prior.noise_weight * prior.noise_variance
    most = prior.arrival_most + slice_delay
    step = most / np.float32(NODES - 1)
    if not known:
        respond(slice_delay, rate, TYPICAL_FLOW, labels, ZERO, step, table, first)
    best = score_nodes(freedom, floor, prior, ZERO, step, table, first)
    total, sharing, flow, place, away = integrate(best, freedom, TYPICAL_FLOW, first)
    low, high = window(ZERO, step, most, freedom, floor, best, first)
    for level in range(1, LEVELS):
        step = (high - low) / np.float32(NODES - 1)
        used = flow
        respond(slice_delay, rate, used, labels, low, step, table, finer)
        best = score_nodes(freedom, floor, prior, low, step, table, finer)
        total, sharing, flow, place, away = integrate(best, freedom, used, finer)
        settled = (flow - used) ** 2 <= SETTLED * (away - (flow - used) ** 2)
        if (sharing > RESOLVED and settled) or step < FINEST or level == LEVELS - 1:
            break
        low, high = window(low, step, most, freedom, floor, best, finer)
    moments(low, step, freedom, flow, place, total, finer, result)


@finite_part
def score_nodes(freedom: Any, floor: Any, prior: Any, low: Any, step: Any, table: Any, grid: Grid) -> Any:
    """At each arrival: flow, misfit and log posterior, flow and noise integrated out; gives the best of them.

    floor : the misfit that no arrival can go below.
    """
    response, work = grid.response, grid.work
    weight, expected = prior.flow_weight, prior.flow_weight * prior.flow
    for j in range(len(grid.nodes)):
        work[PRODUCT + j] = ZERO
    for g in range(table.shape[0]):
        n0, n1, n2, n3 = of_four(table, g, PAIRS)
        y0, y1, y2, y3 = of_four(table, g, MEAN)
        for j in range(len(grid.nodes)):
            g0, g1 = response[g, j], response[g, NODES + j]
            g2, g3 = response[g, 2 * NODES + j], response[g, 3 * NODES + j]
            work[PRODUCT + j] += n0 * y0 * g0 + n1 * y1 * g1 + (n2 * y2 * g2 + n3 * y3 * g3)
    for j in range(len(grid.nodes)):
        inverse = ONE / (weight + work[SQUARE + j])
        flow = (work[PRODUCT + j] + expected) * inverse
        work[INVERSE + j], work[FLOW + j] = inverse, flow
        work[MISFIT + j] = floor + weight * (flow - prior.flow) ** 2
    for g in range(table.shape[0]):
        n0, n1, n2, n3 = of_four(table, g, PAIRS)
        y0, y1, y2, y3 = of_four(table, g, MEAN)
        for j in range(len(grid.nodes)):
            flow = work[FLOW + j]
            r0, r1 = y0 - flow * response[g, j], y1 - flow * response[g, NODES + j]
            r2, r3 = y2 - flow * response[g, 2 * NODES + j], y3 - flow * response[g, 3 * NODES + j]
            work[MISFIT + j] += n0 * r0 * r0 + n1 * r1 * r1 + (n2 * r2 * r2 + n3 * r3 * r3)
    best = LOWEST
    for j in range(len(grid.nodes)):
        width, misfit = log(work[INVERSE + j]), log(work[MISFIT + j])
        away = low + step * PLACE[j] - prior.arrival
        belief = believed(away, prior.arrival_precision, prior.arrival_tail)
        score = belief + HALF * (width - freedom * misfit)
        work[BELIEF + j], work[SCORE + j] = belief, score
        best = max(best, np.int32(RULER * score))
    return np.float32(best) / RULER


@finite_part
def integrate(best: Any, freedom: Any, used: Any, grid: Grid) -> Any:
    """Weights of the nodes: their sum, how many nodes share it, the mean flow, the mean place in steps.

    And the mean square of the distance of the flow from the one that was `used` inside 1/T1'.
    """
    work = grid.work
    total, squares, f, a, away = ZERO, ZERO, ZERO, ZERO, ZERO
    for j in range(len(grid.nodes)):
        weight, flow = SHARE[j] * exp(max(work[SCORE + j] - best, FAINTEST)), work[FLOW + j]
        work[WEIGHT + j] = weight
        total += weight
        squares += weight * weight
        f += weight * flow
        a += weight * PLACE[j]
        away += weight * (work[MISFIT + j] * work[INVERSE + j] / (freedom - TWO) + (flow - used) ** 2)
    return total, total * total / squares, f / total, a / total, away / total


@finite_part
def moments(
    low: Any, step: Any, freedom: Any, flow: Any, a: Any, total: Any, grid: Grid, result: Any
) -> None:
    """Mean and SD of flow and arrival under the weights of the nodes."""
    work, ff, aa = grid.work, ZERO, ZERO
    for j in range(len(grid.nodes)):
        weight = work[WEIGHT + j]
        variance = work[MISFIT + j] * work[INVERSE + j] / (freedom - TWO)
        ff += weight * (variance + (work[FLOW + j] - flow) ** 2)
        aa += weight * (PLACE[j] - a) ** 2
    result[0], result[1] = flow, sqrt(ff / total)
    result[2], result[3] = low + step * a, step * sqrt(aa / total)


@finite_part
def window(low: Any, step: Any, most: Any, freedom: Any, floor: Any, best: Any, grid: Grid) -> Any:
    """The arrivals that may still carry mass.

    A minimum of the misfit between two nodes is deeper than the nearer one by at most an eighth of the second
    difference, and never below the noise: every node gets that advantage before it is left out.
    """
    work, least = grid.work, best - NEGLIGIBLE
    first, last = np.int32(NODES), np.int32(0)
    work[MISFIT - 1], work[MISFIT + NODES] = ZERO, ZERO  # beyond either end: the bend there is no advantage
    for j in range(len(grid.nodes)):
        misfit = work[MISFIT + j]
        bend = work[MISFIT - 1 + j] - misfit + (work[MISFIT + 1 + j] - misfit)
        deepest = max(floor, misfit - EIGHTH * max(ZERO, bend))
        likely = work[SCORE + j] + HALF * freedom * log(misfit / deepest) >= least
        first = min(first, np.int32(PLACE[j]) if likely else np.int32(NODES))
        last = max(last, np.int32(PLACE[j]) if likely else np.int32(0))
    return max(ZERO, low + step * np.float32(first - 1)), min(most, low + step * np.float32(last + 1))
