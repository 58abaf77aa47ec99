"""Whose turn it is, where several scans are under way in one process: on a processor, and beside a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Any

from bolus.compute import compute
from bolus.compute.blocks import Asked, run_method
from bolus.compute.retreat import ON_GPU
from bolus.compute.together import run_together
from bolus.recipe import Recipe
from bolus.series import Curves, Maps
from bolus_kernels.device import Device
from bolus_kernels.method import VoxelMaps

TOGETHER = 1 << 18
"""Voxels: with more of them in it a launch costs next to nothing for each, and a larger scan is computed alone."""
Compute = Callable[[Curves, Recipe, Device], Maps]


@dataclass(frozen=True)
class Turns:
    """Who may read, prepare and write at the moment, and how one computes whose turn it is."""

    read: AbstractContextManager[Any]
    prepare: AbstractContextManager[Any]
    compute: Compute
    write: AbstractContextManager[Any]


FREE = Turns(nullcontext(), nullcontext(), compute, nullcontext())


def turns(device: Device) -> Turns:
    """Turns for the scans that are under way in this process.

    A processor reads the next scan and writes the last one while it prepares and computes one. Beside a GPU, which
    runs the methods of one scan, or of some that are small, the processors have nothing else to do: each of them
    reads, prepares or writes another, or does what is left of computing one.
    """
    if device.kind == "cpu":
        busy = Lock()
        return Turns(Lock(), busy, _one_by_one(busy), Lock())
    processors = BoundedSemaphore(device.threads)
    return Turns(processors, processors, _beside_a_gpu(processors), processors)


def _one_by_one(busy: AbstractContextManager[Any]) -> Compute:
    def compute_one(curves: Curves, recipe: Recipe, device: Device) -> Maps:
        with busy:
            return compute(curves, recipe, device)

    return compute_one


def _beside_a_gpu(processors: BoundedSemaphore) -> Compute:
    counter = Counter()

    def compute_one(curves: Curves, recipe: Recipe, device: Device) -> Maps:
        def answer(asked: Asked) -> VoxelMaps:
            if asked.device.kind == "cpu":
                return run_method(asked)
            processors.release()  # whoever waits for the GPU needs none
            try:
                return counter(asked)
            finally:
                processors.acquire()

        with processors:
            return compute(curves, recipe, device, answer)

    return compute_one


class Counter:
    """Where scans ask for methods on the GPU: nobody waits for another, but whose turn it is takes those along that do.

    So methods run over several scans at once only where the GPU is what they wait for.
    """

    def __init__(self) -> None:
        self._door = Lock()
        self._waiting: list[_Waiting] = []

    def __call__(self, asked: Asked) -> VoxelMaps:
        """As `run_method`."""
        mine = _Waiting(asked)
        with self._door:
            self._waiting.append(mine)
        with ON_GPU:
            while mine.found is None:
                these = self._next()
                for one, found in zip(these, _answers(these), strict=True):
                    one.found = found
        if isinstance(mine.found, Exception):
            raise mine.found
        return mine.found

    def _next(self) -> list[_Waiting]:
        """Those that have waited longest, no more than are worth a launch; one at least."""
        with self._door:
            count, voxels = 0, 0
            for one in self._waiting:
                voxels += len(one.asked.curves.voxels)
                if count and voxels > TOGETHER:
                    break
                count += 1
            these, self._waiting = self._waiting[:count], self._waiting[count:]
        return these


def _answers(waiting: Sequence[_Waiting]) -> Sequence[VoxelMaps | Exception]:
    try:
        return run_together([one.asked for one in waiting])
    except Exception as error:  # whoever waits is told, or it would wait for ever
        return [error] * len(waiting)


@dataclass
class _Waiting:
    asked: Asked
    found: VoxelMaps | Exception | None = None
