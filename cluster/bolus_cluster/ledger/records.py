"""The ledger: one atomic JSON per scan below OUT_DIR/.bolus, which makes every run a resume."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from bolus.series import Scan, Stamp
from bolus.write import HIDDEN

State = Literal["done", "done_with_warnings", "failed", "skipped"]
DONE = ("done", "done_with_warnings")

LEDGER = Path(".bolus", "scans")
LOGS = Path(".bolus", "logs")

# A line for each value, in one call: to indent it as well takes ten times as long.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",\n", ": ")).encode


@dataclass(frozen=True)
class Record:
    """What became of one scan, and of which files: everything needed to know whether it must run again.

    `inputs` are named below the BIDS folder where they lie in it, `outputs` below the output folder.
    """

    scan: str
    subject: str
    session: str | None
    modality: str
    state: State
    code: str = ""
    message: str = ""
    file: str = ""
    attempts: int = 0
    seconds: float = 0.0
    device: str = ""
    voxels: int = 0
    numbers: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    signature: str = ""
    version: str = ""
    inputs: Mapping[str, Stamp] = field(default_factory=dict)
    outputs: Mapping[str, Stamp] = field(default_factory=dict)


def write_whole(path: Path, data: bytes, forced: bool = True) -> bool:
    """Put `data` at `path`, whole or not at all, unless it is there already; says whether it wrote.

    Raises OSError (a full disk, a folder without leave to write) with nothing left behind.
    """
    if path.is_file() and path.read_bytes() == data:
        return False
    put_whole(path, data, forced)
    return True


def put_whole(path: Path, data: bytes | memoryview, forced: bool = True) -> None:
    """Put `data` at `path`, whole or not at all, and force it to disk; raises OSError with nothing left behind.

    What is not forced outlives any process, but perhaps not a loss of power.
    """
    folder = str(path.parent)
    if not os.path.isdir(folder):  # noqa: PTH112  # a Path takes longer than the disk, and this is once a scan
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = f"{folder}/{HIDDEN}{uuid4().hex[:8]}-{path.name}"
    try:
        with open(temporary, "xb") as file:  # noqa: PTH123
            file.write(data)
            if forced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException as error:
        with suppress(OSError):
            Path(temporary).unlink()
        if isinstance(error, OSError):  # a full disk does not say where it is, and nobody knows `temporary`
            error.filename = folder
        raise
    if not forced:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def enter(out: Path, record: Record) -> None:
    """Write the record of a scan; maps that its last record names and this one does not are removed first.

    So a map on disk always belongs to the state in the table: none stays from an older recipe or input.
    Raises OSError.
    """
    previous = look_up(out, record.scan)
    for name in previous.outputs if previous else ():
        if name not in record.outputs:
            (out / name).unlink(missing_ok=True)
    if record.state in DONE:
        with suppress(FileNotFoundError):
            os.unlink(f"{out}/{LOGS}/{record.scan}.log")  # noqa: PTH108
    told: dict[str, Any] = vars(record) | {
        "numbers": {name: value for name, value in record.numbers.items() if math.isfinite(value)},
        "inputs": _told(record.inputs),
        "outputs": _told(record.outputs),
    }
    # Not forced to disk, as the maps are: what the loss of power takes from the ledger is computed again.
    # json.loads takes what "surrogatepass" lets through: names of files may be bytes of no text.
    write_whole(_entry(out, record.scan), _encode(told).encode(errors="surrogatepass"), forced=False)


def _told(stamps: Mapping[str, Stamp]) -> dict[str, dict[str, Any]]:
    return {
        name: {"sha256": sha, "size": size, "mtime_ns": mtime} for name, (sha, size, mtime) in stamps.items()
    }


def look_up(out: Path, scan: str, files: bool = True) -> Record | None:
    """The record of one scan, with its files or without; None where there is none, or one that cannot be read.

    The files are most of a record and come last: where they are not asked for, all but their end is left unread.
    """
    try:
        with open(f"{out}/{LEDGER}/{scan}.json", "rb") as file:  # noqa: PTH123
            raw = file.read()
        if not files and raw.endswith(b"}}"):  # of another order, or broken off, it is read whole
            raw = raw.partition(b',\n"inputs": {')[0] + b',"inputs":{},"outputs":{}}'
        content: dict[str, Any] = json.loads(raw)
        for side in ("inputs", "outputs"):
            content[side] = {name: Stamp(**stamp) for name, stamp in content[side].items() if files}
        content["warnings"] = tuple(content["warnings"])
        return Record(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def scans(out: Path) -> list[str]:
    """The names of the scans in the ledger, sorted."""
    found: list[str] = []
    with suppress(OSError):
        found = os.listdir(out / LEDGER)  # noqa: PTH208  # of thousands of names no paths are made
    return sorted(
        name.removesuffix(".json") for name in found if name.endswith(".json") and not name.startswith(".")
    )


def records(out: Path) -> Iterator[Record]:
    """Every record of the ledger, one at a time, sorted by the scan's name."""
    return filter(None, (look_up(out, scan) for scan in scans(out)))


def summaries(out: Path) -> Iterator[Record]:
    """As `records`, but without their files: in half the time."""
    return filter(None, (look_up(out, scan, files=False) for scan in scans(out)))


def forget(out: Path, scan: str) -> None:
    """Take a scan out of the ledger."""
    _entry(out, scan).unlink(missing_ok=True)


def reason(record: Record | None, scan: Scan, signature: str, root: Path, out: Path) -> str | None:
    """Why a scan must be computed (again), in a few words; None when everything stands as it was left.

    Contents decide: a file whose size and time are the recorded ones is trusted, any other is hashed.
    """
    if record is None:
        return "new"
    if record.state not in DONE:
        return f"{record.state} before" + (f" ({record.code})" if record.code else "")
    if record.signature != signature:
        return "the recipe or a method changed"
    now = {name_of(path, root): path for path in scan.files()}
    if differing := sorted(now.keys() ^ record.inputs.keys()):
        return f"{'new' if differing[0] in now else 'gone'} input: {differing[0]}"
    for name, path in now.items():
        if not unchanged(path, record.inputs[name]):
            return f"changed input: {name}"
    for name, stamp in record.outputs.items():
        if not unchanged(out / name, stamp):
            return f"missing or damaged output: {name}"
    return None


def unchanged(path: Path, stamp: Stamp) -> bool:
    """Whether the file still has the recorded content."""
    try:
        state = path.stat()
        if state.st_size != stamp.size:
            return False
        return state.st_mtime_ns == stamp.mtime_ns or sha256(path) == stamp.sha256
    except OSError:
        return False


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def name_of(path: Path, root: Path) -> str:
    """How the ledger calls an input: its path below the BIDS folder, else its full path.

    So a data set that is moved or mounted elsewhere is still the same data set.
    """
    full, top = str(path.absolute()), str(root.absolute()).rstrip(os.sep) + os.sep
    return full.removeprefix(top)


def _entry(out: Path, scan: str) -> Path:
    return out / LEDGER / f"{scan}.json"
