"""By how much the arrivals of a region scatter about what is expected of them: widths, by their evidence."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import (
    EACH,
    FOUR,
    MEAN,
    NODES,
    PLACE,
    SCORE,
    SHARE,
    TYPICAL_FLOW,
    WEIGHT,
    WORK,
    Grid,
    Labels,
    respond,
    summarise,
    tabulate,
)
from bolus_kernels.asl.points import Lattice, around, expected
from bolus_kernels.asl.posterior import FAINTEST, score_nodes
from bolus_kernels.asl.prior import believed
from bolus_kernels.asl.spatial.belief import local
from bolus_kernels.jit import finite_part, kernel
from bolus_kernels.scalar import exp, log

Array = NDArray[np.float32]

WIDTHS = (0.1, 0.2, 0.4, 0.8)
"""s, SDs of arrivals to choose from."""
ASKED = 4
"""One voxel in so many is asked, evenly over the volume."""
ROUNDS = 20
"""Of learning how common each width is."""
UNTOLD = np.float32(1e9)
"""s, the SD of an arrival of which nothing is believed."""
ZERO, ONE = np.float32(0), np.float32(1)


class Seen(NamedTuple):
    """Voxels and what is known of them: (t, n) curves, the rest (n,); `usable` where nothing is broken.

    rate : 1/s, of tissue T1. late : s, of the slice. noise : variance of one pair. position : in the volume.
    """

    curves: Array
    column: NDArray[np.int64]
    rate: Array
    late: Array
    noise: Array
    position: NDArray[np.int64]
    usable: NDArray[np.bool_]


def scattered(
    seen: Seen, labels: Labels, grid: Lattice, told: Array, flow: Array, latest: np.float32, tail: float
) -> Array:
    """Variance of the arrivals in the region around each point, (points,) s^2: the mean over WIDTHS by their evidence.

    told : (points, 2), of arrivals, as `expected` says. flow : (points, 2), of the region, 1/s, and the variance of its
    voxels' flows about that. The evidence of a width in a voxel is p(y | width), flow and arrival integrated out
    on one grid; a region's is the product over its voxels, each to the power of its nearness, one in ASKED standing
    for all. How common each width is, is learned from all regions (EM): one whose voxels tell little is taken to be
    like the rest of the scan.
    """
    widths, heard = np.array(WIDTHS, np.float32), np.zeros(len(flow))
    evidence, share = np.zeros((len(flow), len(WIDTHS))), np.full(len(WIDTHS), 1 / len(WIDTHS))
    _ask(*seen, labels, grid, told, flow, latest, np.float32(tail), widths, evidence, heard)
    likely = np.exp(ASKED * (evidence - evidence.max(axis=1, keepdims=True)))
    telling = likely[heard > 0]
    for _ in range(ROUNDS if len(telling) else 0):
        share *= telling.T @ (1 / (telling @ share)) / len(telling)
    return np.asarray(likely @ (share * np.square(WIDTHS)) / (likely @ share), np.float32)


@kernel
def _ask(
    curves: Any, column: Any, rate: Any, late: Any, noise: Any, position: Any, usable: Any, labels: Any, grid: Any,
    told: Any, flow: Any, latest: Any, tail: Any, widths: Any, evidence: Any, heard: Any,
) -> None:  # fmt: skip
    """Of each point, the sum over its voxels of the log evidence of each width, by nearness, and of the nearness."""
    delays = labels.time.size
    mean, table = np.empty(delays, np.float32), np.empty((delays // 4, FOUR), np.float32)
    nodes = Grid(np.empty((delays // 4, 4 * NODES), np.float32), np.empty(WORK, np.float32), EACH)
    point, near = np.empty(8, np.int64), np.empty(8, np.float32)
    own = np.empty(widths.size, np.float32)
    across, plane = grid.shape[0], grid.shape[0] * grid.shape[1]
    tabulate(labels, table)
    last = -1  # the voxel whose responses are in memory
    for v in range(position.size):
        x, y, z = position[v] % across, position[v] % plane // across, position[v] // plane
        if not usable[v] or (x + y + z) % ASKED != 0:
            continue
        summarise(curves[:, v], column, labels.pairs, mean)
        around(position[v], grid, point, near)
        middle, variance = ZERO, ZERO
        for corner in range(8):
            middle += near[corner] * flow[point[corner], 0]
            variance += near[corner] * flow[point[corner], 1]
        arrival, unknown, _ = expected(told, point, near)
        prior = local(middle, sqrt(variance), arrival, UNTOLD, noise[v], latest)
        known, last = last >= 0 and rate[v] == rate[last] and late[v] == late[last], v
        _evidence(mean, rate[v], late[v], known, unknown, labels, prior, tail, widths, table, nodes, own)
        for corner in range(8):
            for i in range(widths.size):
                evidence[point[corner], i] += near[corner] * own[i]
            heard[point[corner]] += near[corner]


@finite_part
def _evidence(
    mean: Any, rate: Any, slice_delay: Any, known: bool, unknown: Any, labels: Any, prior: Any, tail: Any,
    widths: Any, table: Any, grid: Grid, own: Any,
) -> None:  # fmt: skip
    """Of one voxel, the log evidence of each width, (widths,), but for a number that all have in common.

    Where `known`, the responses of a voxel of the same rate and slice delay are in the grid. Where the data tell the
    arrival more finely than the grid, the nearest node stands for it: half a step is less than the narrowest width.
    """
    freedom = prior.noise_weight
    for i in range(mean.size):
        freedom += labels.pairs[i]
        table[i // 4, MEAN + i % 4] = mean[i]
    step = (prior.arrival_most + slice_delay) / np.float32(NODES - 1)
    work = grid.work
    if not known:
        respond(slice_delay, rate, TYPICAL_FLOW, labels, ZERO, step, table, grid)
    best = score_nodes(freedom, prior.noise_weight * prior.noise_variance, prior, ZERO, step, table, grid)
    for j in range(len(grid.nodes)):
        work[WEIGHT + j] = exp(max(work[SCORE + j] - best, FAINTEST))
    for i in range(widths.size):
        precision = ONE / (widths[i] * widths[i] + unknown)
        total, likely = ZERO, ZERO
        for j in range(len(grid.nodes)):
            belief = SHARE[j] * exp(believed(step * PLACE[j] - prior.arrival, precision, tail))
            total += belief
            likely += belief * work[WEIGHT + j]
        own[i] = log(likely / total)
