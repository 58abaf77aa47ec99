"""One scan in a worker: compute it, name what went wrong, enter it in the ledger."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bolus.errors import BolusError, Code, of_system
from bolus.recipe import Recipe, version
from bolus.series import Outcome, Scan, Stamp
from bolus_cluster.ledger.records import (
    LOGS,
    Record,
    State,
    enter,
    look_up,
    name_of,
    sha256,
    write_whole,
)
from bolus_cluster.workers.deadline import Deadline

if TYPE_CHECKING:
    from os import stat_result

    from bolus.turns import Turns
    from bolus.write import Written
    from bolus_kernels.device import Device


@dataclass(frozen=True)
class Job:
    """What a worker is sent: names of files and how to treat them, never an array."""

    scan: Scan
    root: Path
    out: Path
    recipe: Recipe
    signature: str
    device: str
    threads: int = 1
    deadline: float = 3600.0
    """Seconds that it may take."""
    attempts: int = 0
    """How many were entered before this run."""


@dataclass(frozen=True)
class Row:
    """What comes back from a worker: enough for a progress line; the rest is in the ledger."""

    scan: str
    state: State
    code: str = ""
    message: str = ""
    file: str = ""
    seconds: float = 0.0


def attempt(job: Job) -> Row:
    """Compute one scan and enter what became of it; a scan that fails is a row, not an exception.

    One that this run has entered is not computed again: Dask sends what a worker had finished to another one, if the
    first is lost before the result was told.

    Raises OSError only where the ledger itself cannot be written: then the cohort cannot go on.
    """
    return _Begun(job).finish()


def attempt_in_time(jobs: Iterable[Job]) -> Iterator[Row]:
    """As `attempt`, one after another, in a process that ends where one of them is past its deadline.

    While the maps of one are on their way to the disk the next is computed.
    """
    import bolus.pipeline  # noqa: F401  # on a busy machine this takes longer than a scan, and is none of its time

    begun: list[_Begun] = []
    with Deadline() as deadline:
        try:
            for job in jobs:
                deadline.allow(job.deadline)
                begun.append(_Begun(job))
                if begun[1:]:
                    yield begun[0].finish()
                    del begun[0]
            for last in begun:
                yield last.finish()
        finally:
            for each in begun:
                each.drop()


class _Begun:
    """A scan that is computed, and what it came to: maps on their way to the disk, a refusal, or an earlier row."""

    def __init__(self, job: Job) -> None:
        started = time.perf_counter()
        self._job = job
        self._seen: dict[Path, stat_result] = {}
        self._came_to: Written | Exception | Row
        previous = look_up(job.out, job.scan.key)
        if previous and previous.attempts > job.attempts:
            self._came_to = row_of(previous)
            return
        self._blank = _blank(job.scan, previous, 1, job.signature)
        try:
            # Looked at before they are read: a file that changes meanwhile is noticed by the next run.
            self._seen = {path: path.stat() for path in job.scan.files()}
            self._came_to = _begin(job)
        except Exception as error:
            self._came_to = error
        self._seconds = time.perf_counter() - started

    def finish(self) -> Row:
        """Wait until the maps are on disk, and enter it; raises OSError."""
        if isinstance(self._came_to, Row):
            return self._came_to
        started = time.perf_counter()
        try:
            if isinstance(self._came_to, Exception):
                raise self._came_to
            record = _succeeded(self._blank, self._job, self._came_to.settle(), self._seen)
        except Exception as error:
            record = self._failed(error)
        seconds = self._seconds + time.perf_counter() - started
        return _entered(self._job.out, replace(record, seconds=round(seconds, 3)))

    def drop(self) -> None:
        """Leave nothing of it behind, unless it is finished."""
        if not isinstance(self._came_to, Row | Exception):
            self._came_to.drop()

    def _failed(self, error: Exception) -> Record:
        log = self._job.out / LOGS / f"{self._job.scan.key}.log"
        problem = translate(error, str(self._job.scan.images[0]), str(log))
        if problem.code is Code.INTERNAL:
            write_whole(log, "".join(traceback.format_exception(error)).encode())
        return _failed(self._blank, problem)


def has_gpu(job: Job) -> bool:
    """Whether a scan is computed on a GPU here; one that asks for what is not here will be told so."""
    from bolus_kernels import device

    try:
        return device.select(job.device).kind == "cuda"
    except device.DeviceUnavailable:
        return False


def row_of(record: Record) -> Row:
    """What is told of a record."""
    return Row(record.scan, record.state, record.code, record.message, record.file, record.seconds)


def refuse(scan: Scan, out: Path, problem: BolusError, attempts: int = 0) -> Row:
    """Enter a scan that failed outside `attempt`: refused at the door, or its worker died; raises OSError."""
    blank = _blank(scan, look_up(out, scan.key), attempts)
    return _entered(out, _failed(blank, problem))


def skip(scan: Scan, out: Path, why: str) -> Row:
    """Enter a scan that this run did not come to. Raises OSError."""
    return _entered(out, replace(_blank(scan, look_up(out, scan.key)), state="skipped", message=why))


def translate(error: Exception, file: str, log: str) -> BolusError:
    """Any exception as a refusal that says what to do; what nobody foresaw becomes E_INTERNAL.

    `file` is the one at hand where the exception names none, `log` where the traceback is found.
    """
    from bolus_kernels.device import DeviceUnavailable

    if isinstance(error, BolusError):
        return error
    file = str(getattr(error, "filename", None) or file)
    if isinstance(error, MemoryError):
        mend = "Run fewer workers at a time, or on a machine with more memory."
        return BolusError(Code.MEMORY, file, "no memory left", "a scan that fits into memory", mend)
    if isinstance(error, DeviceUnavailable):
        mend = "Mend what is said there, or use --device auto."
        return BolusError(Code.DEVICE, file, str(error), "a usable GPU", mend)
    if isinstance(error, OSError) and (known := of_system(error, file)):
        return known
    seen = " ".join(f"{type(error).__name__}: {error}".split())
    mend = f"Please report it, with {log}."
    return BolusError(Code.INTERNAL, file, seen, "none: this is a mistake in bolus", mend)


def _begin(job: Job) -> Written:
    from bolus import pipeline

    return pipeline.begin(job.scan, job.out, job.recipe, *_place(job.device, job.threads))


@cache
def _place(kind: str, threads: int) -> tuple[Device, Turns]:
    """The device, and the turns there of the scans that this process has under way; raises DeviceUnavailable."""
    from bolus.turns import turns
    from bolus_kernels import device

    chosen = device.select(kind, threads)
    return chosen, turns(chosen)


def _blank(scan: Scan, previous: Record | None, attempts: int = 0, signature: str = "") -> Record:
    return Record(
        scan=scan.key,
        subject=scan.subject,
        session=scan.session,
        modality=scan.contrast,
        state="skipped",
        attempts=attempts + (previous.attempts if previous else 0),
        signature=signature,
        version=version(),
    )


def _succeeded(blank: Record, job: Job, outcome: Outcome, seen: dict[Path, stat_result]) -> Record:
    inputs = {}
    for path, state in seen.items():
        digest = outcome.sources.get(str(path)) or sha256(path)
        inputs[name_of(path, job.root)] = Stamp(digest, state.st_size, state.st_mtime_ns)
    return replace(
        blank,
        state="done_with_warnings" if outcome.warnings else "done",
        message="; ".join(outcome.warnings),
        device=outcome.device,
        voxels=outcome.voxels,
        numbers=dict(outcome.numbers),
        warnings=outcome.warnings,
        inputs=inputs,
        outputs=outcome.outputs,
    )


def _failed(blank: Record, problem: BolusError) -> Record:
    return replace(
        blank, state="failed", code=str(problem.code), message=problem.sentence(), file=problem.file
    )


def _entered(out: Path, record: Record) -> Row:
    enter(out, record)
    return row_of(record)
