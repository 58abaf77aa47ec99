"""The prior of arrivals from a scan's own evidence: the mean and spread under which its curves are likeliest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import LITERATURE, labels_of, prior_of
from bolus_kernels.asl.nodes import (
    BLOCKS,
    COARSE,
    FINE,
    FOUR,
    MEAN,
    SCORE,
    WORK,
    respond,
    summarise,
    tabulate,
)
from bolus_kernels.asl.posterior import HALF, LEAST_RATE, ONE, TYPICAL_FLOW, ZERO, score_nodes, solvable
from bolus_kernels.asl.prior import of_voxel
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol
from bolus_kernels.jit import kernel
from bolus_kernels.scalar import log
from bolus_kernels.tiles import time_major

Array = NDArray[np.float32]

MOST, WINDOWS = 2048, 4
"""Voxels that are asked, evenly over the scan; grids, one after another, that hold all arrivals."""
TAIL = 1 / 16
"""The log density of the prior falls by 8 at most: a territory far later than the rest is not pulled to it."""
WORTH = 10.0
"""Voxels of well-known arrival that the literature is worth."""
LEAST_SD, MOST_SD = 0.6, 2.0
"""s. Arrivals spread more than those that a scan can tell: of what comes late little label is left, and it looks as
if it had no flow. With less, a territory 0.7 to 1.3 s late loses half its flow in pulsed scans, and its intervals."""
FEWEST, STEPS, ZOOMS = 2, (9, 7, 9), 5
"""Delays that arrivals can be told from; values of mean, SD and share that are tried at once, and how often anew."""
NONE, TINY = np.float32(-1e30), np.float32(1e-30)


def arrival_evidence(
    curves: NDArray[Any], protocol: AslProtocol, parameters: Mapping[str, Any], later: float = 0.0
) -> ArrivalPrior:
    """Mean and SD of arrivals that make the curves likeliest, flow, noise and each arrival integrated out.

    curves : (n, t) float32, (control - label)/M0 of tissue. parameters : those of `multi_delay`. later : s, by how
    much the literature's mean is to be shifted. A voxel may have no flow at all, with a probability that is found
    likewise: it says nothing of arrivals, but would be best explained by one after the last readout. Few or noisy
    voxels leave what the literature says. At most MOST voxels are asked, always the same of a scan.
    Source: type-II maximum likelihood (MacKay, Neural Comput 4:415 (1992)), penalised by WORTH voxels as expected.
    """
    mean, sd = LITERATURE[protocol.labeling]
    labels, column = labels_of(protocol)
    usable = np.flatnonzero(np.isfinite(curves).all(1) & np.isfinite(protocol.voxel_noise))
    if np.count_nonzero(labels.pairs) < FEWEST or not usable.size:
        return ArrivalPrior(mean + later, sd, 0.0, "literature")
    rows = usable[np.linspace(0, usable.size - 1, min(MOST, usable.size)).astype(np.int64)]
    some = protocol._replace(
        t1_tissue=np.asarray(protocol.t1_tissue, np.float32)[rows],
        slice_delay=np.asarray(protocol.slice_delay, np.float32)[rows],
        relative_noise=None if protocol.relative_noise is None else protocol.relative_noise[rows],
    )
    late = some.slice_delay[np.isfinite(some.slice_delay)]
    prior = prior_of(protocol, labels, parameters)._replace(arrival_precision=ZERO)  # any arrival, alike
    nodes = np.linspace(
        0, float(prior.arrival_most) + late.max(initial=0), WINDOWS * COARSE, dtype=np.float32
    )
    flowing = np.full((rows.size, nodes.size), NONE, np.float32)
    still = np.full(rows.size, NONE, np.float32)
    _likelihoods(
        time_major(np.asfortranarray(curves[rows], np.float32)), column, some.t1_tissue, some.slice_delay,
        some.voxel_noise, labels, prior, nodes, flowing, still,
    )  # fmt: skip
    told = still > NONE
    found = likeliest(flowing[told], still[told], nodes, (mean + later, sd))
    return ArrivalPrior(*found, TAIL, f"evidence of {np.count_nonzero(told)} voxels")


def likeliest(
    flowing: Array, still: Array, nodes: Array, expected: tuple[float, float]
) -> tuple[float, float]:
    """Mean and SD of the prior, s, that maximise the evidence of all voxels, by a search that zooms in.

    flowing : (n, nodes), log likelihood of each arrival; still : (n,), without flow. expected : mean and SD, s, of
    WORTH voxels that are taken as seen. The share of voxels without flow is sought as well, and forgotten.
    """
    top = np.maximum(flowing.max(1, initial=NONE), still)
    likelihood, without = np.exp(flowing - top[:, None]), np.exp(still - top)
    wide = ((0.0, float(nodes[-1])), (np.log(LEAST_SD), np.log(MOST_SD)), (0.01, 0.99))
    within, best = list(wide), (0.0, 0.0, 0.0)
    for _ in range(ZOOMS):
        tried = [np.linspace(*edges, steps) for edges, steps in zip(within, STEPS, strict=True)]
        mean, log_sd = (values.reshape(-1) for values in np.meshgrid(tried[0], tried[1], indexing="ij"))
        z = np.square((nodes[:, None] - mean) / np.exp(log_sd))
        density = np.exp(-0.5 * z / (1 + TAIL * z))
        marginal = likelihood @ (density / density.sum(0)).astype(np.float32)
        away = expected[1] ** 2 + (mean - expected[0]) ** 2
        penalty = -WORTH * (log_sd + away / (2 * np.exp(2 * log_sd)))
        evidence = np.zeros((tried[2].size, mean.size))
        _evidence(marginal, without, tried[2].astype(np.float32), evidence)
        evidence += penalty + np.log(tried[2] * (1 - tried[2]))[:, None]
        share, which = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
        best = float(mean[which]), float(log_sd[which]), float(tried[2][share])
        for i, (edges, steps) in enumerate(zip(list(within), STEPS, strict=True)):
            reach = 1.5 * (edges[1] - edges[0]) / (steps - 1)
            within[i] = max(wide[i][0], best[i] - reach), min(wide[i][1], best[i] + reach)
    return best[0], float(np.exp(best[1]))


@kernel
def _evidence(marginal: Any, without: Any, shares: Any, evidence: Any) -> None:
    """Add every voxel's log likelihood under each share without flow and each prior; marginal : (n, priors)."""
    for i in range(shares.size):
        share, rest, sums = shares[i], ONE - shares[i], evidence[i]
        for v in range(without.size):
            row, still = marginal[v], share * without[v] + TINY
            for j in range(sums.size):
                sums[j] += np.float64(log(rest * row[j] + still))


@kernel
def _likelihoods(
    curves: Any, column: Any, t1_tissue: Any, slice_delay: Any, noise: Any, labels: Any, prior: Any, nodes: Any,
    flowing: Any, still: Any,
) -> None:  # fmt: skip
    delays = labels.time.size
    mean, table = np.empty(delays, np.float32), np.empty((delays // 4, FOUR), np.float32)
    response = np.empty((delays // 4, BLOCKS, 4 * FINE), np.float32)
    work = np.empty((BLOCKS, WORK), np.float32)
    tabulate(labels, table)
    for v in range(curves.shape[1]):
        within = summarise(curves[:, v], column, labels.pairs, mean)
        if solvable(True, within, t1_tissue[v], slice_delay[v], noise[v], ZERO, prior.arrival_most) != 0:
            continue
        own, freedom = of_voxel(prior, noise[v], True, ZERO), prior.noise_weight
        floor = within + own.noise_weight * own.noise_variance
        energy = floor
        for i in range(delays):
            table[i // 4, MEAN + i % 4] = mean[i]
            freedom += labels.pairs[i]
            energy += labels.pairs[i] * mean[i] * mean[i]
        relaxation = labels.rate_blood
        if labels.tissue_relaxation:
            rate = ONE / t1_tissue[v]
            relaxation = max(LEAST_RATE * rate, rate + TYPICAL_FLOW / labels.partition)
        growth = relaxation - labels.rate_blood if labels.pulsed else relaxation
        still[v] = -HALF * freedom * log(energy)
        unit = HALF * log(own.flow_weight)
        for w in range(WINDOWS):
            low, step = nodes[COARSE * w], nodes[1] - nodes[0]
            respond(
                slice_delay[v], relaxation, growth, labels.rate_blood, labels.gain, labels.kept, own, low, step,
                COARSE, table, response, work,
            )  # fmt: skip
            score_nodes(freedom, floor, own, COARSE, table, response, work)
            for j in range(COARSE):
                arrival = nodes[COARSE * w + j]
                if arrival <= prior.arrival_most + slice_delay[v]:
                    flowing[v, COARSE * w + j] = unit + work[j // FINE, SCORE + j % FINE]
