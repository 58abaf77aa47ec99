"""The ledger: entries are whole or not there, and decide rightly what must run again."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bolus.series import Scan, Stamp
from bolus.write import HIDDEN
from bolus_cluster.ledger.records import (
    LEDGER,
    LOGS,
    Record,
    enter,
    look_up,
    name_of,
    reason,
    records,
    sha256,
    summaries,
    write_whole,
)


def stamp(path: Path) -> Stamp:
    state = path.stat()
    return Stamp(sha256(path), state.st_size, state.st_mtime_ns)


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    root = tmp_path / "in"
    root.mkdir()
    image, sidecar = root / "sub-1_dsc.nii", root / "sub-1_dsc.json"
    image.write_bytes(b"image")
    sidecar.write_bytes(b"{}")
    return Scan("1", None, "dsc", "sub-1", (image,), (sidecar,))


@pytest.fixture
def record(tmp_path: Path, scan: Scan) -> Record:
    made = tmp_path / "out" / "sub-1" / "perf" / "sub-1_cbf.nii.gz"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"a map")
    inputs = {name_of(path, tmp_path / "in"): stamp(path) for path in scan.files()}
    outputs = {"sub-1/perf/sub-1_cbf.nii.gz": stamp(made)}
    return Record(scan.key, "1", None, "dsc", "done", inputs=inputs, outputs=outputs, signature="s")


def why(record: Record | None, scan: Scan, tmp_path: Path, signature: str = "s") -> str | None:
    return reason(record, scan, signature, tmp_path / "in", tmp_path / "out")


def test_a_record_survives_the_disk(tmp_path: Path, record: Record) -> None:
    full = replace(record, numbers={"cbf": 1.5}, warnings=("doubt",), code="E_DATA", message="tab\there")
    enter(tmp_path / "out", full)
    assert look_up(tmp_path / "out", full.scan) == full
    assert [entry.scan for entry in records(tmp_path / "out")] == ["sub-1_dsc"]


def test_a_number_that_is_none_leaves_valid_json(tmp_path: Path, record: Record) -> None:
    enter(tmp_path, replace(record, numbers={"good": 1.0, "bad": math.nan}))
    found = look_up(tmp_path, record.scan)
    assert found is not None and found.numbers == {"good": 1.0}


def test_nothing_changed_nothing_to_do(tmp_path: Path, scan: Scan, record: Record) -> None:
    assert why(record, scan, tmp_path) is None


def test_a_touched_file_is_hashed_and_stands(tmp_path: Path, scan: Scan, record: Record) -> None:
    for path in (*scan.files(), tmp_path / "out" / "sub-1/perf/sub-1_cbf.nii.gz"):
        os.utime(path, ns=(1, 1))
    assert why(record, scan, tmp_path) is None


def test_a_moved_data_set_stands(tmp_path: Path, scan: Scan, record: Record) -> None:
    moved = (tmp_path / "in").rename(tmp_path / "elsewhere")
    scan = replace(scan, images=(moved / "sub-1_dsc.nii",), sidecars=(moved / "sub-1_dsc.json",))
    assert reason(record, scan, "s", moved, tmp_path / "out") is None


def test_every_change_is_seen_and_said(tmp_path: Path, scan: Scan, record: Record) -> None:
    assert why(None, scan, tmp_path) == "new"
    assert why(record, scan, tmp_path, "other") == "the recipe or a method changed"
    assert why(replace(record, state="failed", code="E_DATA"), scan, tmp_path) == "failed before (E_DATA)"
    assert why(replace(record, state="skipped"), scan, tmp_path) == "skipped before"
    assert why(record, replace(scan, sidecars=()), tmp_path) == "gone input: sub-1_dsc.json"
    mask = tmp_path / "in" / "mask.nii"
    assert why(record, replace(scan, derivatives={"mask": mask}), tmp_path) == "new input: mask.nii"
    scan.sidecars[0].write_bytes(b"[]")
    assert why(record, scan, tmp_path) == "changed input: sub-1_dsc.json"


@pytest.mark.parametrize("damage", ["gone", "cut", "other bytes"])
def test_a_damaged_map_is_made_again(tmp_path: Path, scan: Scan, record: Record, damage: str) -> None:
    made = tmp_path / "out" / "sub-1/perf/sub-1_cbf.nii.gz"
    if damage == "gone":
        made.unlink()
    else:
        made.write_bytes(b"a m" if damage == "cut" else b"A map")
    assert why(record, scan, tmp_path) == "missing or damaged output: sub-1/perf/sub-1_cbf.nii.gz"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"scan": 1}', b"\xff"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    write_whole(tmp_path / LEDGER / "sub-1_dsc.json", content or b" ")
    assert look_up(tmp_path, "sub-1_dsc") is None
    assert list(records(tmp_path)) == []


def test_maps_of_an_older_recipe_go(tmp_path: Path, record: Record) -> None:
    out = tmp_path / "out"
    enter(out, record)
    write_whole(out / LOGS / "sub-1_dsc.log", b"an old traceback")
    kept = out / "sub-1/perf/sub-1_mtt.nii.gz"
    kept.write_bytes(b"another map")
    enter(out, replace(record, outputs={"sub-1/perf/sub-1_mtt.nii.gz": stamp(kept)}))
    assert [path.name for path in (out / "sub-1/perf").iterdir()] == ["sub-1_mtt.nii.gz"]
    assert not (out / LOGS / "sub-1_dsc.log").exists()


def test_writing_the_same_is_not_writing(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    assert write_whole(path, b"1")
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert not write_whole(path, b"1")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "file", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_summary_is_the_record_without_its_files(tmp_path: Path) -> None:
    files = {"a.nii.gz": Stamp("0" * 64, 1, 2)}
    said = ',\n"inputs": {'  # as it would stand in the file, were it not a text
    full = Record(
        "sub-1_dsc", "1", "b", "dsc", "done", message=said, numbers={"inputs": 1.5}, warnings=("w",)
    )
    for record in (replace(full, inputs=files, outputs=files, signature="s", version="v"), full):
        enter(tmp_path, record)
        assert list(summaries(tmp_path)) == [replace(record, inputs={}, outputs={})]
    enter(tmp_path, replace(full, inputs=files, outputs=files))
    place = tmp_path / LEDGER / "sub-1_dsc.json"
    for damaged in (place.read_text()[:-20], "no record"):
        place.write_text(damaged)
        assert not list(summaries(tmp_path)) and not list(records(tmp_path))


def test_a_file_beside_the_program_is_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_whole(Path("file"), b"new") and (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_kill_before_the_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    program = (
        "import os, sys, pathlib; from bolus_cluster.ledger.records import write_whole;"
        "os.replace = lambda *paths: os._exit(9);"
        "write_whole(pathlib.Path(sys.argv[1]), b'new')"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], check=False)
    assert ended.returncode == 9
    assert (tmp_path / "file").read_bytes() == b"old"
    (left,) = [path for path in tmp_path.iterdir() if path.name != "file"]
    assert left.name.startswith(HIDDEN)
