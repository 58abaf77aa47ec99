"""One cohort of good and spoilt scans from the command line: every bad one is named, no good one is harmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bolus.errors import printable
from bolus.nifti import load
from bolus_cluster.ledger.records import Record, records
from tests.cluster.broken import Case, phantom, place
from tests.cluster.broken_files import BYTES, DATA, DOUBTFUL, HEADERS, WHOLE
from tests.cluster.broken_words import FIELDS, NAMES, SYNTAX, WELL, manifest_of_strangers
from tests.cluster.tools import bolus, contents, table

SPOILT = BYTES | HEADERS | DATA | FIELDS | SYNTAX | NAMES
UNUSUAL = WELL | {name: Case("dsc", spoil, "", "") for name, spoil in WHOLE.items()}
PLAIN = {f"plain{kind}": Case(kind, lambda at: None, "", "") for kind in ("dsc", "asl")}
CASES = SPOILT | UNUSUAL | DOUBTFUL | PLAIN
COUNTS = f"{len(UNUSUAL | PLAIN)} done, {len(DOUBTFUL)} done_with_warnings, {len(SPOILT)} failed"
BOMBS = ("headerbomb", "gzbomb", "overfull")


@dataclass(frozen=True)
class Finished:
    """What the run said and left, and what lay in its input folder before and after."""

    said: subprocess.CompletedProcess[str]
    top: Path
    before: dict[str, tuple[str, int]]

    @property
    def data(self) -> Path:
        return self.top / "data"

    @property
    def out(self) -> Path:
        return self.top / "out"

    def record(self, name: str) -> Record:
        """The entry of one case: of a failure the file says where, of a map the subject."""
        folder = {"parent": "sub-..", "person": "sub-M\u00fcller, J\u00fcrgen; 1954"}.get(name, f"sub-{name}")
        (found,) = [
            one
            for one in records(self.out)
            if (f"/{folder}/" in one.file if one.file else one.subject == name)
        ]
        return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom(tmp_path_factory.mktemp("source") / "data")


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    top = tmp_path_factory.mktemp("broken")
    for name, case in CASES.items():
        case.spoil(place(source, top / "data", name, case.contrast))
    (top / "here").mkdir()
    before = contents(top)
    given = top / "data" / "derivatives" / "given"
    said = bolus(
        "run",
        top / "data",
        top / "out",
        "participant",
        "--workers",
        2,
        "--derivatives",
        given,
        cwd=top / "here",
    )
    return Finished(said, top, before)


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_spoilt_is_named_with_what_was_seen_expected_and_to_do(finished: Finished, name: str) -> None:
    case, record = SPOILT[name], finished.record(name)
    assert (record.state, record.code) == ("failed", case.code), record.message
    assert record.file.endswith(case.file)
    assert not record.outputs
    saw, _, rest = record.message.removeprefix("saw ").partition("; expected ")
    expected, _, mend = rest.partition(". ")
    assert all(len(part) > 3 for part in (saw, expected, mend)), record.message
    for word in case.words:
        assert word in record.message
    (row,) = [row for row in table(finished.out) if row["scan"] == record.scan]
    assert (row["code"], row["file"]) == (case.code, record.file)
    assert row["message"] == " ".join(record.message.split())
    line = f"{record.scan}  failed  {record.code}  {record.file}: {record.message}"
    assert line in finished.said.stderr
    assert len(line) < 900


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_only_unusual_has_the_maps_of_the_plain_scan(finished: Finished, name: str) -> None:
    kind = UNUSUAL[name].contrast
    record, plain = finished.record(name), finished.record(f"plain{kind}")
    assert (record.state, record.message) == (plain.state, plain.message) == ("done", "")
    maps = [path for path in plain.outputs if path.endswith(".nii.gz")]
    assert len(maps) > 5
    for path in maps:
        ours = load(finished.out / path.replace(f"plain{kind}", name))[0]
        theirs = load(finished.out / path)[0]
        np.testing.assert_array_equal(ours.data, theirs.data, err_msg=path)
        np.testing.assert_allclose(ours.grid.affine, theirs.grid.affine, atol=1e-4)


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_doubtful_is_computed_and_told(finished: Finished, name: str) -> None:
    record = finished.record(name)
    assert record.state == "done_with_warnings" and record.outputs
    (row,) = [row for row in table(finished.out) if row["scan"] == record.scan]
    sidecar = json.loads((finished.out / f"sub-{name}/perf/sub-{name}_desc-osvd_cbf.json").read_text())
    for word in DOUBTFUL[name].words:
        assert word in row["message"] and word in " ".join(sidecar["Warnings"])
        assert f"{record.scan}  done_with_warnings" in finished.said.stderr and word in finished.said.stderr


def test_a_row_for_every_scan_and_nothing_but_rows(finished: Finished) -> None:
    assert finished.said.returncode == 1
    rows = table(finished.out)
    assert len(rows) == len(CASES) == len(list(records(finished.out)))
    failed = sorted(row["scan"] for row in rows if row["state"] == "failed")
    assert len(failed) == len(SPOILT) == len(set(failed))
    head, *lines = (finished.out / "scans.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(rows)
    assert {line.count("\t") for line in lines} == {head.count("\t")}
    assert f"{len(rows)} scans: {COUNTS}" in finished.said.stdout
    assert "E_INTERNAL" not in finished.said.stderr and "Traceback" not in finished.said.stderr
    told = [line for line in finished.said.stderr.splitlines() if "are being compiled" not in line]
    assert len(told) == len(rows)
    assert all(line.isprintable() for line in told)


def test_the_status_tells_every_failure_on_a_line_of_its_own(finished: Finished) -> None:
    said = bolus("status", finished.out)
    assert said.returncode == 0
    told = [line for line in said.stdout.splitlines() if line.startswith("  sub-")]
    assert len(told) == len(SPOILT)
    assert f"{len(CASES)} scans: {COUNTS}" in said.stdout
    codes = Counter(case.code for case in SPOILT.values())
    assert "failed: " in said.stdout
    assert all(f"{count} {code}" in said.stdout for code, count in codes.items())


def test_nothing_is_written_but_in_the_output_folder(finished: Finished) -> None:
    outside = {name: found for name, found in contents(finished.top).items() if not name.startswith("out/")}
    assert outside == finished.before
    assert sorted(path.name for path in finished.top.iterdir()) == ["data", "here", "out"]
    good = {f"sub-{name}" for name in CASES if name not in SPOILT}
    assert {path.name for path in finished.out.glob("sub-*")} == good
    assert not [path for path in finished.out.rglob("*") if path.is_symlink() or ".tmp-" in path.name]


def test_a_rerun_tries_the_spoilt_ones_again_and_touches_nothing_else(finished: Finished) -> None:
    maps = {name: found for name, found in contents(finished.out).items() if "/perf/" in name}
    said = bolus(
        "run", finished.data, finished.out, "participant", "--workers", 1, "--derivatives",
        finished.data / "derivatives" / "given",
    )  # fmt: skip
    assert said.returncode == 1
    assert f"{len(CASES) - len(SPOILT)} stood as they were" in said.stdout
    assert {name: found for name, found in contents(finished.out).items() if "/perf/" in name} == maps


PEAK = """
import resource, sys
from bolus_cluster.cli import main
try:
    main(sys.argv[1:])
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(finished: Finished, out: Path, *names: str) -> int:
    """Bytes that a run over some scans took at most."""
    told = ["--participant-label", ",".join(names), "--workers", "1"]
    said = subprocess.run(
        [sys.executable, "-c", PEAK, "run", finished.data, out, "participant", *told],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"{len(names)} failed" in said.stdout, said.stderr
    return int(said.stdout.rpartition("peak ")[2]) << 10


def test_a_bomb_is_refused_before_memory_is_taken_for_it(finished: Finished, tmp_path: Path) -> None:
    usual = peak(finished, tmp_path / "usual", "constant")
    assert peak(finished, tmp_path / "bombs", *BOMBS) < usual + (32 << 20)


def test_labels_of_a_manifest_never_leave_the_folder(source: Path, tmp_path: Path) -> None:
    image = source / "sub-01" / "perf" / "sub-01_dsc.nii.gz"
    (tmp_path / "in" / "deep").mkdir(parents=True)
    listed = tmp_path / "in" / "deep" / "scans.tsv"
    listed.write_text(manifest_of_strangers(str(image)), encoding="utf-8")
    said = bolus(
        "run", source, tmp_path / "in" / "out", "participant", "--manifest", listed, "--workers", 1,
        cwd=tmp_path / "in",
    )  # fmt: skip
    rows = table(tmp_path / "in" / "out")
    assert said.returncode == 1
    assert len(rows) == len(listed.read_text().splitlines()) - 1 == 8
    assert {row["code"] for row in rows if row["state"] == "failed"} == {"E_PATH"}
    assert [row["scan"] for row in rows if row["state"] == "done"] == ["sub-good_ses-1_dsc"]
    assert sorted(path.name for path in (tmp_path / "in" / "out").glob("sub-*")) == ["sub-good"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_folder_whose_name_is_no_text_serves_as_any_other(source: Path, tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"K\xf6ln \n\x1b[31m;$(x)")
    place(source, root, "good", "dsc")
    spoilt = place(source, root, "bad", "asl")
    spoilt.json.unlink()
    listed = root / "scans.tsv"
    listed.write_text("subject\tmodality\tpath\ngood\tdsc\tsub-good/perf/sub-good_dsc.nii.gz\n")
    said = bolus("run", root, root / "out", "participant", "--workers", 1, errors="surrogateescape")
    assert said.returncode == 1
    assert "2 scans: 1 done, 1 failed" in said.stdout and "Traceback" not in said.stderr
    (failed,) = [row for row in table(root / "out") if row["state"] == "failed"]
    assert failed["file"] == printable(str(spoilt.image)) and failed["code"] == "E_META"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    asked = ("run", elsewhere, tmp_path / "out", "participant", "--manifest", listed, "--workers", 1)
    said = bolus(*asked)
    assert said.returncode == 0, said.stderr
    again = bolus(*asked)
    assert "1 stood as they were" in again.stdout


def test_the_table_of_cases_names_each_once() -> None:
    parts = (BYTES, HEADERS, DATA, FIELDS, SYNTAX, NAMES, WELL, WHOLE, DOUBTFUL, PLAIN)
    assert len(CASES) == sum(map(len, parts))
