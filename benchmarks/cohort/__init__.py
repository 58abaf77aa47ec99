"""Cohorts through the command line: thousands of small scans, whole scans, kills and resumes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cohort.killed import killer
from benchmarks.cohort.many import small_scans
from benchmarks.cohort.whole import whole_scans

Row = dict[str, Any]


def measure() -> list[Row]:
    """Rates in scans per second of wall time; every ratio is of commands that have the machine by turns."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        return [*small_scans(root), killer(root), *whole_scans(root)]
