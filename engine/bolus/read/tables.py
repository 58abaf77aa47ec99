"""Tables beside a series: the type of each ASL volume, and a given arterial input function."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bolus.disk import read_text
from bolus.errors import BolusError, Code, nearest
from bolus.series import GivenAIF

VOLUME_TYPES = ("control", "label", "m0scan", "deltam", "cbf", "noRF")
PERFUSION = {"label", "deltam"}
LEAST_SAMPLES = 10


def read_context(path: Path, volumes: int) -> tuple[tuple[str, ...], str]:
    """The type of each volume, from an aslcontext table, and the SHA-256 of the file.

    Raises E_META for another table or an unknown type, E_DATA for a series that is quantified already,
    E_SHAPE where rows and volumes differ in number. Source: BIDS 1.10, *_aslcontext.tsv.
    """
    rows, sha = _rows(path)
    if not rows or "volume_type" not in rows[0]:
        seen = f"a first line {' '.join(rows[0])!r}" if rows else "no line at all"
        mend = "Begin with a line volume_type, then one line per volume."
        if rows and any("volume_type" in cell for cell in rows[0]):
            mend = "Separate columns by tabs, not by commas or blanks."
        raise BolusError(Code.META, path, seen, "a column volume_type", mend)
    column = rows[0].index("volume_type")
    types = tuple(row[column] if column < len(row) else "" for row in rows[1:])
    for number, kind in enumerate(types, 1):
        if kind not in VOLUME_TYPES:
            raise _unknown_type(path, number, kind)
    if len(types) != volumes:
        mend = "Write one row per volume, in the order of the volumes."
        seen = f"{len(types)} rows for {volumes} volumes"
        raise BolusError(Code.SHAPE, path, seen, f"{volumes} rows", mend)
    if not PERFUSION & set(types):
        raise _no_label(path, types)
    return types, sha


def read_aif(path: Path) -> tuple[GivenAIF, str]:
    """An arterial input function, columns `time` (s) and `signal` or `delta_r2star` (1/s), and its SHA-256.

    Raises E_AIF for other columns, too few samples, what is no number, and times that do not rise.
    """
    rows, sha = _rows(path)
    head = rows[0] if rows else []
    values = [name for name in ("signal", "delta_r2star") if name in head]
    if "time" not in head or len(values) != 1:
        seen = f"columns {', '.join(head) or 'none'}"
        raise _aif(
            path, seen, "time, and either signal or delta_r2star", "Name the columns so, separated by tabs."
        )
    column: Literal["signal", "delta_r2star"] = "signal" if values[0] == "signal" else "delta_r2star"
    if len(rows) - 1 < LEAST_SAMPLES:
        mend = "Give the whole course, from before the bolus to its recirculation."
        raise _aif(path, f"{len(rows) - 1} samples", f"at least {LEAST_SAMPLES}", mend)
    time = _numbers(path, rows, head.index("time"))
    sampled = _numbers(path, rows, head.index(column))
    steps = np.diff(time)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        seen = f"time {time[at + 1]:g} after {time[at]:g} in line {at + 3}"
        raise _aif(path, seen, "times that rise", "Sort the rows by time and remove doubles.")
    if float(np.median(steps)) > 30:
        mend = "They look like milliseconds: give seconds."
        raise _aif(path, f"times {np.median(steps):g} apart", "seconds, at most 30 apart", mend)
    if column == "signal" and (sampled <= 0).any():
        at = int(np.argmax(sampled <= 0))
        seen = f"signal {sampled[at]:g} in line {at + 2}"
        raise _aif(path, seen, "signal above 0", "Leave the sample out: its logarithm does not exist.")
    if np.ptp(sampled) == 0:
        raise _aif(path, f"{column} = {sampled[0]:g} throughout", "a bolus", "Choose another vessel.")
    return GivenAIF(time, sampled, column, path), sha


def _rows(path: Path) -> tuple[list[list[str]], str]:
    text, sha = read_text(path)
    reader = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [[cell.strip() for cell in row] for row in reader if any(cell.strip() for cell in row)], sha


def _numbers(
    path: Path, rows: Sequence[Sequence[str]], column: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = np.empty(len(rows) - 1)
    for line, row in enumerate(rows[1:], 2):
        cell = row[column] if column < len(row) else ""
        try:
            numbers[line - 2] = float(cell)
        except ValueError:
            numbers[line - 2] = np.nan
        if not np.isfinite(numbers[line - 2]):
            seen = f"{cell!r} in line {line}, column {rows[0][column]}"
            raise _aif(path, seen, "a finite number", "Fill the cell or remove the row.")
    return numbers


def _unknown_type(path: Path, number: int, kind: str) -> BolusError:
    seen = f"volume type {kind!r} in row {number}"
    expected = f"one of {', '.join(VOLUME_TYPES)}"
    return BolusError(Code.META, path, seen, expected, f"Correct the row. {nearest(kind, VOLUME_TYPES)}")


def _no_label(path: Path, types: Sequence[str]) -> BolusError:
    seen = f"volumes of type {', '.join(sorted(set(types)))} only"
    expected = "control and label volumes, or deltam"
    if "cbf" in types:
        mend = "This series is quantified already: its CBF is the map. Give the volumes that it came from."
        return BolusError(Code.DATA, path, seen, expected, mend)
    mend = "Correct the table: perfusion is the difference of the two."
    return BolusError(Code.META, path, seen, expected, mend)


def _aif(path: Path, seen: str, expected: str, mend: str) -> BolusError:
    return BolusError(Code.AIF, path, seen, expected, mend)
