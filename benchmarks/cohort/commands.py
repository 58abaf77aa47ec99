"""Commands over a cohort and what they took: seconds, processor time, memory of the driver, states of the scans."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bolus_kernels.device import processors

SMALL = {"shape": (24, 24, 4), "volumes": 40, "contrasts": ("dsc",)}
LEDGER = Path(".bolus", "scans")
# An installed package has its bytecode; a checkout that may keep none would be compiled by every process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LOOK = 0.1
"""Seconds between two looks at the processes: what one spends after the last look is not seen."""


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of all processors, of a command and every process it began; its growth in MiB."""

    wall: float
    processor: float
    grown: float = 0.0


def command(data: Path, out: Path, options: Sequence[str] = ()) -> list[str]:
    """The words of `bolus run`."""
    program = "from bolus_cluster.cli import main; main()"
    return [sys.executable, "-c", program, "run", str(data), str(out), "participant", *options]


def run(data: Path, out: Path, scans: int = 0) -> Took:
    """Run to the end; the driver's memory is looked at from a tenth of so many scans on, where a number is given."""
    return _timed(command(data, out), out, scans // 10)


def bare(data: Path, out: Path, count: int = processors(), most: int = 1 << 30) -> Took:
    """So many processes that only process the scans, or the first of them; their start is in the time too."""
    return _timed(
        [sys.executable, "-m", "benchmarks.cohort.bare", str(data), str(out), str(count), str(most)]
    )


def states(out: Path) -> list[str]:
    """The state of every scan of a finished run."""
    with (out / "scans.tsv").open(newline="") as file:
        return [row["state"] for row in csv.DictReader(file, delimiter="\t")]


def entered(out: Path) -> int:
    """Scans in the ledger at the moment."""
    return sum(1 for _ in os.scandir(out / LEDGER)) if (out / LEDGER).is_dir() else 0


def digest(out: Path) -> str:
    """One SHA-256 over all maps and sidecars."""
    whole = hashlib.sha256()
    for path in sorted(out.glob("sub-*/**/*.*")):
        whole.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return whole.hexdigest()


def _timed(words: Sequence[str], out: Path | None = None, watched_from: int = 0) -> Took:
    os.sync()  # what the last command left to be written is not this one's
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    spent: dict[int, float] = {}
    early = late = 0.0
    while process.poll() is None:
        time.sleep(LOOK)
        spent |= {pid: seconds for pid in _with_children(process.pid) if (seconds := _spent(pid))}
        if out and watched_from and (early or entered(out) > watched_from):
            late = _resident(process.pid) or late
            early = early or late
    if process.returncode:
        raise RuntimeError(f"{words} ended with {process.returncode}")
    return Took(time.monotonic() - began, sum(spent.values()), late - early)


def _with_children(pid: int) -> list[int]:
    """A process and all that it began, and they, as far as they are alive."""
    found = [pid]
    with suppress(OSError):
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                found += _with_children(int(child))
    return found


def _spent(pid: int) -> float:
    """Seconds of all processors that a process has had until now."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _resident(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0
