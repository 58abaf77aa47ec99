"""Workers that are killed, crash, freeze or hang: exactly the scans at fault fail, in bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bolus.phantom import write_cohort
from bolus_cluster.ledger.records import records
from tests.cluster.saboteur import begin, environment, finish, marks, starts
from tests.cluster.tools import contents

SCANS = 6
Runs = dict[str, tuple[Path, subprocess.Popen[str]]]
WAITING: dict[str, tuple[str, tuple[object, ...]]] = {
    "stop*1": ("sub_03_dsc", ()),
    "freeze*1": ("sub_03_dsc", ()),
    "sleep": ("sub_01_dsc", ("--deadline", 0.25)),
}
"""Deeds after which a run does nothing for a while: the scan that does it, and options."""


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("six") / "data"
    write_cohort(folder, SCANS, shape=(24, 24, 4), volumes=40, contrasts=("dsc",))
    return folder


@pytest.fixture(scope="module")
def begun(six: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The runs that wait, all at once: folder and process of each."""
    runs = {}
    for deed, (scan, options) in WAITING.items():
        folder = tmp_path_factory.mktemp("waiting")
        env = environment(folder, **{scan: deed})
        runs[deed] = folder, begin(six, folder / "out", "--workers", 2, *options, env=env)
    yield runs
    for _, process in runs.values():
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            finish(process)


def states(out: Path) -> dict[str, str]:
    return {record.scan: record.code or record.state for record in records(out)}


def test_killers_and_crashers_fail_alone(six: Path, tmp_path: Path) -> None:
    env = environment(tmp_path, sub_02_dsc="kill", sub_04_dsc="crash", sub_05_dsc="kill*1")
    code, said = finish(begin(six, tmp_path / "out", "--workers", 2, env=env))
    assert code == 1, said
    found = states(tmp_path / "out")
    assert {scan for scan, state in found.items() if state == "E_WORKER_DIED"} == {"sub-02_dsc", "sub-04_dsc"}
    assert len(found) == SCANS and sum(state.startswith("done") for state in found.values()) == SCANS - 2
    told = {record.scan: record for record in records(tmp_path / "out")}
    assert "SIGKILL" in told["sub-02_dsc"].message and "memory" in told["sub-02_dsc"].message
    assert "SIGSEGV" in told["sub-04_dsc"].message
    assert all(told[scan].attempts >= 2 for scan in ("sub-02_dsc", "sub-04_dsc"))
    assert len(marks(tmp_path, "sub-02_dsc")) >= 2  # in a process of its own, and once more beside nothing
    code, said = finish(begin(six, tmp_path / "out", "--workers", 2, env=dict(os.environ)))
    assert code == 0, said


@pytest.mark.parametrize("deed", ["stop*1", "freeze*1"])
def test_a_worker_that_stands_still_is_replaced_within_30_s(begun: Runs, deed: str) -> None:
    folder, process = begun[deed]
    code, said = finish(process)
    assert code == 0, said
    ((pid, at),) = marks(folder, "sub-03_dsc")
    first, again = starts(folder, "sub-03_dsc")
    print(f"begun again after {again - first:.1f} s")
    assert again - first < 30 and 0 <= at - first < 5
    assert not Path(f"/proc/{pid}").exists()
    assert set(states(folder / "out").values()) <= {"done", "done_with_warnings"}


def test_a_scan_past_its_deadline_fails_alone(begun: Runs) -> None:
    folder, process = begun["sleep"]
    code, said = finish(process)
    assert code == 1, said
    found = states(folder / "out")
    assert found.pop("sub-01_dsc") == "E_TIMEOUT"
    assert set(found.values()) <= {"done", "done_with_warnings"} and len(found) == SCANS - 1
    assert len(marks(folder, "sub-01_dsc")) == 2
    assert list(contents(folder / "out" / ".bolus" / "scans")) == sorted(
        f"sub-0{n}_dsc.json" for n in range(1, 7)
    )
