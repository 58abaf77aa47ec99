"""The exact posterior of every voxel under a prior of its own: flow and arrival, each with mean and SD."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import EACH, FOUR, NODES, WORK, Grid, Labels, tabulate
from bolus_kernels.asl.posterior import voxel_posterior
from bolus_kernels.asl.spatial.belief import Beliefs, local
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel

ZERO = np.float32(0)


def fit(
    means: NDArray[np.float32],
    noise: NDArray[np.float32],
    rate: NDArray[np.float32],
    slice_delay: NDArray[np.float32],
    beliefs: Beliefs,
    labels: Labels,
    latest: np.float32,
    device: Device,
) -> Beliefs:
    """Posterior of flow and arrival, each with its SD.

    means : (n, delays), of the pairs of each delay. noise : (n,), variance of one pair. rate : (n,) 1/s, of tissue
    T1. slice_delay : (n,) s. latest : s, the last arrival in a slice without delay. Source: as `multi_delay`.
    """
    found = Beliefs(*(np.empty(len(means), np.float32) for _ in Beliefs._fields))
    voxelwise = (noise, rate, slice_delay, *beliefs)
    if device.kind == "cuda":
        from bolus_kernels.asl.spatial.cuda import fit as on_gpu

        on_gpu(means, voxelwise, labels, latest, found, device)
    else:
        _fit(means, *voxelwise, labels, latest, *found)
    return found


@kernel
def _fit(
    means: Any, noise: Any, rate: Any, slice_delay: Any, belief: Any, belief_sd: Any, early: Any, early_sd: Any,
    labels: Any, latest: Any, flow: Any, flow_sd: Any, arrival: Any, arrival_sd: Any,
) -> None:  # fmt: skip
    delays = labels.time.size
    table, result = np.empty((delays // 4, FOUR), np.float32), np.empty(4, np.float32)
    grid = Grid(np.empty((delays // 4, 4 * NODES), np.float32), np.empty(WORK, np.float32), EACH)
    tabulate(labels, table)
    for v in range(means.shape[0]):
        prior = local(belief[v], belief_sd[v], early[v], early_sd[v], noise[v], latest)
        voxel_posterior(
            means[v], ZERO, rate[v], slice_delay[v], False, labels, prior, table, grid, grid, result
        )
        flow[v], flow_sd[v], arrival[v], arrival_sd[v] = result[0], result[1], result[2], result[3]
