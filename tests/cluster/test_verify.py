"""Verify names exactly what is wrong, and the next run mends exactly that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bolus_cluster.cli import main
from bolus_cluster.ledger.records import LEDGER, records, sha256
from bolus_cluster.ledger.verify import Finding, Seen, verify
from bolus_cluster.store.build import build
from bolus_cluster.store.notes import COHORT, INDEX, STORE, index
from tests.cluster.stored import cohort, finished, random_map
from tests.cluster.tools import contents, go

FLOW = "sub-0001/perf/sub-0001_cbf.nii.gz"


def verified(out: Path) -> list[Finding]:
    return list(verify(out, index(out) or {}))


def bolus(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="bolus")


def spoil(path: Path) -> None:
    """Change one bit and keep size and times: what a failing disk does."""
    state = path.stat()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("damage", ["a bit", "cut", "gone"])
def test_one_damaged_map_is_named_and_exactly_its_scan_is_computed_again(
    shared: Path, maps: Path, damage: str
) -> None:
    assert go(shared / "data", maps).standing == 4
    before = contents(maps)
    assert verified(maps) == []
    name = next(o for record in records(maps) if record.scan == "sub-02_dsc" for o in record.outputs)
    if damage == "a bit":
        spoil(maps / name)
        assert go(shared / "data", maps).standing == 4, "a run alone trusts size and time"
    elif damage == "cut":
        (maps / name).write_bytes((maps / name).read_bytes()[:-1])
    else:
        (maps / name).unlink()
    fault = "missing" if damage == "gone" else "damaged"
    assert verified(maps) == [Finding(fault, name, "sub-02_dsc")]
    said = bolus("verify", maps)
    assert said.exit_code == 1
    assert said.stdout.splitlines()[0].split() == [fault, name]
    assert f": 1 {fault}" in said.stdout and "it computes sub-02_dsc anew" in said.stdout
    assert go(shared / "data", maps).standing == 3
    assert verified(maps) == []
    after = contents(maps)
    assert {file: digest for file, (digest, _) in after.items() if file.startswith("sub-")} == {
        file: digest for file, (digest, _) in before.items() if file.startswith("sub-")
    }
    untouched = {file for file in before if "sub-02" not in file and file.startswith("sub-")}
    assert untouched and all(after[file] == before[file] for file in untouched)


def test_all_well_is_0_and_says_how_much_was_looked_at(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    before = contents(tmp_path)
    said = bolus("verify", tmp_path)
    assert said.exit_code == 0
    assert "8 files of 2 scans" in said.stdout and "all as they were written" in said.stdout
    assert contents(tmp_path) == before
    seen, ticks = Seen(), []
    assert list(verify(tmp_path, {}, lambda: ticks.append(1), seen)) == []
    size = sum((tmp_path / name).stat().st_size for name in before if name.startswith("sub-"))
    assert (seen.scans, seen.files, seen.size, len(ticks)) == (2, 8, size, 8)


def test_strangers_leftovers_and_unreadable_records_are_told_apart(tmp_path: Path) -> None:
    cohort(tmp_path, 3)
    finished(tmp_path, "7", {"cbf": random_map(1)}, session="b")
    (tmp_path / "sub-0001/perf/notes.txt").write_text("mine")
    (tmp_path / "sub-7/ses-b/perf/sub-7_ses-b_old.nii.gz").write_text("x")
    (tmp_path / "sub-0000/perf/.tmp-sub-0000_cbf.nii.gz").write_text("half")
    (tmp_path / "sub-0000/notes.txt").write_text("not among the maps")
    (tmp_path / LEDGER / "sub-0002_dsc.json").write_text("{")
    assert verified(tmp_path) == [
        Finding("unreadable", ".bolus/scans/sub-0002_dsc.json", "sub-0002_dsc"),
        Finding("unfinished", "sub-0000/perf/.tmp-sub-0000_cbf.nii.gz"),
        Finding("foreign", "sub-0001/perf/notes.txt"),
        Finding("foreign", "sub-7/ses-b/perf/sub-7_ses-b_old.nii.gz"),
    ]
    said = bolus("verify", tmp_path)
    assert said.exit_code == 1
    assert "1 unreadable, 1 unfinished, 2 foreign" in said.stdout
    assert "it computes sub-0002_dsc anew" in said.stdout and "move them" in said.stdout


@pytest.mark.parametrize("part", ["scans", "blocks", "by_voxel", COHORT])
def test_the_store_is_verified_and_the_next_group_mends_it(tmp_path: Path, part: str) -> None:
    cohort(tmp_path, 3)
    build(tmp_path, rechunk=True)
    assert verified(tmp_path) == []
    whole = {name: digest for name, (digest, _) in contents(tmp_path).items() if name.endswith(".h5")}
    path = (
        tmp_path / COHORT if part == COHORT else next(iter(sorted((tmp_path / STORE / part).rglob("*.h5"))))
    )
    name = path.relative_to(tmp_path).as_posix()
    spoil(path)
    assert verified(tmp_path) == [Finding("damaged", name)]
    said = bolus("verify", tmp_path)
    assert said.exit_code == 1 and "group` again" in said.stdout and "participant" not in said.stdout
    build(tmp_path, rechunk=True)
    assert verified(tmp_path) == []
    path.unlink()
    assert verified(tmp_path) == [Finding("missing", name)]
    build(tmp_path, rechunk=True)
    assert whole == {name: digest for name, (digest, _) in contents(tmp_path).items() if name.endswith(".h5")}


def test_a_cohort_without_a_readable_index_and_one_behind_the_maps_are_told(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    build(tmp_path)
    finished(tmp_path, "0001", {"cbf": random_map(50), "mtt": random_map(51)})
    said = bolus("verify", tmp_path)
    assert "older than the maps of" in said.stdout
    assert said.exit_code == 0
    (tmp_path / INDEX).write_text("no index")
    said = bolus("verify", tmp_path)
    assert said.exit_code == 1 and said.stdout.startswith(f"unreadable  {INDEX}")
    build(tmp_path)
    assert bolus("verify", tmp_path).exit_code == 0


def test_a_file_that_a_run_replaces_meanwhile_is_judged_by_its_new_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bolus_cluster.ledger import verify as module

    cohort(tmp_path, 2)
    look = module._look
    first = []

    def late(piece: module.Piece) -> tuple[module.Piece, module.Fault | None]:
        if piece.name == FLOW and not first:
            first.append(piece)
            finished(tmp_path, "0001", {"cbf": random_map(50), "mtt": random_map(51)})
        return look(piece)

    monkeypatch.setattr(module, "_look", late)
    monkeypatch.setattr(module, "THREADS", 1)
    assert [finding for finding in verified(tmp_path) if finding.file == FLOW] == []
    assert first


def test_a_file_that_may_not_be_read_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort(tmp_path, 2)

    def refused(path: Path) -> str:
        if path == tmp_path / FLOW:
            raise PermissionError(13, "Permission denied")
        return sha256(path)

    monkeypatch.setattr("bolus_cluster.ledger.verify.sha256", refused)
    assert verified(tmp_path) == [Finding("unreadable", FLOW, "sub-0001_dsc")]


def test_a_folder_that_is_no_output_folder_is_refused(tmp_path: Path) -> None:
    said = bolus("verify", tmp_path)
    assert said.exit_code == 2 and "E_PATH" in said.stderr
