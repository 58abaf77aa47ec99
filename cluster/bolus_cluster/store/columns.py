"""The same maps again, laid out for reading a few voxels of all scans: tiles of the grid, every scan in each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bolus_cluster.store import hdf5
from bolus_cluster.store.notes import LAYOUT, TILES, fingerprint, put, standing
from bolus_cluster.store.rooms import Room

MOST_BYTES = 256 << 20
"""Of one tile once unpacked: what a worker holds, and the same again packed."""
CHUNK_VALUES = 1 << 18
MOST_SCANS = 1 << 12
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Tile:
    """One piece of the grid of one map, over all scans of a room: what a worker is sent."""

    out: Path
    name: str
    ending: str
    grid: tuple[int, ...]
    box: Box
    shards: tuple[str, ...]
    portable: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Scans, then the sides of its box."""
        return (len(self.shards), *(side.stop - side.start for side in self.box))


def tiles_of(out: Path, room: Room, portable: bool) -> dict[str, list[Tile]]:
    """Every tile of a room by map; the name of a tile says which scans are in it, so it never changes."""
    shards = tuple(room.shards)
    stamp = fingerprint(LAYOUT, portable, room.name, shards, MOST_BYTES)
    where = TILES / room.name.replace("/", "-")
    return {
        ending: [
            Tile(
                out, (where / f"{ending}-{number:04d}-{stamp}.h5").as_posix(), ending, room.shape, box, shards,
                portable,
            )
            for number, box in enumerate(boxes(room.shape, 4 * len(shards), MOST_BYTES))
        ]
        for ending in sorted(room.maps)
    }  # fmt: skip


def boxes(shape: tuple[int, ...], voxel_bytes: int, most: int) -> Iterator[Box]:
    """Cut a grid into boxes of at most `most` bytes, along z first, then along y, then x."""
    size = list(shape)
    for axis in (2, 1, 0):
        if math.prod(size) * voxel_bytes > most:
            rest = math.prod(size) // size[axis] * voxel_bytes
            size[axis] = max(1, most // rest)
    counts = [math.ceil(whole / part) for whole, part in zip(shape, size, strict=True)]
    for at in np.ndindex(*counts):
        yield tuple(
            slice(i * part, min((i + 1) * part, whole))
            for i, part, whole in zip(at, size, shape, strict=True)
        )


def chunk_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How a tile (scans, x, y, z) is cut: up to 4096 scans of a small block of voxels, about a megabyte."""
    scans = min(shape[0], MOST_SCANS)
    left = max(1, CHUNK_VALUES // scans)
    sides = list(shape[1:])
    while math.prod(sides) > left:  # halve the longest side until the block is small enough
        longest = sides.index(max(sides))
        sides[longest] = math.ceil(sides[longest] / 2)
    return (scans, *sides)


def make(tile: Tile) -> str:
    """Build a tile unless it stands; gives its name below the output folder.

    Raises BolusError (E_PATH, E_CORRUPT) where a shard is gone or damaged, OSError where the store cannot be written.
    """
    if standing(tile.out, tile.name):
        return tile.name
    values = np.full(tile.shape, np.nan, np.float32)
    for row, name in enumerate(tile.shards):
        with hdf5.opened(tile.out / name) as file:
            if tile.ending in file and file[tile.ending].shape == tile.grid:
                values[row] = file[tile.ending][tile.box]

    def fill(file: Any) -> None:
        hdf5.add(file, tile.ending, values, chunk_of(tile.shape), tile.portable)

    put(tile.out, tile.name, hdf5.packed(fill), {})
    return tile.name
