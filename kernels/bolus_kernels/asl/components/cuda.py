"""Several components on a GPU: one thread a voxel, the arithmetic of `posterior` taken in as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from bolus_kernels.asl.components.artery import NODES, Belief, Room, of_voxel, shapes
from bolus_kernels.asl.components.posterior import RESULTS, solvable, voxel_components
from bolus_kernels.asl.components.response import Responses
from bolus_kernels.asl.nodes import Labels, summarise
from bolus_kernels.cuda.launch import Scratch, finite, over_voxels
from bolus_kernels.device import Device

ONE = np.float32(1)


def posterior(
    curves: NDArray[Any],
    voxelwise: Sequence[NDArray[Any]],
    column: NDArray[np.int64],
    read: Labels,
    tables: Responses,
    belief: Belief,
    found: NDArray[np.float32],
    state: NDArray[np.uint8],
    device: Device,
) -> None:
    """Fill found : (RESULTS, n) and state : (n,); curves : (n, t), voxelwise : (n,) each, as on the CPU."""
    intervals, delays = tables.blood.shape
    scalars = np.array([*belief, read.rate_blood, read.partition, read.gain, read.kept], np.float32)
    flags = int(read.pulsed), int(read.tissue_relaxation)
    shared = (column, read.time, read.duration, read.pairs, read.pulses, *flags, *tables, scalars, NODES)
    over_voxels(
        _posterior,
        (curves, *voxelwise),
        shared,
        (found.T, state),
        device,
        [Scratch(shape) for shape in ((delays,), *shapes(intervals, delays))],
    )


def _posterior(
    curves: Any, t1_tissue: Any, slice_delay: Any, noise: Any, expected: Any, precision: Any, log_odds: Any,
    column: Any, time: Any, duration: Any, pairs: Any, pulses: Any, pulsed: int, tissue_relaxation: int, tissue: Any,
    rate: int, arrival: int, blood: Any, early: Any, late: Any, middle: Any, b: Any, nodes: int,
    means: Any, response: Any, rest: Any, node: Any, apart: Any, pair: Any, interval: Any, seen: Any, sums: Any,
    found: Any, state: Any,
) -> None:  # fmt: skip
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    mean = means[:, voxel]
    within = summarise(curves[:, voxel], column, pairs, mean)
    state[voxel] = solvable(finite(curves, voxel), within, t1_tissue[voxel], slice_delay[voxel], noise[voxel])
    if state[voxel] == 0:
        tables = Responses(tissue, rate, arrival, blood, early, late, middle)
        belief = of_voxel(
            Belief(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9]), noise[voxel],
            expected[voxel], precision[voxel], log_odds[voxel],
        )  # fmt: skip
        read = Labels(
            time, duration, pairs, b[10], b[11], b[12], pulsed != 0, tissue_relaxation != 0, pulses, b[13]
        )
        room = Room(
            response[..., voxel],
            rest[..., voxel],
            node[..., voxel],
            apart[..., voxel],
            pair[..., voxel],
            interval[..., voxel],
            seen[..., voxel],
            sums[..., voxel],
            nodes,
        )
        result = cuda.local.array(RESULTS, float32)
        voxel_components(
            mean, within, ONE / t1_tissue[voxel], slice_delay[voxel], read, tables, belief, room, result
        )
        for i in range(RESULTS):
            found[i, voxel] = result[i]
