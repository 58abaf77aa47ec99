"""Many workers: the same bytes as one, a death that costs one scan, and nothing left lying about."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bolus_cluster.ledger.records import look_up, records
from bolus_cluster.workers import stream as workers
from bolus_cluster.workers.attempt import Job, Row, attempt
from tests.cluster.tools import contents, go


def test_two_workers_give_the_bytes_of_one(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, scratch, out = tmp_path / "here", tmp_path / "scratch", tmp_path / "out"
    here.mkdir()
    scratch.mkdir()
    monkeypatch.chdir(here)
    assert go(shared / "data", out, workers=2, work_dir=scratch).exit_code == 0
    one = {name: digest for name, (digest, _) in contents(shared / "maps").items()}
    many = {name: digest for name, (digest, _) in contents(out).items()}
    assert one.keys() == many.keys()
    timed = {name for name in one if name.startswith(".bolus") or name == "scans.tsv"}
    assert {name for name in one if one[name] != many[name]} <= timed
    assert list(here.iterdir()) == list(scratch.iterdir()) == []


def test_a_worker_that_dies_costs_exactly_the_scan_that_killed_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(job: Job) -> Row:
        if job.scan.key == "sub-01_dsc":
            os._exit(1)
        return attempt(job)

    monkeypatch.setattr(workers, "attempt", deadly)
    assert go(shared / "data", tmp_path / "out", workers=2).exit_code == 1
    failed = {record.scan: record.code for record in records(tmp_path / "out") if record.state == "failed"}
    assert failed == {"sub-01_dsc": "E_WORKER_DIED"}
    assert len(list(records(tmp_path / "out"))) == 4
    record = look_up(tmp_path / "out", "sub-01_dsc")
    assert record is not None and record.attempts == 2
    monkeypatch.undo()
    assert go(shared / "data", tmp_path / "out").exit_code == 0
