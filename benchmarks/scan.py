"""Whole scans, DSC and ASL, files to files, against nothing but inflating their inputs and deflating their outputs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from isal import isal_zlib

from bolus import nifti
from bolus.bids import find_scans
from bolus.compute import compute
from bolus.phantom import write_cohort
from bolus.pipeline import process
from bolus.prepare import prepare
from bolus.read import read
from bolus.recipe import load
from bolus.series import Scan
from bolus.write import write
from bolus_kernels.device import cpu

SHAPE, VOLUMES = (128, 128, 20), 60
ASL_DESIGN, ASL_PAIRS = (86, 86, 24), 6
"""The phantom's DSC shape beside which its ASL has 64 x 64 x 24 voxels, and pairs of each of its 8 delays."""
ROUNDS = 8
RECIPES = {
    "DSC, as it comes": (),
    "DSC, bayes": ("dsc.deconvolution=bayes",),
    "DSC, oSVD with 100 bootstrap samples": ("dsc.bootstrap=100",),
    "ASL, as it comes": (),
    "ASL, with blood in arteries": ("asl.arterial=true",),
}
"""Recipes whose verbs are timed one by one: what a faster computation could save of a scan."""
Row = dict[str, Any]


def measure() -> list[Row]:
    """Scans per second of CPU time on one core, default recipe, all maps written; the ratio is the share of time."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_cohort(root / "dsc", 1, shape=SHAPE, volumes=VOLUMES, contrasts=("dsc",))
        write_cohort(root / "asl", 1, sessions=2, shape=ASL_DESIGN, contrasts=("asl",))
        _one_series(root / "asl" / "sub-01")
        scans = {name: find_scans(root / name)[0].scan for name in ("dsc", "asl")}
        what = {
            "dsc": "DSC scan {}, oSVD + BSW, {} maps",
            "asl": "ASL scan {}, posterior of 8 delays, {} maps",
        }
        whole = [_row(what[name], scan, root / "maps" / name) for name, scan in scans.items()]
        parts = [
            _parts(kind, scans[kind[:3].lower()], sets, root / "parts") for kind, sets in RECIPES.items()
        ]
        return [*whole, *parts]


def _one_series(subject: Path) -> None:
    """Both sessions of a phantom as one series in the first: so many pairs of each delay, one delay after another."""
    series = sorted(subject.glob("ses-*/perf/*_asl.nii.gz"))
    images = [nifti.load(path)[0] for path in series]
    sidecar_of = series[0].with_name(series[0].name.replace(".nii.gz", ".json"))
    sidecar = json.loads(sidecar_of.read_text())
    delays = np.tile(sidecar["PostLabelingDelay"], len(images))
    kept = np.concatenate([np.flatnonzero(delays == one)[: 2 * ASL_PAIRS] for one in np.unique(delays)])
    data = np.concatenate([image.data for image in images], axis=3)[..., kept]
    nifti.save(
        series[0], np.asfortranarray(data), images[0].grid, slope=images[0].slope, inter=images[0].inter
    )
    sidecar |= {"PostLabelingDelay": delays[kept].tolist(), "TotalAcquiredPairs": len(kept) // 2}
    sidecar_of.write_text(json.dumps(sidecar))
    context = ["volume_type", *("control", "label") * (len(kept) // 2)]
    table = series[0].with_name(series[0].name.replace("asl.nii.gz", "aslcontext.tsv"))
    table.write_text("\n".join(context) + "\n")
    for path in series[1].parent.iterdir():
        path.unlink()


def _row(what: str, scan: Scan, out: Path) -> Row:
    recipe = load(None)
    packed = [path.read_bytes() for path in (*scan.images, *scan.m0)]

    def whole() -> None:
        process(scan, out, recipe, cpu())

    whole()  # compiles what has to be
    maps = [nifti.load(path)[0].data for path in sorted(out.rglob("*.nii.gz"))]
    outputs = [data.tobytes(order="F") for data in maps]

    def bare() -> None:
        for raw in packed:
            isal_zlib.decompress(raw, 31)
        for data in outputs:
            packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
            packer.compress(data)
            packer.flush()

    seconds = {"whole": np.inf, "bare": np.inf}
    for _ in range(ROUNDS):  # interleaved, because other work on the machine comes and goes
        for name, work in (("whole", whole), ("bare", bare)):
            seconds[name] = min(seconds[name], _cpu_seconds(work))
    shape = "x".join(map(str, nifti.load(scan.images[0])[0].data.shape))
    return {
        "what": what.format(shape, len(outputs)),
        "rate": 1 / seconds["whole"],
        "ratio": seconds["whole"] / seconds["bare"],
        "against": "the CPU time of inflating and deflating alone (isal)",
    }


def _cpu_seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _parts(kind: str, scan: Scan, sets: Sequence[str], out: Path) -> Row:
    """How a scan's CPU time falls on its four verbs; a faster `compute` alone makes it at most `most` times as fast."""
    recipe, device = load(None, sets), cpu()
    least = dict.fromkeys(("read", "prepare", "compute", "write"), np.inf)
    for turn in range(1 + ROUNDS // 2):
        marks = [time.process_time()]
        series = read(scan)
        marks.append(time.process_time())
        curves = prepare(series, recipe)
        marks.append(time.process_time())
        maps = compute(curves, recipe, device)
        marks.append(time.process_time())
        write(maps, out, recipe)
        marks.append(time.process_time())
        if turn:  # the first compiles
            for verb, seconds in zip(least, np.diff(marks), strict=True):
                least[verb] = min(least[verb], float(seconds))
    total = sum(least.values())
    most = total / (total - least["compute"])
    shares = ", ".join(f"{verb} {100 * seconds / total:.0f} %" for verb, seconds in least.items())
    said = f"{total:.3f} s: {shares}; were computing free, {most:.1f} times as fast"
    return {"what": f"verbs of a scan: {kind}", "said": said, "seconds": least, "most": most}
