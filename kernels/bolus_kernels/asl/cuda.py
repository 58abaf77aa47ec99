"""Multi-delay ASL on a GPU: one thread a voxel, the arithmetic of `posterior` and `peak` taken in as it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import FOUR, NODES, PLACE, WORK, Grid, Labels, summarise, tabulate
from bolus_kernels.asl.peak import voxel_peak
from bolus_kernels.asl.posterior import FLOW_UNIT, ONE, ZERO, solvable, voxel_posterior
from bolus_kernels.asl.prior import Prior, of_voxel
from bolus_kernels.cuda.launch import U, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.jit import part


@cache
def kernel(delays: int) -> Callable[..., None]:
    """The kernel body for a number of distinct delays, which sizes a thread's own memory.

    Loops run over lengths told at run time: unrolled, they would need more registers than a thread has.
    """
    groups, responses = delays // 4, 4 * NODES

    def multi_delay(
        curves: Any, t1_tissue: Any, slice_delay: Any, noise: Any, arrival: Any, precision: Any, column: Any, time: Any,
        duration: Any, pairs: Any, pulses: Any, scalars: Any, pulsed: int, tissue_relaxation: int, fitted: int,
        nodes: Any, cbf: Any, att: Any, sd_cbf: Any, sd_att: Any, state: Any,
    ) -> None:  # fmt: skip
        voxel = cuda.grid(1)
        if voxel >= curves.shape[1]:
            return
        mean = cuda.local.array(delays, float32)[: time.size]
        table = cuda.local.array((groups, FOUR), float32)[: U(time.size) // U(4)]
        grid = Grid(cuda.local.array((groups, responses), float32), cuda.local.array(WORK, float32), nodes)
        result = cuda.local.array(4, float32)
        labels, prior = _nouns(time, duration, pairs, pulses, scalars, pulsed, tissue_relaxation)
        within = summarise(curves[:, voxel], column, pairs, mean)
        state[voxel] = solvable(
            True, within, t1_tissue[voxel], slice_delay[voxel], noise[voxel], ZERO if fitted != 0 else arrival[voxel],
            prior.arrival_most,
        )  # fmt: skip
        if state[voxel] == 0:
            rate = ONE / t1_tissue[voxel]
            believed = of_voxel(prior, noise[voxel], arrival[voxel], precision[voxel])
            tabulate(labels, table)
            voxel_posterior(
                mean, within, rate, slice_delay[voxel], False, labels, believed, table, grid, grid, result
            )
            cbf[voxel], sd_cbf[voxel] = FLOW_UNIT * result[0], FLOW_UNIT * result[1]
            att[voxel], sd_att[voxel] = result[2], result[3]

    return multi_delay


def launch(
    curves: NDArray[Any],
    voxelwise: Sequence[NDArray[Any]],
    column: NDArray[np.int64],
    labels: Labels,
    prior: Prior,
    fitted: bool,
    maps: Sequence[NDArray[Any]],
    device: Device,
) -> None:
    """Fill cbf, att, sd_cbf, sd_att and state, (n,) each.

    curves : (n, t). voxelwise : t1_tissue, slice_delay, noise, arrival and its precision, (n,) each.
    """
    shared = _shared(column, labels, prior, fitted)
    over_voxels(kernel(labels.time.size), (curves, *voxelwise), shared, maps, device)


@cache
def mode_kernel(delays: int) -> Callable[..., None]:
    """As `kernel`, of the mode."""
    groups, responses = delays // 4, 4 * NODES

    def mode(
        curves: Any, t1_tissue: Any, slice_delay: Any, noise: Any, arrival: Any, precision: Any, column: Any, time: Any,
        duration: Any, pairs: Any, pulses: Any, scalars: Any, pulsed: int, tissue_relaxation: int, fitted: int,
        nodes: Any, cbf: Any, att: Any, state: Any,
    ) -> None:  # fmt: skip
        voxel = cuda.grid(1)
        if voxel >= curves.shape[1]:
            return
        mean = cuda.local.array(delays, float32)[: time.size]
        table = cuda.local.array((groups, FOUR), float32)[: U(time.size) // U(4)]
        grid = Grid(cuda.local.array((groups, responses), float32), cuda.local.array(WORK, float32), nodes)
        result = cuda.local.array(2, float32)
        labels, prior = _nouns(time, duration, pairs, pulses, scalars, pulsed, tissue_relaxation)
        within = summarise(curves[:, voxel], column, pairs, mean)
        state[voxel] = solvable(
            True, within, t1_tissue[voxel], slice_delay[voxel], noise[voxel], ZERO if fitted != 0 else arrival[voxel],
            prior.arrival_most,
        )  # fmt: skip
        if state[voxel] == 0:
            own, rate = (
                of_voxel(prior, noise[voxel], arrival[voxel], precision[voxel]),
                ONE / t1_tissue[voxel],
            )
            tabulate(labels, table)
            voxel_peak(mean, within, rate, slice_delay[voxel], labels, own, table, grid, result)
            cbf[voxel], att[voxel] = FLOW_UNIT * result[0], result[1]

    return mode


def launch_mode(
    curves: NDArray[Any],
    voxelwise: Sequence[NDArray[Any]],
    column: NDArray[np.int64],
    labels: Labels,
    prior: Prior,
    fitted: bool,
    maps: Sequence[NDArray[Any]],
    device: Device,
) -> None:
    """Fill cbf, att and state, (n,) each; the rest as in `launch`."""
    shared = _shared(column, labels, prior, fitted)
    over_voxels(mode_kernel(labels.time.size), (curves, *voxelwise), shared, maps, device)


def _shared(column: NDArray[np.int64], labels: Labels, prior: Prior, fitted: bool) -> tuple[Any, ...]:
    """What all threads read."""
    scalars = np.array([labels.rate_blood, labels.partition, labels.gain, labels.kept, *prior], np.float32)
    flags = int(labels.pulsed), int(labels.tissue_relaxation), int(fitted), PLACE
    return column, labels.time, labels.duration, labels.pairs, labels.pulses, scalars, *flags


@part
def _nouns(
    time: Any, duration: Any, pairs: Any, pulses: Any, s: Any, pulsed: int, tissue_relaxation: int
) -> Any:
    """What `_shared` took apart, as the labels and the prior again."""
    labels = Labels(
        time, duration, pairs, s[0], s[1], s[2], pulsed != 0, tissue_relaxation != 0, pulses, s[3]
    )
    return labels, Prior(s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11])
