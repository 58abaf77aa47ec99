"""A whole DSC scan, files to files, against nothing but inflating its input and deflating its outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from isal import isal_zlib

from bolus import nifti
from bolus.bids import find_scans
from bolus.phantom import write_cohort
from bolus.pipeline import process
from bolus.recipe import load
from bolus_kernels.device import cpu

SHAPE, VOLUMES = (128, 128, 20), 60
ROUNDS = 8
Row = dict[str, Any]


def measure() -> list[Row]:
    """Scans per second of CPU time on one core, oSVD and BSW with all maps written; the ratio is the share of time."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_cohort(root / "data", 1, shape=SHAPE, volumes=VOLUMES, contrasts=("dsc",))
        (found,) = find_scans(root / "data")
        recipe, scan = load(None), found.scan
        packed = scan.images[0].read_bytes()

        def whole() -> None:
            process(scan, root / "maps", recipe, cpu())

        whole()  # compiles what has to be
        maps = [nifti.load(path)[0].data for path in sorted((root / "maps").rglob("*.nii.gz"))]
        outputs = [data.tobytes(order="F") for data in maps]

        def bare() -> None:
            isal_zlib.decompress(packed, 31)
            for data in outputs:
                packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
                packer.compress(data)
                packer.flush()

        seconds = {"whole": np.inf, "bare": np.inf}
        for _ in range(ROUNDS):  # interleaved, because other work on the machine comes and goes
            for name, work in (("whole", whole), ("bare", bare)):
                seconds[name] = min(seconds[name], _cpu_seconds(work))
    return [
        {
            "what": f"DSC scan {'x'.join(map(str, SHAPE))}x{VOLUMES}, oSVD + BSW, {len(outputs)} maps",
            "rate": 1 / seconds["whole"],
            "ratio": seconds["whole"] / seconds["bare"],
            "against": "the CPU time of inflating and deflating alone (isal)",
        }
    ]


def _cpu_seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
