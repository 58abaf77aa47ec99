"""Workers: this process alone, or a Dask cluster of processes on this machine, one scan at a time each."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bolus.errors import BolusError, Code
from bolus_cluster.workers.attempt import Job, Row, attempt, refuse

if TYPE_CHECKING:
    from distributed import Client, Future

SETTINGS = {
    # A worker's death is judged below, not by repeated dying; and no task waits behind another on a worker.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.worker.profile.enabled": False,
}
PRELOAD = "distributed.worker.preload"
# Ctrl-C reaches every process of the terminal; the driver alone answers it, and takes the workers down.
NO_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
TALKATIVE = "import logging; logging.getLogger('bolus').setLevel(logging.INFO)"
LOOPBACK = "127.0.0.1"


def spread(
    jobs: Iterable[Job],
    workers: int,
    work_dir: Path | None = None,
    warmers: Sequence[Callable[[], object]] = (),
) -> Iterator[Row]:
    """Compute every job and give its row as it is finished; with one worker in this process, in order.

    `jobs` is drawn from only as workers become free, so ending it early ends the run cleanly.
    `warmers` are run first, side by side, once each: they compile what every worker would compile for itself.
    Temporary files of the cluster lie in `work_dir` (default: the system's) and are removed.
    Raises OSError where the ledger cannot be written.
    """
    if workers == 1:
        yield from map(attempt, jobs)
        return
    from distributed import wait

    with _cluster(workers, work_dir) as client:
        # What goes wrong here goes wrong again in a scan, and has a row there.
        wait([client.submit(warm, pure=False) for warm in warmers])
        yield from _stream(client, iter(jobs), 2 * workers)


def _stream(client: Client, jobs: Iterator[Job], most: int) -> Iterator[Row]:
    """Keep at most so many jobs in flight; what was in the air when a worker died is tried again alone."""
    from distributed import as_completed

    flying: dict[Future, Job] = {}
    landed = as_completed()
    suspects: list[Job] = []
    while True:
        alone = bool(suspects) and not flying
        if alone:
            wanted = [suspects.pop()]
        elif suspects:
            wanted = []
        else:
            wanted = [job for _, job in zip(range(most - len(flying)), jobs, strict=False)]
        for job in wanted:
            future = client.submit(attempt, job, pure=False)
            flying[future] = job
            landed.add(future)
        if not flying:
            return
        future = next(landed)
        job = flying.pop(future)
        if not _died(future):
            yield future.result()
        elif alone:
            yield refuse(job.scan, job.out, _death(job), attempts=2)
        else:
            suspects.append(job)


def _died(future: Future) -> bool:
    from distributed import KilledWorker

    return isinstance(future.exception(), KilledWorker)


def _death(job: Job) -> BolusError:
    return BolusError(
        Code.WORKER_DIED,
        job.scan.images[0],
        "that the worker process died twice over this scan, the second time with nothing beside it",
        "a process that lives until the maps are written",
        "Most often the machine was out of memory: run this scan with --workers 1 where there is more.",
    )


@contextmanager
def _cluster(workers: int, work_dir: Path | None) -> Iterator[Client]:
    """Processes of one thread on the loopback interface; no memory limit but the machine's, no file left."""
    import logging

    import dask
    from distributed import Client, LocalCluster

    talkative = logging.getLogger("bolus").isEnabledFor(logging.INFO)
    preload = [NO_INTERRUPT, TALKATIVE] if talkative else [NO_INTERRUPT]
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="bolus-", dir=work_dir))
        stack.enter_context(dask.config.set({**SETTINGS, PRELOAD: preload, "temporary-directory": scratch}))
        with _deaf():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                worker_dashboard_address=f"{LOOPBACK}:0",
                memory_limit=0,
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
            )
        stack.enter_context(cluster)
        client = stack.enter_context(Client(cluster))
        if talkative:
            client.forward_logging("bolus", logging.INFO)
        yield client


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore Ctrl-C for the seconds in which processes start: they inherit it, and half a start cannot end well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
