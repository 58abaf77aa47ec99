"""scans.tsv: the ledger as one table, a row per scan, for people and for statistics."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bolus.errors import printable
from bolus_cluster.ledger.records import LEDGER, Record, scans, summaries, write_whole

FILE = "scans.tsv"
COLUMNS = (
    "scan", "subject", "session", "modality", "state", "code", "message", "file", "attempts", "seconds", "device",
    "voxels",
)  # fmt: skip
RUNS = ("=", "+", "-", "@")
MISSING = "n/a"
"""What BIDS writes in a cell without a value."""


def write(out: Path) -> bool:
    """Write OUT_DIR/scans.tsv from the ledger, atomically; untouched where nothing changed. Raises OSError.

    Says whether it wrote. Shards end at any moment and each writes the whole table: the one that
    finds the ledger changed under its hands writes again, so the last table has every row.
    """
    wrote = False
    while True:
        before = _state(out)
        wrote = write_whole(out / FILE, as_text(summaries(out)).encode(errors="backslashreplace")) or wrote
        if _state(out) == before:
            return wrote


def as_text(entries: Iterable[Record]) -> str:
    """Records as tab-separated text: the fixed columns, then every headline number that any scan has."""
    rows = [
        ({column: getattr(entry, column) for column in COLUMNS}, dict(entry.numbers)) for entry in entries
    ]
    numbers = sorted({name for _, values in rows for name in values})
    lines = ["\t".join((*COLUMNS, *map(harmless, numbers)))]
    lines += [
        "\t".join([*map(_cell, fixed.values()), *(_cell(values.get(name)) for name in numbers)])
        for fixed, values in rows
    ]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    """One cell; a tab or line break becomes a space, so that a row stays a row, and no quotation mark opens one."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, float):
        return f"{value:.6g}"
    text = printable(harmless(str(value)))
    return text if not text.startswith('"') else '"' + text.replace('"', '""') + '"'


def harmless(text: str) -> str:
    """A cell's text on one line that no spreadsheet runs: what begins like a formula gets an apostrophe before it."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(RUNS) else line


def _state(out: Path) -> set[tuple[str, int, int]]:
    folder = str(out / LEDGER)
    return {
        (scan, (state := os.stat(f"{folder}/{scan}.json")).st_mtime_ns, state.st_ino)  # noqa: PTH116
        for scan in scans(out)
    }
