"""Drivers that are killed at random moments and resumed; a scan that always kills its process."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.cohort.commands import SMALL, by_turns, command, entered, run, states
from bolus.phantom import write_cohort

KILLS = 10
KILLER = 200
Row = dict[str, Any]


def killed(data: Path, out: Path, scans: int) -> tuple[int, int]:
    """Kill the driver at random moments, then let a run come to its end; kills, and scans done."""
    kills = 0
    dice = random.Random(1)
    share = 0.8 * scans / KILLS
    while kills < KILLS:
        process = subprocess.Popen(command(data, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        goal = (kills + dice.random()) * share
        while process.poll() is None and entered(out) < goal:
            time.sleep(0.02)
        time.sleep(0.2 * dice.random())
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    by_turns(run(data, out))
    return kills, sum(state.startswith("done") for state in states(out))


def killer(root: Path) -> Row:
    """One scan that always kills its process, among many."""
    from tests.cluster.saboteur import environment

    write_cohort(root / "killer", KILLER, **SMALL)
    env = environment(root / "sabotage", sub_100_dsc="kill")
    out = root / "killer-out"
    done = subprocess.run(command(root / "killer", out), env=env, capture_output=True, text=True)
    found = states(out)
    failed = found.count("failed")
    return {
        "what": f"one of {KILLER} scans that kills its process",
        "said": f"{failed} failed, {len(found) - failed} done, exit code {done.returncode}",
        "value": failed,
        "failed": (failed, len(found), done.returncode) != (1, KILLER, 1)
        or "E_WORKER_DIED" not in done.stdout,
    }
