"""A real Slurm of two nodes: arrays and workers that lose nodes, time, memory and drivers, and nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bolus.errors import BolusError
from bolus_cluster.cli import main
from bolus_cluster.ledger.lock import LOCKS
from bolus_cluster.ledger.records import DONE, LOGS, records, sha256
from bolus_cluster.plan import Request, plan
from bolus_cluster.site import Site
from bolus_cluster.workers.attempt import Job, attempt
from bolus_cluster.workers.queue import queued
from tests.cluster.saboteur import environment
from tests.cluster.slurm_two_nodes import Slurm, missing, two_nodes

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "Slurm is here")

SCANS = ["sub-01_asl", "sub-01_dsc", "sub-02_asl", "sub-02_dsc"]
HERE = Site(interface="lo", memory="900M")


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    before = dict(os.environ)
    with two_nodes() as running:
        os.environ.update(running.environment)
        try:
            yield running
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def submitted(data: Path, out: Path, site: str = 'memory = "900M"', array: int = 2) -> str:
    """Hand in an array and give its number."""
    file = out.with_name(f"{out.name}.toml")
    file.write_text(f"{site}\n")
    asked = ("submit", data, out, "--scheduler", "slurm", "--array", array, "--site", file, "--device", "cpu")
    result = CliRunner().invoke(main, [str(each) for each in asked])
    assert result.exit_code == 0, result.output
    found = re.search(r"Job (\d+) is with slurm: squeue --job=\1", result.output)
    assert found and f"bolus status {out}" in result.output
    return found[1]


def maps(folder: Path) -> dict[str, str]:
    """Hash of every file that does not tell how long something took."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".bolus" not in path.parts]
    return {str(path.relative_to(folder)): sha256(path) for path in files if path.name != "scans.tsv"}


def over(slurm: Slurm, job: str) -> dict[str, str]:
    """Wait until every part of an array is over, and say how each ended."""

    def gone() -> bool:
        slurm.hurry()
        return not any(name.split("_")[0] == job for name in slurm.jobs())

    slurm.wait(gone, 90, f"job {job} is not over")
    parts = slurm.say("scontrol", "show", "job", job, "--oneliner").splitlines()
    return {part.split("ArrayTaskId=")[1].split()[0]: part.split("JobState=")[1].split()[0] for part in parts}


def at_work(slurm: Slurm, out: Path, part: str) -> None:
    """Wait until the run of a part is begun and not over."""
    held = f'"shard": [{part}, 2]'
    slurm.wait(lambda: held in _texts(out / LOCKS), 60, f"part {part} is not at work: {_texts(out / LOGS)}")


def _texts(folder: Path) -> str:
    return "".join(file.read_text().replace("\n", "") for file in folder.glob("[!.]*") if file.exists())


def test_an_array_gives_the_bytes_of_a_plain_run(slurm: Slurm, shared: Path, out: Path) -> None:
    job = submitted(shared / "data", out, 'cpus = 2\nmemory = "1200M"')
    assert over(slurm, job) == {"1": "COMPLETED", "2": "COMPLETED"}, _texts(out / LOGS)
    assert maps(out) == maps(shared / "maps")
    assert [record.scan for record in records(out)] == SCANS
    logs = {path.name for path in (out / LOGS).iterdir()}
    assert logs == {f"bolus-{job}_1.log", f"bolus-{job}_2.log"}
    assert not list((out / LOCKS).iterdir())


def test_a_node_that_loses_power_costs_nothing(slurm: Slurm, shared: Path, out: Path) -> None:
    job = submitted(shared / "data", out)
    at_work(slurm, out, "1")
    node = slurm.shown(f"{job}_1")["BatchHost"]
    slurm.cut_power(node)
    slurm.restore_power(node)
    assert over(slurm, job) == {"1": "COMPLETED", "2": "COMPLETED"}, _texts(out / LOGS)
    assert slurm.shown(f"{job}_1")["Restarts"] == "1"
    assert maps(out) == maps(shared / "maps")
    assert not [path for path in out.rglob(".*") if path.is_file() and path.name != ".bidsignore"]


def test_the_end_of_the_time_is_another_turn(slurm: Slurm, shared: Path, out: Path) -> None:
    job = submitted(shared / "data", out)
    at_work(slurm, out, "2")
    slurm.say("scancel", "--signal=USR1", "--batch", f"{job}_2")
    assert over(slurm, job) == {"1": "COMPLETED", "2": "COMPLETED"}, _texts(out / LOGS)
    assert (slurm.shown(f"{job}_1")["Restarts"], slurm.shown(f"{job}_2")["Restarts"]) == ("0", "1")
    assert maps(out) == maps(shared / "maps")


def test_a_cancelled_array_stays_cancelled_and_handed_in_again_goes_on(
    slurm: Slurm, shared: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = environment(out.parent, **{scan.replace("-", "_"): "slower*1" for scan in SCANS})
    with (
        monkeypatch.context() as patched
    ):  # Slurm hands its jobs the environment that they are handed in with
        for name, value in slow.items():
            patched.setenv(name, value)
        job = submitted(shared / "data", out)
    at_work(slurm, out, "1")
    begun = out.parent / "deeds"
    slurm.wait(lambda: any(begun.glob("*-0")), 60, "no scan is begun")
    slurm.say("scancel", job)
    assert "CANCELLED" in over(slurm, job).values()
    assert slurm.shown(f"{job}_1")["Restarts"] == "0"
    # What had not begun when SIGTERM came is entered as skipped, where the run was given the time to say so.
    assert sum(record.state in DONE for record in records(out)) < len(SCANS)
    again = over(slurm, submitted(shared / "data", out))
    assert again == {"1": "COMPLETED", "2": "COMPLETED"}, _texts(out / LOGS)
    assert maps(out) == maps(shared / "maps")


def test_a_job_beyond_its_memory_is_ended_and_with_more_it_goes_on(
    slurm: Slurm, shared: Path, out: Path
) -> None:
    job = submitted(shared / "data", out, 'memory = "60M"')
    states = over(slurm, job)
    assert set(states.values()) <= {"OUT_OF_MEMORY", "CANCELLED", "FAILED"}
    assert "memory" in _texts(out / LOGS)
    again = over(slurm, submitted(shared / "data", out))
    assert again == {"1": "COMPLETED", "2": "COMPLETED"}, _texts(out / LOGS)
    assert maps(out) == maps(shared / "maps")


def test_two_arrays_over_one_folder_never_meet(slurm: Slurm, shared: Path, out: Path) -> None:
    jobs = [submitted(shared / "data", out) for _ in range(2)]
    states = [over(slurm, job) for job in jobs]
    assert all("COMPLETED" in (states[0][part], states[1][part]) for part in ("1", "2"))
    for job, state in zip(jobs, states, strict=True):
        for part, how in state.items():
            said = (out / LOGS / f"bolus-{job}_{part}.log").read_text()
            assert how == "COMPLETED" or "E_LOCKED" in said
    assert maps(out) == maps(shared / "maps")
    assert [record.attempts for record in records(out)] == [1] * len(SCANS)


def jobs(data: Path, out: Path) -> list[Job]:
    todo = plan(Request(data, out, device="cpu"))
    return [Job(task.scan, data, out, todo.recipe, task.signature, "cpu") for task in todo.tasks]


def node() -> str:
    return os.environ["SLURMD_NODENAME"]


def test_workers_in_the_queue_compute_and_a_lost_one_is_replaced(
    slurm: Slurm, shared: Path, out: Path
) -> None:
    out.mkdir()
    with queued("slurm", HERE, 2, out, out / LOGS, None) as client:
        assert client.scheduler.address.startswith("tls://")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        client.wait_for_workers(2)
        first = set(slurm.jobs())
        futures = client.map(attempt, jobs(shared / "data", out), pure=False)
        assert {row.state for row in client.gather(futures)} <= {"done", "done_with_warnings"}
        lost = min(first)
        slurm.say("scancel", "--signal=KILL", "--full", lost)
        slurm.wait(lambda: len(set(slurm.jobs()) - first) == 1, 60, "the lost worker is not replaced")
        slurm.wait(lambda: len(client.scheduler_info()["workers"]) == 2, 60, "the new worker is not there")
        assert set(client.run(node).values()) <= {"n1", "n2"}
    slurm.wait(lambda: not slurm.jobs(), 30, "workers are left in the queue")
    done = {name for name in maps(shared / "maps") if "/perf/" in name}
    assert {name: digest for name, digest in maps(out).items() if name in done} == {
        name: digest for name, digest in maps(shared / "maps").items() if name in done
    }
    assert [path.name for path in out.glob(".keys-*")] == []


DRIVER = """
import os, sys
from pathlib import Path
from bolus_cluster.site import Site
from bolus_cluster.workers.queue import queued
out = Path(sys.argv[1])
if __name__ == "__main__":
    with queued("slurm", Site(interface="lo", gpus=1), 1, out, out / "logs", None) as client:
        print(*client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"]).values(), flush=True)
        sys.stdin.read()
"""


def test_workers_end_when_their_driver_is_gone(slurm: Slurm, tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    with subprocess.Popen(
        [sys.executable, "driver.py", str(tmp_path)],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as driver:  # fmt: skip
        assert driver.stdout is not None
        assert driver.stdout.readline() == "0\n"
        assert list(slurm.jobs().values()) == ["RUNNING"]
        driver.send_signal(signal.SIGKILL)
    slurm.wait(lambda: not slurm.jobs(), 60, "the worker outlives its driver")


def test_jobs_that_die_before_their_worker_is_there_are_told(slurm: Slurm, tmp_path: Path) -> None:
    broken = Site(interface="lo", before=("exit 5",))
    workers = queued("slurm", broken, 1, tmp_path, tmp_path / "logs", None)
    with pytest.raises(BolusError, match="E_WORKER_DIED") as told, workers:
        pass
    assert told.value.file == str(tmp_path / "logs")


def test_what_slurm_refuses_is_told_in_its_words(slurm: Slurm, tmp_path: Path) -> None:
    nowhere = Site(interface="lo", queue="nowhere")
    workers = queued("slurm", nowhere, 1, tmp_path, tmp_path / "logs", None)
    with pytest.raises(BolusError, match=r"E_RECIPE sbatch: .*invalid partition"), workers:
        pass


def test_a_job_that_only_hands_out_has_workers_as_jobs_of_their_own(
    slurm: Slurm, shared: Path, out: Path
) -> None:
    file = out.with_name("site.toml")
    file.write_text('memory = "900M"\ninterface = "lo"\ndriver_memory = "900M"\n')
    asked = ("submit", shared / "data", out, "--scheduler", "slurm", "--workers", 1, "--site", file)
    result = CliRunner().invoke(main, [str(each) for each in asked])
    assert result.exit_code == 0, result.output
    (driver,) = re.findall(r"Job (\d+) is with slurm", result.output)
    slurm.wait(lambda: len(slurm.jobs()) == 2, 60, "the driver has no worker")
    slurm.wait(lambda: not slurm.jobs(), 90, "a job is left in the queue")
    said = (out / LOGS / f"bolus-{driver}.log").read_text()
    assert "JobState=COMPLETED" in slurm.say("scontrol", "show", "job", driver, "--oneliner"), said
    assert maps(out) == maps(shared / "maps")
    assert (out / LOCKS).is_dir() and not list((out / LOCKS).iterdir())
