"""Whose turn it is, where several scans are under way in one process: on a processor, and beside a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Any

from bolus.compute import compute, compute_together
from bolus.recipe import Recipe
from bolus.series import Curves, Maps
from bolus_kernels.device import Device

TOGETHER = 1 << 18
"""Voxels: with more of them in it a launch costs next to nothing for each, and a larger scan is computed alone."""


@dataclass(frozen=True)
class Turns:
    """Who may read, prepare and write at the moment, and how one computes whose turn it is."""

    read: AbstractContextManager[Any]
    prepare: AbstractContextManager[Any]
    compute: Callable[[Curves, Recipe, Device], Maps]
    write: AbstractContextManager[Any]


FREE = Turns(nullcontext(), nullcontext(), compute, nullcontext())


def turns(device: Device) -> Turns:
    """Turns for the scans that are under way in this process.

    A processor reads the next scan and writes the last one while it prepares and computes one. Beside a GPU, which
    computes one, or some that are small, the processors have nothing else to do: each of them reads, prepares or
    writes another.
    """
    if device.kind == "cpu":
        busy = Lock()
        return Turns(Lock(), busy, one_by_one(busy), Lock())
    processors = BoundedSemaphore(device.threads)
    return Turns(processors, processors, Counter(), processors)


def one_by_one(turn: AbstractContextManager[Any]) -> Callable[[Curves, Recipe, Device], Maps]:
    """`compute` of one scan at a time."""

    def compute_one(curves: Curves, recipe: Recipe, device: Device) -> Maps:
        with turn:
            return compute(curves, recipe, device)

    return compute_one


class Counter:
    """Where scans come to be computed: nobody waits for another, but whose turn it is takes those that wait along.

    So scans are computed together only where the GPU is what they wait for.
    """

    def __init__(self) -> None:
        self._turn, self._door = Lock(), Lock()
        self._waiting: list[_Waiting] = []

    def __call__(self, curves: Curves, recipe: Recipe, device: Device) -> Maps:
        """As `compute`."""
        mine = _Waiting(curves, recipe)
        with self._door:
            self._waiting.append(mine)
        with self._turn:
            while mine.found is None:
                these = self._next()
                for one, found in zip(these, _found(these, device), strict=True):
                    one.found = found
        if isinstance(mine.found, Exception):
            raise mine.found
        return mine.found

    def _next(self) -> list[_Waiting]:
        """Those that have waited longest, no more than are worth a launch; one at least."""
        with self._door:
            count, voxels = 0, 0
            for one in self._waiting:
                voxels += len(one.curves.voxels)
                if count and voxels > TOGETHER:
                    break
                count += 1
            these, self._waiting = self._waiting[:count], self._waiting[count:]
        return these


def _found(waiting: Sequence[_Waiting], device: Device) -> Sequence[Maps | Exception]:
    try:
        return compute_together([(one.curves, one.recipe) for one in waiting], device)
    except Exception as error:  # whoever waits is told, or it would wait for ever
        return [error] * len(waiting)


@dataclass
class _Waiting:
    curves: Curves
    recipe: Recipe
    found: Maps | Exception | None = None
