"""How many scans at a time, on which processors and GPUs, in how much memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bolus import nifti
from bolus.errors import BolusError
from bolus_cluster.workers.cluster import Crew
from bolus_kernels import device

if TYPE_CHECKING:
    from bolus.series import Scan
    from bolus_cluster.plan import Request

OWN_MEMORY = 400 << 20
"""Bytes that a worker takes before it has read anything: Python, NumPy, the kernels."""
OVERLAP = 2
"""Scans under way in each worker: while one is computed, another waits for the disk. Beside a GPU, for each of the
worker's processors, and one: it takes what they have prepared."""


def crew_of(request: Request, chosen: device.Device, scans: Sequence[Scan]) -> Crew:
    """The workers for these scans: as asked, else one a GPU, else one a processor, as far as memory goes.

    Never more than there is to do.
    """
    most = max(map(memory_of, scans), default=0)
    if request.cluster != "local":
        return Crew(request.workers or 1, memory=OWN_MEMORY + most)
    processors, free = device.processors(), device.free_memory(device.cpu())
    gpus = device.gpus() if chosen.kind == "cuda" else ()
    wanted = request.workers
    if wanted is None:
        wanted = len(gpus) or max(1, min(processors, free // (OWN_MEMORY + OVERLAP * most)))
    workers = min(wanted, len(scans))
    threads, each = max(1, processors // max(1, workers)), free // max(1, workers)
    overlap = OVERLAP
    if chosen.kind == "cuda":
        overlap = max(OVERLAP, min(threads + 1, (each - OWN_MEMORY) // max(1, most)))
    overlap = min(overlap, math.ceil(len(scans) / workers)) if workers else 1
    return Crew(workers, threads, overlap, gpus, OWN_MEMORY + overlap * most)


def memory_of(scan: Scan) -> int:
    """About how many bytes a scan takes while it is under way: its series unpacked twice, where 1.4 was measured.

    One that cannot be read takes nothing: its refusal is told elsewhere.
    """
    try:
        return 2 * sum(map(nifti.bytes_of, scan.images))
    except (BolusError, OSError):
        return 0
