"""Time on a GPU: between events of its stream, of whatever is launched, or of each kernel that a method launches."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bolus_kernels.cuda import launch
from bolus_kernels.cuda.lane import THREADS
from bolus_kernels.device import cupy

ROUNDS, LAUNCHES = 3, 5


class Kernel(NamedTuple):
    """One launch of a method: seconds, the bytes of all its arrays, registers and own bytes of a thread, threads."""

    name: str
    seconds: float
    moved: int
    registers: int
    own: int
    threads: int


def on_events(run: Callable[[], Any], times: int = 1) -> float:
    """Seconds between two events of the current stream around what is launched into it, for each time."""
    begin, end = cupy().cuda.Event(), cupy().cuda.Event()
    begin.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return float(cupy().cuda.get_elapsed_time(begin, end)) / 1000 / times


def kernels_of(run: Callable[[], Any]) -> list[Kernel]:
    """Every kernel that `run` launches, each timed on its own by repeating it, the best of some rounds.

    Its arguments are Numba's own arrays: launches wait for nothing and queue, so that the GPU alone is timed.
    """
    found, compiled = [], launch.compiled

    class Timed:
        def __init__(self, body: Any) -> None:
            self.name, self.kernel = body.__name__, compiled(body)

        def __getitem__(self, configuration: Any) -> Callable[..., None]:
            return partial(self.launch, configuration)

        def launch(self, configuration: Any, *given: Any) -> None:
            ready = self.kernel[configuration]
            ready(*given)
            seconds = min(on_events(partial(ready, *given), LAUNCHES) for _ in range(ROUNDS))
            moved = sum(one.size * one.dtype.itemsize for one in given if hasattr(one, "shape"))
            taken = self.kernel.get_regs_per_thread(), self.kernel.get_local_mem_per_thread()
            registers, own = (max(each.values()) for each in taken)
            found.append(Kernel(self.name, seconds, moved, registers, own, configuration[0] * THREADS))

    launch.compiled = Timed  # type: ignore
    try:
        run()
    finally:
        launch.compiled = compiled
    return found


def seconds_of(kernels: list[Kernel]) -> float:
    """The kernels' own seconds, one after the other."""
    return sum(one.seconds for one in kernels)


def least(run: Callable[[], Any]) -> float:
    """Seconds, the best of some rounds after one that compiles."""
    run()
    seconds = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        seconds = min(seconds, time.perf_counter() - began)
    return seconds
