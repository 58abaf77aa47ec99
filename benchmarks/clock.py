"""Time on a machine that others use too: CPU time, the least of several rounds, all candidates in turn."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping


def least(works: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, float]:
    """CPU time of each work (s), the least of so many rounds, or of what fits into so many seconds of wall time.

    Each runs once before, to compile. Work comes and goes on a shared machine, hence one after another in a round.
    """
    best = dict.fromkeys(works, float("inf"))
    for work in works.values():
        work()
    begun = time.monotonic()
    for turn in range(rounds):
        if turn and time.monotonic() - begun > seconds:
            break
        for name, work in works.items():
            best[name] = min(best[name], spent(work))
    return best


def spent(work: Callable[[], object]) -> float:
    """CPU time of this process, all its threads, for some work, s."""
    began = time.process_time()
    work()
    return time.process_time() - began


def children() -> float:
    """CPU time of all processes that this one has waited for, s."""
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return below.ru_utime + below.ru_stime
