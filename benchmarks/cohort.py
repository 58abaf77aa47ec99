"""Cohorts through the command line: thousands of small scans, kills and resumes; whole scans against one process."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bolus.bids import find_scans
from bolus.phantom import write_cohort
from bolus.recipe import load
from bolus_kernels.device import cpu, processors

SMALL = {"shape": (24, 24, 4), "volumes": 40, "contrasts": ("dsc",)}
WHOLE = {"shape": (128, 128, 20), "volumes": 60, "contrasts": ("dsc",)}
MANY = int(os.environ.get("BOLUS_COHORT", "2000"))
KILLS = 10
WHOLES, COPIES = 8, 16
"""Phantoms of full size, and how many subjects each of them stands for."""
KILLER = 200
Row = dict[str, Any]


def measure() -> list[Row]:
    """Rates in scans per second of wall time; every ratio is of runs on this machine, one after the other."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        return [*_many(root), _killer(root), *_whole(root)]


def _many(root: Path) -> list[Row]:
    """Many small scans: what a scan costs beside its computation, what a rerun costs, and what kills cost."""
    data = root / "small"
    write_cohort(data, MANY, **SMALL)
    write_cohort(root / "one", 1, **SMALL)
    _run(root / "one", root / "first")  # compiles what has to be
    bare = _bare(data, root / "bare", processors())
    began = time.monotonic()
    grown = _run(data, root / "out")
    rate = MANY / (time.monotonic() - began)
    began = time.monotonic()
    _run(data, root / "out")
    again = time.monotonic() - began
    states = _states(root / "out")
    kills, resumed = _killed(data, root / "killed")
    same = _digest(root / "killed") == _digest(root / "out")
    done = states.count("done") + states.count("done_with_warnings")
    return [
        _told(
            f"{MANY} small scans in one run",
            rate,
            rate / bare,
            "as many processes without ledger or scheduler",
        ),
        {
            "what": "driver's memory, first tenth to last scan",
            "said": f"{grown:+.1f} MiB (50)",
            "value": grown,
            "failed": grown > 50,
        },
        {
            "what": f"running again over {MANY} scans",
            "said": f"{again:.1f} s (5)",
            "value": again,
            "failed": again > 5,
        },
        {
            "what": f"killed {kills} times at random, resumed",
            "said": f"{resumed} of {MANY} done, maps {'identical' if same else 'NOT identical'}; {done} undisturbed",
            "value": resumed,
            "failed": not (same and resumed == done == MANY and kills == KILLS),
        },
    ]


def _whole(root: Path) -> list[Row]:
    """Scans of full size: the run against one process times the processors, and against only unpacking and packing."""
    data = root / "whole"
    write_cohort(data, WHOLES, **WHOLE)
    one = _bare(data, root / "one", 1, most=WHOLES // 2)
    began = time.monotonic()
    _run(data, root / "whole-out")
    rate = WHOLES / (time.monotonic() - began)
    packing = _packing(data, root / "whole-out")
    count = processors()
    return [
        _told(
            f"{WHOLES} whole DSC scans in one run", rate, rate / (one * count), f"one process, times {count}"
        ),
        _told("the same", rate, rate / (packing * count), f"inflating and deflating alone, times {count}"),
    ]


def _copies(made: Path, data: Path) -> None:
    """Each phantom as so many subjects: links to the same files under other names."""
    for number in range(COPIES):
        for path in sorted(made.glob("sub-*/**/*.*")):
            subject = path.relative_to(made).parts[0]
            other = data / str(path.relative_to(made)).replace(subject, f"{subject}x{number:02d}")
            other.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, other)
    for path in made.glob("*.*"):
        os.link(path, data / path.name)


def _killer(root: Path) -> Row:
    """One scan that always kills its process, among many."""
    from tests.cluster.saboteur import environment

    write_cohort(root / "killer", KILLER, **SMALL)
    env = environment(root / "sabotage", sub_100_dsc="kill")
    done = subprocess.run(
        _command(root / "killer", root / "killer-out", ()), env=env, capture_output=True, text=True
    )
    states = _states(root / "killer-out")
    failed = states.count("failed")
    return {
        "what": f"one of {KILLER} scans that kills its process",
        "said": f"{failed} failed, {len(states) - failed} done, exit code {done.returncode}",
        "value": failed,
        "failed": (failed, len(states), done.returncode) != (1, KILLER, 1)
        or "E_WORKER_DIED" not in done.stdout,
    }


def _told(what: str, rate: float, ratio: float, against: str) -> Row:
    return {"what": what, "rate": rate, "ratio": ratio, "against": against}


def _command(data: Path, out: Path, options: Sequence[str]) -> list[str]:
    program = "from bolus_cluster.cli import main; main()"
    return [sys.executable, "-c", program, "run", str(data), str(out), "participant", *options]


def _run(data: Path, out: Path, *options: str) -> float:
    """Run to the end; how much the driver's memory grew between a tenth of the scans and the last, in MiB."""
    process = subprocess.Popen(
        _command(data, out, options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ledger = out / ".bolus" / "scans"
    early = late = 0.0
    while process.poll() is None:
        time.sleep(0.2)
        resident = _resident(process.pid)
        if resident and ledger.is_dir() and not early and sum(1 for _ in os.scandir(ledger)) > MANY // 10:
            early = resident
        late = resident or late
    if process.returncode:
        raise RuntimeError(f"the run over {data} ended with {process.returncode}")
    return late - early if early else 0.0


def _resident(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _killed(data: Path, out: Path) -> tuple[int, int]:
    """Kill the driver at random moments, then let a run come to its end; kills, and scans done."""
    kills = 0
    dice = random.Random(1)
    share = 0.8 * MANY / KILLS
    while kills < KILLS:
        process = subprocess.Popen(
            _command(data, out, ()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ledger, goal = out / ".bolus" / "scans", (kills + dice.random()) * share
        while process.poll() is None and (not ledger.is_dir() or sum(1 for _ in os.scandir(ledger)) < goal):
            time.sleep(0.02)
        time.sleep(0.2 * dice.random())
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    _run(data, out)
    return kills, sum(state.startswith("done") for state in _states(out))


def _states(out: Path) -> list[str]:
    with (out / "scans.tsv").open(newline="") as file:
        return [row["state"] for row in csv.DictReader(file, delimiter="\t")]


def _digest(out: Path) -> str:
    """One SHA-256 over all maps and sidecars."""
    whole = hashlib.sha256()
    for path in sorted(out.glob("sub-*/**/*.*")):
        whole.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return whole.hexdigest()


def _bare(data: Path, out: Path, count: int, most: int | None = None) -> float:
    """Scans per second of so many processes that only process scans, one after another."""
    scans = [found.scan for found in find_scans(data)][:most]
    context = get_context("spawn")
    ready, go = context.Barrier(count + 1), context.Barrier(count + 1)
    shares = [context.Process(target=_process, args=(scans[k::count], out, ready, go)) for k in range(count)]
    for share in shares:
        share.start()
    ready.wait()
    began = time.monotonic()
    go.wait()
    for share in shares:
        share.join()
    return len(scans) / (time.monotonic() - began)


def _process(scans: Sequence[Any], out: Path, ready: Any, go: Any) -> None:
    from bolus.pipeline import process

    recipe = load(None)
    process(scans[0], out, recipe, cpu())
    ready.wait()
    go.wait()
    for scan in scans:
        process(scan, out, recipe, cpu())


def _packing(data: Path, out: Path) -> float:
    """Scans per second of one process that only inflates the inputs and deflates the maps."""
    from isal import isal_zlib

    packed = [path.read_bytes() for path in sorted(data.glob("sub-*/**/*_dsc.nii.gz"))][: WHOLES // 4]
    maps = [
        isal_zlib.decompress(path.read_bytes(), 31)
        for name in sorted(out.glob("sub-*"))[: WHOLES // 4]
        for path in name.glob("**/*.nii.gz")
    ]
    began = time.monotonic()
    for raw in packed:
        isal_zlib.decompress(raw, 31)
    for raw in maps:
        packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        packer.compress(raw)
        packer.flush()
    return len(packed) / (time.monotonic() - began)
