"""The demonstration: a small cohort whose truth is known, processed, and truth set against estimate."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bolus import nifti
from bolus.errors import BolusError, Code
from bolus.phantom import write_cohort
from bolus.series import Array
from bolus_cluster import progress
from bolus_cluster.plan import Plan, Request, plan
from bolus_cluster.run import run_cohort

SUBJECTS, SNR = 2, 200.0
TRUTH = Path("derivatives", "phantom")
NOT_SHOWN = ("air", "skull", "scalp", "csf", "artery", "vein")


@dataclass(frozen=True)
class Column:
    """A quantity in a table: its name and unit, and how its files end: truth, estimate, posterior SD."""

    name: str
    unit: str
    truth: str
    estimate: str
    deviation: str | None = None


COLUMNS = {
    "dsc": (
        Column("CBF", "ml/100g/min", "desc-dsc_cbf", "desc-osvd_cbf"),
        Column("CBV", "ml/100g", "desc-dsc_cbv", "desc-bsw_cbv"),
        Column("MTT", "s", "desc-dsc_mtt", "desc-osvd_mtt"),
    ),
    "asl": (
        Column("CBF", "ml/100g/min", "desc-asl_cbf", "cbf", "desc-sd_cbf"),
        Column("ATT", "s", "desc-asl_att", "att", "desc-sd_att"),
    ),
}


def run_demo(out: Path) -> int:
    """Make the cohort in `out`/data unless it is there, its maps in `out`/maps, and print both.

    Gives the exit code of the run. Raises BolusError: E_PATH where `out`/data holds something else, and
    whatever a run raises; OSError.
    """
    console = Console()
    data, maps = out / "data", out / "maps"
    _make(data, console)
    todo = plan(Request(data, maps))
    console.print(f"Processing {len(todo.met)} scans ...")
    with progress.watching(len(todo.tasks)) as watch:
        summary = run_cohort(todo, watch)
    if summary.exit_code == 0:
        for contrast in COLUMNS:
            console.print(_table(todo, contrast))
        console.print(
            f"Medians over both subjects, signal-to-noise {SNR:g}; after ± the median SD of a voxel."
        )
        console.print(
            "oSVD damps the peak of the residue: its CBF comes out low, its MTT high, CBV does not."
        )
    console.print(f"The scans are in {data}, their truth in {data / TRUTH},", soft_wrap=True)
    console.print(f"the maps in {maps}, one row per scan in {maps / 'scans.tsv'}.", soft_wrap=True)
    console.print("Next, with your own data: bolus run BIDS_DIR OUT_DIR participant", soft_wrap=True)
    return summary.exit_code


def _make(data: Path, console: Console) -> None:
    if (data / TRUTH / "dseg.tsv").is_file():
        return
    if data.exists():
        mend = "Name another folder: bolus demo OUT_DIR."
        raise BolusError(Code.PATH, data, "a folder that is not the demo's", "a new folder", mend)
    console.print(f"Making {SUBJECTS} synthetic subjects in {data} ...")
    # Under another name until it is whole, so that a demo that was ended begins anew.
    begun = data.with_name(f".{data.name}.tmp")
    shutil.rmtree(begun, ignore_errors=True)
    write_cohort(begun, SUBJECTS, snr=SNR)
    begun.replace(data)


def _table(done: Plan, contrast: str) -> Table:
    request = done.request
    with (request.root / TRUTH / "dseg.tsv").open(encoding="utf-8", newline="") as file:
        classes = {row["name"]: int(row["index"]) for row in csv.DictReader(file, delimiter="\t")}
    scans = [key.removesuffix(f"_{contrast}") for key in sorted(done.met) if key.endswith(f"_{contrast}")]
    labels = _pooled(request.root / TRUTH, scans, f"desc-{contrast}_dseg")
    units = ", ".join(f"{column.name} in {column.unit}" for column in COLUMNS[contrast])
    table = Table(title=f"{contrast.upper()}: {units}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("tissue", no_wrap=True)
    table.add_column("voxels", justify="right")
    columns = []
    for column in COLUMNS[contrast]:
        truth = _pooled(request.root / TRUTH, scans, column.truth)
        estimate = _pooled(request.out, scans, column.estimate)
        deviation = _pooled(request.out, scans, column.deviation) if column.deviation else None
        columns.append((truth, estimate, deviation))
        table.add_column(f"{column.name}\ntrue", justify="right", no_wrap=True)
        table.add_column(f"{column.name}\nfound", justify="right", no_wrap=True)
    for name, index in classes.items():
        inside = labels == index
        if name in NOT_SHOWN or not inside.any():
            continue
        cells = []
        for truth, estimate, deviation in columns:
            cells += [_median(truth[inside]), _median(estimate[inside])]
            if deviation is not None:
                cells[-1] += f" ± {_median(deviation[inside])}"
        table.add_row(name.replace("_", " "), str(int(inside.sum())), *cells)
    return table


def _pooled(root: Path, scans: list[str], ending: str) -> Array:
    """One map of all scans, one voxel after the other: (n,) float32."""
    found = []
    for scan in scans:
        path = root.joinpath(scan.split("_")[0], "perf", f"{scan}_{ending}.nii.gz")
        found.append(nifti.load(path)[0].scaled().ravel(order="F"))
    return np.concatenate(found)


def _median(values: Array) -> str:
    finite = values[np.isfinite(values)]
    return f"{np.median(finite):.2f}" if finite.size else "-"
