"""How a whole run through the command line grows: scans a second over the number of scans, and over the workers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.clock import children
from bolus.phantom import write_cohort
from bolus_kernels.device import processors

SHAPE, VOLUMES = (64, 64, 10), 50
SCANS = (1, 4, 16, 64)
SHARED = 48
"""Scans over which the workers of a curve are shared out."""
ROUNDS = 2
Row = dict[str, Any]


def measure() -> list[Row]:
    """A row per point of either curve, in wall time, the least of several rounds; the ratio is to the best point."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        root = Path(folder)
        write_cohort(root / "data", max(*SCANS, SHARED), shape=SHAPE, volumes=VOLUMES, contrasts=("dsc",))
        most = processors()
        _run(root, 1, most)  # compiles what has to be
        workers = sorted({1, most, *(1 << k for k in range(most.bit_length()))})
        over_scans = {(count, most): count for count in SCANS}
        over_workers = {(SHARED, count): count for count in workers}
        spent = _least(root, {*over_scans, *over_workers})
        return [
            *_rows("scans", over_scans, spent, f"{most} workers"),
            *_rows("workers", over_workers, spent, f"{SHARED} scans"),
        ]


def _least(root: Path, points: set[tuple[int, int]]) -> dict[tuple[int, int], tuple[float, float]]:
    """Wall and CPU time (s) of a run over so many scans by so many workers, each the least of the rounds."""
    found = {point: (float("inf"), float("inf")) for point in sorted(points)}
    for _ in range(ROUNDS):
        for point, (wall, cpu) in found.items():
            began, before = time.monotonic(), children()
            _run(root, *point)
            found[point] = min(wall, time.monotonic() - began), min(cpu, children() - before)
    return found


def _run(root: Path, scans: int, workers: int) -> None:
    out = root / "out"
    rmtree(out, ignore_errors=True)
    labels = sorted(path.name for path in (root / "data").glob("sub-*"))
    program = "from bolus_cluster.cli import main; main()"
    command = [sys.executable, "-c", program, "run", str(root / "data"), str(out), "participant"]
    command += ["--workers", str(workers)]
    for label in labels[:scans]:
        command += ["--participant-label", label]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _rows(
    axis: str,
    points: Mapping[tuple[int, int], int],
    spent: Mapping[tuple[int, int], tuple[float, float]],
    what: str,
) -> list[Row]:
    rates = {at: point[0] / spent[point][0] for point, at in points.items()}
    best = max(rates.values())
    size = "x".join(map(str, (*SHAPE, VOLUMES)))
    return [
        {
            "what": f"{at} {axis}, DSC {size}, {what}",
            "rate": rates[at],
            "ratio": rates[at] / best,
            "against": f"the best over {axis}",
            "said": (
                f"{rates[at]:.2f} scans/s, whole run {spent[point][0]:.1f} s, of which "
                f"{spent[point][1]:.1f} s CPU time in all processes"
            ),
            "curve": {"of": f"bolus run, {what}", "over": axis, "at": at},
        }
        for point, at in points.items()
    ]
