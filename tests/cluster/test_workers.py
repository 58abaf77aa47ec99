"""Many workers: the same bytes as one, and nothing left lying about."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from bolus.errors import BolusError, Code
from bolus_cluster.workers import local
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


def test_workers_that_cannot_start_are_not_waited_for(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "preload", lambda: ["import os; os._exit(3)"])
    with pytest.raises(BolusError) as caught:
        go(shared / "data", tmp_path / "out", workers=2)
    assert caught.value.code is Code.WORKER_DIED
    assert "only 0 of 2" in caught.value.sentence() and "--workers 0" in caught.value.sentence()
    del caught
    gc.collect()  # asyncio tells of a failed task when that goes
    assert "never retrieved" not in capfd.readouterr().err
