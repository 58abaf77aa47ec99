"""One scan -> one immutable shard: its maps as float32, read from their NIfTI files and held against the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.disk import read_text
from bolus.errors import BolusError, Code
from bolus.series import Array, Grid
from bolus_cluster.ledger.records import DONE, Record, look_up
from bolus_cluster.store import hdf5
from bolus_cluster.store.notes import (
    IMAGE,
    SIDECAR,
    Image,
    Shard,
    images_of,
    put,
    readable,
    shard_name,
    standing,
)

AGAIN = (
    "Run `bolus run BIDS_DIR OUT_DIR participant` again: exactly such scans are computed anew; then `group`."
)


@dataclass(frozen=True)
class Order:
    """Which scan's shard is wanted: its name in the ledger, and how to pack it."""

    out: Path
    scan: str
    portable: bool


def make(order: Order) -> str | BolusError | None:
    """The shard of one scan, built unless it stands; gives its name below the output folder.

    A scan whose maps are not as the ledger says is given as the BolusError, one that is not finished as None.
    Raises OSError where the store cannot be written.
    """
    record = look_up(order.out, order.scan)
    if record is None or record.state not in DONE:
        return None
    name = shard_name(record, order.portable)
    if not (standing(order.out, name) and readable(order.out, name)):
        try:
            data, shard = _packed(order, record)
        except BolusError as problem:
            return problem
        put(order.out, name, data, asdict(shard))
    return name


def _packed(order: Order, record: Record) -> tuple[memoryview, Shard]:
    images: dict[str, Image] = {}
    grids: list[Grid] = []

    def fill(file: Any) -> None:
        for ending, output in images_of(record).items():
            values, image, grid = _image(order.out, record, output)
            if grids and not _same(grids[0], grid):
                seen = f"another grid than that of the first map: {grid.shape}, {grid.affine[:3].tolist()}"
                raise BolusError(
                    Code.GEOM, order.out / output, seen, "one grid for all maps of a scan", AGAIN
                )
            grids.append(grid)
            images[ending] = image
            stored = hdf5.add(file, ending, values, hdf5.chunk_of(values.shape), order.portable)
            stored.attrs["units"], stored.attrs["sha256"] = image.units, image.sha256
        if not grids:
            seen = "no map among its outputs"
            raise BolusError(Code.DATA, order.out / record.scan, seen, "at least one map", AGAIN)
        file.attrs["scan"], file.attrs["affine"] = record.scan, grids[0].affine

    data = hdf5.packed(fill)
    affine = tuple(map(tuple, grids[0].affine.tolist()))
    return data, Shard(record.scan, record.subject, record.session, record.modality, affine, images)


def _image(out: Path, record: Record, output: str) -> tuple[NDArray[np.float32], Image, Grid]:
    from bolus import nifti

    volume, sha = nifti.load(out / output)
    _judge(out, record, output, sha)
    sidecar = output.removesuffix(IMAGE) + SIDECAR
    text, told = read_text(out / sidecar)
    _judge(out, record, sidecar, told)
    said = json.loads(text)
    step = volume.time_step if volume.data.ndim == 4 else None
    values: Array = np.ascontiguousarray(_as_nibabel(volume.data, volume.slope, volume.inter))
    image = Image(values.shape, str(said.get("Units", "")), str(said.get("Description", "")), sha, step)
    return values, image, volume.grid


def _as_nibabel(data: Array, slope: float, inter: float) -> NDArray[np.float32]:
    """What `get_fdata(dtype=float32)` gives: unscaled values as they are, scaled ones by way of float64."""
    if (slope, inter) == (1.0, 0.0):
        return data.astype(np.float32)
    return (data * np.float64(slope) + np.float64(inter)).astype(np.float32)


def _judge(out: Path, record: Record, output: str, sha: str) -> None:
    stamp = record.outputs.get(output)
    if stamp is None or stamp.sha256 != sha:
        expected = (
            f"the file that was written, SHA-256 {stamp.sha256[:12]}..." if stamp else "a file of the ledger"
        )
        raise BolusError(Code.CORRUPT, out / output, f"SHA-256 {sha[:12]}...", expected, AGAIN)


def _same(first: Grid, other: Grid) -> bool:
    return first.shape == other.shape and bool(np.array_equal(first.affine, other.affine))
