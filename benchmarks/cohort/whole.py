"""Scans of full size: a run against one process times the processors, and against only unpacking and packing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.cohort.commands import bare, run
from bolus.phantom import write_cohort
from bolus_kernels.device import processors

WHOLE = {"shape": (128, 128, 20), "volumes": 60, "contrasts": ("dsc",)}
PHANTOMS, COPIES = 4, 32
"""Phantoms, and how many subjects each of them stands for."""
ROUNDS = 2
Row = dict[str, Any]


def whole_scans(root: Path) -> list[Row]:
    """The least time of several rounds; a start of processes is in all of them but the packing."""
    made, data, count = root / "made", root / "whole", processors()
    write_cohort(made, PHANTOMS, **WHOLE)
    copied(made, data)
    scans = PHANTOMS * COPIES
    run(made, root / "first")
    one = min(bare(data, root / f"one{k}", 1, scans // count).wall for k in range(ROUNDS)) * count / scans
    took = min(run(data, root / f"whole{k}").wall for k in range(ROUNDS))
    packing = packed_alone(made, root / "first")
    what = f"{scans} whole DSC scans in one run, from the command to its end"
    rate = scans / took
    return [
        {
            "what": what,
            "rate": rate,
            "ratio": rate * one / count,
            "against": f"one process with its share, times {count}",
        },
        {
            "what": "the same",
            "rate": rate,
            "ratio": rate / (packing * count),
            "against": f"inflating and deflating alone, times {count}",
        },
    ]


def copied(made: Path, data: Path) -> None:
    """Each phantom as so many subjects: links to the same files under other names."""
    for number in range(COPIES):
        for path in sorted(made.glob("sub-*/**/*.*")):
            subject = path.relative_to(made).parts[0]
            other = data / str(path.relative_to(made)).replace(subject, f"{subject}x{number:02d}")
            other.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, other)
    for path in made.glob("*.*"):
        os.link(path, data / path.name)


def packed_alone(data: Path, out: Path) -> float:
    """Scans per second of one process that only inflates the inputs and deflates the maps."""
    from isal import isal_zlib

    packed = [path.read_bytes() for path in sorted(data.glob("sub-*/**/*_dsc.nii.gz"))]
    maps = [isal_zlib.decompress(path.read_bytes(), 31) for path in sorted(out.glob("sub-*/**/*.nii.gz"))]
    began = time.monotonic()
    for raw in packed:
        isal_zlib.decompress(raw, 31)
    for raw in maps:
        packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        packer.compress(raw)
        packer.flush()
    return len(packed) / (time.monotonic() - began)
