"""Every ASL input of BIDS from the command line: blood flow against truth, and a missing field by its name."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reference.kinetics import single_delay
from bolus.nifti import load
from tests.cluster.asl_inputs import BASE, BY_FIELD, CASES, NEEDED, SHAPE, Case
from tests.engine import labelled
from tests.engine.labelled import ARRIVAL, FLOW, PARTITION, head

PLAIN = [name for name, case in CASES.items() if not case.sets]


def run(data: Path, out: Path, *options: str) -> dict[str, dict[str, str]]:
    """`bolus run`, as a user calls it; the rows of its table by subject."""
    command = [
        sys.executable,
        "-c",
        "from bolus_cluster.cli import main; main()",
        "run",
        str(data),
        str(out),
        "participant",
    ]
    done = subprocess.run([*command, "--workers", "2", *options], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    with (out / "scans.tsv").open(newline="") as file:
        return {row["scan"].removesuffix("_asl"): row for row in csv.DictReader(file, delimiter="\t")}


def write(root: Path, name: str, case: Case) -> None:
    """One subject of a data set."""
    part = root / f"part-{name}"
    case.layout(name).write(part, case.voxels(name))
    (part / f"sub-{name}").rename(root / f"sub-{name}")
    (root / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "data").mkdir()
    for name in PLAIN:
        write(folder / "data", name, CASES[name])
    return folder / "maps", run(folder / "data", folder / "maps", "--set", "asl.t1_relaxation=tissue")


def image(out: Path, name: str, ending: str) -> np.ndarray:
    return load(out / f"sub-{name}" / "perf" / f"sub-{name}_{ending}.nii.gz")[0].scaled()


def check(out: Path, name: str, case: Case, row: dict[str, str]) -> None:
    """Several delays against the flow itself, one delay against the published formula of what was shown."""
    assert row["state"] == ("done_with_warnings" if case.warns else "done"), row
    warned = row["message"]
    assert case.warns in warned
    brain = image(out, name, "label-brain_desc-asl_mask") == 1
    cbf = image(out, name, "cbf")
    several = (out / f"sub-{name}" / "perf" / f"sub-{name}_att.nii.gz").exists()
    for tissue in FLOW:
        inside = head(SHAPE)[tissue] & brain
        assert inside.sum() > 50
        found = np.where(inside, cbf, np.nan)
        if several:
            assert np.nanmedian(found) == pytest.approx(FLOW[tissue], rel=0.02)
            att = image(out, name, "att")[inside]
            assert np.median(att) == pytest.approx(ARRIVAL[tissue], abs=0.03)
            continue
        made = case.layout(name)
        made.meta |= case.made
        delay, duration = (times[times > 0][0] for times in made.timing())
        labeling, field = made.meta["ArterialSpinLabelingType"], made.meta["MagneticFieldStrength"]
        shown = made.held(tissue)[np.flatnonzero(made.timing()[0])[0]]
        slices = np.flatnonzero(inside.any((0, 1)))
        assert slices.size > 3
        for z in slices:
            expected = single_delay(
                labeling, shown[z], delay + made.late()[z], duration, efficiency=made.efficiency(),
                t1_blood=BY_FIELD[field][0], partition_coefficient=PARTITION,
            )  # fmt: skip
            m0 = labelled.BRIGHTNESS[tissue] / 1000 if made.meta["M0Type"] == "Estimate" else 1.0
            assert np.nanmedian(found[..., z]) == pytest.approx(m0 * expected, rel=2e-3), (tissue, z)


@pytest.mark.parametrize("name", PLAIN)
def test_an_input_gives_its_blood_flow(finished: tuple[Path, dict[str, dict[str, str]]], name: str) -> None:
    out, rows = finished
    check(out, name, CASES[name], rows[f"sub-{name}"])


@pytest.mark.parametrize("name", [name for name in CASES if name not in PLAIN])
def test_an_input_that_needs_a_key_gives_its_blood_flow(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", name, CASES[name])
    sets = [word for text in CASES[name].sets for word in ("--set", text)]
    rows = run(tmp_path / "data", tmp_path / "maps", *sets)
    check(tmp_path / "maps", name, CASES[name], rows[f"sub-{name}"])


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for key, says in NEEDED.items():
        write(tmp_path / "data", key, Case(says))
        path = tmp_path / "data" / f"sub-{key}" / "perf" / f"sub-{key}_asl.json"
        said = {k: v for k, v in (BASE | says).items() if v is not None and k != key}
        path.write_text(json.dumps(said))
    rows = run(tmp_path / "data", tmp_path / "maps")
    for key in NEEDED:
        row = rows[f"sub-{key}"]
        assert (row["state"], row["code"]) == ("failed", "E_META"), row
        assert f"no {key}" in row["message"], row
