"""Scans of full size: a run against one process times the processors, against as many, and against only packing."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cohort.commands import bare, by_turns, run
from bolus.phantom import write_cohort
from bolus_kernels.device import processors

WHOLE = {"shape": (128, 128, 20), "volumes": 60, "contrasts": ("dsc",)}
PHANTOMS, COPIES = 4, 30
"""Phantoms, and how many subjects each of them stands for."""
ROUNDS = 3
Row = dict[str, Any]


def whole_scans(root: Path) -> list[Row]:
    """Each round is one process, as many as processors, and the run, by turns: of their ratios the median.

    A start of processes is in all of them but the packing.
    """
    made, data, count = root / "made", root / "whole", processors()
    write_cohort(made, PHANTOMS, **WHOLE)
    copied(made, data)
    scans = PHANTOMS * COPIES
    by_turns(run(made, root / "first"))
    ones, alls, runs = zip(*(_round(root, data, count) for _ in range(ROUNDS)), strict=True)
    together, took = scans / median(alls), scans / median(runs)
    left_over = scans / (scans // count * count)
    of_one, bare_of_one = (left_over * _back_to_back(ones, side) for side in (runs, alls))
    packing = packed_alone(made, root / "first")
    what, alone = (
        f"{scans} whole DSC scans in one run, from the command to its end",
        "without ledger or scheduler",
    )
    return [
        _row(what, took, of_one, f"one process with its share, times {count}"),
        _row(f"{scans} whole DSC scans {alone}", together, bare_of_one, f"the same, times {count}"),
        _row("the run", took, _back_to_back(alls, runs), f"{count} processes {alone}"),
        _row("the run", took, took / (packing * count), f"inflating and deflating alone, times {count}"),
    ]


def _back_to_back(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median of the rounds' ratios of seconds: a machine is now quicker and now slower, for both."""
    return median(one / other for one, other in zip(theirs, ours, strict=True))


def _round(root: Path, data: Path, count: int) -> list[float]:
    """Seconds of one process with its share, of as many as processors, and of the run; what they write is removed."""
    with TemporaryDirectory(dir=root) as folder:
        one, every, ours = (Path(folder, name) for name in ("one", "every", "ours"))
        share = PHANTOMS * COPIES // count
        return [
            took.wall
            for took in by_turns(bare(data, one, 1, share), bare(data, every, count), run(data, ours))
        ]


def _row(what: str, rate: float, ratio: float, against: str) -> Row:
    return {"what": what, "rate": rate, "ratio": ratio, "against": against}


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
