"""The cohort store: how fast it is built, how large it is, how fast one map and one voxel of all scans are read."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bolus import nifti
from bolus.bids import find_scans
from bolus.phantom import write_cohort
from bolus.pipeline import process
from bolus.recipe import load
from bolus.series import Stamp, Volume
from bolus_cluster.ledger.records import Record, enter, sha256
from bolus_cluster.ledger.verify import Seen, verify
from bolus_cluster.store import read
from bolus_cluster.store.build import build
from bolus_cluster.store.notes import index
from bolus_kernels.device import cpu, processors

SCANS, SHAPE, VOLUMES = 400, (128, 128, 20), 60
ENDINGS = ("desc-osvd_cbf", "desc-osvd_mtt", "desc-bsw_cbv", "desc-dscfit_state")
NAME = "dsc/128x128x20/desc-osvd_cbf"
VOXEL = (slice(70, 71), slice(60, 61), slice(10, 11))
BLOCK = (slice(68, 76), slice(56, 64), slice(8, 12))
ROUNDS = 3
FILES = "one map of all scans, from their .nii.gz"
Row = dict[str, Any]


def measure() -> list[Row]:
    """CPU time on one core with files in the page cache, each against the finished NIfTI files."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "maps"
        _cohort(Path(folder), out)
        images = sorted(out.rglob("*.nii.gz"))
        return [*_built(out, images), *_verified(out), *_read(out, images)]


def _cohort(root: Path, out: Path) -> None:
    """Maps of one phantom scan, a little different in every scan, and their records."""
    write_cohort(root / "data", 1, shape=SHAPE, volumes=VOLUMES, contrasts=("dsc",))
    process(find_scans(root / "data")[0].scan, root / "first", load(None), cpu())
    maps = {ending: next((root / "first").rglob(f"*_{ending}.nii.gz")) for ending in ENDINGS}
    volumes = {ending: nifti.load(path)[0] for ending, path in maps.items()}
    sidecars = {
        ending: path.with_name(path.name.replace(".nii.gz", ".json")) for ending, path in maps.items()
    }
    random = np.random.default_rng(1)
    for number in range(SCANS):
        scan = f"sub-{number:04d}"
        perf = Path(scan, "perf")
        (out / perf).mkdir(parents=True)
        outputs = {}
        for ending, volume in volumes.items():
            image, sidecar = (perf / f"{scan}_{ending}{kind}" for kind in (".nii.gz", ".json"))
            (out / image).write_bytes(nifti.encode(_varied(volume, random), volume.grid))
            (out / sidecar).write_bytes(sidecars[ending].read_bytes())
            for path in (image, sidecar):
                state = (out / path).stat()
                outputs[str(path)] = Stamp(sha256(out / path), state.st_size, state.st_mtime_ns)
        blank = Record(f"{scan}_dsc", scan.removeprefix("sub-"), None, "dsc", "done")
        enter(out, replace(blank, outputs=outputs))


def _varied(volume: Volume, random: np.random.Generator) -> Any:
    if volume.data.dtype != np.float32:
        return volume.data
    noise = random.normal(1, 0.05, volume.data.shape).astype(np.float32)
    return np.asfortranarray(volume.data * noise)


def _built(out: Path, images: list[Path]) -> list[Row]:
    packed = sum(path.stat().st_size for path in images)
    spent, built = _spent(lambda: build(out, workers=processors()))
    again, _ = _spent(lambda: build(out, workers=processors()))
    rechunk, both = _spent(lambda: build(out, workers=processors(), rechunk=True))
    whole = f"{SCANS} scans of {len(ENDINGS)} maps {SHAPE[0]}x{SHAPE[1]}x{SHAPE[2]}"
    size = f"{built.size / 1e6:.0f} MB, {built.size / packed:.2f} of the {packed / 1e6:.0f} MB as .nii.gz"
    more = f"{(both.size - built.size) / 1e6:.0f} MB more"
    return [
        {
            "what": whole,
            "rate": SCANS / spent,
            "said": f"built at {SCANS / spent:.1f} scans/s and core; {size}",
        },
        {
            "what": "the same again, nothing changed",
            "rate": SCANS / again,
            "said": f"{SCANS / again:.0f} scans/s",
        },
        {
            "what": "laid out by voxel as well",
            "rate": SCANS / rechunk,
            "said": f"{SCANS / rechunk:.1f} scans/s and core; {more}",
        },
    ]


def _verified(out: Path) -> list[Row]:
    seen = Seen()
    spent, found = _spent(lambda: list(verify(out, index(out) or {}, seen=seen)))
    said = f"{seen.files / spent:,.0f} files/s, {seen.size / spent / 1e6:,.0f} MB/s and core"
    return [
        {
            "what": f"verify {seen.files} files",
            "rate": seen.files / spent,
            "said": said,
            "failed": bool(found),
        }
    ]


def _read(out: Path, images: list[Path]) -> list[Row]:
    flow = [path for path in images if path.name.endswith(f"_{ENDINGS[0]}.nii.gz")]
    found = read.find(out, NAME)
    only_shards = replace(found, by_voxel=False)
    whole = read.read(found)[0]
    for box in (VOXEL, BLOCK):
        for each in (found, only_shards):
            assert np.array_equal(read.read(each, None, box)[0], whole[(slice(None), *box)], equal_nan=True)

    def files() -> None:
        values = np.empty((len(flow), *SHAPE), np.float32)
        for row, path in enumerate(flow):
            values[row] = nifti.load(path)[0].scaled()

    def straight() -> None:
        with read.raw(out) as file:
            file[f"{NAME.rpartition('/')[0]}/by_voxel/{ENDINGS[0]}"][:, 70, 60, 10]

    cases: dict[str, Callable[[], object]] = {
        FILES: files,
        "one map of all scans": lambda: read.read(only_shards),
        "one voxel of all scans, by scan": lambda: read.read(only_shards, None, VOXEL),
        "one voxel of all scans, by voxel": lambda: read.read(found, None, VOXEL),
        "one voxel of all scans, by voxel, h5py itself": straight,
        "8x8x4 voxels of all scans, by scan": lambda: read.read(only_shards, None, BLOCK),
        "8x8x4 voxels of all scans, by voxel": lambda: read.read(found, None, BLOCK),
    }
    least = dict.fromkeys(cases, np.inf)
    for _ in range(ROUNDS):  # interleaved, because other work on the machine comes and goes
        for what, work in cases.items():
            least[what] = min(least[what], _spent(work)[0])
    against = "one map of all scans from .nii.gz (isal)"
    rows: list[Row] = [  # a rate is scans per second
        {"what": what, "rate": SCANS / spent, "ratio": least[FILES] / spent, "against": against}
        for what, spent in least.items()
    ]
    rates = {row["what"]: row["rate"] for row in rows}
    for what in ("one voxel", "8x8x4 voxels"):
        ratio = rates[f"{what} of all scans, by voxel"] / rates[f"{what} of all scans, by scan"]
        rows.append(
            {"what": f"{what}: by voxel against by scan", "said": f"{ratio:.1f} times", "ratio": ratio}
        )
    return rows


def _spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time (s) of some work in this process and in those it waited for, and what it gave."""

    def now() -> float:
        below = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + below.ru_utime + below.ru_stime

    began = now()
    result = work()
    return now() - began, result
