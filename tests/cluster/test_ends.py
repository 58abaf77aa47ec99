"""Runs that are ended, killed or meet each other: nothing is lost, nothing is done twice, all of it resumes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bolus_cluster.ending import GRACE
from bolus_cluster.ledger.lock import LOCKS
from bolus_cluster.ledger.records import records
from tests.cluster.saboteur import begin, environment, finish, marks, starts
from tests.cluster.tools import contents, go

SLOW = {"sub_01_asl": "slow*1", "sub_01_dsc": "slow*1", "sub_02_asl": "slow*1", "sub_02_dsc": "slow*1"}
HALF = {"sub_01_asl": "slow*1", "sub_01_dsc": "slow*1"}
"""Enough for two runs that begin together to meet; of two shards each has one."""


def wait_for(found: object, seconds: float = 60) -> None:
    """Wait until a function says yes."""
    until = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)


def made(folder: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in contents(folder).items() if "/perf/" in name}


def states(out: Path) -> dict[str, str]:
    with (out / "scans.tsv").open(newline="") as file:
        return {row["scan"]: row["state"] for row in csv.DictReader(file, delimiter="\t")}


@pytest.mark.parametrize("to_all", [False, True])
def test_sigterm_lets_scans_land_and_ends_with_143(shared: Path, tmp_path: Path, to_all: bool) -> None:
    out = tmp_path / "out"
    process = begin(shared / "data", out, "--workers", 1, env=environment(tmp_path, **SLOW))
    wait_for(lambda: list((tmp_path / "deeds").glob("*")))
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
    code, said = finish(process)
    assert code == 143 and "goes on from there" in said, said
    found = states(out)
    assert len(found) == 4
    landed = [scan for scan, state in found.items() if state == "done"]
    assert 1 <= len(landed) <= 3 and set(found.values()) == {"done", "skipped"}
    assert list((out / LOCKS).iterdir()) == []
    assert [len(starts(tmp_path, scan)) for scan in landed] == [1] * len(landed), "their process outlived it"
    assert go(shared / "data", out).standing == len(landed)
    assert made(out) == made(shared / "maps")


@pytest.mark.parametrize("deaf", [False, True], ids=["", "in the background of a script"])
def test_sigterm_before_any_scan_waits_for_nothing(shared: Path, tmp_path: Path, deaf: bool) -> None:
    out = tmp_path / "out"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)
    process = begin(shared / "data", out, "--workers", 1, env=environment(tmp_path, **SLOW))
    signal.signal(signal.SIGINT, before)
    wait_for((out / "recipe.toml").is_file)
    time.sleep(0.5)  # the run waits for its worker now, which takes longer
    process.terminate()
    code, said = finish(process, GRACE - 2)
    assert code == 143 and "goes on from there" in said, said
    assert set(states(out).values()) == {"skipped"} and len(states(out)) == 4
    assert list((out / LOCKS).iterdir()) == []


def test_a_run_that_lost_its_folder_leaves_it_also_in_the_background_of_a_script(
    shared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    slow = environment(tmp_path, sub_01_asl="sleep", sub_01_dsc="sleep")
    process = begin(shared / "data", out, "--workers", 1, env=slow)
    signal.signal(signal.SIGINT, before)
    try:
        wait_for(lambda: list((tmp_path / "deeds").glob("*")))
        for lock in (out / LOCKS).glob("[!.]*.json"):
            lock.unlink()
        code, said = finish(process, 30)
    finally:
        process.kill()
    assert code == 3 and "E_LOCKED" in said, said
    assert not (out / "scans.tsv").exists()


def test_a_killed_driver_takes_its_workers_along_and_the_next_run_goes_on(
    shared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = begin(shared / "data", out, "--workers", 2, env=environment(tmp_path, **SLOW))
    wait_for(lambda: len(list(records(out))) >= 1)
    process.kill()
    finish(process)
    workers = {pid for scan in ("sub-01_asl", "sub-01_dsc", "sub-02_asl") for pid, _ in marks(tmp_path, scan)}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 20)
    before = sum(record.state == "done" for record in records(out))
    summary = go(shared / "data", out)
    assert (summary.exit_code, summary.standing) == (0, before)
    assert made(out) == made(shared / "maps")
    assert not list(out.rglob(".tmp-*"))


def test_of_two_runs_at_once_one_is_refused_with_the_name_of_the_other(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    env = environment(tmp_path, **HALF)
    pair = [begin(shared / "data", out, "--workers", 1, env=env) for _ in range(2)]
    ends = [finish(process) for process in pair]
    assert sorted(code for code, _ in ends) == [0, 3]
    winner = pair[[code for code, _ in ends].index(0)]
    (refused,) = [said for code, said in ends if code == 3]
    assert "E_LOCKED" in refused and f"process {winner.pid}" in refused
    assert {record.attempts for record in records(out)} == {1}


def test_shards_at_once_do_nothing_twice(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    env = environment(tmp_path, **HALF)
    pair = [
        begin(shared / "data", out, "--workers", 0, "--shard", f"{number}/2", env=env) for number in (1, 2)
    ]
    assert [finish(process)[0] for process in pair] == [0, 0]
    assert {record.scan: record.attempts for record in records(out)} == dict.fromkeys(states(out), 1)
    assert len(states(out)) == 4
    assert made(out) == made(shared / "maps")


def test_status_tells_of_a_run_from_another_process(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    deeds = {"sub_02_asl": "slower*1", "sub_02_dsc": "slower*1"}
    process = begin(shared / "data", out, "--workers", 1, env=environment(tmp_path, **deeds))
    command = [sys.executable, "-c", "from bolus_cluster.cli import main; main()", "status", str(out)]
    try:
        wait_for(lambda: len(list(records(out))) >= 2)
        said = ""
        until = time.monotonic() + 15  # within a beat
        while "scans/h" not in said and time.monotonic() < until:
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert f"process {process.pid}" in said and "scans/h" in said and "of 4" in said
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        finish(process)


def test_a_scheduler_that_is_killed_ends_the_run_and_loses_nothing(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    env = environment(tmp_path, **SLOW)
    quiet = ["--host", "127.0.0.1", "--no-dashboard"]
    where = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", *quiet, "--port", "0"]
    scheduler = subprocess.Popen([*dask, "--scheduler-file", str(where)], env=env, stderr=subprocess.DEVNULL)
    dask = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
    ends = ["--death-timeout", "5", "--local-directory", str(tmp_path), "--host", "127.0.0.1"]
    worker = process = None
    try:
        wait_for(where.is_file)
        address = json.loads(where.read_text())["address"]
        worker = subprocess.Popen([*dask, *ends, address], env=env, stderr=subprocess.DEVNULL)
        process = begin(shared / "data", out, "--cluster", address, env=env)
        wait_for(lambda: len(list((tmp_path / "deeds").glob("*"))) >= 2)
        scheduler.kill()
        code, said = finish(process)
        assert code == 3, said
        assert "E_WORKER_DIED" in said and address in said and "is gone" in said
    finally:
        for each in filter(None, (scheduler, worker, process)):
            each.kill()
            each.communicate()
    assert len(states(out)) == 4 and "skipped" in states(out).values()
    assert go(shared / "data", out).exit_code == 0
    assert made(out) == made(shared / "maps")
