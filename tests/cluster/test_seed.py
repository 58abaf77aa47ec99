"""The process that workers are forked from: begun early, told once, with the kernels loaded, gone with its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bolus.recipe import load
from bolus_cluster.plan import Request, plan
from bolus_cluster.workers.seed import COMPILES, CONTRASTS, IMPORTED, PLACE, RECIPE, RUN
from bolus_cluster.workers.settings import ONE_THREAD
from tests.cluster.tools import bolus


def python(lines: str, **environment: str) -> subprocess.Popen[str]:
    """A process with these lines."""
    return subprocess.Popen(
        [sys.executable, "-c", lines],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_has_one_thread_and_the_kernels_of_what_it_was_told(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(load(None).toml())
    (tmp_path / CONTRASTS).write_text("asl dsc")
    (tmp_path / RUN).write_text(str(os.getpid()))
    lines = [f"import {name}" for name in IMPORTED]
    lines += [
        "import os",
        "from bolus_kernels.dsc.traits import _shape",
        "from bolus_kernels.asl.pairs import _scatter",
        "threads = [line.split()[1] for line in open('/proc/self/status') if line.startswith('Threads')]",
        f"print(*threads, len(_shape.signatures), len(_scatter.signatures), os.environ.get({PLACE!r}))",
    ]
    said, error = python("\n".join(lines), **ONE_THREAD, **{PLACE: str(tmp_path)}).communicate(timeout=300)
    assert said == "1 1 1 None\n", error


def test_what_it_cannot_load_it_leaves_to_the_scans(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text("no recipe")
    (tmp_path / CONTRASTS).write_text("dsc")
    (tmp_path / RUN).write_text(str(os.getpid()))
    lines = "\n".join(f"import {name}" for name in IMPORTED) + "\nprint('there')"
    said, error = python(lines, **{PLACE: str(tmp_path)}).communicate(timeout=300)
    assert said == "there\n", error


def test_a_folder_that_it_put_something_into_just_as_it_was_removed_does_not_hold_it(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / RUN).write_text(str(os.getpid()))
    with python("\n".join(f"import {name}" for name in IMPORTED), **{PLACE: str(place)}) as process:
        try:
            until = time.monotonic() + 60
            while not looks_round(process.pid):
                assert time.monotonic() < until
                time.sleep(0.05)
            (place / COMPILES).touch()
            (place / RUN).unlink()
            process.wait(10)
        finally:
            process.kill()
    assert not place.exists()


def looks_round(pid: int) -> bool:
    """Whether a process answers the alarm at which it looks whether anybody waits for it."""
    (caught,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")
    )
    return bool(int(caught.split()[1], 16) >> (signal.SIGALRM - 1) & 1)


TOLD = "tell(Kernels(load(None), ('asl', 'dsc')))"


@pytest.mark.parametrize("then", ["begin()", TOLD], ids=["before it was told", "while it compiles"])
def test_it_goes_with_a_run_that_is_killed(tmp_path: Path, then: str) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import time\n"
        "from bolus.recipe import load\n"
        "from bolus_cluster.workers.seed import Kernels, begin, tell\n"
        "if __name__ == '__main__':\n"
        f"    {then}\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "temporary").mkdir()
    nothing_compiled = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "temporary")}
    run = subprocess.Popen(
        [sys.executable, script], env=os.environ | nothing_compiled, stdout=subprocess.PIPE, text=True
    )
    with run:
        assert run.stdout is not None and run.stdout.readline() == "begun\n"
        processes = children(run.pid)
        until = time.monotonic() + 60
        while then == TOLD and not any(map(children, processes)):  # of two contrasts each has a process
            assert time.monotonic() < until
            time.sleep(0.1)
        processes += [below for pid in processes for below in children(pid)]
        assert processes and list((tmp_path / "temporary").iterdir())
        run.kill()
    until = time.monotonic() + 20
    while time.monotonic() < until and (alive(processes) or any((tmp_path / "temporary").glob("bolus-*"))):
        time.sleep(0.1)
    assert not alive(processes)
    assert not list((tmp_path / "temporary").glob("bolus-*"))


def children(pid: int) -> list[int]:
    """The processes that one has begun."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(processes: list[int]) -> list[int]:
    """Those that are still there and no zombies."""
    there = []
    for pid in processes:
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
            there.append(pid)
    return there


@pytest.mark.parametrize("done", [False, True])
def test_it_is_begun_only_where_something_is_due(shared: Path, tmp_path: Path, done: bool) -> None:
    begun: list[int] = []
    out = shared / "maps" if done else tmp_path
    todo = plan(Request(shared / "data", out), lambda: begun.append(1))
    assert bool(begun) is bool(todo.tasks) is not done


def test_a_run_leaves_nothing_in_the_folder_for_temporary_files(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    for _ in range(2):  # the second has nothing to do
        ended = bolus(
            "run", shared / "data", tmp_path / "out", "participant", "--workers", "1", env=environment
        )
        assert ended.returncode == 0, ended.stderr
        assert not list((tmp_path / "temporary").iterdir())


def heeding() -> None:
    """What is begun answers Ctrl-C, also where these tests run in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_run_whose_kernels_are_being_compiled(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "temporary")}
    program = "from bolus_cluster.cli import main; main()"
    command = [sys.executable, "-c", program, "run", shared / "data", tmp_path / "out", "participant"]
    run = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    with run:
        assert run.stderr is not None and "being compiled" in run.stderr.readline()
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=30)[1]
    assert run.returncode == 130, said
    assert said.strip() == "Ended. What is done stays done: the same command goes on from there."
    until = time.monotonic() + 10
    while time.monotonic() < until and any((tmp_path / "temporary").iterdir()):
        time.sleep(0.1)
    assert not list((tmp_path / "temporary").iterdir())


def test_the_name_of_the_folder_for_temporary_files_may_be_long(shared: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    ended = bolus(
        "run", shared / "data", tmp_path / "out", "participant", env=os.environ | {"TMPDIR": str(long)}
    )
    assert ended.returncode == 0, ended.stderr
    assert not list(long.iterdir())


def test_it_is_told_where_temporary_files_may_lie(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    lines = (
        "import pathlib, sys\n"
        "from bolus_cluster.workers.seed import begin\n"
        f"begin(pathlib.Path({str(tmp_path / 'new' / 'work')!r}))\n"
        f"print(*(path.parent.name for path in pathlib.Path({str(tmp_path)!r}).rglob('bolus-*')))\n"
    )
    said, error = python(lines, TMPDIR=str(tmp_path / "temporary")).communicate(timeout=60)
    assert said == "work\n", error
    assert not list((tmp_path / "temporary").iterdir())


def test_a_script_without_a_guard_is_told_so_and_once(shared: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from bolus_cluster.plan import Request, plan\n"
        "from bolus_cluster.run import run_cohort\n"
        f"run_cohort(plan(Request(Path({str(shared / 'data')!r}), Path({str(tmp_path / 'out')!r}), workers=2)))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1 and "never retrieved" not in ended.stderr, ended.stderr
    assert ended.stderr.rstrip().endswith('must call this below `if __name__ == "__main__":`.')
