"""The cluster of Dask that a run works with: processes here, jobs of a queue, or a scheduler that runs already."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bolus_cluster.ledger.records import LOGS
from bolus_cluster.site import load
from bolus_cluster.workers.address import connected
from bolus_cluster.workers.local import local
from bolus_cluster.workers.queue import queued
from bolus_cluster.workers.seed import Kernels, tell

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger("bolus")


@dataclass(frozen=True)
class Crew:
    """So many workers (0: this process alone) with so many scans under way in each; threads for a scan's blocks."""

    workers: int
    threads: int = 1
    overlap: int = 1
    gpus: Sequence[str] = ()
    memory: int = 0
    """About how many bytes one worker takes at most."""


@contextmanager
def at_work(
    where: str,
    crew: Crew,
    out: Path,
    kernels: Kernels,
    site: Path | None = None,
    work_dir: Path | None = None,
) -> Iterator[tuple[Client, int]]:
    """A client of the cluster, which finds these kernels compiled, and how many scans it takes; gone when the run is.

    where : `local`, the name of a scheduler (with the site's file), or the address of a running one.
    Raises what `local`, `queued` and `connected` raise.
    """
    loaded = where == "local" and tell(kernels, work_dir)
    with ExitStack() as stack:
        if where == "local":
            client = stack.enter_context(local(crew.workers, crew.overlap, crew.gpus, work_dir))
            room = crew.workers * crew.overlap
        elif "://" in where:
            client = stack.enter_context(connected(where))
            room = sum(client.nthreads().values())
        else:
            told = load(site)
            logs = Path(told.logs) if told.logs else out.absolute() / LOGS
            keys = out.absolute() / ".bolus"
            client = stack.enter_context(queued(where, told, crew.workers, keys, logs, work_dir))
            room = crew.workers
        if find_spec("bokeh"):
            log.info("dashboard: %s", client.dashboard_link)
        else:
            log.info("no dashboard: it needs bokeh (pip install bokeh)")
        if not loaded:
            _compile(client, kernels)
        yield client, room


def _compile(client: Client, kernels: Kernels) -> None:
    """Compile, once, what every worker would compile for itself, and what goes wrong in a scan as well."""
    from bolus.pipeline import warm

    for each in [client.submit(warm, kernels.recipe, (one,), pure=False) for one in kernels.contrasts]:
        each.exception()
