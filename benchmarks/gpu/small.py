"""Small ASL scans on a GPU: one by one, and many under way; and what a launch costs that computes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.gpu.clock import kernels_of, least, seconds_of
from bolus.bids import find_scans
from bolus.compute import compute
from bolus.phantom import write_cohort
from bolus.prepare import prepare
from bolus.read import read
from bolus.recipe import load
from bolus.turns import turns
from bolus_kernels.cuda.linear import energy
from bolus_kernels.device import on_device, processors, select

SHAPE, PHANTOMS, SCANS = (64, 64, 16), 4, 64
"""Of a scan; how many of them are simulated; how many are computed."""
LAUNCHES = 200
Row = dict[str, Any]


def measured() -> list[Row]:
    """Rows of scans a second both ways, and of launches a second."""
    gpu, recipe = select("cuda", processors()), load(None, ())
    with TemporaryDirectory() as folder:
        write_cohort(Path(folder) / "data", PHANTOMS, shape=SHAPE, contrasts=("asl",))
        found = find_scans(Path(folder) / "data")
        ready = [prepare(read(one.scan, None), recipe) for one in found]
    scans = [(ready[number % PHANTOMS], recipe) for number in range(SCANS)]
    alone = least(lambda: [compute(*scan, gpu) for scan in scans])
    whose = turns(gpu)
    with ThreadPoolExecutor(gpu.threads + 1) as pool:
        together = least(lambda: list(pool.map(lambda scan: whose.compute(*scan, gpu), scans)))
    one = on_device(np.ones((60, 1), np.float32)).T
    launched = least(lambda: [energy(one, gpu) for _ in range(LAUNCHES)]) / LAUNCHES
    queued = seconds_of(kernels_of(partial(energy, one, gpu)))
    said = f"{1e6 * launched:.0f} us each with its map brought back, {1e6 * queued:.1f} us each in a queue"
    return [
        {
            "what": "small ASL scans, one by one",
            "rate": SCANS / alone,
            "said": f"{SCANS / alone:,.0f} /s",
        },
        {
            "what": "small ASL scans, many under way",
            "rate": SCANS / together,
            "ratio": alone / together,
            "against": f"one by one, {gpu.threads} processors",
        },
        {"what": "launches of one voxel", "rate": 1 / launched, "said": said, "queued": queued},
    ]
