"""Commands over a cohort and what they took: seconds, processor time, memory of the driver, states of the scans."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bolus_kernels.device import processors

SMALL = {"shape": (24, 24, 4), "volumes": 40, "contrasts": ("dsc",)}
LEDGER = Path(".bolus", "scans")
# An installed package has its bytecode; a checkout that may keep none would be compiled by every process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LOOK = 0.1
"""Seconds between two looks at the processes: what one spends after the last look is not seen."""
SLICE = 0.5
"""Seconds that one command has before it is the next one's turn."""


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of all processors, of a command and every process it began; its growth in MiB."""

    wall: float
    processor: float
    grown: float = 0.0


@dataclass
class Command:
    """A command, what it has taken until now, and the memory that is looked at where there is an `out` to look into.

    The memory of its first process grows from the moment when so many scans are entered there.
    """

    words: Sequence[str]
    out: Path | None = None
    watched_from: int = 0
    process: subprocess.Popen[bytes] | None = None
    wall: float = 0.0
    spent: dict[int, float] = field(default_factory=dict)
    early: float = 0.0
    late: float = 0.0

    def go_on(self, until: float) -> bool:
        """Begin or go on for so many seconds, or to the end; says whether that is reached. Raises RuntimeError."""
        began = time.monotonic()
        if self.process is None:
            self.process = subprocess.Popen(
                self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
                start_new_session=True,
            )  # fmt: skip
        else:
            os.killpg(self.process.pid, signal.SIGCONT)
        while (left := began + until - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                if self.process.wait(min(LOOK, left)):
                    raise RuntimeError(f"{self.words} ended with {self.process.returncode}")
                self.wall += time.monotonic() - began
                return True
            self._look(self.process.pid)
        os.killpg(self.process.pid, signal.SIGSTOP)
        self.wall += time.monotonic() - began
        return False

    def end(self) -> None:
        """Kill what is left of it."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _look(self, pid: int) -> None:
        self.spent |= {each: seconds for each in _with_children(pid) if (seconds := _spent(each))}
        if self.out and self.watched_from and (self.early or entered(self.out) > self.watched_from):
            self.late = _resident(pid) or self.late
            self.early = self.early or self.late


def by_turns(*commands: Command) -> list[Took]:
    """What each of some commands takes, when they have the machine by turns: its moods are the same for all of them.

    While one has it the others are stopped; their time is only that in which they were not. Raises RuntimeError.
    """
    os.sync()  # what the last command left to be written is not these ones'
    left = list(commands)
    try:
        while left:
            left = [each for each in left if not each.go_on(SLICE if left[1:] else math.inf)]
    finally:
        for each in left:
            each.end()
    return [Took(each.wall, sum(each.spent.values()), each.late - each.early) for each in commands]


def command(data: Path, out: Path, options: Sequence[str] = ()) -> list[str]:
    """The words of `bolus run`."""
    program = "from bolus_cluster.cli import main; main()"
    return [sys.executable, "-c", program, "run", str(data), str(out), "participant", *options]


def run(data: Path, out: Path, scans: int = 0) -> Command:
    """Run to the end; the driver's memory is looked at from a tenth of so many scans on, where a number is given."""
    return Command(command(data, out), out, scans // 10)


def bare(data: Path, out: Path, count: int = processors(), most: int = 1 << 30) -> Command:
    """So many processes that only process the scans, or the first of them; their start is in the time too."""
    return Command(
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
