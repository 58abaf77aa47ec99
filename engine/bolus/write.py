"""Write: Maps -> NIfTI and JSON below the output folder; whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from bolus import nifti
from bolus.recipe import Recipe, signature, version
from bolus.series import AIF, Grid, Map, Maps, Outcome, Stamp

HIDDEN = ".tmp-"
"""How the name of an unfinished file begins; whatever bears it after a run is rubbish."""


def write(maps: Maps, out: Path, recipe: Recipe) -> Outcome:
    """Write every map with its sidecar, and the arterial input; nothing gets its name before all is on disk.

    Raises OSError when the disk is full or not writable; then no file of this scan has appeared or changed.
    """
    return begin(maps, out, recipe).settle()


def begin(maps: Maps, out: Path, recipe: Recipe) -> Written:
    """As `write`, but what it gives still has to be settled, while something else is done; raises OSError."""
    folder = out / maps.scan.folder
    folder.mkdir(parents=True, exist_ok=True)
    shared = lines_of(_provenance(maps, recipe))
    voxels = int(next(item.data.sum() for item in maps.items if item.ending.startswith("label-brain")))
    outcome = Outcome({}, maps.sources, maps.device, voxels, maps.numbers, maps.warnings)
    with Written(folder, maps.scan.folder, outcome) as written:
        for item in maps.items:
            stem = f"{maps.scan.name}_{item.ending}"
            written.put(stem + ".nii.gz", nifti.encode(item.data, maps.grid, item.step))
            written.put(stem + ".json", as_json([*lines_of(_sidecar(item)), *shared]).encode())
        if maps.aif is not None:
            stem = f"{maps.scan.name}_aif"
            written.put(stem + ".tsv", aif_table(maps.aif))
            told = lines_of(_aif_sidecar(maps.aif, maps.grid))
            written.put(stem + ".json", as_json([*told, *shared]).encode())
        written.start()
    return written


class Written:
    """The files of a scan under hidden names, on their way to the disk: all get their own at the end, or none.

    A file that is there already with the same content stays as it is. In a `with` nothing is left behind an exception.
    """

    def __init__(self, folder: Path, below: Path, outcome: Outcome) -> None:
        self._folder, self._below = str(folder), below
        self.outcome = outcome  # but for its outputs, which are there once it is settled
        self._begun: dict[str, str] = {}  # SHA-256
        self._stamps: dict[str, Stamp] = {}

    def put(self, name: str, data: bytes) -> None:
        """One more file."""
        sha = hashlib.sha256(data).hexdigest()
        if state := _held(f"{self._folder}/{name}", data):
            self._stamps[name] = _stamp(sha, state)
            return
        self._begun[name] = sha
        with open(self._hidden(name), "wb") as file:  # noqa: PTH123
            file.write(data)

    def start(self) -> None:
        """Have the disk begin with all of them: so it takes many in little more than the time of one."""
        if hasattr(os, "posix_fadvise"):  # without it they are taken one after another, in `settle`
            for name in self._begun:
                _after(self._hidden(name), _begin)

    def settle(self) -> Outcome:
        """Wait until all are on disk, and give them their names; raises OSError with nothing left behind."""
        with self:
            states = [_after(self._hidden(name), os.fsync) for name in self._begun]
            for (name, sha), state in zip(self._begun.items(), states, strict=True):
                self._stamps[name] = _stamp(sha, state)
            for name in list(self._begun):
                os.replace(self._hidden(name), f"{self._folder}/{name}")  # noqa: PTH105
                del self._begun[name]
            _after(self._folder, os.fsync)
        stamps = {f"{self._below}/{name}": stamp for name, stamp in sorted(self._stamps.items())}
        return replace(self.outcome, outputs=stamps)

    def drop(self) -> None:
        """Remove what has not got its name."""
        for name in self._begun:
            Path(self._hidden(name)).unlink(missing_ok=True)

    def _hidden(self, name: str) -> str:
        return f"{self._folder}/{HIDDEN}{name}"  # of some forty files: Path would take as long as the disk

    def __enter__(self) -> Written:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.drop()
        if isinstance(error, OSError):  # a full disk does not say where it is, and nobody knows hidden names
            error.filename = self._folder


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


def _held(file: str, data: bytes) -> os.stat_result | None:
    """The state of a file that holds just this; None for another, or none."""
    try:
        state = os.stat(file)  # noqa: PTH116
        return state if state.st_size == len(data) and Path(file).read_bytes() == data else None
    except OSError:
        return None


def _stamp(sha: str, state: os.stat_result) -> Stamp:
    return Stamp(sha, state.st_size, state.st_mtime_ns)


def _begin(handle: int) -> None:
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _after(path: str, act: Callable[[int], None]) -> os.stat_result:
    """The state of a file or folder after something was done with it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        act(handle)
        return os.fstat(handle)
    finally:
        os.close(handle)
