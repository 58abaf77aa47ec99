"""The maximum of one voxel's joint posterior of flow and arrival, one text for CPU and GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.asl.nodes import BELIEF, COARSE, FINE, FLOW, MEAN, MISFIT, PLACE, SCORE, respond
from bolus_kernels.asl.posterior import (
    HALF,
    LEAST_RATE,
    MOST_FLOW,
    NEGLIGIBLE,
    ONE,
    TYPICAL_FLOW,
    ZERO,
    score_nodes,
    window,
)
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import log

WIDE, GRIDS, NARROW = 3, 12, np.float32(2e-5)
"""Grids that keep a margin, the most grids of a voxel; s, the step of the last."""
MARGIN, ROUNDING = np.float32(0.5), np.float32(1e-5)
"""Of the log density: a node that may be so little below the best is kept, for its flow in T1' is not settled yet."""
NEAR, ALIKE = np.float32(5e-3), np.float32(0.25)
"""Of the log density, between nodes that a parabola may join; share by which their bends may differ."""
LOWEST, MOST = np.float32(-1e30), np.float32(1e30)


@finite_part
def vertex(work: Any, at: int) -> Any:
    """Where the top lies beside the highest node, in steps, by a parabola; not between -1 and 1 where none is near.

    Its neighbours must be about as high, and the bend there the same: at an arrival that one of the readouts just
    misses there is a kink instead. In single precision the top itself is flat, and rounding would choose a node.
    """
    left, right = work[at - 1] - work[at], work[at + 1] - work[at]
    bend = left + right
    before, after = work[at - 2] - work[at - 1] - left, work[at + 2] - work[at + 1] - right
    if min(left, right) < -NEAR or bend >= ZERO or max(abs(before - bend), abs(after - bend)) > ALIKE * -bend:
        return MOST
    return HALF * (left - right) / bend


@finite_part
def voxel_peak(
    mean: Any, within: Any, rate: Any, slice_delay: Any, labels: Any, prior: Any, table: Any, response: Any,
    work: Any, result: Any,
) -> None:  # fmt: skip
    """Grids over arrivals that keep what may hold the maximum: f (1/s) and ATT (s) there.

    At each arrival the density is highest at the flow's conditional mean, where it is p(ATT) misfit^(-(nu + 1)/2).
    """
    freedom = prior.noise_weight + ONE
    for i in range(mean.size):
        freedom += labels.pairs[i]
        table[i // 4, MEAN + i % 4] = mean[i]
    floor = within + prior.noise_weight * prior.noise_variance
    most = prior.arrival_most + slice_delay
    low, high, nodes, flow, arrival = ZERO, most, COARSE, TYPICAL_FLOW, ZERO
    top = 0
    unit = ONE
    for grid in range(GRIDS):
        step = (high - low) / np.float32(nodes - 1)
        relaxation = labels.rate_blood
        if labels.tissue_relaxation:
            relaxation = max(LEAST_RATE * rate, rate + min(flow, MOST_FLOW) / labels.partition)
        growth = relaxation - labels.rate_blood if labels.pulsed else relaxation
        respond(
            slice_delay, relaxation, growth, labels.rate_blood, labels.gain, labels.kept, low, step, nodes,
            table, response, work,
        )  # fmt: skip
        score_nodes(freedom - ONE, floor, prior, low, step, nodes, table, response, work)
        if grid == 0:  # in units of the least misfit its logarithm is small, and loses nothing
            least = MOST
            for b in range(nodes // FINE):
                for j in range(FINE):
                    least = min(least, work[b, MISFIT + j])
            unit = ONE / least
        best = LOWEST
        for b in range(nodes // FINE):
            for j in range(FINE):
                height = work[b, BELIEF + j] - HALF * freedom * log(work[b, MISFIT + j] * unit)
                work[b, SCORE + j] = height
                if height > best:
                    best, flow, arrival, top = height, work[b, FLOW + j], low + step * PLACE[b, j], j
        if step < NARROW:
            break
        if nodes == FINE and top > 1 and top < FINE - 2 and grid > 1:
            shift = vertex(work[0], SCORE + top)
            if abs(shift) <= ONE:
                arrival += step * shift
                flow += shift * HALF * (work[0, FLOW + 1 + top] - work[0, FLOW - 1 + top])
                break
        best += NEGLIGIBLE - (MARGIN if grid < WIDE else ROUNDING)
        low, high, nodes = window(low, step, nodes, most, freedom, floor, best, work)
    result[0], result[1] = flow, arrival
