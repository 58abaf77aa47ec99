"""From .nii.gz to maps in files with a GPU, against decoding the same files and doing nothing with them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bolus.bids import find_scans
from bolus.phantom import write_cohort
from bolus.pipeline import process
from bolus.read import read
from bolus.recipe import load
from bolus.series import Scan
from bolus.turns import turns
from bolus_kernels.device import processors, select

WHOLE = {"shape": (128, 128, 20), "volumes": 60, "contrasts": ("dsc",)}
PHANTOMS, COPIES = 4, 24
"""Phantoms of full size, and under how many names each of them lies there."""
SETS = ("dsc.deconvolution=osvd", "dsc.leakage=bsw")
Row = dict[str, Any]


def measured() -> list[Row]:
    """One row: scans a second with oSVD and BSW on the GPU, and as a share of those that are only decoded."""
    gpu, recipe = select("cuda", processors()), load(None, SETS)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_cohort(root / "data", PHANTOMS, **WHOLE)
        copied(root / "data")
        scans, whose = [found.scan for found in find_scans(root / "data")], turns(gpu)
        decoded = rate_of(lambda scan: read(scan), scans, gpu.threads)
        process(scans[0], root / "first", recipe, gpu)  # compiles
        done = rate_of(lambda scan: process(scan, root / "out", recipe, gpu, whose), scans, gpu.threads + 1)
    row = {"what": "scans from .nii.gz to maps in files, oSVD and BSW on the GPU", "rate": done}
    return [row | {"ratio": done / decoded, "against": f"decoding alone, {gpu.threads} threads"}]


def copied(data: Path) -> None:
    """Each phantom under other names as well: links to the same files."""
    for subject in sorted(data.glob("sub-*")):
        for number in range(1, COPIES):
            for path in sorted(subject.glob("**/*.*")):
                other = data / str(path.relative_to(data)).replace(
                    subject.name, f"{subject.name}x{number:02d}"
                )
                other.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, other)


def rate_of(work: Callable[[Scan], Any], scans: list[Scan], threads: int) -> float:
    """Scans a second through so many threads."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, scans):
            pass
    return len(scans) / (time.perf_counter() - began)
