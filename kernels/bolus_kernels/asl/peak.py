"""The maximum of one voxel's joint posterior of flow and arrival, one text for CPU and GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.asl.nodes import (
    BELIEF,
    FLOW,
    MEAN,
    MISFIT,
    NODES,
    PLACE,
    SCORE,
    TYPICAL_FLOW,
    Grid,
    respond,
)
from bolus_kernels.asl.posterior import HALF, NEGLIGIBLE, ONE, ZERO, score_nodes, window
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import log

WIDE, GRIDS, NARROW = 3, 12, np.float32(2e-5)
"""Grids that keep a margin, the most grids of a voxel; s, the step of the last."""
MARGIN, ROUNDING = np.float32(0.5), np.float32(1e-5)
"""Of the log density: a node that may be so little below the best is kept, for its flow in T1' is not settled yet."""
NEAR, ALIKE = np.float32(5e-3), np.float32(0.25)
"""Of the log density, between nodes that a parabola may join; share by which their bends may differ."""
REACH = 2
"""Nodes apart that a parabola joins: those between differ by little more than rounding."""
LOWEST, MOST = np.float32(-1e30), np.float32(1e30)


@finite_part
def vertex(work: Any, at: int) -> Any:
    """Where the top lies beside the highest node, in reaches, by a parabola; not between -1 and 1 where none is near.

    Its neighbours must be about as high, and the bend there the same: at an arrival that one of the readouts just
    misses there is a kink instead. In single precision the top itself is flat, and rounding would choose a node.
    """
    left, right = work[at - REACH] - work[at], work[at + REACH] - work[at]
    bend = left + right
    before = work[at - 2 * REACH] - work[at - REACH] - left
    after = work[at + 2 * REACH] - work[at + REACH] - right
    if min(left, right) < -NEAR or bend >= ZERO or max(abs(before - bend), abs(after - bend)) > ALIKE * -bend:
        return MOST
    return HALF * (left - right) / bend


@finite_part
def voxel_peak(
    mean: Any, within: Any, rate: Any, slice_delay: Any, labels: Any, prior: Any, table: Any, grid: Grid, result: Any
) -> None:  # fmt: skip
    """Grids over arrivals that keep what may hold the maximum: f (1/s) and ATT (s) there.

    At each arrival the density is highest at the flow's conditional mean, where it is p(ATT) misfit^(-(nu + 1)/2).
    """
    freedom, work = prior.noise_weight + ONE, grid.work
    for i in range(mean.size):
        freedom += labels.pairs[i]
        table[i // 4, MEAN + i % 4] = mean[i]
    floor = within + prior.noise_weight * prior.noise_variance
    most = prior.arrival_most + slice_delay
    low, high, flow, arrival = ZERO, most, TYPICAL_FLOW, ZERO
    top = 0
    unit = ONE
    for level in range(GRIDS):
        step = (high - low) / np.float32(NODES - 1)
        respond(slice_delay, rate, flow, labels, low, step, table, grid)
        score_nodes(freedom - ONE, floor, prior, low, step, table, grid)
        if level == 0:  # in units of the least misfit its logarithm is small, and loses nothing
            least = MOST
            for j in range(len(grid.nodes)):
                least = min(least, work[MISFIT + j])
            unit = ONE / least
        for j in range(len(grid.nodes)):
            work[SCORE + j] = work[BELIEF + j] - HALF * freedom * log(work[MISFIT + j] * unit)
        best = LOWEST
        for j in range(len(grid.nodes)):
            if work[SCORE + j] > best:
                best, top = work[SCORE + j], j
        flow, arrival = work[FLOW + top], low + step * PLACE[top]
        if step < NARROW:
            break
        if top >= 2 * REACH and top < NODES - 2 * REACH and level > 1:
            shift = vertex(work, SCORE + top)
            if abs(shift) <= ONE:
                arrival += np.float32(REACH) * step * shift
                flow += shift * HALF * (work[FLOW + REACH + top] - work[FLOW - REACH + top])
                break
        best += NEGLIGIBLE - (MARGIN if level < WIDE else ROUNDING)
        low, high = window(low, step, most, freedom, floor, best, grid)
    result[0], result[1] = flow, arrival
