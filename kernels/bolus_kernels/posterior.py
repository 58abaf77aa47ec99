"""Multi-delay ASL: the exact marginal posterior of flow and arrival over a grid of arrivals that refines itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.jit import finite_kernel, kernel
from bolus_kernels.kinetics import pasl_shape, pcasl_shape
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.scalar import exp, log
from bolus_kernels.state import State

COARSE, FINE, LEVELS = 48, 24, 6
"""Nodes of the first grid and of each refinement, and the most refinements of one voxel."""
NEGLIGIBLE = np.float32(18.0)
"""Nodes whose log posterior is this far below the best (1.5e-8) carry no mass."""
RESOLVED = np.float32(4.0)
"""Nodes that must share the mass before the sum over them is the integral."""
FINEST = np.float32(2e-5)
"""s; no grid is finer, because float32 curves cannot tell arrivals apart below it."""
TYPICAL_FLOW, LEAST_RATE = np.float32(0.01), np.float32(0.5)
ZERO, ONE, HALF, EIGHTH = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.125)
LOWEST = np.float32(-3e38)
RAMP = np.arange(COARSE, dtype=np.float32)
NOT_FINITE = int(State.NOT_FINITE)


class Prior(NamedTuple):
    """What is believed before the data, float32: arrival (s), flow as a share of the noise, noise variance."""

    arrival: np.float32
    arrival_precision: np.float32
    arrival_most: np.float32
    flow_weight: np.float32
    noise_weight: np.float32
    noise_variance: np.float32


class Labels(NamedTuple):
    """The distinct delays, float32: time since labelling, bolus duration (s), pairs of each; rates (1/s)."""

    time: NDArray[np.float32]
    duration: NDArray[np.float32]
    pairs: NDArray[np.float32]
    rate_blood: np.float32
    partition: np.float32
    gain: np.float32
    pulsed: bool
    tissue_relaxation: bool


@method(
    "multi_delay",
    contrast="asl",
    family="quantification",
    maps={"cbf": "ml/100g/min", "att": "s", "sd_cbf": "ml/100g/min", "sd_att": "s"},
    parameters={
        "att_mean": (1.3, "s", 0.0, 5.0),
        "att_sd": (1.0, "s", 0.01, 10.0),
        "cbf_sd": (200.0, "ml/100g/min", 1.0, 10000.0),
        "noise_weight": (10.0, "1", 0.0, 10000.0),
    },
    paper="Buxton et al., Magn Reson Med 40:383 (1998); Chappell et al., IEEE Trans Signal Process 57:223 (2009)",
    equation="p(ATT | y) with flow and noise integrated analytically (normal-inverse-gamma) and 1/T1' = 1/T1 + f/lambda",
    label="",
    cuda=True,
)
def multi_delay(
    curves: NDArray[Any], protocol: AslProtocol, parameters: Mapping[str, float], device: Device
) -> VoxelMaps:
    """Blood flow and arterial transit time, each with its posterior standard deviation.

    curves : (n, t) float32, (control - label)/M0 of tissue. Gives cbf, sd_cbf : ml/100g/min and att,
    sd_att : s, each (n,) float32, and state : (n,) uint8. The flow has the prior N(0, cbf_sd), broad around
    zero; the noise variance the prior IG(noise_weight/2, noise_weight * pooled variance/2); the arrival
    N(att_mean, att_sd) between 0 and the last time less a quarter of its bolus.
    Source: Buxton 1998, eq. 3 and 5; the same posterior on a dense grid is the reference.
    """
    labels, column = _labels(protocol)
    last = int(np.argmax(labels.time))
    noise = np.float32(max(protocol.noise_variance, 1e-20))
    prior = Prior(
        np.float32(parameters["att_mean"]),
        np.float32(1.0 / parameters["att_sd"] ** 2),
        np.float32(labels.time[last] - 0.25 * labels.duration[last]),
        np.float32(noise * (6000.0 / parameters["cbf_sd"]) ** 2),
        np.float32(parameters["noise_weight"]),
        noise,
    )
    maps = empty_maps(METHODS["multi_delay"], curves.shape[0])
    voxelwise = (np.ascontiguousarray(protocol.t1_tissue, np.float32), np.ascontiguousarray(protocol.slice_delay, np.float32))
    _multi_delay(
        np.ascontiguousarray(curves.T, np.float32), column, *voxelwise, labels, prior,
        maps["cbf"], maps["att"], maps["sd_cbf"], maps["sd_att"], maps["state"],
    )  # fmt: skip
    return maps


def _labels(protocol: AslProtocol) -> tuple[Labels, NDArray[np.int64]]:
    """The distinct (delay, duration) of a series and, for each of its pairs, which one it is."""
    pulsed = protocol.labeling == "PASL"
    delay = np.asarray(protocol.post_labeling_delay, np.float64)
    duration = np.asarray(protocol.labeling_duration, np.float64)
    kinds, column, pairs = np.unique(np.stack([delay, duration], 1), axis=0, return_inverse=True, return_counts=True)
    time = kinds[:, 0] + (0.0 if pulsed else kinds[:, 1])
    labels = Labels(
        time.astype(np.float32),
        kinds[:, 1].astype(np.float32),
        pairs.astype(np.float32),
        np.float32(1.0 / protocol.t1_blood),
        np.float32(protocol.partition_coefficient),
        np.float32(2.0 * protocol.labeling_efficiency / protocol.partition_coefficient),
        pulsed,
        protocol.tissue_relaxation,
    )
    return labels, column.reshape(-1)


@kernel
def _multi_delay(
    curves: Any, column: Any, t1_tissue: Any, slice_delay: Any, labels: Any, prior: Any,
    cbf: Any, att: Any, sd_cbf: Any, sd_att: Any, state: Any,
) -> None:  # fmt: skip
    delays = labels.time.size
    mean, response = np.empty(delays, np.float32), np.empty((delays, COARSE), np.float32)
    work, result = np.empty((6, COARSE), np.float32), np.empty(4, np.float32)
    for v in range(curves.shape[1]):
        within = summarise(curves[:, v], column, labels.pairs, mean)
        if not abs(within) <= np.float32(3e38):
            state[v] = NOT_FINITE
            continue
        voxel_posterior(mean, within, ONE / t1_tissue[v], slice_delay[v], labels, prior, response, work, result)
        cbf[v], sd_cbf[v] = np.float32(6000) * result[0], np.float32(6000) * result[1]
        att[v], sd_att[v] = result[2], result[3]


@kernel
def summarise(curve: Any, column: Any, pairs: Any, mean: Any) -> Any:
    """Mean of each delay's pairs into `mean`, and the sum of squares around them: all that the data say."""
    mean[:] = ZERO
    for t in range(curve.size):
        mean[column[t]] += curve[t]
    for i in range(mean.size):
        mean[i] /= pairs[i]
    within = ZERO
    for t in range(curve.size):
        within += (curve[t] - mean[column[t]]) ** 2
    return within


@finite_kernel
def voxel_posterior(
    mean: Any, within: Any, rate: Any, slice_delay: Any, labels: Any, prior: Any, response: Any, work: Any, result: Any
) -> None:
    """Sum over a grid of arrivals, then over finer ones until the mass is resolved; f and its SD, ATT and its SD.

    The flow inside 1/T1' comes from the grid before, which converges by a factor of 30 each time.
    """
    low, high, nodes = ZERO, prior.arrival_most, COARSE
    flow = TYPICAL_FLOW
    for level in range(LEVELS):
        relaxation = labels.rate_blood
        if labels.tissue_relaxation:
            relaxation = max(LEAST_RATE * rate, rate + flow / labels.partition)
        step = (high - low) / np.float32(nodes - 1)
        freedom, floor = score_nodes(
            mean, within, relaxation, slice_delay, labels, prior, low, step, nodes, response, work
        )
        integrate(low, step, nodes, work, result)
        flow = result[0]
        if level > 0 and (resolved(nodes, work) or step < FINEST):
            break
        low, high, nodes = window(low, step, nodes, prior.arrival_most, freedom, floor, work)


@finite_kernel
def score_nodes(
    mean: Any, within: Any, relaxation: Any, slice_delay: Any, labels: Any, prior: Any, low: Any, step: Any, nodes: int,
    response: Any, work: Any,
) -> Any:  # fmt: skip
    """At each arrival: the flow's mean and variance, and the log posterior with flow and noise integrated out.

    Gives the degrees of freedom of the noise and the misfit that no arrival can go below.
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
        time, duration, pairs = labels.time[i] + slice_delay, labels.duration[i], labels.pairs[i]
        weighted = pairs * mean[i]
        measured += pairs
        fade, fade_stop = exp(-time * relaxation), exp((duration - time) * relaxation)
        row = response[i]
        if labels.pulsed:
            fade *= labels.gain
            for j in range(nodes):
                g = fade * pasl_shape(time, low + step * RAMP[j], duration, difference)
                row[j] = g
                power[j] += pairs * g * g
                product[j] += weighted * g
        else:
            for j in range(nodes):
                g = flow[j] * pcasl_shape(time, low + step * RAMP[j], duration, score[j], fade, fade_stop)
                row[j] = g
                power[j] += pairs * g * g
                product[j] += weighted * g
    for j in range(nodes):
        flow[j] = product[j] / power[j]
    for i in range(labels.time.size):
        row, value, pairs = response[i], mean[i], labels.pairs[i]
        for j in range(nodes):
            residual = value - flow[j] * row[j]
            misfit[j] += pairs * residual * residual
    freedom = measured + prior.noise_weight
    floor = within + prior.noise_weight * prior.noise_variance
    for j in range(nodes):
        misfit[j] += floor + prior.flow_weight * flow[j] * flow[j]
        variance[j] = misfit[j] / ((freedom - np.float32(2)) * power[j])
        away = low + step * RAMP[j] - prior.arrival
        score[j] = -HALF * (log(power[j]) + freedom * log(misfit[j]) + prior.arrival_precision * away * away)
    return freedom, floor


@finite_kernel
def integrate(low: Any, step: Any, nodes: int, work: Any, result: Any) -> None:
    """Mean and SD of flow and arrival under the nodes' weights, which stay in `work` (row 3)."""
    score, flow, variance, weight = work[0], work[1], work[2], work[3]
    best = LOWEST
    for j in range(nodes):
        best = max(best, score[j])
    total, f, ff, a, aa = ZERO, ZERO, ZERO, ZERO, ZERO
    peak = ZERO
    for j in range(nodes):
        weight[j] = exp(score[j] - best)
    weight[0] *= HALF
    weight[nodes - 1] *= HALF
    for j in range(nodes):
        total += weight[j]
        f += weight[j] * flow[j]
        a += weight[j] * RAMP[j]
    f, peak = f / total, a / total
    for j in range(nodes):
        ff += weight[j] * (variance[j] + (flow[j] - f) ** 2)
        aa += weight[j] * (RAMP[j] - peak) ** 2
    result[0], result[1] = f, np.sqrt(ff / total)
    result[2], result[3] = low + step * peak, step * np.sqrt(aa / total)


@finite_kernel
def resolved(nodes: int, work: Any) -> bool:
    """Whether enough nodes share the mass for their sum to be the integral."""
    weight = work[3]
    total, squares = ZERO, ZERO
    for j in range(nodes):
        total += weight[j]
        squares += weight[j] * weight[j]
    return bool(total * total > RESOLVED * squares)


@finite_kernel
def window(low: Any, step: Any, nodes: int, most: Any, freedom: Any, floor: Any, work: Any) -> Any:
    """The arrivals that may still carry mass.

    A minimum of the misfit between two nodes is deeper than the nearer one by at most an eighth of the second
    difference, and never below the noise: every node gets that advantage before it is left out.
    """
    score, chance, misfit = work[0], work[4], work[5]
    best = LOWEST
    for j in range(nodes):
        best = max(best, score[j])
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
