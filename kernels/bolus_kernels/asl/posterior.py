"""The exact posterior of one voxel's flow and arrival: a grid over arrivals that refines itself."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.asl.nodes import (
    BELIEF,
    COARSE,
    FINE,
    FLOW,
    INVERSE,
    MEAN,
    MISFIT,
    PAIRS,
    PLACE,
    PRODUCT,
    SCORE,
    SQUARE,
    WEIGHT,
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
FINEST = np.float32(2e-5)
"""s; no grid is finer, because float32 curves cannot tell arrivals apart below it."""
TYPICAL_FLOW, MOST_FLOW, LEAST_RATE = np.float32(0.01), np.float32(0.5), np.float32(0.5)
"""1/s, 1/s, 1: the flow inside 1/T1' at first; the most it may be (3000 ml/100g/min); the least share of 1/T1."""
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
    table: Any, response: Any, work: Any, result: Any,
) -> None:  # fmt: skip
    """Sum over a grid of arrivals, then over finer ones, until the mass is resolved: f, its SD, ATT, its SD.

    The flow inside 1/T1' comes from the grid before, which converges by a factor of 30 each time. Voxels of one
    rate and slice delay share the first grid, whatever their noise and prior: it is `known` where `response` and
    `work`, two of each, hold that of the voxel before in their first. With one of each, it never is.
    """
    freedom = prior.noise_weight
    for i in range(mean.size):
        freedom += labels.pairs[i]
        table[i // 4, MEAN + i % 4] = mean[i]
    floor = within + prior.noise_weight * prior.noise_variance
    most = prior.arrival_most + slice_delay
    low, high, nodes = ZERO, most, COARSE
    step, flow, place, total = ZERO, TYPICAL_FLOW, ZERO, ONE
    for level in range(LEVELS):
        grid = min(level, work.shape[0] - 1)
        step = (high - low) / np.float32(nodes - 1)
        if level > 0 or not known:
            relaxation = labels.rate_blood
            if labels.tissue_relaxation:
                relaxation = max(LEAST_RATE * rate, rate + min(flow, MOST_FLOW) / labels.partition)
            growth = relaxation - labels.rate_blood if labels.pulsed else relaxation
            respond(
                slice_delay, relaxation, growth, labels.rate_blood, labels.gain, labels.kept, low, step, nodes,
                table, response[grid], work[grid],
            )  # fmt: skip
        best = score_nodes(
            freedom, floor, prior, low, step, nodes, table, response[grid], work[grid]
        )  # fmt: skip
        total, sharing, flow, place = integrate(nodes, best, work[grid])
        if (level > 0 and (sharing > RESOLVED or step < FINEST)) or level == LEVELS - 1:
            break
        low, high, nodes = window(low, step, nodes, most, freedom, floor, best, work[grid])
    moments(low, step, nodes, freedom, flow, place, total, work[work.shape[0] - 1], result)


@finite_part
def score_nodes(
    freedom: Any, floor: Any, prior: Any, low: Any, step: Any, nodes: int, table: Any, response: Any, work: Any
) -> Any:  # fmt: skip
    """At each arrival: flow, misfit and log posterior, flow and noise integrated out; gives the best of them.

    floor : the misfit that no arrival can go below.
    """
    weight, expected = prior.flow_weight, prior.flow_weight * prior.flow
    for b in range(nodes // FINE):
        for j in range(FINE):
            work[b, INVERSE + j] = ONE / (weight + work[b, SQUARE + j])
    for g in range(table.shape[0]):
        n0, n1, n2, n3 = of_four(table, g, PAIRS)
        y0, y1, y2, y3 = of_four(table, g, MEAN)
        for b in range(nodes // FINE):
            for j in range(FINE):
                g0, g1 = response[g, b, j], response[g, b, FINE + j]
                g2, g3 = response[g, b, 2 * FINE + j], response[g, b, 3 * FINE + j]
                product = work[b, PRODUCT + j] + n0 * y0 * g0 + n1 * y1 * g1 + (n2 * y2 * g2 + n3 * y3 * g3)
                flow = (product + expected) * work[b, INVERSE + j]
                work[b, PRODUCT + j], work[b, FLOW + j] = product, flow
                work[b, MISFIT + j] = floor + weight * (flow - prior.flow) ** 2
    for g in range(table.shape[0]):
        n0, n1, n2, n3 = of_four(table, g, PAIRS)
        y0, y1, y2, y3 = of_four(table, g, MEAN)
        for b in range(nodes // FINE):
            for j in range(FINE):
                flow = work[b, FLOW + j]
                r0, r1 = y0 - flow * response[g, b, j], y1 - flow * response[g, b, FINE + j]
                r2, r3 = y2 - flow * response[g, b, 2 * FINE + j], y3 - flow * response[g, b, 3 * FINE + j]
                work[b, MISFIT + j] += n0 * r0 * r0 + n1 * r1 * r1 + (n2 * r2 * r2 + n3 * r3 * r3)
    best = LOWEST
    for b in range(nodes // FINE):
        for j in range(FINE):
            width, misfit = log(work[b, INVERSE + j]), log(work[b, MISFIT + j])
            away = low + step * PLACE[b, j] - prior.arrival
            belief = believed(away, prior.arrival_precision, prior.arrival_tail)
            score = belief + HALF * (width - freedom * misfit)
            work[b, BELIEF + j] = belief
            work[b, SCORE + j], work[b, PRODUCT + j] = score, ZERO
            best = max(best, np.int32(RULER * score))
    return np.float32(best) / RULER


@finite_part
def integrate(nodes: int, best: Any, work: Any) -> Any:
    """Weights of the nodes: their sum, how many nodes share it, the mean flow, the mean place in steps."""
    end = np.float32(nodes - 1)
    total, squares, f, a = ZERO, ZERO, ZERO, ZERO
    for b in range(nodes // FINE):
        for j in range(FINE):
            share = ONE if PLACE[b, j] > ZERO and PLACE[b, j] < end else HALF
            weight = share * exp(max(work[b, SCORE + j] - best, FAINTEST))
            work[b, WEIGHT + j] = weight
            total += weight
            squares += weight * weight
            f += weight * work[b, FLOW + j]
            a += weight * PLACE[b, j]
    return total, total * total / squares, f / total, a / total


@finite_part
def moments(
    low: Any, step: Any, nodes: int, freedom: Any, flow: Any, a: Any, total: Any, work: Any, result: Any
) -> None:
    """Mean and SD of flow and arrival under the weights of the nodes."""
    ff, aa = ZERO, ZERO
    for b in range(nodes // FINE):
        for j in range(FINE):
            weight = work[b, WEIGHT + j]
            variance = work[b, MISFIT + j] * work[b, INVERSE + j] / (freedom - TWO)
            ff += weight * (variance + (work[b, FLOW + j] - flow) ** 2)
            aa += weight * (PLACE[b, j] - a) ** 2
    result[0], result[1] = flow, sqrt(ff / total)
    result[2], result[3] = low + step * a, step * sqrt(aa / total)


@finite_part
def window(low: Any, step: Any, nodes: int, most: Any, freedom: Any, floor: Any, best: Any, work: Any) -> Any:
    """The arrivals that may still carry mass.

    A minimum of the misfit between two nodes is deeper than the nearer one by at most an eighth of the second
    difference, and never below the noise: every node gets that advantage before it is left out.
    """
    least = best - NEGLIGIBLE
    first, last = np.int32(COARSE), np.int32(0)
    for b in range(nodes // FINE):  # beyond either end a zero: the bend there is no advantage
        work[b, MISFIT - 1] = work[b - 1, MISFIT + FINE - 1] if b > 0 else ZERO
        work[b, MISFIT + FINE] = work[b + 1, MISFIT] if (b + 1) * FINE < nodes else ZERO
    for b in range(nodes // FINE):
        for j in range(FINE):
            misfit = work[b, MISFIT + j]
            bend = work[b, MISFIT - 1 + j] - misfit + (work[b, MISFIT + 1 + j] - misfit)
            deepest = max(floor, misfit - EIGHTH * max(ZERO, bend))
            likely = work[b, SCORE + j] + HALF * freedom * log(misfit / deepest) >= least
            first = min(first, np.int32(PLACE[b, j]) if likely else np.int32(COARSE))
            last = max(last, np.int32(PLACE[b, j]) if likely else np.int32(0))
    enough = COARSE if last - first > nodes // 2 else FINE
    return max(ZERO, low + step * np.float32(first - 1)), min(most, low + step * np.float32(last + 1)), enough
