"""Shards -> cohort.h5: a virtual data set per map over blocks of at most 256 scans, and the tables beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_cluster.store import hdf5
from bolus_cluster.store.columns import Tile
from bolus_cluster.store.notes import BLOCKS, LAYOUT, fingerprint, put, shard_of, standing
from bolus_cluster.store.rooms import Room

BY_VOXEL = "by_voxel"
READING = (
    "/<modality>/<grid>/<map> is (scans, x, y, z); a scan without that map is NaN there and False in present/<map>. "
    "HDF5 also gives NaN, without an error, for a shard that is lost or for which too few files may be open: "
    "look at present/<map>, or read with bolus_cluster.store.read, which refuses both. "
)
NEEDS = "Reading needs the filter bitshuffle: `import hdf5plugin` first."


def write_blocks(out: Path, room: Room) -> list[str]:
    """The files that join up to 256 shards each, written unless they stand; their names in order."""
    names = []
    for number, shards in enumerate(room.blocks()):
        stamp = fingerprint(LAYOUT, room.name, sorted(room.maps), shards)
        name = (BLOCKS / f"{room.name.replace('/', '-')}-{number:03d}-{stamp}.h5").as_posix()
        if not standing(out, name):
            put(out, name, _block(out, room, shards), {})
        names.append(name)
    return names


def _block(out: Path, room: Room, shards: list[str]) -> memoryview:
    import h5py

    held = [shard_of(out, name).images for name in shards]
    above = Path("..") / "scans"

    def fill(file: Any) -> None:
        for ending in sorted(room.maps):
            layout = h5py.VirtualLayout((len(shards), *room.shape), np.float32)
            for row, (name, images) in enumerate(zip(shards, held, strict=True)):
                if _has(images, ending, room):
                    layout[row] = h5py.VirtualSource(str(above / Path(name).name), ending, room.shape)
            hdf5.add_virtual(file, ending, layout)

    return hdf5.packed(fill)


def cohort_bytes(
    out: Path, rooms: Mapping[str, Room], blocks: Mapping[str, list[str]],
    tiles: Mapping[str, Mapping[str, list[Tile]]], portable: bool,
) -> memoryview:  # fmt: skip
    """The bytes of cohort.h5.

    `blocks` names the block files of each room; `tiles` holds the pieces of the grid of each map of each room.
    """

    def fill(file: Any) -> None:
        file.attrs["layout"] = LAYOUT
        file.attrs["compression"] = "gzip" if portable else "bitshuffle, zstd"
        file.attrs["reading"] = READING + ("" if portable else NEEDS)
        for name, room in rooms.items():
            group = file.create_group(name)
            _tables(out, group, room)
            for ending, (units, description) in sorted(room.maps.items()):
                virtual = _joined(group, ending, room, blocks[name])
                virtual.attrs["units"], virtual.attrs["description"] = units, description
                if pieces := tiles.get(name, {}).get(ending):
                    across = _tiled(group.require_group(BY_VOXEL), ending, room, pieces)
                    across.attrs["units"], across.attrs["description"] = units, description

    return hdf5.packed(fill)


def _joined(group: Any, ending: str, room: Room, blocks: list[str]) -> Any:
    import h5py

    layout = h5py.VirtualLayout((len(room.shards), *room.shape), np.float32)
    first = 0
    for name, shards in zip(blocks, room.blocks(), strict=True):
        shape = (len(shards), *room.shape)
        layout[first : first + len(shards)] = h5py.VirtualSource(name, ending, shape)
        first += len(shards)
    return hdf5.add_virtual(group, ending, layout)


def _tiled(group: Any, ending: str, room: Room, pieces: list[Tile]) -> Any:
    import h5py

    scans = len(room.shards)
    layout = h5py.VirtualLayout((scans, *room.shape), np.float32)
    for tile in pieces:
        layout[(slice(0, scans), *tile.box)] = h5py.VirtualSource(tile.name, ending, tile.shape)
    return hdf5.add_virtual(group, ending, layout)


def _tables(out: Path, group: Any, room: Room) -> None:
    """Who is in which row, where their voxels lie, which maps they have, and of which file each was made."""
    scans = len(room.shards)
    people: dict[str, list[str]] = {"scan": [], "subject": [], "session": [], "shard": []}
    affine = np.empty((scans, 4, 4))
    present = {ending: np.zeros(scans, np.bool_) for ending in room.maps}
    sha256: dict[str, NDArray[Any]] = {ending: np.zeros(scans, "S64") for ending in room.maps}
    step = {ending: np.full(scans, np.nan) for ending in room.maps} if len(room.shape) == 4 else {}
    for row, name in enumerate(room.shards):
        shard = shard_of(out, name)
        told = (shard.scan, shard.subject, shard.session or "", name)
        for column, value in zip(people.values(), told, strict=True):
            column.append(value)
        affine[row] = shard.affine
        for ending, image in shard.images.items():
            if _has(shard.images, ending, room):
                present[ending][row] = True
                sha256[ending][row] = image.sha256.encode()
                if ending in step:
                    step[ending][row] = math.nan if image.step is None else image.step
    for column_name, values in people.items():
        hdf5.add_text(group, column_name, values)
    hdf5.add_table(group, "affine", affine).attrs["units"] = "mm"
    tables: dict[str, Mapping[str, NDArray[Any]]] = {"present": present, "sha256": sha256, "step": step}
    for table, columns in tables.items():
        for ending, column_values in sorted(columns.items()):
            hdf5.add_table(group.require_group(table), ending, column_values)


def _has(images: Mapping[str, Any], ending: str, room: Room) -> bool:
    return ending in images and images[ending].shape == room.shape
