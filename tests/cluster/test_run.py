"""A run over a cohort: all promises about reruns, failures, shards and what is left on disk."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from bolus import pipeline
from bolus.errors import BolusError
from bolus_cluster.ledger.records import LOGS, look_up, records
from bolus_cluster.plan import Request, in_shard, plan
from bolus_cluster.run import exit_code, run_cohort
from tests.cluster.tools import contents, go

SCANS = ["sub-01_asl", "sub-01_dsc", "sub-02_asl", "sub-02_dsc"]


def states(out: Path) -> dict[str, str]:
    return {record.scan: record.state for record in records(out)}


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "scans.tsv").open(newline="") as file:
        return {row["scan"]: row for row in csv.DictReader(file, delimiter="\t")}


def attempts(out: Path) -> dict[str, int]:
    return {record.scan: record.attempts for record in records(out)}


def test_a_run_leaves_maps_a_table_and_a_description(shared: Path) -> None:
    maps = shared / "maps"
    assert list(rows(maps)) == SCANS
    assert {row["state"] for row in rows(maps).values()} <= {"done", "done_with_warnings"}
    for record in records(maps):
        assert record.outputs and record.voxels > 0 and record.device == "cpu"
        assert all((maps / name).is_file() for name in record.outputs)
        assert len(record.inputs) >= 2
    said = json.loads((maps / "dataset_description.json").read_text())
    assert said["DatasetType"] == "derivative"
    assert said["GeneratedBy"][0]["Name"] == "bolus"
    assert "[dsc]" in (maps / "recipe.toml").read_text()
    hidden = [path.name for path in maps.rglob(".*") if path.is_file()]
    assert hidden == [".bidsignore"]


def test_running_again_does_nothing_byte_for_byte(shared: Path, maps: Path) -> None:
    before = contents(maps)
    summary = go(shared / "data", maps)
    assert (summary.standing, summary.exit_code) == (len(SCANS), 0)
    assert contents(maps) == before


def test_touched_files_do_nothing(data: Path, maps: Path) -> None:
    go(data, maps)
    before = contents(maps)
    for path in data.rglob("*"):
        os.utime(path, ns=(1, 1))
    assert go(data, maps).standing == len(SCANS)
    assert contents(maps) == before


def test_a_changed_sidecar_redoes_exactly_its_scan(data: Path, maps: Path) -> None:
    go(data, maps)
    sidecar = data / "sub-02" / "perf" / "sub-02_dsc.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"EchoTime": 0.025}))
    before = contents(maps)
    summary = go(data, maps)
    assert summary.standing == len(SCANS) - 1
    assert attempts(maps) == {**dict.fromkeys(SCANS, 1), "sub-02_dsc": 2}
    changed = {name for name, state in contents(maps).items() if before.get(name) != state}
    record = look_up(maps, "sub-02_dsc")
    assert record is not None
    assert changed <= {*record.outputs, "scans.tsv", ".bolus/scans/sub-02_dsc.json"}
    assert any(name.endswith("_desc-osvd_cbf.nii.gz") for name in changed)


def test_a_damaged_or_lost_map_is_made_again_as_it_was(shared: Path, maps: Path) -> None:
    good = {name: digest for name, (digest, _) in contents(maps).items() if name.endswith(".nii.gz")}
    cut, lost = [maps / name for name in good if "sub-01" in name and "cbf" in name][:2]
    cut.write_bytes(cut.read_bytes()[:-7])
    lost.unlink()
    assert go(shared / "data", maps).exit_code == 0
    assert {n: digest for n, (digest, _) in contents(maps).items() if n.endswith(".nii.gz")} == good


def test_another_recipe_redoes_its_contrast_and_leaves_no_old_map(shared: Path, maps: Path) -> None:
    summary = go(shared / "data", maps, settings=("dsc.deconvolution=csvd",))
    assert summary.standing == 2
    assert attempts(maps) == {"sub-01_asl": 1, "sub-01_dsc": 2, "sub-02_asl": 1, "sub-02_dsc": 2}
    assert list(maps.rglob("*_desc-csvd_cbf.nii.gz"))
    assert not list(maps.rglob("*_desc-osvd_*"))
    assert "csvd" in (maps / "recipe.toml").read_text()


def test_another_parameter_of_a_method_rewrites_the_maps_of_that_method_alone(
    shared: Path, maps: Path
) -> None:
    before = contents(maps)
    assert go(shared / "data", maps, settings=("dsc.osvd.oscillation_index=0.1",)).standing == 2
    changed = {name for name, state in contents(maps).items() if before[name] != state}
    images = {name for name in changed if name.endswith(".nii.gz")}
    assert images == {name for name in before if "_desc-osvd_" in name and name.endswith("_cbf.nii.gz")} | {
        name for name in images if "_desc-osvd_" in name
    }
    assert not any("asl" in name for name in changed)
    assert any("_desc-bsw_cbv.nii.gz" in name for name in before.keys() - changed)


def test_one_bad_scan_is_a_row_and_nothing_more(data: Path, tmp_path: Path) -> None:
    bad = data / "sub-01" / "perf" / "sub-01_dsc.nii.gz"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    assert go(data, out).exit_code == 1
    assert states(out) == {**dict.fromkeys(SCANS, "done"), "sub-01_dsc": "failed"} or (
        states(out)["sub-01_dsc"] == "failed" and list(states(out).values()).count("failed") == 1
    )
    row = rows(out)["sub-01_dsc"]
    assert row["code"] == "E_CORRUPT"
    assert row["attempts"] == "1"
    record = look_up(out, "sub-01_dsc")
    assert record is not None and record.file == str(bad) and not record.outputs
    assert not list((out / "sub-01" / "perf").glob("*dsc*"))
    bad.write_bytes(whole)
    assert go(data, out).exit_code == 0
    assert attempts(out)["sub-01_dsc"] == 2


def test_the_failed_scan_loses_the_maps_of_its_older_input(data: Path, maps: Path) -> None:
    go(data, maps)
    (data / "sub-01" / "perf" / "sub-01_dsc.json").write_text("{}")
    assert go(data, maps).exit_code == 1
    assert not list((maps / "sub-01" / "perf").glob("*_desc-osvd_cbf*"))
    assert list((maps / "sub-01" / "perf").glob("sub-01_cbf.nii.gz"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "E_SPACE"),
        (PermissionError(errno.EACCES, "Permission denied"), "E_PERM"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "E_PATH"),
        (MemoryError(), "E_MEMORY"),
        (ZeroDivisionError("a mistake"), "E_INTERNAL"),
    ],
)
def test_whatever_a_scan_raises_becomes_its_row(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def begin(*given: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "begin", begin)
    assert go(shared / "data", tmp_path / "out", contrast="asl").exit_code == 1
    assert [(r.state, r.code) for r in records(tmp_path / "out")] == [("failed", code)] * 2
    logs = sorted(path.name for path in (tmp_path / "out" / LOGS).glob("*"))
    assert logs == (["sub-01_asl.log", "sub-02_asl.log"] if code == "E_INTERNAL" else [])


def test_it_can_stop_at_the_first_failure(data: Path, tmp_path: Path) -> None:
    (data / "sub-01" / "perf" / "sub-01_asl.json").write_text("{}")
    summary = go(data, tmp_path / "out", stop_on_first_failure=True)
    assert summary.exit_code == 1
    assert states(tmp_path / "out") == {**dict.fromkeys(SCANS, "skipped"), "sub-01_asl": "failed"}
    assert list(rows(tmp_path / "out")) == SCANS


def test_a_run_that_is_broken_off_goes_on_where_it_was(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen = []

    def interrupt(row: object) -> None:
        seen.append(row)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cohort(plan(Request(shared / "data", out, workers=0)), interrupt)
    assert list(states(out).values()).count("skipped") == 2
    assert list(rows(out)) == SCANS
    assert go(shared / "data", out).standing == 2
    assert "skipped" not in states(out).values()


def test_shards_part_the_cohort_and_give_the_same_maps(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in (1, 2, 3):
        go(shared / "data", out, shard=(number, 3))
    assert list(rows(out)) == SCANS
    assert attempts(out) == dict.fromkeys(SCANS, 1)
    ending = (".nii.gz", ".tsv", ".json", ".toml")
    for name, (digest, _) in contents(shared / "maps").items():
        if name.endswith(ending) and name != "scans.tsv" and not name.startswith(".bolus"):
            assert contents(out)[name][0] == digest, name


def test_every_scan_is_in_exactly_one_shard() -> None:
    keys = [f"sub-{number:04d}_dsc" for number in range(1000)]
    for count in (1, 2, 7):
        homes = [[number for number in range(1, count + 1) if in_shard(key, (number, count))] for key in keys]
        assert all(len(home) == 1 for home in homes)
        assert len({home[0] for home in homes}) == count


def test_a_part_of_the_cohort_leaves_the_rest_alone(shared: Path, maps: Path) -> None:
    todo = plan(Request(shared / "data", maps, participants=("sub-01",), contrast="dsc"))
    assert (todo.tasks, todo.standing) == ((), ("sub-01_dsc",))
    before = contents(maps)
    run_cohort(todo)
    assert contents(maps) == before


def test_a_failed_scan_whose_files_are_gone_leaves_the_table(data: Path, tmp_path: Path) -> None:
    (data / "sub-01" / "perf" / "sub-01_asl.json").write_text("{}")
    out = tmp_path / "out"
    go(data, out)
    shutil.rmtree(data / "sub-01")
    go(data, out)
    assert list(rows(out)) == ["sub-01_dsc", "sub-02_asl", "sub-02_dsc"]


def test_planning_writes_nothing(shared: Path, tmp_path: Path) -> None:
    todo = plan(Request(shared / "data", tmp_path / "out"))
    assert [(task.scan.key, task.why) for task in todo.tasks] == [(key, "new") for key in SCANS]
    assert list(tmp_path.iterdir()) == []


def test_the_input_folder_is_no_output_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (data, tmp_path / "file"):
        with pytest.raises(BolusError, match="E_PATH") as refused:
            plan(Request(data, out))
        assert exit_code(refused.value) == 2


def test_what_another_run_did_since_the_plan_is_not_done_again(shared: Path, tmp_path: Path) -> None:
    asked = Request(shared / "data", tmp_path / "out", workers=0)
    early = plan(asked)
    assert len(early.tasks) == len(SCANS)
    go(shared / "data", tmp_path / "out", participants=("01",))
    late = plan(asked)
    assert run_cohort(early).standing == 2
    assert run_cohort(late).standing == len(SCANS)
    assert set(attempts(tmp_path / "out").values()) == {1}
    (tmp_path / "out" / "sub-01" / "perf" / "sub-01_cbf.nii.gz").write_bytes(b"")
    assert run_cohort(early).standing == len(SCANS) - 1  # a map that was lost meanwhile is made again
