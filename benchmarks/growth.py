"""How a whole run through the command line grows: scans a second over the number of scans, and over the workers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.clock import children
from bolus.phantom import write_cohort
from bolus_kernels.device import processors

SHAPE, VOLUMES = (96, 96, 12), 50
SCANS = (2, 8, 32, 128)
FEW, MANY = 32, 128
"""A curve over workers is the rate of what MANY scans take longer than FEW: without starting the workers."""
DIFFERENT = 4
"""Scans that are simulated; the others are these under another name."""
ROUNDS = 2
Row = dict[str, Any]
Point = tuple[int, int]


def measure() -> list[Row]:
    """A row per point of either curve, in wall time, the least of several rounds; the ratio is to the best point."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        root = Path(folder)
        _cohort(root / "data")
        most = processors()
        _run(root, 1, most)  # compiles what has to be
        workers = sorted({1, most, *(1 << k for k in range(most.bit_length()))})
        points = {(count, most) for count in SCANS} | {(n, count) for count in workers for n in (FEW, MANY)}
        spent = _least(root, points)
    whole = {count: count / spent[count, most][0] for count in SCANS}
    longer = {
        count: [m - f for m, f in zip(spent[MANY, count], spent[FEW, count], strict=True)]
        for count in workers
    }
    steady = {count: (MANY - FEW) / max(longer[count][0], 1e-3) for count in workers}
    rows = [
        _row("scans", count, whole, f"in {spent[count, most][0]:.1f} s, starting included", f"{most} workers")
        for count in SCANS
    ]
    rows += [
        _row(
            "workers",
            count,
            steady,
            f"{longer[count][1] / (MANY - FEW):.3f} s of CPU time each",
            "once started",
        )
        for count in workers
    ]
    return rows


def _cohort(data: Path) -> None:
    """MANY scans, DIFFERENT of them simulated."""
    write_cohort(data, DIFFERENT, shape=SHAPE, volumes=VOLUMES, contrasts=("dsc",))
    first = sorted(data.glob("sub-*"))
    for number in range(DIFFERENT, MANY):
        subject = first[number % DIFFERENT]
        name = f"sub-9{number:04d}"
        for path in subject.rglob("*.*"):
            there = data / str(path.relative_to(data)).replace(subject.name, name)
            there.parent.mkdir(parents=True, exist_ok=True)
            copyfile(path, there)


def _least(root: Path, points: set[Point]) -> dict[Point, tuple[float, float]]:
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


def _row(axis: str, at: int, rates: Mapping[int, float], told: str, how: str) -> Row:
    best = max(rates.values())
    size = "x".join(map(str, (*SHAPE, VOLUMES)))
    return {
        "what": f"{at} {axis}, DSC {size}, {how}",
        "rate": rates[at],
        "ratio": rates[at] / best,
        "against": f"the best over {axis}",
        "said": f"{rates[at]:.2f} scans/s, {told}",
        "curve": {"of": f"bolus run, {how}", "over": axis, "at": at},
    }
