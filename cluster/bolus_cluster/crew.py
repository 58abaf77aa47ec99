"""How many scans at a time, on which processors and GPUs, and the cluster of Dask that holds them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bolus_cluster.ledger.records import LOGS
from bolus_cluster.workers.address import connected
from bolus_cluster.workers.local import local
from bolus_cluster.workers.queue import queued
from bolus_kernels import device

if TYPE_CHECKING:
    from distributed import Client

    from bolus_cluster.plan import Request

OVERLAP = {"cpu": 2, "cuda": 3}
"""Scans under way in each worker of this machine: while one is computed, another waits for the disk."""


@dataclass(frozen=True)
class Crew:
    """So many workers (0: this process alone) with so many scans under way in each; threads for a scan's blocks."""

    workers: int
    threads: int = 1
    overlap: int = 1
    gpus: Sequence[str] = ()


def crew_of(request: Request, chosen: device.Device, scans: int) -> Crew:
    """The workers for so many scans: as asked, else one a GPU, else one a processor; no more than there is to do."""
    if request.cluster != "local":
        return Crew(request.workers or 1)
    processors = device.processors()
    gpus = device.gpus() if chosen.kind == "cuda" else ()
    wanted = request.workers
    if wanted is None:
        wanted = len(gpus) or processors
    workers = min(wanted, scans)
    overlap = min(OVERLAP[chosen.kind], math.ceil(scans / max(1, workers)))
    return Crew(workers, max(1, processors // max(1, workers)), overlap, gpus)


@contextmanager
def at_work(request: Request, crew: Crew) -> Iterator[tuple[Client, int]]:
    """The cluster that the request names, and how many scans it takes at a time; gone when the run is.

    Raises what `local`, `queued` and `connected` raise.
    """
    if request.cluster == "local":
        with local(crew.workers, crew.overlap, crew.gpus, request.work_dir) as client:
            yield client, crew.workers * crew.overlap
    elif "://" in request.cluster:
        with connected(request.cluster) as client:
            yield client, request.workers or sum(client.nthreads().values())
    else:
        from bolus_cluster.site import load

        site = load(request.site)
        shared = request.out.absolute() / ".bolus"
        logs = Path(site.logs) if site.logs else request.out.absolute() / LOGS
        with queued(request.cluster, site, crew.workers, shared, logs, request.work_dir) as client:
            yield client, crew.workers
