"""HDF5 as the store writes it: built in memory, checksummed, packed, in a format of 2016 that all can read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bolus.errors import BolusError, Code

FORMAT = ("v110", "v110")
"""Bounds of the file format: old enough for every HDF5 from 1.10 on, new enough to checksum its own tables."""
MOST_VALUES = 1 << 16
MEND = "Build it again: bolus run BIDS_DIR OUT_DIR group; a shard that is as recorded is kept."


def packed(fill: Callable[[Any], None]) -> memoryview:
    """The bytes of the HDF5 file that `fill` fills; HDF5 itself never meets a disk that may be full."""
    import h5py

    buffer = BytesIO()
    with h5py.File(buffer, "w", libver=FORMAT) as file:
        fill(file)
    return buffer.getbuffer()


def add(group: Any, name: str, data: np.ndarray[Any, Any], chunks: tuple[int, ...], portable: bool) -> Any:
    """Add an array in chunks of the given shape, each with a checksum, packed for speed or for any reader."""
    return group.create_dataset(
        name, data=data, chunks=chunks, fletcher32=True, track_times=False, **_filter(portable)
    )


def add_table(group: Any, name: str, values: np.ndarray[Any, Any]) -> Any:
    """Add a small array that every HDF5 can read, whatever the maps are packed with."""
    if not values.size:
        return group.create_dataset(name, data=values, track_times=False)
    chunks = (min(len(values), 4096), *values.shape[1:])
    return add(group, name, values, chunks, portable=True)


def add_text(group: Any, name: str, values: list[str]) -> Any:
    """Add strings, UTF-8 of one length: those of any length lie in a heap for which HDF5 has no checksum."""
    import h5py

    raw = [value.encode() for value in values]
    longest = max(1, *map(len, raw))
    return add_table(group, name, np.array(raw, h5py.string_dtype("utf-8", longest)))


def add_virtual(group: Any, name: str, layout: Any) -> Any:
    """Add a virtual data set, NaN where it has no source; no time is kept in it, so equal ones are equal bytes."""
    layout.dcpl.set_obj_track_times(False)
    return group.create_virtual_dataset(name, layout, fillvalue=np.nan)


def chunk_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How one map is cut: along its last axes, into pieces of at most 2^16 values."""
    chunk = list(shape)
    for axis in reversed(range(len(shape))):
        if math.prod(chunk) > MOST_VALUES:
            rest = math.prod(chunk) // chunk[axis]
            chunk[axis] = max(1, MOST_VALUES // rest)
    return tuple(chunk)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file of the store for reading; what is gone or damaged is refused, now or when it is read.

    Raises BolusError: E_PATH, E_PERM, E_CORRUPT.
    """
    import h5py

    register()
    try:
        # No lock: the file never changes, and many network file systems have none to give.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileNotFoundError as error:
        seen, expected = "no such file", "the file of the cohort store that cohort.h5 counts on"
        raise BolusError(Code.PATH, path, seen, expected, MEND) from error
    except PermissionError as error:
        mend = "Ask its owner for read permission (`chmod`, `setfacl`)."
        raise BolusError(Code.PERM, path, "permission denied", "a file this user may read", mend) from error
    except (OSError, KeyError, RuntimeError) as error:
        seen = f"a damaged file ({' '.join(str(error).split())})"
        raise BolusError(Code.CORRUPT, path, seen, "the file as it was written", MEND) from error


def register() -> None:
    """Make bitshuffle with zstd known to HDF5 in this process."""
    import hdf5plugin  # noqa: F401


def _filter(portable: bool) -> dict[str, Any]:
    if portable:
        return {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    import hdf5plugin

    return dict(hdf5plugin.Bitshuffle(cname="zstd", clevel=1))
