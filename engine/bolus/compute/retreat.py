"""The GPU's memory: which curves stay there; where it is spent, smaller blocks, then the processor, and both told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar

from numpy.typing import NDArray

from bolus_kernels.device import Device, cpu, is_out_of_memory, on_device, release_memory

ON_GPU = RLock()
"""Held by whoever computes on the GPU of this process: what several scans have there at once is what stays there."""
LEAST = 1024
"""Voxels of the smallest block that is tried: with fewer a GPU is slower than the processor."""
Result = TypeVar("Result")
log = logging.getLogger("bolus")


class Machines:
    """The devices that the maps of one scan came from, and what gave way where the memory of one was spent."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.warnings: list[str] = []
        self._here: NDArray[Any] | None = None
        self._there: Any = None

    def curves(self, values: NDArray[Any]) -> Any:
        """Curves (n, t) in the memory of the GPU, where they stay for the next method that asks for the same."""
        if self._here is not values:
            self._there = None  # first, so that both need not fit
            self._here, self._there = values, on_device(values.T).T
        return self._there

    def leave(self) -> None:
        """Give back what the scan holds of the GPU's memory."""
        self._here = self._there = None
        release_memory()

    def told(self) -> str:
        """All devices in one text, as the sidecars say it."""
        return " + ".join(sorted(self.names))

    def to_processor(self, what: str, device: Device) -> Device:
        """The processor in place of a GPU, for a reason that is told."""
        self.warnings.append(f"the memory of {device.name} was spent: {what} was computed on the processor")
        log.warning("%s: out of memory over %s, on to the processor", device.name, what)
        return cpu(device.threads)


def whole(what: str, work: Callable[[Device], Result], device: Device, machines: Machines) -> Result:
    """What cannot be cut into blocks, on the device, or else on the processor."""
    if device.kind != "cpu":
        try:
            with ON_GPU:
                done = work(device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            machines.names.add(device.name)
            return done
        machines.leave()
        device = machines.to_processor(what, device)
    machines.names.add(device.name)
    return work(device)


def by_blocks(
    what: str,
    work: Callable[[Device, int], Result],
    device: Device,
    voxels: int,
    block: int,
    machines: Machines,
) -> Result:
    """`work` on the device in blocks of so many voxels: on a GPU all at once, by halves where its memory is spent.

    block : how many at once on the processor. Raises whatever `work` raises but for want of the GPU's memory.
    """
    size = max(1, voxels)
    while device.kind != "cpu":
        try:
            with ON_GPU:
                done = work(device, size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            small = f" (its memory was full: blocks of {size} voxels)" if size < voxels else ""
            machines.names.add(device.name + small)
            return done
        machines.leave()
        if size > LEAST:
            size = max(LEAST, size // 2)
            log.warning("%s: out of memory over %s, now in blocks of %d voxels", device.name, what, size)
        else:
            device = machines.to_processor(what, device)
    machines.names.add(device.name)
    return work(device, block)
