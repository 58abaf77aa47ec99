"""The largest value of a residue between its samples, where its own Fourier coefficients continue it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bolus_kernels.dsc.deconvolution.series import BEND, NARROW, ORDERS, SETTLED, WIDE, Lanes, climb
from bolus_kernels.jit import inlined, part
from bolus_kernels.tiles import TILE

PEAKS = ("sampled", "interpolated")
"""Where the largest value of a residue is looked for: at its samples, as published, or between them as well."""
ROUNDS = 4
"""Series, after the first, that are summed from one sample at most."""
ZERO, ONE, HALF, AFAR = np.float32(0), np.float32(1), np.float32(0.5), np.float32(2)
MOST, LEAST = np.float32(3e38), np.float32(1e-37)
MORE = np.float32(1.001)
"""So much lower than need be: the sampled peak itself is always high enough, whatever was rounded."""
INSIDE = np.float32(0.499)
"""Of a sample: nearer to the end of what is climbed the slope may not be zero."""
CORNER = np.float32(0.41422)
"""A little more than sqrt(2) - 1: |(a, b)| <= max + CORNER min."""
PADDED = TILE + 16
"""How long the rows of what waits are: columns of 512 bytes apart would all fall on the same few lines of the cache."""


class Room(NamedTuple):
    """Memory of a kernel. tile : the sampled peaks; more : the other samples, which wait until they fill a tile.

    enough, clear : (TILE,) float32, above which sample another top may be as high, and how many samples from the peak.
    stand : (TILE,) float32, where each peak stands, number : (TILE,) float32, 0, 1, ...
    coefficients : (2K, PADDED) float32, of those that wait, rows : (K, 2) int64, rank : (K,) int32, how they stand.
    who : (TILE,) int64, their voxels. count : (1,) int64, how many wait. work : (13, TILE) float32.
    """

    tile: Any
    more: Any
    enough: Any
    clear: Any
    stand: Any
    number: Any
    coefficients: Any
    rows: Any
    rank: Any
    who: Any
    count: Any
    work: Any


@part
def room_for(between: Any) -> Any:
    """Room for one kernel."""
    size = between.rows.shape[0]
    return Room(
        _lanes(),
        _lanes(),
        np.empty(TILE, np.float32),
        np.empty(TILE, np.float32),
        np.zeros(TILE, np.float32),
        np.arange(TILE).astype(np.float32),
        np.zeros((2 * size, PADDED), np.float32),
        np.arange(2 * size).reshape(size, 2),
        np.zeros(size, np.int32),
        np.zeros(TILE, np.int64),
        np.zeros(1, np.int64),
        np.zeros((13, TILE), np.float32),
    )


@part
def _lanes() -> Any:
    return Lanes(
        np.zeros(TILE, np.int32),
        np.zeros(TILE, np.float32),
        np.zeros(TILE, np.float32),
        np.zeros(TILE, np.float32),
        np.ones(TILE, np.int32),
    )


@part
def rise(between: Any, coefficients: Any, begin: int, width: int, top: Any, at: Any, room: Any) -> None:
    """Move the sampled peaks of a tile to the tops beside them, and tell above which sample another may be as high.

    coefficients : (any, TILE). top, at : (n,), the sampled peak and where it stands, from -L/2 on; NaN where there is
    none, which stays. room.tile.kept is filled already.
    """
    length, lanes = between.turn.shape[0], room.tile
    for v in range(TILE):
        lanes.place[v], lanes.value[v] = 0, MOST
        if v < width and top[begin + v] > ZERO:
            sample = np.int32(at[begin + v])
            lanes.place[v], lanes.value[v] = sample + length if sample < 0 else sample, top[begin + v]
        room.stand[v] = np.float32(lanes.place[v])
    lanes.shift[:], lanes.move[:] = ZERO, AFAR
    count = between.reach[lanes.kept.max()]
    climb(between, coefficients, between.rows, between.rank, count, WIDE, lanes, room.work)
    climb(between, coefficients, between.rows, between.rank, count, NARROW, lanes, room.work)
    _bounds(between, coefficients, count, room)
    for v in range(TILE):
        room.enough[v] = lanes.value[v] - MORE * room.enough[v]
        aside = abs(lanes.shift[v])
        flat = aside < INSIDE and abs(lanes.move[v]) <= SETTLED
        clear = room.work[BEND // TILE, v] / room.clear[v] - HALF - aside
        room.clear[v] = max(clear, ZERO) if flat else ZERO
    for v in range(width):
        if lanes.value[v] < MOST:
            if lanes.value[v] > top[begin + v]:
                top[begin + v] = lanes.value[v]
                at[begin + v] += lanes.shift[v]
            if abs(lanes.move[v]) > SETTLED:
                wait(between, coefficients, v, lanes.place[v], begin, top, at, room)


@part
def look_elsewhere(
    between: Any, coefficients: Any, residue: Any, begin: int, width: int, top: Any, at: Any, room: Any
) -> None:
    """Try every other sample of the tile that is high enough; residue : (L, TILE)."""
    length = np.float32(residue.shape[0])
    for j in range(residue.shape[0]):
        row, sample = residue[j], np.float32(j)
        if above(row, room.enough, room.clear, room.stand, sample, length) > ZERO:
            for v in range(width):
                if row[v] > room.enough[v] and apart(sample, room.stand[v], length) > room.clear[v]:
                    wait(between, coefficients, v, j, begin, top, at, room)


@part
def above(row: Any, enough: Any, clear: Any, stand: Any, sample: Any, length: Any) -> Any:
    """In how many lanes a sample is high enough and not near where the peak stands."""
    count = ZERO
    for v in range(TILE):
        high = row[v] if apart(sample, stand[v], length) > clear[v] else -MOST
        count += ONE if high > enough[v] else ZERO
    return count


@inlined
def apart(sample: Any, other: Any, length: Any) -> Any:
    """How many samples lie between two, on the circle; all float32."""
    away = abs(sample - other)
    return min(away, length - away)


@part
def wait(
    between: Any, coefficients: Any, voxel: int, sample: int, begin: int, top: Any, at: Any, room: Any
) -> None:
    """Let a sample of a voxel of the tile wait for its turn, which comes when there are enough of them."""
    lane, kept, column, to = room.count[0], room.tile.kept[voxel], np.uint64(voxel), room.coefficients
    room.who[lane], room.more.place[lane] = begin + voxel, sample
    for k in range(between.rank.size):
        cosine, sine = np.uint64(between.rows[k, 0]), np.uint64(between.rows[k, 1])
        has = between.rank[k] < kept
        to[np.uint64(2 * k), np.uint64(lane)] = coefficients[cosine, column] if has else ZERO
        to[np.uint64(2 * k + 1), np.uint64(lane)] = coefficients[sine, column] if has else ZERO
    room.count[0] = lane + 1
    if lane + 1 == TILE:
        try_waiting(between, top, at, room)


@part
def try_waiting(between: Any, top: Any, at: Any, room: Any) -> None:
    """Climb from the samples that wait; where one leads higher, that is the voxel's top."""
    length, lanes = between.turn.shape[0], room.more
    lanes.shift[:], lanes.move[:], lanes.value[:] = ZERO, AFAR, -MOST
    for turn in range(ROUNDS + 1 if room.count[0] > 0 else 0):
        reach = NARROW if turn > 0 else WIDE
        climb(between, room.coefficients, room.rows, room.rank, room.rank.size, reach, lanes, room.work)
        if turn > 0 and np.abs(lanes.move[: room.count[0]]).max() <= SETTLED:
            break
    for lane in range(room.count[0]):
        voxel = room.who[lane]
        if lanes.value[lane] > top[voxel]:
            sample = lanes.place[lane]
            sample -= length if 2 * sample >= length else 0
            top[voxel], at[voxel] = lanes.value[lane], np.float32(sample) + lanes.shift[lane]
    room.count[0] = 0


@part
def _bounds(between: Any, coefficients: Any, count: int, room: Any) -> None:
    """The sums of w^2 r/8 and of w^3 r/3, and hardly more, of each lane of the tile."""
    slack, cubic, kept = room.enough, room.clear, room.tile.kept
    slack[:], cubic[:] = ZERO, LEAST
    for k in range(count):
        cosine, sine = coefficients[between.rows[k, 0]], coefficients[between.rows[k, 1]]
        rank, square, cube = between.rank[k], between.weight[k, ORDERS], between.weight[k, ORDERS + 1]
        for v in range(TILE):
            a, b = abs(cosine[v]), abs(sine[v])
            size = max(a, b) + CORNER * min(a, b) if rank < kept[v] else ZERO
            slack[v] += square * size
            cubic[v] += cube * size
