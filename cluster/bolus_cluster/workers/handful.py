"""A handful of scans at a time: short ones go to a worker together, so that sending them costs next to nothing."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from bolus_cluster.ledger.records import look_up
from bolus_cluster.workers.attempt import Job, Row, attempt_in_time, has_gpu, row_of

MOST = 128
"""Scans in a handful at most."""
TOGETHER, APART = 2.0, 0.1
"""Seconds that a handful may take, and under which, at the end, it isn't worth dividing."""
SMALL = 0.15
"""Seconds below which a scan is small: mostly work of the interpreter. A larger one is read and written while another
is computed."""
MEMORY = 0.2
"""Weight of a new scan in the running mean of what scans take."""

_turn = threading.Lock()
"""Held by the handful of small scans that a process is at: two threads with work of the interpreter only take it from
each other. The next handful is there already. Beside a GPU nobody holds it: one process has many processors there, and
what several handfuls bring to the GPU at a time is computed together."""


@dataclass
class Pace:
    """How many scans are worth sending together, by how long the last ones took; fewer when few are left.

    left : scans that are not handed out yet. takers : handfuls in the air at a time.
    """

    left: int
    takers: int
    seconds: float = math.inf

    def scans(self) -> int:
        """How many scans the next handful holds; at least one."""
        worth = min(MOST, round(TOGETHER / max(self.seconds, 1e-3)))
        fair = self.left // (2 * self.takers)  # so the last handfuls are short, and all workers end together
        return max(1, min(worth, max(fair, round(APART / max(self.seconds, 1e-3)))))

    @property
    def small(self) -> bool:
        """Whether the scans are small ones."""
        return self.seconds < SMALL

    def handed_out(self, scans: int) -> None:
        """So many more are in the air."""
        self.left -= scans

    def told(self, row: Row) -> None:
        """A scan came back: the next handfuls are as its kind is; how soon one is refused says nothing of others."""
        if row.state == "failed":
            return
        if math.isinf(self.seconds):
            self.seconds = row.seconds
        self.seconds += MEMORY * (row.seconds - self.seconds)


def attempt_each(jobs: Sequence[Job], small: bool) -> list[Row]:
    """Compute scans one after another, each within its deadline; raises what `attempt` raises.

    Small ones have the process to themselves, unless there is a GPU.
    """
    with _turn if small and not has_gpu(jobs[0]) else nullcontext():
        return list(attempt_in_time(jobs))


def landed_of(jobs: Sequence[Job]) -> list[Row]:
    """The rows of those scans of a lost handful that were entered before its worker was lost, in order."""
    found = (look_up(job.out, job.scan.key) for job in jobs)
    new = (
        record for record, job in zip(found, jobs, strict=True) if record and record.attempts > job.attempts
    )
    return list(map(row_of, new))
