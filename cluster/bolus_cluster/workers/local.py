"""Workers on this machine: processes on loopback, one a GPU where there are GPUs, mended when they freeze."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bolus.errors import BolusError, Code
from bolus_cluster.workers.seed import compiles, deaf, give_up, tell
from bolus_cluster.workers.settings import LOOPBACK, PRELOAD, SETTINGS, preload, talkative

if TYPE_CHECKING:
    from distributed import Client

LOOK = 3.0
"""Seconds between two looks at the workers."""
START = 900.0
"""Seconds that all processes together may take to start: on a busy machine, kernels that are compiled first."""
PATIENCE = 8.0
"""Seconds of a start after which it is said what takes so long."""
UNGUARDED = ' A script of your own must call this below `if __name__ == "__main__":`.'
GIVEN_UP = 2
"""Looks at which a process was there and the scheduler did not know it: then it is ended, and one begun anew."""

log = logging.getLogger("bolus")


@contextmanager
def local(
    workers: int,
    overlap: int = 1,
    gpus: Sequence[str] = (),
    work_dir: Path | None = None,
) -> Iterator[Client]:
    """So many processes with so many scans under way in each, dealt out over the GPUs; nobody else can reach them.

    `gpus` are names as CUDA_VISIBLE_DEVICES takes them. They have the kernels that `seed.tell` was told before.
    Temporary files lie in `work_dir` and are removed.
    Raises BolusError (E_WORKER_DIED) where a process cannot start.
    """
    tell(None, work_dir)
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    environments = environment_of(workers, gpus)

    class Here(LocalCluster):  # type: ignore[misc]  # as dask-cuda does: the way to give each its own environment
        def new_worker_spec(self) -> dict[Any, Any]:
            spec = super().new_worker_spec()
            for name, each in spec.items():
                mine = environments[int(name) % workers]
                spec[name] = {**each, "options": {**each["options"], "env": mine}}
            return dict(spec)

    with ExitStack() as stack:
        scratch = stack.enter_context(
            TemporaryDirectory(prefix="bolus-", dir=work_dir, ignore_cleanup_errors=True)
        )
        settings = {**SETTINGS, PRELOAD: preload(), "temporary-directory": scratch}
        settings["distributed.worker.multiprocessing-method"] = "forkserver"
        stack.enter_context(dask.config.set(settings))
        with deaf():
            cluster = Here(
                n_workers=0,
                threads_per_worker=overlap,
                processes=True,
                host=LOOPBACK,
                protocol="tls://",
                security=Security.temporary(),
                dashboard_address=f"{LOOPBACK}:0",
                worker_dashboard_address=f"{LOOPBACK}:0",
                memory_limit=0,
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster))  # while there is no worker that it would wait for
        cluster.loop.asyncio_loop.set_exception_handler(_not_of_a_start)
        stack.callback(give_up)  # before the cluster is closed: processes that are to start wait for it
        cluster.scale(workers)
        _await(client, cluster, workers)
        stack.enter_context(_mended(cluster))
        if talkative():
            client.forward_logging("bolus", logging.INFO)
        yield client


def environment_of(workers: int, gpus: Sequence[str]) -> list[Mapping[str, str]]:
    """What each worker finds in its environment: what is here now, and its GPU, where there are any."""
    if not gpus:
        return [dict(os.environ) for _ in range(workers)]
    return [{**os.environ, "CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} for number in range(workers)]


def _await(client: Client, cluster: Any, workers: int) -> None:
    """Wait until all workers are there, but not for one that ended before it was."""
    from distributed import Status

    until = time.monotonic() + START
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < until and not any(
        each.status is Status.failed for each in cluster.workers.values()
    ):
        with suppress(TimeoutError):
            client.wait_for_workers(workers, timeout=LOOK)
            return
        if compiles() and time.monotonic() > patience:
            patience = math.inf
            log.warning(
                "The kernels are being compiled, which is done once on a machine; it takes a minute or two."
            )
    raise BolusError(
        Code.WORKER_DIED,
        "a worker process",
        f"that only {len(cluster.scheduler.workers)} of {workers} could start",
        "processes that start",
        "Take fewer with --workers, or none (--workers 0: all in this process); most often memory or the number "
        "of processes (ulimit -u) is at its end." + (UNGUARDED if _is_script() else ""),
    )


def _is_script() -> bool:
    """Whether this process is a script of somebody's, which each worker runs once more as it starts."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    return main is not None and Path(main).name not in ("bolus", "__main__.py")


def _not_of_a_start(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out of the errors that asyncio prints that of a worker that did not start: `_await` tells it."""
    coroutine = context["future"].get_coro() if isinstance(context.get("future"), Task) else None
    if getattr(coroutine, "__name__", "") == "_wrap_awaitable":
        log.info("a worker process did not start: %s", context.get("exception"))
        return
    loop.default_exception_handler(context)


@contextmanager
def _mended(cluster: Any) -> Iterator[None]:
    """Watch for processes that the scheduler has given up: a frozen one is killed, and its nanny begins another."""
    over = threading.Event()

    def watch() -> None:
        absent: dict[int, int] = {}  # of each process that was once known: looks at which it was not
        while not over.wait(LOOK):
            known = set(cluster.scheduler.workers)
            for nanny in list(cluster.workers.values()):
                pid = nanny.pid
                if nanny.worker_address in known:
                    absent[pid] = 0
                elif pid in absent:  # one that is still starting was never known: it is left in peace
                    absent[pid] += 1
                    if absent[pid] == GIVEN_UP:
                        log.info("worker process %d does not answer: it is ended, another begins", pid)
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
