"""Batch scripts as text: each scheduler's own words, any name as one word, and what the shell makes of them."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bolus.errors import BolusError
from bolus_cluster.cli import main
from bolus_cluster.directives import PREFIX
from bolus_cluster.site import SCHEDULERS, Site
from bolus_cluster.submit.hand_in import hand_in
from bolus_cluster.submit.script import array_script, driver_script

GOLDEN = Path(__file__).parent / "golden"
LOGS = Path("/data/maps/.bolus/logs")
ASKED = ["/data/bids", "/data/maps", "participant", "--set", "dsc.deconvolution=csvd,osvd"]
SITE = Site(
    queue="short",
    account="neuro",
    qos="normal",
    cpus=8,
    memory="16G",
    walltime="1-12:00:00",
    modules=("python/3.12",),
    before=("export NUMBA_CACHE_DIR=$HOME/.cache/numba",),
    python="/opt/bolus/bin/python",
)
GPU = Site(gpus=1, cpus=4, memory="32G", container="apptainer exec --nv /images/bolus.sif")
KINDS = {
    "array": lambda scheduler: array_script(scheduler, SITE, ASKED, LOGS, 20),
    "gpu": lambda scheduler: array_script(scheduler, GPU, ASKED, LOGS, 1),
    "driver": lambda scheduler: driver_script(scheduler, SITE, [*ASKED, "--workers", "64"], LOGS),
}
ODD = "a b;$(touch x)'\"\n*%j:é"
INDEX = {
    "slurm": "SLURM_ARRAY_TASK_ID",
    "pbs": "PBS_ARRAY_INDEX",
    "sge": "SGE_TASK_ID",
    "lsf": "LSB_JOBINDEX",
}
NUMBER = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "sge": "JOB_ID", "lsf": "LSB_JOBID"}


def bolus(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="bolus")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_script_is_the_one_that_was_looked_at(scheduler: str, kind: str) -> None:
    assert KINDS[kind](scheduler) == (GOLDEN / f"{scheduler}-{kind}.sh").read_text()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_whatever_a_name_holds_it_stays_one_word_and_no_directive(scheduler: str, tmp_path: Path) -> None:
    python, out = tmp_path / ODD / "python", tmp_path / ODD
    logs = out / "logs"
    logs.mkdir(parents=True)
    script(python, f'printf "%s\\0" "$@" >{shlex.quote(str(tmp_path / "words"))}')
    site = Site(python=shlex.quote(str(python)))
    text = array_script(scheduler, site, [ODD, str(out), "participant", "--set", ODD], logs, 3)
    told = [line for line in text.splitlines() if line.startswith(PREFIX[scheduler])]
    assert told and not any("touch" in line or str(tmp_path) in line for line in told)
    shell(scheduler, text, tmp_path).wait(60)
    words = (tmp_path / "words").read_text().split("\0")[:-1]
    expected = ["-m", "bolus_cluster", "run", ODD, str(out), "participant", "--set", ODD]
    assert words == [*expected, "--workers", "1", "--shard", "2/3"]
    assert [file.name for file in logs.iterdir()] == ["bolus-77.log"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("code", [0, 1, 3, 143])
def test_a_job_ends_with_the_code_of_bolus(scheduler: str, code: int, tmp_path: Path) -> None:
    job, _ = begun(scheduler, tmp_path, f"exit {code}")
    assert job.wait(60) == code
    assert called(tmp_path) == ""


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_end_of_the_time_reaches_bolus_and_asks_for_another_turn(scheduler: str, tmp_path: Path) -> None:
    job, log = begun(
        scheduler, tmp_path, "trap 'sleep 0.3; exit 143' TERM; echo up; while :; do sleep 0.05; done"
    )
    until(lambda: "up" in log.read_text())
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == {"slurm": 143, "pbs": 143, "sge": 99, "lsf": 99}[scheduler]
    assert called(tmp_path) == ("requeue 7_2\n" if scheduler == "slurm" else "")


@pytest.mark.parametrize("scheduler", ["slurm", "sge", "lsf"])
def test_the_turns_are_counted(scheduler: str, tmp_path: Path) -> None:
    codes = []
    for turn in range(4):
        body = "trap 'exit 143' TERM; echo up; while :; do sleep 0.05; done"
        job, log = begun(scheduler, tmp_path, body, restarts=2, SLURM_RESTART_COUNT=str(turn))
        until(lambda log=log: "up" in log.read_text())
        job.send_signal(signal.SIGUSR1)
        codes.append(job.wait(60))
    if scheduler == "slurm":
        assert codes == [143] * 4
        assert called(tmp_path) == "requeue 7_2\n" * 2
    else:
        assert codes == [99, 99, 143, 99]  # after the last turn the count begins anew
        assert [path.name for path in tmp_path.glob(".turns*")] == [".turns-77.2"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_job_that_is_ended_by_hand_lets_bolus_finish_and_stays_ended(
    scheduler: str, tmp_path: Path
) -> None:
    body = "trap 'sleep 0.3; echo swept; exit 143' TERM; echo up; while :; do sleep 0.05; done"
    job, log = begun(scheduler, tmp_path, body)
    until(lambda: "up" in log.read_text())
    job.terminate()
    assert job.wait(60) == 143
    assert log.read_text().split() == ["up", "swept"]
    assert called(tmp_path) == ""


def test_bolus_that_is_done_just_when_the_time_is_over_is_not_run_again(tmp_path: Path) -> None:
    job, log = begun("slurm", tmp_path, "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    until(lambda: "up" in log.read_text())
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == 0
    assert called(tmp_path) == ""


def test_a_module_that_is_not_there_ends_the_job(tmp_path: Path) -> None:
    site = Site(modules=("nowhere/1",), python="echo")
    job = shell("slurm", array_script("slurm", site, ["in"], tmp_path, 2), tmp_path)
    assert job.wait(60) == 3


def test_a_dry_run_prints_the_script_and_touches_nothing(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--array", 2, "--dry-run", "--set", "dsc.deconvolution=csvd", "--derivatives", shared / "maps")
    result = bolus("submit", shared / "data", out, "--scheduler", "slurm", *asked)
    assert result.exit_code == 0, result.output
    assert result.stderr == "4 scans to compute, 0 stand as they are\n"
    words = shlex.split(next(line for line in result.stdout.splitlines() if " -m bolus_cluster " in line))
    assert words[:4] == [sys.executable, "-m", "bolus_cluster", "run"]
    assert words[4:7] == [str(shared / "data"), str(out), "participant"]
    given = ["--derivatives", str(shared / "maps"), "--set", "dsc.deconvolution=csvd"]
    assert words[7:-1] == [*given, "--workers", "1", "--shard", "$SLURM_ARRAY_TASK_ID/2"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--array", 2), "--scheduler"),
        (("--scheduler", "slurm"), "--array"),
        (("--scheduler", "slrum", "--array", 2), "slurm"),
        (("--scheduler", "slurm", "--array", 0), "--array"),
        (("--scheduler", "slurm", "--array", 2, "--set", "dsc.cvb=bsw"), "dsc.cbv"),
        (("--scheduler", "slurm", "--array", 2, "--site", "nowhere.toml"), "nowhere.toml"),
        (("--scheduler", "slurm", "--array", 2, "--shard", "1/2"), "--shard"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_handed_in(
    shared: Path, tmp_path: Path, arguments: tuple[object, ...], told: str
) -> None:
    result = bolus("submit", shared / "data", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("scheduler", "prints", "job"),
    [
        ("slurm", "17", "17"),
        ("slurm", "17;north", "17"),
        ("pbs", "17[].server", "17[].server"),
        ("sge", "17.1-4:1", "17"),
        ("lsf", "Job <17> is submitted to queue <short>.", "17"),
    ],
)
def test_the_number_of_the_job_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str, prints: str, job: str
) -> None:
    command = {"slurm": "sbatch", "lsf": "bsub"}.get(scheduler, "qsub")
    script(tmp_path / "bin" / command, f"cat >script; echo {shlex.quote(prints)}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    handed = hand_in(scheduler, "#!/bin/bash\n", tmp_path / "logs", None)
    assert handed.job == job and job in handed.follow and job in handed.end
    assert (tmp_path / "script").read_text() == "#!/bin/bash\n"
    assert (tmp_path / "logs").is_dir()


def test_what_the_scheduler_refuses_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(
        tmp_path / "bin" / "sbatch", "cat >/dev/null; echo 'invalid partition specified: shrt' >&2; exit 1"
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    site = tmp_path / "site.toml"
    site.write_text('queue = "shrt"\n')
    with pytest.raises(BolusError, match=r"E_RECIPE .*site\.toml.*invalid partition specified: shrt"):
        hand_in("slurm", "", tmp_path / "logs", site)


def test_a_machine_without_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BolusError, match=r"E_PATH bsub: .*--dry-run"):
        hand_in("lsf", "", tmp_path / "logs", None)


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def begun(
    scheduler: str, folder: Path, body: str, restarts: int = 20, **environment: str
) -> tuple[subprocess.Popen[bytes], Path]:
    """The script of an array with another program in the place of Python, as the second job of array 7."""
    script(folder / "python", body)
    site = Site(python=shlex.quote(str(folder / "python")), restarts=restarts)
    text = array_script(scheduler, site, ["in", "out", "participant"], folder, 3)
    return shell(scheduler, text, folder, **environment), folder / "said"


def shell(scheduler: str, text: str, folder: Path, **more: str) -> subprocess.Popen[bytes]:
    script(folder / "bin" / "scontrol", f'echo "$@" >>{shlex.quote(str(folder / "called"))}')
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", INDEX[scheduler]: "2", NUMBER[scheduler]: "77"}
    environment |= {"SLURM_ARRAY_JOB_ID": "7", **more}
    (folder / "job.sh").write_text(text)
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            ["bash", "job.sh"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def called(folder: Path) -> str:
    path = folder / "called"
    return path.read_text() if path.exists() else ""


def until(holds: object) -> None:
    end = time.monotonic() + 20
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)
