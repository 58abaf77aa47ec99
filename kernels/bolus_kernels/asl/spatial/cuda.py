"""The heavy passes of the spatial prior on a GPU: one thread a voxel, same lattice, same arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import FOUR, NODES, PLACE, WORK, Grid, Labels, tabulate
from bolus_kernels.asl.posterior import voxel_posterior
from bolus_kernels.asl.spatial.belief import CERTAIN, VALID, Beliefs, local
from bolus_kernels.asl.spatial.belief import FOUR as VALUES
from bolus_kernels.asl.spatial.lattice import Lattice, Window
from bolus_kernels.cuda.launch import U, over_voxels
from bolus_kernels.device import Device

ZERO, ONE, TWO, TINY = np.float32(0), np.float32(1), np.float32(2), np.float32(1e-20)


def average(
    grid: Lattice, around: Window, field: NDArray[np.float32], values: NDArray[np.float32], device: Device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `smoothing.average`."""
    n = grid.place.size
    mean, count = np.empty((n, VALUES), np.float32), np.empty(n, np.float32)
    over_voxels(_average, (grid.place,), (*around, field, values), (mean, count), device)
    return mean, count


def _average(place: Any, jump: Any, near: Any, field: Any, values: Any, mean: Any, count: Any) -> None:
    voxel = cuda.grid(1)
    if voxel >= place.size:
        return
    b = place[voxel]
    look0, look1, look2 = field[1, b], field[2, b], field[3, b]
    kind0, kind1, kind2, certain = field[4, b], field[5, b], field[6, b], field[CERTAIN, b]
    sum0, sum1, sum2, sum3, total, squares = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for w in range(jump.size):
        j = b + jump[w]
        a0, a1, a2 = look0 - field[1, j], look1 - field[2, j], look2 - field[3, j]
        b0, b1, b2 = kind0 - field[4, j], kind1 - field[5, j], kind2 - field[6, j]
        alike = max(ZERO, ONE - (a0 * a0 + a1 * a1 + a2 * a2))
        same = max(ZERO, min(ONE, TWO - (b0 * b0 + b1 * b1 + b2 * b2) * certain))
        weight = near[w] * field[VALID, j] * alike * same
        sum0 += weight * values[0, j]
        sum1 += weight * values[1, j]
        sum2 += weight * values[2, j]
        sum3 += weight * values[3, j]
        total += weight
        squares += weight * weight
    count[voxel] = total * total / max(squares, TINY)
    total = max(total, TINY)
    mean[0, voxel], mean[1, voxel] = sum0 / total, sum1 / total
    mean[2, voxel], mean[3, voxel] = sum2 / total, sum3 / total


def fit(
    means: NDArray[np.float32],
    voxelwise: Sequence[NDArray[np.float32]],
    labels: Labels,
    latest: np.float32,
    found: Beliefs,
    device: Device,
) -> None:
    """As `fit.fit`; voxelwise : noise, rate, slice_delay and the four beliefs, (n,) each."""
    scalars = np.array([labels.rate_blood, labels.partition, labels.gain, latest, labels.kept], np.float32)
    flags = int(labels.pulsed), int(labels.tissue_relaxation), PLACE
    shared = (labels.time, labels.duration, labels.pairs, labels.pulses, scalars, *flags)
    over_voxels(_fit(labels.time.size), (means, *voxelwise), shared, found, device)


@cache
def _fit(delays: int) -> Callable[..., None]:
    """The kernel body for a number of distinct delays, which sizes a thread's own memory.

    Loops run over lengths told at run time: unrolled, they would need more registers than a thread has.
    """
    groups, responses = delays // 4, 4 * NODES

    def fit_posterior(
        means: Any, noise: Any, rate: Any, slice_delay: Any, belief: Any, belief_sd: Any, early: Any, early_sd: Any,
        time: Any, duration: Any, pairs: Any, pulses: Any, scalars: Any, pulsed: int, tissue_relaxation: int,
        nodes: Any, flow: Any, flow_sd: Any, arrival: Any, arrival_sd: Any,
    ) -> None:  # fmt: skip
        v = cuda.grid(1)
        if v >= noise.size:
            return
        mean = cuda.local.array(delays, float32)
        table = cuda.local.array((groups, FOUR), float32)[: U(time.size) // U(4)]
        grid = Grid(cuda.local.array((groups, responses), float32), cuda.local.array(WORK, float32), nodes)
        result = cuda.local.array(4, float32)
        for i in range(delays):
            mean[i] = means[i, v]
        labels = Labels(
            time, duration, pairs, scalars[0], scalars[1], scalars[2], pulsed != 0, tissue_relaxation != 0,
            pulses, scalars[4],
        )  # fmt: skip
        prior = local(belief[v], belief_sd[v], early[v], early_sd[v], noise[v], scalars[3])
        tabulate(labels, table)
        voxel_posterior(mean, ZERO, rate[v], slice_delay[v], False, labels, prior, table, grid, grid, result)
        flow[v], flow_sd[v], arrival[v], arrival_sd[v] = result[0], result[1], result[2], result[3]

    return fit_posterior
