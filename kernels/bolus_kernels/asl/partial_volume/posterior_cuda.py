"""The posterior of two tissues on a GPU: one thread a voxel, the arithmetic of `pair` and `window` as it stands."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import Labels
from bolus_kernels.asl.partial_volume.pair import pair_posterior
from bolus_kernels.asl.partial_volume.plane import COARSE, FINE, PLANES, TOLD, Belief, Room, Tissues
from bolus_kernels.asl.partial_volume.window import Window, gather
from bolus_kernels.cuda.launch import over_voxels
from bolus_kernels.device import Device


@cache
def kernel(delays: int) -> Callable[..., None]:
    """The kernel body for a number of distinct delays, which sizes a thread's own memory."""

    def solve(
        rows: Any, place: Any, means: Any, within: Any, amounts: Any, slices: Any, row: Any, jumps: Any,
        shares: Any, time: Any, duration: Any, pairs: Any, pulses: Any, scalars: Any, pulsed: int,
        tissue_relaxation: int, coarse: int, fine: int, out: Any,
    ) -> None:  # fmt: skip
        voxel = cuda.grid(1)
        if voxel >= rows.size:
            return
        seen, told = cuda.local.array((2, delays), float32), cuda.local.array(TOLD, float32)
        room = Room(
            cuda.local.array((2, delays, COARSE), float32), cuda.local.array((2, COARSE), float32),
            cuda.local.array((2, COARSE), float32), cuda.local.array(COARSE, float32),
            cuda.local.array((PLANES, COARSE, COARSE), float32), (coarse, fine),
        )  # fmt: skip
        labels = Labels(
            time, duration, pairs, scalars[0], scalars[1], scalars[2], pulsed != 0, tissue_relaxation != 0,
            pulses, scalars[19],
        )  # fmt: skip
        tissues = Tissues(scalars[3], scalars[4], scalars[5], scalars[6])
        belief = Belief(
            scalars[7], scalars[8], scalars[9], scalars[10], scalars[11], scalars[12], scalars[13],
            scalars[14], scalars[15], scalars[16], scalars[17],
        )  # fmt: skip
        grey, shared, white, rest, counted = gather(
            place[voxel], means, within, amounts, row, jumps, shares, pairs, seen
        )
        freedom = belief.noise_weight + scalars[18] * counted
        rest += belief.noise_weight * belief.noise_variance
        pair_posterior(
            seen, grey, shared, white, rest, freedom, slices[rows[voxel]], labels, tissues, belief, room, told
        )
        for i in range(TOLD):
            out[i, voxel] = told[i]

    return solve


def launch(
    rows: NDArray[np.int64],
    place: NDArray[np.int64],
    data: tuple[NDArray[np.float32], ...],
    around: Window,
    labels: Labels,
    tissues: Tissues,
    belief: Belief,
    out: NDArray[np.float32],
    device: Device,
) -> None:
    """Fill out : (m, TOLD) for the voxels `rows`, (m,), at `place` in the layout; data : as `posterior.Data`."""
    numbers = (
        labels.rate_blood,
        labels.partition,
        labels.gain,
        *tissues,
        *belief,
        labels.pairs.sum(),
        labels.kept,
    )
    flags = int(labels.pulsed), int(labels.tissue_relaxation)
    delays = labels.time, labels.duration, labels.pairs, labels.pulses
    shared = (*data, *around, *delays, np.array(numbers, np.float32), *flags, COARSE, FINE)
    over_voxels(kernel(labels.time.size), (rows, place), shared, (out,), device)
