"""What several scans ask for alike, computed over the voxels of all of them in one launch of a GPU."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from bolus.compute.blocks import Asked, run_method
from bolus.compute.retreat import ON_GPU
from bolus_kernels.asl.joined import in_common, joined
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import is_out_of_memory, joined_on_device, release_memory
from bolus_kernels.method import VoxelMaps


def run_together(asked: Sequence[Asked]) -> list[VoxelMaps | Exception]:
    """What each asks for, the same as `run_method` gives; or why there is no such thing.

    A method runs once for all scans that ask for it with equal parameters and whose protocol differs in nothing that
    all voxels of a scan share: ASL scans of one protocol. DSC scans have each an arterial input of its own, and are
    computed one after the other; so are all where the memory does not suffice for several.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, one in enumerate(asked):
        groups.setdefault(_shared(one) or number, []).append(number)
    found: dict[int, VoxelMaps | Exception] = {}
    for numbers in groups.values():
        found |= dict(zip(numbers, _alike([asked[number] for number in numbers]), strict=True))
    return [found[number] for number in range(len(asked))]


def _shared(asked: Asked) -> Hashable:
    """What scans have to ask alike for one launch; None for what is asked alone."""
    if asked.device.kind == "cpu" or not isinstance(asked.protocol, AslProtocol):
        return None
    return asked.method.function, tuple(sorted(asked.parameters.items())), in_common(asked.protocol)


def _alike(group: Sequence[Asked]) -> Sequence[VoxelMaps | Exception]:
    try:
        return [run_method(group[0])] if len(group) == 1 else _at_once(group)
    except Exception as error:
        if len(group) == 1 or not is_out_of_memory(error):
            return [error] * len(group)
    release_memory()
    return [found for one in group for found in _alike([one])]


def _at_once(group: Sequence[Asked]) -> list[VoxelMaps]:
    first, protocol = group[0], joined([one.protocol for one in group])
    with ON_GPU:
        curves = joined_on_device([one.curves.values.T for one in group]).T
        found = first.method.function(curves, protocol, first.parameters, first.device)
    given, begin = [], 0
    for one in group:
        end = begin + len(one.curves.values)
        given.append({name: maps[begin:end] for name, maps in found.items()})
        one.machines.names.add(one.device.name)
        begin = end
    return given
