"""Read the cohort: which maps there are, and one map over scans; a shard that is lost is refused, never NaN."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code, nearest
from bolus_cluster.ledger.records import sha256
from bolus_cluster.store import hdf5
from bolus_cluster.store.notes import COHORT, INDEX, LAYOUT, index
from bolus_cluster.store.virtual import BY_VOXEL

TABLES = ("scan", "subject", "session", "shard", "affine", "present", "sha256", "step", BY_VOXEL)
PLENTY = 1 << 14
Box = tuple[slice, ...]


@dataclass(frozen=True)
class CohortMap:
    """One map over all scans of its grid, row by row: who, where (n, 4, 4), present (n,), of which file (n,).

    `name` is its place in cohort.h5, `dsc/128x128x20/desc-osvd_cbf`; `shape` that of one scan's map.
    """

    out: Path
    name: str
    units: str
    description: str
    shape: tuple[int, ...]
    scans: tuple[str, ...]
    subjects: tuple[str, ...]
    sessions: tuple[str, ...]
    affine: NDArray[np.float64]
    present: NDArray[np.bool_]
    sha256: tuple[str, ...]
    shards: tuple[str, ...]
    by_voxel: bool


def maps(out: Path) -> Mapping[str, tuple[int, ...]]:
    """Every map in OUT_DIR/cohort.h5 by name, with its shape (scans, x, y, z). Raises BolusError."""
    with _cohort(out) as file:
        return {
            f"{modality}/{grid}/{ending}": file[modality][grid][ending].shape
            for modality in file
            for grid in file[modality]
            for ending in file[modality][grid]
            if ending not in TABLES
        }


def find(out: Path, name: str) -> CohortMap:
    """One map of the cohort with its tables; no voxel is read yet. Raises BolusError: E_PATH, E_CORRUPT."""
    known = maps(out)
    if name not in known:
        seen, expected = f"no map {name!r} in the cohort", "one of its maps"
        raise BolusError(Code.PATH, out / COHORT, seen, expected, nearest(name, known))
    room, _, ending = name.rpartition("/")
    with _cohort(out) as file:
        group = file[room]
        virtual = group[ending]
        texts = {
            column: tuple(group[column].asstr()[:]) for column in ("scan", "subject", "session", "shard")
        }
        return CohortMap(
            out, name, virtual.attrs["units"], virtual.attrs["description"], virtual.shape[1:],
            texts["scan"], texts["subject"], texts["session"], group["affine"][...],
            group["present"][ending][...], tuple(group["sha256"][ending][...].astype(str).tolist()),
            texts["shard"], ending in group.get(BY_VOXEL, ()),
        )  # fmt: skip


def read(
    found: CohortMap, scans: Sequence[str] | None = None, box: Box | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One map over scans (default: all, in the cohort's order): values and who has that map.

    box : a slice for each axis of the map, step 1 (default: all of it).
    Returns (n, ...) float32 in the map's unit, NaN in the rows of scans without it, and (n,) bool.
    Raises BolusError: E_PATH for a scan that is not there or a present shard that is gone, E_CORRUPT for a
    damaged one, ValueError for a box that is none.
    """
    rows = _rows(found, scans)
    sides = _box(found, box)
    values = np.full((len(rows), *(side.stop - side.start for side in sides)), np.nan, np.float32)
    present = found.present[rows]
    if not values.size or not present.any():
        return values, present
    if found.by_voxel and _by_voxel_is_nearer(found, len(rows), sides):
        _read_tiles(found, rows, sides, values)
    else:
        _read_shards(found, rows, sides, values)
    return values, present


@contextmanager
def raw(out: Path) -> Iterator[Any]:
    """cohort.h5 itself as an h5py.File: its filter known, and as many files allowed as this user may open.

    HDF5 gives NaN where a shard is lost: that `present` is True and a row NaN is for the caller to notice.
    """
    allow_files()
    with _cohort(out) as file:
        yield file


def allow_files(wanted: int = PLENTY) -> int:
    """Raise the soft limit of open files as far as the hard one lets; gives the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@contextmanager
def _cohort(out: Path) -> Iterator[Any]:
    path = out / COHORT
    if path.is_file() and (noted := (out / INDEX)).is_file():
        state = path.stat()
        _check(out, state.st_size, state.st_mtime_ns, noted.stat().st_mtime_ns)
    with hdf5.opened(path) as file:
        layout = file.attrs.get("layout")
        if layout != LAYOUT:
            seen, mend = (
                f"layout {layout}",
                "Build it again with this bolus: bolus run BIDS_DIR OUT_DIR group.",
            )
            raise BolusError(Code.CORRUPT, out / COHORT, seen, f"layout {LAYOUT}", mend)
        yield file


@lru_cache(maxsize=64)
def _check(out: Path, size: int, mtime_ns: int, noted_ns: int) -> None:
    """Refuse a damaged cohort.h5 before HDF5 sees it: a bit in its tables of tables can end the process.

    It is small, and hashed once for each size and times of change of it and of the index.
    """
    stamp = (index(out) or {}).get(COHORT)
    if stamp is not None and (seen := sha256(out / COHORT)) != stamp.sha256:
        expected = f"the file that was written, SHA-256 {stamp.sha256[:12]}..."
        raise BolusError(Code.CORRUPT, out / COHORT, f"SHA-256 {seen[:12]}...", expected, hdf5.MEND)


def _rows(found: CohortMap, scans: Sequence[str] | None) -> NDArray[np.int64]:
    if scans is None:
        return np.arange(len(found.scans))
    row_of = {scan: row for row, scan in enumerate(found.scans)}
    for scan in scans:
        if scan not in row_of:
            seen, expected = f"no scan {scan!r} in {found.name}", "scans of this modality and grid"
            raise BolusError(Code.PATH, found.out / COHORT, seen, expected, nearest(scan, row_of))
    return np.array([row_of[scan] for scan in scans], np.int64)


def _box(found: CohortMap, box: Box | None) -> Box:
    if box is None:
        return tuple(slice(0, side) for side in found.shape)
    if len(box) != len(found.shape):
        raise ValueError(f"a box of {len(box)} slices in a map of {len(found.shape)} axes")
    sides = []
    for cut, side in zip(box, found.shape, strict=True):
        first, last, step = cut.indices(side)
        if step != 1:
            raise ValueError(f"a step of {step} in a box: it is cut in steps of 1")
        sides.append(slice(first, max(first, last)))
    return tuple(sides)


def _read_shards(found: CohortMap, rows: NDArray[np.int64], box: Box, values: NDArray[np.float32]) -> None:
    """One shard after the other, one file open at a time: whatever the limit of open files, none is missed."""
    ending = found.name.rpartition("/")[2]
    for at, row in enumerate(rows):
        if found.present[row]:
            path = found.out / found.shards[row]
            with hdf5.opened(path) as file:
                if file.attrs["scan"] != found.scans[row]:
                    seen = f"the shard of {file.attrs['scan']}"
                    raise BolusError(Code.CORRUPT, path, seen, f"that of {found.scans[row]}", hdf5.MEND)
                file[ending].read_direct(values[at], box)


def _read_tiles(found: CohortMap, rows: NDArray[np.int64], box: Box, values: NDArray[np.float32]) -> None:
    room, _, ending = found.name.rpartition("/")
    with _cohort(found.out) as file:
        sources = file[room][BY_VOXEL][ending].virtual_sources()
    for source in sources:
        low, high = source.vspace.get_select_bounds()
        cut = [
            (max(side.start, first), min(side.stop, last + 1), first)
            for side, first, last in zip(box, low[1:], high[1:], strict=True)
        ]
        if all(start < stop for start, stop, _ in cut):
            there = tuple(slice(start - first, stop - first) for start, stop, first in cut)
            here = tuple(
                slice(start - side.start, stop - side.start)
                for (start, stop, _), side in zip(cut, box, strict=True)
            )
            with hdf5.opened(found.out / source.file_name) as tile:
                values[(slice(None), *here)] = tile[ending][(slice(None), *there)][rows]


def _by_voxel_is_nearer(found: CohortMap, scans: int, box: Box) -> bool:
    """Whether fewer values must be unpacked from tiles, which hold all scans, than from so many shards."""
    voxels = math.prod(side.stop - side.start for side in box)
    chunk = math.prod(hdf5.chunk_of(found.shape))
    from_tiles = len(found.scans) * voxels + 2 * hdf5.MOST_VALUES
    return bool(from_tiles < scans * max(chunk, voxels))
