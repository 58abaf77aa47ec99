"""How many scans at a time, on which processors and GPUs, in how much memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bolus_kernels import device

if TYPE_CHECKING:
    from bolus_cluster.plan import Request

OVERLAP = {"cpu": 2, "cuda": 3}


@dataclass(frozen=True)
class Crew:
    """So many workers (0: this process alone), the GPUs they share, and threads for each one's blocks."""

    workers: int
    threads: int
    overlap: int
    """Scans under way in each: while one is computed, another waits for the disk."""
    gpus: Sequence[str] = ()


def crew_of(request: Request, chosen: device.Device, scans: int) -> Crew:
    """The workers for so many scans: as asked, else one a GPU, else one a processor; no more than there is to do."""
    processors = device.processors()
    gpus = device.gpus() if chosen.kind == "cuda" else ()
    wanted = request.workers
    if wanted is None:
        wanted = len(gpus) or processors
    workers = min(wanted, scans)
    overlap = min(OVERLAP[chosen.kind], math.ceil(scans / max(1, workers)))
    return Crew(workers, max(1, processors // max(1, workers)), overlap, gpus)
