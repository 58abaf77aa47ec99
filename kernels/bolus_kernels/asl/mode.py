"""The likeliest flow and arrival of a voxel: the mode of their joint posterior, from grids that close in on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import labels_of, prior_of, voxelwise_of
from bolus_kernels.asl.nodes import EACH, FOUR, NODES, WORK, Grid, summarise_tile, tabulate
from bolus_kernels.asl.peak import voxel_peak
from bolus_kernels.asl.posterior import FLOW_UNIT, ONE, ZERO, solvable
from bolus_kernels.asl.prior import of_voxel
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel
from bolus_kernels.method import VoxelMaps, refuse_infinite
from bolus_kernels.tiles import TILE, gather, time_major


def mode(
    curves: NDArray[Any], protocol: AslProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Flow and arrival at the maximum of p(f, ATT | y), the noise integrated out.

    curves : (n, t) float32, (control - label)/M0 of tissue. parameters : those of `multi_delay`, whose priors these
    are. Gives cbf : ml/100g/min and att : s, (n,) float32 each, and state : (n,) uint8. With flat priors it is the
    least-squares fit, at its global minimum. Source: as `multi_delay`.
    """
    labels, column = labels_of(protocol)
    prior, fitted = prior_of(protocol, labels, parameters), protocol.arterial_transit_time is None
    maps: VoxelMaps = {name: np.full(len(curves), np.nan, np.float32) for name in ("cbf", "att")}
    maps["state"] = np.zeros(len(curves), np.uint8)
    voxelwise = voxelwise_of(protocol, parameters)
    if device.kind == "cuda":
        from bolus_kernels.asl.cuda import launch_mode

        launch_mode(curves, voxelwise, column, labels, prior, fitted, tuple(maps.values()), device)
    else:
        _mode(time_major(curves), column, *voxelwise, labels, prior, fitted, *maps.values())
    return refuse_infinite(maps)


@kernel
def _mode(
    curves: Any, column: Any, t1_tissue: Any, slice_delay: Any, noise: Any, arrival: Any, precision: Any,
    labels: Any, prior: Any, fitted: bool, cbf: Any, att: Any, state: Any,
) -> None:  # fmt: skip
    delays = labels.time.size
    mean, table = np.empty(delays, np.float32), np.empty((delays // 4, FOUR), np.float32)
    grid = Grid(np.empty((delays // 4, 4 * NODES), np.float32), np.empty(WORK, np.float32), EACH)
    result = np.empty(2, np.float32)
    tile, finite = np.empty((curves.shape[0], TILE), np.float32), np.empty(TILE, np.bool_)
    means, within = np.empty((delays, TILE), np.float32), np.empty(TILE, np.float32)
    tabulate(labels, table)
    for begin in range(0, curves.shape[1], TILE):
        width = min(TILE, curves.shape[1] - begin)
        gather(curves, begin, width, tile, finite)
        summarise_tile(tile, column, labels.pairs, means, within)
        for place in range(width):
            v = begin + place
            for i in range(delays):
                mean[i] = means[i, place]
            state[v] = solvable(
                finite[place], within[place], t1_tissue[v], slice_delay[v], noise[v],
                arrival[v] if not fitted else ZERO, prior.arrival_most,
            )  # fmt: skip
            if state[v] == 0:
                own, rate = of_voxel(prior, noise[v], arrival[v], precision[v]), ONE / t1_tissue[v]
                voxel_peak(mean, within[place], rate, slice_delay[v], labels, own, table, grid, result)
                cbf[v], att[v] = FLOW_UNIT * result[0], result[1]
