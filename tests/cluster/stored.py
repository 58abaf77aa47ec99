"""A finished run that never ran: tiny maps and their records, for what the group level makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bolus import nifti
from bolus.series import Grid, Stamp
from bolus_cluster.ledger.records import Record, enter, sha256

SHAPE = (6, 5, 4)
ROOM = "dsc/6x5x4"
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
Maps = Mapping[str, NDArray[np.float32]]


def finished(
    out: Path,
    subject: str,
    maps: Maps,
    *,
    modality: str = "dsc",
    session: str | None = None,
    units: str = "s",
    affine: NDArray[np.float64] = AFFINE,
    step: float | None = None,
    numbers: Mapping[str, float] | None = None,
    slope: float = 1.0,
    inter: float = 0.0,
) -> Record:
    """Write the maps (file ending -> array) with their sidecars, and enter the scan as done."""
    name = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    folder = Path(f"sub-{subject}", *([f"ses-{session}"] if session else []), "perf")
    (out / folder).mkdir(parents=True, exist_ok=True)
    outputs = {}
    for ending, data in maps.items():
        shape = (data.shape[0], data.shape[1], data.shape[2])
        grid = Grid(shape, affine, (2.0, 2.0, 5.0), affine, 1, affine, 1)
        image, sidecar = (folder / f"{name}_{ending}{kind}" for kind in (".nii.gz", ".json"))
        nifti.save(out / image, np.asfortranarray(data), grid, tr=step, slope=slope, inter=inter)
        (out / sidecar).write_text(json.dumps({"Units": units, "Description": f"the {ending}"}))
        for path in (image, sidecar):
            state = (out / path).stat()
            outputs[str(path)] = Stamp(sha256(out / path), state.st_size, state.st_mtime_ns)
    record = Record(
        f"{name}_{modality}", subject, session, modality, "done",
        outputs=outputs, numbers=numbers or {}, signature="s",
    )  # fmt: skip
    enter(out, record)
    return record


def random_map(seed: int, shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(seed).gamma(4, 10, shape).astype(np.float32)


def cohort(
    out: Path, scans: int, endings: tuple[str, ...] = ("cbf", "mtt")
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """So many finished scans; gives their maps by the ledger's name of the scan."""
    made = {}
    for number in range(scans):
        maps = {ending: random_map(100 * number + at) for at, ending in enumerate(endings)}
        record = finished(
            out, f"{number:04d}", maps, numbers={"median_cbf": float(np.median(maps[endings[0]]))}
        )
        made[record.scan] = maps
    return made
