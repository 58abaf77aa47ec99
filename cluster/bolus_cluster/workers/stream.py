"""The stream of scans over a Dask cluster: so many in the air, and a judgement on each that does not come back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from bolus.errors import BolusError, Code
from bolus_cluster.workers.alone import Death, attempt_alone
from bolus_cluster.workers.attempt import Job, Row, refuse
from bolus_cluster.workers.handful import Pace, attempt_each, landed_of

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK = 1.0
"""Seconds between two looks at whether the cluster is still there."""
SPARE = 300.0
"""Seconds that everything but a scan may take, before nothing happening at all is a failure."""
LOSSES = 4
"""So many times a scan may lose its worker, to a neighbour's fault as well, before nothing may fly beside it."""


@dataclass
class Flight:
    """Scans in the air together, and whether they are small; how many workers the first has lost, and whether nothing
    may fly beside it.

    One that has lost a worker flies in a process of its own.
    """

    jobs: Sequence[Job]
    small: bool = False
    losses: int = 0
    beside_nothing: bool = False

    @property
    def seconds(self) -> float:
        """What it may take at most."""
        return sum(job.deadline for job in self.jobs)


def stream(client: Client, jobs: Iterable[Job], count: int, room: int) -> Iterator[Row]:
    """Compute every job on the cluster and give its row as it is finished; few more are in flight than have room.

    `jobs`, `count` at most, is drawn from only as workers become free, so ending it early ends the run cleanly.

    Where a worker is lost, the scan that it was at is tried again in a process of its own; where the machine kills
    that one too, once more when all others are done, with nothing beside it. Raises BolusError when the cluster
    itself is lost (E_WORKER_DIED) or nothing happens any more (E_TIMEOUT), OSError where the ledger cannot be
    written.
    """
    # One that waits at a worker hides the way there and back; more would die with their neighbours for nothing.
    most = room + 1 + room // 8
    pace = Pace(count, most)
    waiting = iter(jobs)
    landed: SimpleQueue[Future] = SimpleQueue()
    flying: dict[Future, Flight] = {}
    again: list[Flight] = []
    last: list[Flight] = []
    while True:
        while len(flying) < most:
            flight = again.pop() if again else _drawn(waiting, pace)
            if flight is None and last and not flying:
                flight = last.pop()
            if flight is None:
                break
            future = _sent(client, flight)
            flying[future] = flight
            future.add_done_callback(landed.put)
            if flight.beside_nothing:
                break
        if not flying:
            return
        future = _next(client, landed, max(flight.seconds for flight in flying.values()))
        flight = flying.pop(future)
        try:
            outcome = _outcome(future)
        except OSError:  # the ledger cannot be written: those of them that are in it are told all the same
            yield from landed_of(flight.jobs)
            raise
        rows = outcome if isinstance(outcome, list) else landed_of(flight.jobs)
        for row in rows:
            pace.told(row)
            yield row
        left = flight.jobs[len(rows) :]
        if not left:
            continue
        if left[1:]:  # these it had not begun
            again.append(Flight(left[1:], flight.small))
        suspect = Flight(left[:1], False, flight.losses + 1, flight.beside_nothing)
        death = outcome if isinstance(outcome, Death) else None
        if death is None and suspect.losses < LOSSES:
            again.append(suspect)
        elif (death is None or death.by_machine) and not suspect.beside_nothing:
            suspect.beside_nothing = True
            last.append(suspect)
        else:
            (job,) = suspect.jobs
            problem = (death or Death(0, "with the worker that watched over it")).problem(job)
            yield refuse(job.scan, job.out, problem, suspect.losses)


def _drawn(waiting: Iterator[Job], pace: Pace) -> Flight | None:
    """The next handful; None when nothing is waiting."""
    jobs = list(islice(waiting, pace.scans()))
    pace.handed_out(len(jobs))
    return Flight(jobs, pace.small) if jobs else None


def _sent(client: Client, flight: Flight) -> Future:
    """Where a flight was sent: a handful to a worker, what has lost one to a process of its own."""
    if flight.losses:
        return client.submit(attempt_alone, flight.jobs[0], pure=False)
    return client.submit(attempt_each, flight.jobs, flight.small, pure=False)


def _next(client: Client, landed: SimpleQueue[Future], deadline: float) -> Future:
    """The next future that is done; raises BolusError when none can come any more."""
    started = time.monotonic()
    while True:
        future = None
        with suppress(Empty):
            future = landed.get(timeout=LOOK)
        if future is not None and not future.cancelled():
            return future
        if future is not None or client.status != "running":
            mend = "Run again: what is done stays done. If it is lost again, look at its log."
            seen = f"that the Dask scheduler at {client.scheduler.address} is gone"
            raise BolusError(Code.WORKER_DIED, "the cluster", seen, "a scheduler that answers", mend)
        if time.monotonic() - started > 2 * deadline + SPARE and client.nthreads():
            seen = f"that nothing was finished for {(2 * deadline + SPARE) / 60:.0f} minutes"
            mend = "Run again: what is done stays done. If it stops again, please report it."
            raise BolusError(Code.TIMEOUT, "the cluster", seen, "a scan finished or failed by then", mend)


def _outcome(future: Future) -> list[Row] | Death | None:
    """What scans came to; None where their worker was lost. Raises what only a mistake or a full disk raises."""
    from distributed import KilledWorker

    try:
        outcome: list[Row] | Row | Death = future.result()
    except KilledWorker:
        return None
    return [outcome] if isinstance(outcome, Row) else outcome
