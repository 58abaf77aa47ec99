"""A run in one line, and everything that a folder holds: what the tests of the cluster ask most often."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from bolus_cluster.ledger.records import sha256
from bolus_cluster.plan import Request, plan
from bolus_cluster.run import Summary, run_cohort

OPEN = [sys.executable, "-c", "from bolus_cluster.cli import main; main()"]


def bolus(
    *arguments: object, before: tuple[str, ...] = (), **options: object
) -> subprocess.CompletedProcess[str]:
    """The command as a user gives it, in a process of its own; `before` are words that stand before it."""
    asked = {"capture_output": True, "encoding": "utf-8", "check": False, **options}
    return subprocess.run([*before, *OPEN, *map(str, arguments)], **asked)  # type: ignore[call-overload, no-any-return]


def table(out: Path) -> list[dict[str, str]]:
    """The rows of scans.tsv."""
    with (out / "scans.tsv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def go(root: Path, out: Path, **asked: object) -> Summary:
    """Run in this process, unless asked otherwise."""
    return run_cohort(plan(Request(root, out, **{"workers": 0, **asked})))  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file below a folder: its hash and the time of its last change."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (sha256(path), path.stat().st_mtime_ns) for path in files}
