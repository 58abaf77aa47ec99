"""Several scans at once: what they ask for alike runs over the voxels of all of them in one launch of a GPU."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.compute.blocks import Asked, run_method
from bolus.compute.retreat import Machines
from bolus.compute.scan import steps
from bolus.recipe import Recipe
from bolus.series import Curves, Maps
from bolus_kernels.asl.joined import in_common, joined
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device, is_out_of_memory
from bolus_kernels.method import VoxelMaps


def compute_together(scans: Sequence[tuple[Curves, Recipe]], device: Device) -> list[Maps | Exception]:
    """The maps of each scan, the same as `compute` gives; of one that cannot be computed the error.

    A method runs once for all scans that ask for it at the same time with equal parameters and whose protocol differs
    in nothing that all voxels of a scan share: ASL scans of one protocol. DSC scans have each an arterial input of its
    own, and are computed one after the other; so are all where the memory does not suffice for several.
    """
    flows = [steps(curves, recipe, device) for curves, recipe in scans]
    done: dict[int, Maps | Exception] = {}
    asked: dict[int, Asked] = {}
    several = _Several()

    def go_on(number: int, given: Any) -> None:
        flow = flows[number]
        try:
            asked[number] = flow.throw(given) if isinstance(given, Exception) else flow.send(given)
        except StopIteration as end:
            done[number] = end.value
        except Exception as error:  # of this scan: the others go on
            done[number] = error

    for number in range(len(flows)):
        go_on(number, None)
    while asked:
        now, asked = asked, {}
        for numbers in _alike(now):
            for number, given in zip(numbers, several.run([now[one] for one in numbers]), strict=True):
                go_on(number, given)
    return [done[number] for number in range(len(flows))]


def _alike(asked: dict[int, Asked]) -> list[list[int]]:
    """The scans, those together whose wishes one launch can meet."""
    groups: dict[Hashable, list[int]] = {}
    for number, one in asked.items():
        groups.setdefault(_shared(one) or number, []).append(number)
    return list(groups.values())


def _shared(asked: Asked) -> Hashable:
    """What scans have to ask alike for one launch; None for what is asked alone."""
    if asked.device.kind == "cpu" or not isinstance(asked.protocol, AslProtocol):
        return None
    return asked.method.function, tuple(sorted(asked.parameters.items())), in_common(asked.protocol)


class _Several:
    """Runs methods over scans together, whose curves stay on the GPU for the next method that asks for the same."""

    def __init__(self) -> None:
        self._machines = Machines()
        self._parts: list[NDArray[Any]] = []
        self._values: Any = None

    def run(self, group: Sequence[Asked]) -> Sequence[VoxelMaps | Exception]:
        """For each scan what its method gives, or why it gives nothing."""
        try:
            if len(group) == 1:
                return [run_method(group[0])]
            return self._at_once(group)
        except Exception as error:
            if len(group) == 1 or not is_out_of_memory(error):
                return [error] * len(group)
        self._machines.leave()
        return [one for each in group for one in self.run([each])]

    def _at_once(self, group: Sequence[Asked]) -> list[VoxelMaps]:
        first = group[0]
        values = self._machines.curves(self._joined([one.curves.values for one in group]))
        protocol = joined([one.protocol for one in group])
        found = first.method.function(values, protocol, first.parameters, first.device)
        given, begin = [], 0
        for one in group:
            end = begin + len(one.curves.values)
            given.append({name: maps[begin:end] for name, maps in found.items()})
            one.machines.names.add(one.device.name)
            begin = end
        return given

    def _joined(self, parts: list[NDArray[Any]]) -> NDArray[Any]:
        """The curves (n, t) of all scans, one scan after the other; of the same scans the same array."""
        if list(map(id, parts)) != list(map(id, self._parts)):
            self._parts, self._values = parts, np.concatenate([part.T for part in parts], axis=1).T
        values: NDArray[Any] = self._values
        return values
