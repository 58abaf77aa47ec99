"""Scans that kill, stop or hang the process that computes them, in real runs of the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Found by every Python that starts with this folder on its path: the driver, the workers, the lone processes.
SITE = """
import ctypes, itertools, os, pathlib, signal, time
from bolus import pipeline

deeds = dict(part.split("=") for part in os.environ["SABOTAGE"].split(","))
told = pathlib.Path(os.environ["SABOTAGE_FOLDER"])
whole = pipeline.begin

def begin(scan, *given):
    with (told / f"{scan.key}.starts").open("a") as file:
        file.write(f"{time.time()}\\n")
    deed, _, often = deeds.get(scan.key, "").partition("*")
    for number in itertools.islice(itertools.count(), int(often) if often else None) if deed else ():
        mark = told / f"{scan.key}-{number}"
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            continue
        mark.write_text(f"{os.getpid()} {time.time()}")
        if deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif deed == "crash":
            ctypes.string_at(0)
        elif deed == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif deed == "sleep":
            time.sleep(1000)
        elif deed == "freeze":
            ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock: not even a heartbeat
        elif deed == "slow":
            time.sleep(3)
        elif deed == "slower":
            time.sleep(15)
        break
    return whole(scan, *given)

pipeline.begin = begin
"""


def environment(folder: Path, **deeds: str) -> dict[str, str]:
    """An environment in which scans do such deeds: `sub_01_dsc="kill*2"` kills its process twice, then is good."""
    (folder / "site").mkdir(parents=True, exist_ok=True)
    (folder / "deeds").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH", "")]))
    told = ",".join(f"{scan.replace('sub_', 'sub-')}={deed}" for scan, deed in deeds.items())
    return {**os.environ, "PYTHONPATH": path, "SABOTAGE": told, "SABOTAGE_FOLDER": str(folder / "deeds")}


def marks(folder: Path, scan: str) -> list[tuple[int, float]]:
    """Process and time of each deed of a scan, in order."""
    found = sorted((folder / "deeds").glob(f"{scan}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return [(int(pid), float(at)) for pid, at in (path.read_text().split() for path in found)]


def starts(folder: Path, scan: str) -> list[float]:
    """When the computation of a scan was begun, each time."""
    return [float(line) for line in (folder / "deeds" / f"{scan}.starts").read_text().split()]


def begin(root: Path, out: Path, *options: object, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start `bolus run` as a process of its own, with its workers in a group of their own."""
    program = "from bolus_cluster.cli import main; main()"
    command = [sys.executable, "-c", program, "run", root, out, "participant", *options]
    return subprocess.Popen(
        [str(part) for part in command],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
    """Exit code and all that was said."""
    said, _ = process.communicate(timeout=seconds)
    return process.returncode, said
