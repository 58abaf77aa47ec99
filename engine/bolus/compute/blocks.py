"""Voxels in blocks: one method, or the bootstrap of one, over all curves of a scan, on as many threads as there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.compute.retreat import Machines, by_blocks
from bolus.series import Curves
from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.bootstrap import Volume, bootstrap
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import Method, VoxelMaps

BLOCK, WHOLE = 16384, 131072
"""Voxels a block, for several threads and for one, to which nothing is copied of a scan that fits into a block; a GPU
takes all at once, while it has the memory, and cuts them by it."""
Work = Callable[[NDArray[Any], Any, NDArray[np.int64], Device], VoxelMaps]


class Asked(NamedTuple):
    """A method that a scan asks to be run over all its curves, on a device or on what its machines leave of it."""

    method: Method
    curves: Curves
    protocol: Any
    parameters: Mapping[str, Any]
    device: Device
    machines: Machines


def run_method(asked: Asked) -> VoxelMaps:
    """The maps of one method for every voxel, (n,) each, and what it gives beside them."""
    method, curves, protocol, parameters, device, machines = asked

    def work(values: NDArray[Any], part: Any, voxels: NDArray[np.int64], machine: Device) -> VoxelMaps:
        return method.function(values, part, parameters, machine)

    block = WHOLE if device.threads == 1 else BLOCK
    return _over_blocks(method.name, work, curves, protocol, device, block, machines, stay=True)


def run_bootstrap(
    method: Method,
    volume: Callable[[Device], Volume],
    curves: Curves,
    protocol: DscProtocol,
    parameters: Mapping[str, Any],
    device: Device,
    replicates: int,
    machines: Machines,
) -> VoxelMaps:
    """The standard deviation of each map of a deconvolution over resampled residuals, (n,) each."""

    def work(values: NDArray[Any], part: Any, voxels: NDArray[np.int64], machine: Device) -> VoxelMaps:
        return bootstrap(method, volume(machine), values, part, parameters, machine, voxels, replicates)

    what = f"the bootstrap of {method.name}"
    return _over_blocks(what, work, curves, protocol, device, BLOCK, machines, stay=False)


def _over_blocks(
    what: str, work: Work, curves: Curves, protocol: Any, device: Device, block: int, machines: Machines, stay: bool
) -> VoxelMaps:  # fmt: skip
    """stay : whether `work` takes curves where they lie: a GPU with the memory for all keeps them for the next."""
    most = max((region.rows.size for region in curves.regions), default=len(curves.voxels))

    def on(machine: Device, size: int) -> VoxelMaps:
        whole = machine.kind == "cuda" and size >= most and not curves.regions
        values = machines.curves(curves.values) if stay and whole else curves.values
        return _in_blocks(work, values, curves, protocol, machine, size)

    return by_blocks(what, on, device, most, block, machines)


def _in_blocks(
    work: Work, values: Any, curves: Curves, protocol: Any, device: Device, block: int
) -> VoxelMaps:
    cuts = _cuts(curves, protocol, block)

    def one(cut: tuple[Any, Any]) -> VoxelMaps:
        rows, its_protocol = cut
        return work(values[rows], its_protocol.rows(rows), curves.voxels[rows], device)

    if device.kind == "cuda" or device.threads == 1 or len(cuts) == 1:
        parts = [one(cut) for cut in cuts]
    else:
        with ThreadPoolExecutor(device.threads) as pool:
            parts = list(pool.map(one, cuts))
    if len(parts) == 1 and not curves.regions:
        return parts[0]
    whole: VoxelMaps = {}
    for name, first in parts[0].items():
        values = np.empty((len(curves.voxels), *first.shape[1:]), first.dtype)
        for (rows, _), part in zip(cuts, parts, strict=True):
            values[rows] = part[name]
        whole[name] = values
    return whole


def _cuts(curves: Curves, protocol: Any, block: int) -> list[tuple[Any, Any]]:
    """Rows of each block with the protocol they are computed by: neighbourhoods have an arterial input of their own."""
    if not curves.regions:
        n = len(curves.voxels)
        return [(slice(begin, min(begin + block, n)), protocol) for begin in range(0, n, block)]
    return [
        (region.rows[begin : begin + block], protocol._replace(aif=region.aif.concentration))
        for region in curves.regions
        for begin in range(0, region.rows.size, block)
    ]
