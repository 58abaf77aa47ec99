"""Verify: every output against its recorded hash; each damaged, missing or foreign file by name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bolus.series import Stamp
from bolus.write import HIDDEN
from bolus_cluster.ledger.records import LEDGER, look_up, scans, sha256
from bolus_cluster.pool import threaded

Fault = Literal["damaged", "missing", "foreign", "unfinished", "unreadable"]
THREADS = 16


@dataclass(frozen=True)
class Finding:
    """One file that is not as it should be: its name below the output folder, and the scan it belongs to, if any."""

    fault: Fault
    file: str
    scan: str = ""


@dataclass(frozen=True)
class Piece:
    """One file to look at: where it is, what was recorded of it, and whose it is."""

    out: Path
    name: str
    stamp: Stamp
    scan: str = ""


@dataclass
class Seen:
    """How much a verification looked at."""

    scans: int = 0
    files: int = 0
    size: int = 0


def verify(
    out: Path, store: Mapping[str, Stamp], tick: Callable[[], None] = lambda: None, seen: Seen | None = None
) -> Iterator[Finding]:
    """Every fault below an output folder, scan by scan: outputs, then the store's files, then strangers.

    `store` maps the files of the cohort store to their stamps. `tick` is told each file, `seen` counts them.
    A file that was replaced while it was read is judged by its new record. A damaged file is marked as changed
    just now, so that the next run, which trusts sizes and times, looks into it. Raises OSError.
    """
    seen = seen or Seen()
    known: dict[str, set[str]] = defaultdict(set)
    unreadable: list[str] = []
    for piece, fault in threaded(_look, _pieces(out, store, known, unreadable, seen), THREADS):
        tick()
        seen.files += 1
        seen.size += piece.stamp.size
        if fault is not None and not _replaced(piece):
            if fault == "damaged":
                with suppress(OSError):
                    os.utime(out / piece.name)
            yield Finding(fault, piece.name, piece.scan)
    for scan in unreadable:
        yield Finding("unreadable", (LEDGER / f"{scan}.json").as_posix(), scan)
    yield from _strangers(out, known, unreadable)


def _pieces(
    out: Path, store: Mapping[str, Stamp], known: dict[str, set[str]], unreadable: list[str], seen: Seen
) -> Iterator[Piece]:
    for scan in scans(out):
        record = look_up(out, scan)
        if record is None:
            unreadable.append(scan)
            continue
        seen.scans += 1
        for name, stamp in record.outputs.items():
            folder, _, file = name.rpartition("/")
            known[folder].add(file)
            yield Piece(out, name, stamp, scan)
    for name, stamp in store.items():
        yield Piece(out, name, stamp)


def _look(piece: Piece) -> tuple[Piece, Fault | None]:
    path = piece.out / piece.name
    try:
        if path.stat().st_size != piece.stamp.size or sha256(path) != piece.stamp.sha256:
            return piece, "damaged"
    except (FileNotFoundError, NotADirectoryError):
        return piece, "missing"
    except OSError:  # no permission, or a disk that fails
        return piece, "unreadable"
    return piece, None


def _replaced(piece: Piece) -> bool:
    """Whether a run that is at work has entered the scan anew meanwhile, with other outputs."""
    if not piece.scan:
        return False
    record = look_up(piece.out, piece.scan)
    if record is None:
        return False
    stamp = record.outputs.get(piece.name)
    return stamp is None or (stamp != piece.stamp and _look(Piece(piece.out, piece.name, stamp))[1] is None)


def _strangers(out: Path, known: Mapping[str, set[str]], unreadable: Iterable[str]) -> Iterator[Finding]:
    """Files in the folders of maps that no record names; those of an unreadable record are not strangers."""
    families = tuple(f"{scan.rpartition('_')[0]}_" for scan in unreadable)
    for folder in sorted({*out.glob("sub-*/perf"), *out.glob("sub-*/ses-*/perf")}):
        below = folder.relative_to(out).as_posix()
        for path in sorted(folder.iterdir()):
            if path.name in known.get(below, ()):
                continue
            if path.name.startswith(HIDDEN):
                yield Finding("unfinished", f"{below}/{path.name}")
            elif not (families and path.name.startswith(families)):
                yield Finding("foreign", f"{below}/{path.name}")
