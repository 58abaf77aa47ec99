"""The exact posterior of one voxel's flow and arrival: a grid over arrivals that refines itself."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import finite_kernel, kernel
from bolus_kernels.kinetics import pasl_shape, pcasl_shape
from bolus_kernels.scalar import exp, log
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE

COARSE, FINE, LEVELS = 32, 16, 6
"""Nodes of the first grid and of each refinement, and the most refinements of one voxel."""
WORK_ROWS = 6
"""Rows of a voxel's working memory, as `score_nodes` names them."""
NEGLIGIBLE = np.float32(14.0)
"""Nodes whose log posterior is this far below the best (8e-7) carry no mass."""
RESOLVED = np.float32(3.0)
"""Nodes that must share the mass before the sum over them is the integral."""
FINEST = np.float32(2e-5)
"""s; no grid is finer, because float32 curves cannot tell arrivals apart below it."""
TYPICAL_FLOW, MOST_FLOW, LEAST_RATE = np.float32(0.01), np.float32(0.5), np.float32(0.5)
"""1/s, 1/s, 1: the flow inside 1/T1' at first; the most it may be (3000 ml/100g/min); the least share of 1/T1."""
ZERO, ONE, HALF, EIGHTH = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.125)
LOWEST, FLOW_UNIT = np.float32(-3e38), np.float32(6000)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)
RAMP = np.arange(COARSE, dtype=np.float32)


class Prior(NamedTuple):
    """What is believed before the data, float32: arrival (s), flow as a share of the noise, noise variance."""

    arrival: np.float32
    arrival_precision: np.float32
    arrival_most: np.float32
    flow_weight: np.float32
    noise_weight: np.float32
    noise_variance: np.float32


class Labels(NamedTuple):
    """The distinct delays, float32: time since labelling, bolus duration (s), pairs of each; rates (1/s).

    Kernels take delays two by two: an odd number of them is followed by one that no pair has.
    """

    time: NDArray[np.float32]
    duration: NDArray[np.float32]
    pairs: NDArray[np.float32]
    rate_blood: np.float32
    partition: np.float32
    gain: np.float32
    pulsed: bool
    tissue_relaxation: bool


@kernel
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


@kernel
def solvable(finite: bool, within: Any, t1_tissue: Any, slice_delay: Any) -> int:
    """The state of a voxel before it is computed, from what would break its arithmetic."""
    if not (finite and within <= FINITE):
        return NOT_FINITE
    if not (t1_tissue > ZERO and t1_tissue <= FINITE and abs(slice_delay) <= FINITE):
        return NO_SOLUTION
    return 0


@finite_kernel
def voxel_posterior(
    mean: Any, within: Any, rate: Any, slice_delay: Any, labels: Any, prior: Any,
    response: Any, fades: Any, work: Any, result: Any,
) -> None:  # fmt: skip
    """Sum over a grid of arrivals, then over finer ones, until the mass is resolved: f, its SD, ATT, its SD.

    The flow inside 1/T1' comes from the grid before, which converges by a factor of 30 each time.
    """
    most = prior.arrival_most + slice_delay
    low, high, nodes = ZERO, most, COARSE
    flow = TYPICAL_FLOW
    for level in range(LEVELS):
        relaxation = labels.rate_blood
        if labels.tissue_relaxation:
            relaxation = max(LEAST_RATE * rate, rate + min(flow, MOST_FLOW) / labels.partition)
        step = (high - low) / np.float32(nodes - 1)
        freedom, floor, best = score_nodes(
            mean, within, relaxation, slice_delay, labels, prior, low, step, nodes, response, fades, work
        )
        sharing = integrate(low, step, nodes, best, work, result)
        flow = result[0]
        if level > 0 and (sharing > RESOLVED or step < FINEST):
            break
        low, high, nodes = window(low, step, nodes, most, freedom, floor, best, work)


@finite_kernel
def score_nodes(
    mean: Any, within: Any, relaxation: Any, slice_delay: Any, labels: Any, prior: Any,
    low: Any, step: Any, nodes: int, response: Any, fades: Any, work: Any,
) -> Any:  # fmt: skip
    """At each arrival: the flow's mean and variance, and the log posterior without flow and noise.

    Gives the degrees of freedom of the noise, the misfit that no arrival can go below, and the best score.
    """
    score, flow, variance, power, product, misfit = work[0], work[1], work[2], work[3], work[4], work[5]
    difference = labels.rate_blood - relaxation
    measured = ZERO
    for j in range(nodes):
        arrival = low + step * RAMP[j]
        score[j] = exp(arrival * relaxation)
        flow[j] = labels.gain * exp(-arrival * labels.rate_blood) / relaxation
        power[j], product[j], misfit[j] = prior.flow_weight, ZERO, ZERO
    for i in range(labels.time.size):
        time = labels.time[i] + slice_delay
        fades[0, i], fades[1, i] = exp(-time * relaxation), exp((labels.duration[i] - time) * relaxation)
    for i in range(0, labels.time.size, 2):
        t0, t1 = labels.time[i] + slice_delay, labels.time[i + 1] + slice_delay
        tau0, tau1 = labels.duration[i], labels.duration[i + 1]
        n0, n1 = labels.pairs[i], labels.pairs[i + 1]
        y0, y1 = n0 * mean[i], n1 * mean[i + 1]
        measured += n0 + n1
        fade0, stop0, fade1, stop1 = fades[0, i], fades[1, i], fades[0, i + 1], fades[1, i + 1]
        first, second = response[i], response[i + 1]
        if labels.pulsed:
            fade0, fade1 = fade0 * labels.gain, fade1 * labels.gain
            for j in range(nodes):
                arrival = low + step * RAMP[j]
                g0 = fade0 * pasl_shape(t0, arrival, tau0, difference)
                g1 = fade1 * pasl_shape(t1, arrival, tau1, difference)
                first[j], second[j] = g0, g1
                power[j] += n0 * g0 * g0 + n1 * g1 * g1
                product[j] += y0 * g0 + y1 * g1
        else:
            for j in range(nodes):
                arrival = low + step * RAMP[j]
                g0 = flow[j] * pcasl_shape(t0, arrival, tau0, score[j], fade0, stop0)
                g1 = flow[j] * pcasl_shape(t1, arrival, tau1, score[j], fade1, stop1)
                first[j], second[j] = g0, g1
                power[j] += n0 * g0 * g0 + n1 * g1 * g1
                product[j] += y0 * g0 + y1 * g1
    for j in range(nodes):
        flow[j] = product[j] / power[j]
    for i in range(0, labels.time.size, 2):
        first, second = response[i], response[i + 1]
        y0, y1, n0, n1 = mean[i], mean[i + 1], labels.pairs[i], labels.pairs[i + 1]
        for j in range(nodes):
            r0, r1 = y0 - flow[j] * first[j], y1 - flow[j] * second[j]
            misfit[j] += n0 * r0 * r0 + n1 * r1 * r1
    freedom = measured + prior.noise_weight
    floor = within + prior.noise_weight * prior.noise_variance
    for j in range(nodes):
        misfit[j] += floor + prior.flow_weight * flow[j] * flow[j]
        variance[j] = misfit[j] / ((freedom - np.float32(2)) * power[j])
        away = low + step * RAMP[j] - prior.arrival
        score[j] = -HALF * (log(power[j]) + freedom * log(misfit[j]) + prior.arrival_precision * away * away)
    best = LOWEST
    for j in range(nodes):
        best = max(best, score[j])
    return freedom, floor, best


@finite_kernel
def integrate(low: Any, step: Any, nodes: int, best: Any, work: Any, result: Any) -> Any:
    """Mean and SD of flow and arrival under the nodes' weights; gives how many nodes share the mass."""
    score, flow, variance, weight = work[0], work[1], work[2], work[3]
    for j in range(nodes):
        weight[j] = exp(score[j] - best)
    weight[0] *= HALF
    weight[nodes - 1] *= HALF
    total, squares, f, a = ZERO, ZERO, ZERO, ZERO
    for j in range(nodes):
        total += weight[j]
        squares += weight[j] * weight[j]
        f += weight[j] * flow[j]
        a += weight[j] * RAMP[j]
    f, a = f / total, a / total
    ff, aa = ZERO, ZERO
    for j in range(nodes):
        ff += weight[j] * (variance[j] + (flow[j] - f) ** 2)
        aa += weight[j] * (RAMP[j] - a) ** 2
    result[0], result[1] = f, sqrt(ff / total)
    result[2], result[3] = low + step * a, step * sqrt(aa / total)
    return total * total / squares


@finite_kernel
def window(low: Any, step: Any, nodes: int, most: Any, freedom: Any, floor: Any, best: Any, work: Any) -> Any:
    """The arrivals that may still carry mass.

    A minimum of the misfit between two nodes is deeper than the nearer one by at most an eighth of the second
    difference, and never below the noise: every node gets that advantage before it is left out.
    """
    score, chance, misfit = work[0], work[4], work[5]
    for j in range(1, nodes - 1):
        bend = max(ZERO, misfit[j - 1] - misfit[j] + (misfit[j + 1] - misfit[j]))
        deepest = max(floor, misfit[j] - EIGHTH * bend)
        chance[j] = score[j] + HALF * freedom * log(misfit[j] / deepest)
    chance[0], chance[nodes - 1] = score[0], score[nodes - 1]
    first, last, least = 0, nodes - 1, best - NEGLIGIBLE
    while chance[first] < least:
        first += 1
    while chance[last] < least:
        last -= 1
    enough = COARSE if last - first > nodes // 2 else FINE
    return max(ZERO, low + step * RAMP[first] - step), min(most, low + step * RAMP[last] + step), enough
