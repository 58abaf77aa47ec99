"""The prior of arrivals from a scan's own evidence: when blood comes to the region around each voxel."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import LITERATURE, labels_of, prior_of
from bolus_kernels.asl.nodes import average
from bolus_kernels.asl.posterior import FLOW_UNIT
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol
from bolus_kernels.asl.spatial.belief import Beliefs
from bolus_kernels.asl.spatial.fit import fit
from bolus_kernels.device import cpu
from bolus_kernels.jit import kernel, part
from bolus_kernels.tiles import FINITE, TILE, gather, time_major

Array = NDArray[np.float32]

SPACING = 12.0
"""mm, between the points that regions are around: more, and a late territory is taken for the tissue beside it; less,
and white matter has no signal of its own. Results differ little between 10 and 16."""
SPREAD, TAIL = 0.6, 1 / 16
"""s, by how much arrivals differ within a region, tissues among them. With less, a voxel whose blood comes 1.3 s after
that of the region around it is pulled: in pulsed scans its intervals miss. The log density falls by 8 at most."""
FED = 2.0
"""SDs above none that the flow of a region has where it counts as much as the literature: no label at all looks as if
it came too late."""
FEWEST = 2
"""Delays that arrivals can be told from."""
ZERO, ONE = np.float32(0), np.float32(1)


class Lattice(NamedTuple):
    """Points about SPACING mm apart, from one side of a volume to the other, and where voxels lie between them.

    place : (x + y + z,), of each voxel's x, then of each y and z: how many points are before it, with a fraction.
    shape, points : of the volume and of the lattice, (3,) int64.
    """

    place: Array
    shape: NDArray[np.int64]
    points: NDArray[np.int64]


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
    nearness and certainty, give or take SPREAD and what they do not know. Where nothing can be told, that is what the
    literature says. Flow is each voxel's own.
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
        rate = np.ascontiguousarray(1 / np.asarray(protocol.t1_tissue, np.float32))
    _gather(time_major(curves), column, labels.pairs, rate, late, protocol.voxel_noise, voxels, grid, sums)
    known = sums[:, delays + 2] > 0
    share = 1 / sums[known, delays + 2]
    means = sums[known] * share[:, None]
    start = (0.0, parameters["cbf_sd"] / float(FLOW_UNIT), literature.mean, sd)
    found = fit(
        np.ascontiguousarray(means[:, :delays]), means[:, delays + 3] * share, means[:, delays].copy(),
        means[:, delays + 1].copy(), Beliefs(*(np.full(share.size, one, np.float32) for one in start)),
        labels, prior_of(protocol, labels, parameters).arrival_most, cpu(),
    )  # fmt: skip
    told = np.zeros((known.size, 2), np.float32)  # certainty, 1/s^2, and that times the arrival, s
    flow = np.square(np.maximum(found.flow, ZERO) / found.flow_sd)
    fed, without = flow / (flow + np.float32(FED**2)), np.float32(sd**-2)
    certainty = fed / np.minimum(np.float32(SPREAD**2) + found.arrival_sd**2, np.float32(sd**2))
    told[known, 0] = certainty + (1 - fed) * without
    told[known, 1] = certainty * found.arrival + (1 - fed) * without * np.float32(literature.mean)
    arrival, spread = (np.full(len(curves), one, np.float32) for one in (literature.mean, sd))
    _expect(told, voxels, grid, arrival, spread)
    return ArrivalPrior(arrival, spread, TAIL, f"evidence of {share.size} regions")


def lattice(shape: tuple[int, ...], voxel_size: tuple[float, ...]) -> Lattice:
    """The lattice of a volume; two points along each axis at least, which a single slice lies between."""
    points = [max(1, round(n * size / SPACING)) + 1 for n, size in zip(shape, voxel_size, strict=True)]
    place = [(np.arange(n) + 0.5) / n * (many - 1) for n, many in zip(shape, points, strict=True)]
    whole = np.concatenate(place).astype(np.float32)
    return Lattice(whole, np.array(shape, np.int64), np.array(points, np.int64))


@part
def _around(voxel: int, grid: Any, point: Any, near: Any) -> None:
    """The eight points around a voxel, (8,), and how near each is: shares that sum to 1."""
    point[:], near[:] = 0, ONE
    rest, start, stride, step = voxel, 0, 1, 1
    for axis in range(3):
        place = grid.place[start + rest % grid.shape[axis]]
        before = min(np.int64(place), grid.points[axis] - 2)
        after = place - np.float32(before)
        for corner in range(8):
            far = (corner // step) % 2
            point[corner] += stride * (before + far)
            near[corner] *= after if far == 1 else ONE - after
        rest, start = rest // grid.shape[axis], start + grid.shape[axis]
        stride, step = stride * grid.points[axis], 2 * step


@kernel
def _gather(
    curves: Any, column: Any, pairs: Any, rate: Any, late: Any, noise: Any, voxels: Any, grid: Any, sums: Any
) -> None:
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
            weight = ONE / noise[v]
            for i in range(delays):
                told[i] = weight * means[i, j]
            told[delays], told[delays + 1], told[delays + 2] = weight * rate[v], weight * late[v], weight
            _around(voxels[v], grid, point, near)
            for corner in range(8):
                at, share = point[corner], near[corner]
                for i in range(delays + 3):
                    sums[at, i] += share * told[i]
                sums[at, delays + 3] += share * share * weight


@kernel
def _expect(told: Any, voxels: Any, grid: Any, arrival: Any, spread: Any) -> None:
    """Mean and SD of each voxel's arrival, s, where a point around it knows any."""
    point, near = np.empty(8, np.int64), np.empty(8, np.float32)
    for v in range(voxels.size):
        _around(voxels[v], grid, point, near)
        precision, expected, whole = ZERO, ZERO, ZERO
        for corner in range(8):
            share = near[corner] * told[point[corner], 0]
            precision += share
            whole += near[corner] if share > ZERO else ZERO
            expected += near[corner] * told[point[corner], 1]
        if precision > ZERO:
            arrival[v], spread[v] = expected / precision, sqrt(whole / precision)
