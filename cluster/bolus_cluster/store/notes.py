"""What is noted of every file of the store: its stamp, and of a shard what it holds; knows no HDF5."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bolus.series import Stamp
from bolus_cluster.ledger.records import DONE, Record, put_whole, records, unchanged, write_whole

STORE = Path(".bolus", "store")
SCANS, BLOCKS, TILES = STORE / "scans", STORE / "blocks", STORE / "by_voxel"
COHORT = "cohort.h5"
INDEX = STORE / "cohort.json"
LAYOUT = 1
"""Raised whenever the same maps would be laid out otherwise: then every shard is built anew."""

IMAGE, SIDECAR = ".nii.gz", ".json"


@dataclass(frozen=True)
class Image:
    """One map in a shard: shape, unit, what it is, the SHA-256 of its NIfTI file; s between samples if 4D."""

    shape: tuple[int, ...]
    units: str
    description: str
    sha256: str
    step: float | None = None


@dataclass(frozen=True)
class Shard:
    """One scan in the store: who it is, where its voxels lie (4, 4), its maps by file ending."""

    scan: str
    subject: str
    session: str | None
    modality: str
    affine: tuple[tuple[float, ...], ...]
    images: Mapping[str, Image]


def images_of(record: Record) -> dict[str, str]:
    """The maps of a scan: file ending (`desc-osvd_cbf`) -> its NIfTI below the output folder, sorted."""
    start = record.scan.removesuffix(record.modality)
    found = {}
    for output in record.outputs:
        name = output.rpartition("/")[2]
        if name.endswith(IMAGE):
            found[name.removesuffix(IMAGE).removeprefix(start)] = output
    return dict(sorted(found.items()))


def shard_name(record: Record, portable: bool) -> str:
    """Where a scan's shard lies below the output folder: its name says what is in it, so it never changes."""
    told = [LAYOUT, portable, record.scan, record.subject, record.session, record.modality]
    kept = sorted(
        (name, stamp.sha256) for name, stamp in record.outputs.items() if name.endswith((IMAGE, SIDECAR))
    )
    return (SCANS / f"{record.scan}-{fingerprint(*told, kept)}.h5").as_posix()


def fingerprint(*content: Any) -> str:
    """Sixteen hexadecimal digits that stand for any content of JSON's types."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def put(out: Path, name: str, data: bytes | memoryview, told: Mapping[str, Any]) -> None:
    """Write a file of the store, whole or not at all, then the note beside it. Raises OSError."""
    stamp = _write(out / name, data)
    write_whole(_note(out / name), json.dumps({"stamp": stamp._asdict(), **told}, indent=1).encode())


def put_cohort(out: Path, data: memoryview) -> Stamp:
    """Write cohort.h5, whole or not at all, unless these bytes are there already. Raises OSError."""
    stamp = (index(out) or {}).get(COHORT)
    if stamp and stamp.sha256 == hashlib.sha256(data).hexdigest() and unchanged(out / COHORT, stamp):
        return stamp
    return _write(out / COHORT, data)


def _write(path: Path, data: bytes | memoryview) -> Stamp:
    put_whole(path, data)
    state = path.stat()
    return Stamp(hashlib.sha256(data).hexdigest(), state.st_size, state.st_mtime_ns)


def standing(out: Path, name: str) -> bool:
    """Whether a file of the store is there as it was written."""
    stamp = stamp_of(out, name)
    return stamp is not None and unchanged(out / name, stamp)


def stamp_of(out: Path, name: str) -> Stamp | None:
    """What a file of the store was when it was written; None where nothing readable is noted."""
    try:
        return Stamp(**json.loads(_note(out / name).read_bytes())["stamp"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def shard_of(out: Path, name: str) -> Shard:
    """What is noted of a shard. Raises OSError, ValueError, KeyError, TypeError where that is damaged."""
    content = json.loads(_note(out / name).read_bytes())
    del content["stamp"]
    content["affine"] = tuple(map(tuple, content["affine"]))
    content["images"] = {
        ending: Image(**{**image, "shape": tuple(image["shape"])})
        for ending, image in content["images"].items()
    }
    return Shard(**content)


def readable(out: Path, name: str) -> bool:
    """Whether what is noted of a shard can be read."""
    try:
        shard_of(out, name)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def behind(out: Path) -> int:
    """How many scans have changed in the ledger since the store was built: new, gone or computed anew."""
    stored = {name for name in index(out) or () if name.startswith(f"{SCANS.as_posix()}/")}
    changed = 0
    for record in records(out):
        if record.state in DONE:
            names = {shard_name(record, portable) for portable in (False, True)}
            changed += not names & stored
            stored -= names
    return changed + len(stored)


def write_index(out: Path, files: Mapping[str, Stamp]) -> None:
    """Note every file that belongs to the store, the cohort's own among them. Raises OSError."""
    told = {name: stamp._asdict() for name, stamp in sorted(files.items())}
    write_whole(out / INDEX, json.dumps({"layout": LAYOUT, "files": told}, indent=1).encode())


def index(out: Path) -> dict[str, Stamp] | None:
    """Every file of the store by its name below the output folder; None where there is no readable index."""
    try:
        content = json.loads((out / INDEX).read_bytes())
        return {name: Stamp(**stamp) for name, stamp in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def sweep(out: Path, wanted: set[str]) -> None:
    """Remove every file below the store's folder that is not wanted nor the note of one that is."""
    kept = {out / name for name in wanted} | {_note(out / name) for name in wanted} | {out / INDEX}
    for path in _files(out / STORE):
        if path not in kept:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
