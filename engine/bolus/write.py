"""Write: Maps -> NIfTI and JSON below the output folder; whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bolus import nifti
from bolus.recipe import Recipe, signature, version
from bolus.series import AIF, Grid, Map, Maps, Outcome

HIDDEN = ".tmp-"
"""How the name of an unfinished file begins; whatever bears it after a run is rubbish."""
AT_ONCE = 4
"""Files that are forced to disk at a time: more are hardly sooner there, and their threads cost time of their own."""


def write(maps: Maps, out: Path, recipe: Recipe) -> Outcome:
    """Write every map with its sidecar, and the arterial input; nothing gets its name before all is on disk.

    Gives the files (below `out`) with their SHA-256. Raises OSError when the disk is full or not writable;
    then no file of this scan has appeared or changed.
    """
    folder = out / maps.scan.folder
    folder.mkdir(parents=True, exist_ok=True)
    shared = lines_of(_provenance(maps, recipe))
    hashes = {}
    with _whole(folder) as put:
        for item in maps.items:
            stem = f"{maps.scan.name}_{item.ending}"
            image = nifti.encode(item.data, maps.grid, item.step)
            hashes[stem + ".nii.gz"] = put(stem + ".nii.gz", image)
            hashes[stem + ".json"] = put(
                stem + ".json", as_json([*lines_of(_sidecar(item)), *shared]).encode()
            )
        if maps.aif is not None:
            stem = f"{maps.scan.name}_aif"
            hashes[stem + ".tsv"] = put(stem + ".tsv", aif_table(maps.aif))
            told = lines_of(_aif_sidecar(maps.aif, maps.grid))
            hashes[stem + ".json"] = put(stem + ".json", as_json([*told, *shared]).encode())
    below = maps.scan.folder
    outputs = {str(below / name): digest for name, digest in sorted(hashes.items())}
    voxels = int(next(item.data.sum() for item in maps.items if item.ending.startswith("label-brain")))
    return Outcome(outputs, maps.sources, maps.device, voxels, maps.numbers, maps.warnings)


def _sidecar(item: Map) -> dict[str, Any]:
    """What the JSON beside one map says before what all files of its scan share: unit, method, every constant."""
    return {
        "Units": item.unit,
        "Description": item.description,
        "Method": item.method,
        "Parameters": item.parameters,
        "Equation": item.equation,
        "Reference": item.paper,
    }


def aif_table(aif: AIF) -> bytes:
    """The arterial input as a table of time (s) and delta R2* (1/s), one row a volume."""
    lines = [f"{time:.6g}\t{value:.9g}" for time, value in zip(aif.time, aif.concentration, strict=True)]
    return ("\n".join(["time\tdelta_r2star", *lines]) + "\n").encode()


def _aif_sidecar(aif: AIF, grid: Grid) -> dict[str, Any]:
    nx, ny = grid.shape[:2]
    voxels = [[int(row % nx), int(row // nx % ny), int(row // (nx * ny))] for row in aif.voxels]
    return {
        "time": {"Units": "s", "Description": "time since the first volume of the series"},
        "delta_r2star": {"Units": "1/s", "Description": "relaxation of the arterial input function"},
        "Method": aif.how,
        "Voxels": voxels,
        "Quality": aif.quality,
    }


def _provenance(maps: Maps, recipe: Recipe) -> dict[str, Any]:
    """Source files and their hashes, device, version and recipe: the same in every sidecar of a scan."""
    above = os.path.commonpath([Path(path).parent for path in maps.sources])  # not the machine's folders
    hashes = {os.path.relpath(path, above): digest for path, digest in sorted(maps.sources.items())}
    return {
        "Sources": list(hashes),
        "SourceHashes": hashes,
        "Device": maps.device,
        "GeneratedBy": [{"Name": "bolus", "Version": version()}],
        "RecipeHash": signature(recipe, maps.scan.contrast),
        "Warnings": list(maps.warnings),
    }


def as_json(lines: Sequence[str]) -> str:
    """The lines of one table or several as JSON."""
    return "{\n" + ",\n".join(lines) + "\n}\n"


def lines_of(content: Mapping[str, Any]) -> list[str]:
    """A line for each key of a table and of the tables in it; what lies deeper stays on its line."""
    lines = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows = ",\n".join(f"    {_line(inner)}: {_line(told)}" for inner, told in value.items())
            lines.append(f"  {_line(key)}: {{\n{rows}\n  }}")
        else:
            lines.append(f"  {_line(key)}: {_line(value)}")
    return lines


_line = json.JSONEncoder(ensure_ascii=False).encode


@contextmanager
def _whole(folder: Path) -> Iterator[Callable[[str, bytes], str]]:
    """Give a function that puts a file by name and gives its SHA-256; all get their names at the end, or none.

    A file that is there already with the same content stays as it is.
    A disk takes many files at once in little more than the time of one, so each is forced to disk by a thread of
    its own while the next is encoded.
    """
    settled: dict[str, Future[None]] = {}
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:

            def put(name: str, data: bytes) -> str:
                if not _holds(folder / name, data):
                    settled[name] = pool.submit(_settle, folder / f"{HIDDEN}{name}", data)
                return hashlib.sha256(data).hexdigest()

            yield put
        for written in settled.values():
            written.result()
        for name in list(settled):
            (folder / f"{HIDDEN}{name}").replace(folder / name)
            del settled[name]
        _sync_folder(folder)
    except OSError as error:
        error.filename = str(
            folder
        )  # a full disk does not say where it is, and nobody knows the hidden names
        raise
    finally:
        for name in settled:
            (folder / f"{HIDDEN}{name}").unlink(missing_ok=True)


def _settle(temporary: Path, data: bytes) -> None:
    """Force a file to disk under its hidden name."""
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.stat().st_size == len(data) and file.read_bytes() == data
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
