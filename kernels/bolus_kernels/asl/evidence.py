"""The prior of arrivals from a scan's own evidence: when blood comes to the region around each voxel."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import LITERATURE, labels_of, prior_of
from bolus_kernels.asl.nodes import average
from bolus_kernels.asl.points import SPREAD, around, expected, lattice
from bolus_kernels.asl.posterior import FLOW_UNIT
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol
from bolus_kernels.asl.scatter import Seen, scattered
from bolus_kernels.asl.spatial.belief import Beliefs
from bolus_kernels.asl.spatial.fit import fit
from bolus_kernels.device import cpu
from bolus_kernels.jit import kernel
from bolus_kernels.tiles import FINITE, TILE, gather, time_major

Array = NDArray[np.float32]

TAIL = 2 / 15
"""Of the prior: the log density falls by 4 at most. With less, a voxel whose blood comes 1.3 s after that of the region
around it is pulled: in pulsed scans its intervals miss."""
FED = 2.0
"""SDs above none that the flow of a region has where it counts as much as the literature: no label at all looks as if
it came too late."""
FEWEST = 2
"""Delays that arrivals can be told from."""
ZERO, ONE = np.float32(0), np.float32(1)


def arrival_evidence(
    curves: NDArray[Any],
    protocol: AslProtocol,
    parameters: Mapping[str, Any],
    voxels: NDArray[np.int64],
    shape: tuple[int, ...],
    voxel_size: tuple[float, ...],
    later: float = 0.0,
) -> ArrivalPrior:
    """What is expected of each voxel's arrival: that of the region around it, found in the mean curve of the region.

    curves : (n, t) float32, (control - label)/M0 of tissue. parameters : those of `multi_delay`. voxels : (n,),
    positions in a volume (Fortran order) of `shape`, its voxels voxel_size mm large. later : s, by how much the
    literature's mean is to be shifted. A voxel shares itself among the eight points of a lattice around it, by
    nearness; the mean curve of a point, every voxel weighed by its noise, has a posterior of arrival under what the
    literature says, which stands where there is no flow; and a voxel expects the mean of its eight points, by
    nearness and certainty, give or take what they do not know and the scatter of arrivals in their regions, which the
    voxels tell (`scattered`). Where nothing can be told, that is what the literature says. Flow is each voxel's own.
    """
    mean, sd = LITERATURE[protocol.labeling]
    literature = ArrivalPrior(mean + later, sd, 0.0, "literature")
    labels, column = labels_of(protocol)
    if np.count_nonzero(labels.pairs) < FEWEST or not len(curves):
        return literature
    grid, delays = lattice(shape, voxel_size), labels.time.size
    sums = np.zeros((int(grid.points.prod()), delays + 4), np.float32)
    late = np.ascontiguousarray(protocol.slice_delay, np.float32)
    with np.errstate(divide="ignore"):
        rate = np.ascontiguousarray(1 / np.asarray(protocol.t1_tissue, np.float32), np.float32)
    seen = Seen(
        time_major(curves), column, rate, late, protocol.voxel_noise, voxels, np.zeros(len(curves), np.bool_)
    )
    _gather(*seen, labels.pairs, grid, sums)
    known = sums[:, delays + 2] > 0
    share = 1 / sums[known, delays + 2]
    means = sums[known] * share[:, None]
    start = (0.0, parameters["cbf_sd"] / float(FLOW_UNIT), literature.mean, sd)
    latest = prior_of(protocol, labels, parameters).arrival_most
    found = fit(
        np.ascontiguousarray(means[:, :delays]), means[:, delays + 3] * share, means[:, delays].copy(),
        means[:, delays + 1].copy(), Beliefs(*(np.full(share.size, one, np.float32) for one in start)),
        labels, latest, cpu(),
    )  # fmt: skip
    told = np.zeros((known.size, 2), np.float32)  # certainty, 1/s^2, and that times the arrival, s
    fed = np.square(np.maximum(found.flow, ZERO) / found.flow_sd)
    fed, without = fed / (fed + np.float32(FED**2)), np.float32(sd**-2)
    certainty = fed / np.minimum(SPREAD**2 + found.arrival_sd**2, np.float32(sd**2))
    told[known, 0] = certainty + (1 - fed) * without
    told[known, 1] = certainty * found.arrival + (1 - fed) * without * np.float32(literature.mean)
    flow = np.zeros((known.size, 2), np.float32)
    flow[known, 0] = np.maximum(found.flow, ZERO)
    flow[known, 1] = found.flow**2 + found.flow_sd**2  # flows of a region may differ by as much as they are
    scatter = scattered(seen, labels, grid, told, flow, latest, TAIL)
    arrival, spread = (np.full(len(curves), one, np.float32) for one in (literature.mean, sd))
    _expect(told, scatter, voxels, grid, arrival, spread)
    return ArrivalPrior(arrival, spread, TAIL, f"evidence of {share.size} regions")


@kernel
def _gather(
    curves: Any, column: Any, rate: Any, late: Any, noise: Any, voxels: Any, usable: Any, pairs: Any, grid: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Of each point, weighted sums over its voxels: mean of each delay, rate, slice delay, 1; last, of squares."""
    delays = pairs.size
    told, point, near = np.empty(delays + 3, np.float32), np.empty(8, np.int64), np.empty(8, np.float32)
    tile, finite = np.empty((curves.shape[0], TILE), np.float32), np.empty(TILE, np.bool_)
    means = np.empty((delays, TILE), np.float32)
    for begin in range(0, curves.shape[1], TILE):
        width = min(TILE, curves.shape[1] - begin)
        gather(curves, begin, width, tile, finite)
        average(tile, column, pairs, means)
        for j in range(width):
            v = begin + j
            if not (finite[j] and rate[v] > ZERO and rate[v] <= FINITE and abs(late[v]) <= FINITE):
                continue
            if not noise[v] <= FINITE:
                continue
            usable[v], weight = True, ONE / noise[v]
            for i in range(delays):
                told[i] = weight * means[i, j]
            told[delays], told[delays + 1], told[delays + 2] = weight * rate[v], weight * late[v], weight
            around(voxels[v], grid, point, near)
            for corner in range(8):
                at, share = point[corner], near[corner]
                for i in range(delays + 3):
                    sums[at, i] += share * told[i]
                sums[at, delays + 3] += share * share * weight


@kernel
def _expect(told: Any, scatter: Any, voxels: Any, grid: Any, arrival: Any, spread: Any) -> None:
    """Mean and SD of each voxel's arrival, s, where a point around it knows any; no SD is more than there was."""
    point, near = np.empty(8, np.int64), np.empty(8, np.float32)
    for v in range(voxels.size):
        around(voxels[v], grid, point, near)
        mean, unknown, whole = expected(told, point, near)
        if whole > ZERO:
            within = ZERO
            for corner in range(8):
                within += near[corner] * scatter[point[corner]] if told[point[corner], 0] > ZERO else ZERO
            arrival[v], spread[v] = mean, min(sqrt(within / whole + unknown), spread[v])
