"""Work side by side: results of a pool in the order of the work, with only a few pieces in the air."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from bolus.errors import BolusError, Code

Piece = TypeVar("Piece")
Result = TypeVar("Result")
IN_THE_AIR = 4
"""Pieces per worker that are handed out ahead: memory does not grow with the work."""


def threaded(function: Callable[[Piece], Result], pieces: Iterable[Piece], workers: int) -> Iterator[Result]:
    """Apply a function that waits for disks or releases the interpreter, in threads; results in order."""
    with ThreadPoolExecutor(workers) as pool:
        yield from _windowed(pool, function, pieces, IN_THE_AIR * workers)


def spawned(function: Callable[[Piece], Result], pieces: Iterable[Piece], workers: int) -> Iterator[Result]:
    """Apply a function that computes, in fresh processes (in this one if it is the only one); results in order.

    Raises whatever the function raises, and BolusError (E_WORKER_DIED) where a process did not come back.
    """
    if workers == 1:
        yield from map(function, pieces)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _deaf) as pool:
        try:
            yield from _windowed(pool, function, pieces, IN_THE_AIR * workers)
        except BrokenExecutor as error:
            mend = "Most often the machine was out of memory: take fewer with --workers."
            raise BolusError(
                Code.WORKER_DIED,
                "a worker process",
                "that it died",
                "one that lives until its work is done",
                mend,
            ) from error


def _windowed(
    pool: Executor, function: Callable[[Piece], Result], pieces: Iterable[Piece], most: int
) -> Iterator[Result]:
    flying: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            flying.append(pool.submit(function, piece))
            if len(flying) >= most:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        for future in flying:
            future.cancel()


def _deaf() -> None:
    """Ctrl-C reaches every process of the terminal; the driver alone answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
