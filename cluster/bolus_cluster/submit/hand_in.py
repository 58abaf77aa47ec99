"""Give a script to the scheduler: its command, the number of the job, how to follow and to end it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bolus.errors import BolusError, Code
from bolus_cluster.site import find

COMMANDS = {
    "slurm": ("sbatch", "--parsable"),
    "pbs": ("qsub",),
    "sge": ("qsub", "-terse"),
    "lsf": ("bsub",),
}
# What each prints: 7, or 7;cluster / 7.server or 7[].server / 7 or 7.1-4:1 / Job <7> is submitted to ...
NUMBER = {
    "slurm": r"(\d+)(?:;\S+)?",
    "pbs": r"(\d+(?:\[\])?\S*)",
    "sge": r"(\d+)(?:\.\S+)?",
    "lsf": r"Job <(\d+)>",
}
FOLLOW = {"slurm": "squeue --job={}", "pbs": "qstat -t {}", "sge": "qstat -j {}", "lsf": "bjobs {}"}
END = {"slurm": "scancel {}", "pbs": "qdel {}", "sge": "qdel {}", "lsf": "bkill {}"}
PATIENCE = 120


@dataclass(frozen=True)
class Handed:
    """A job that the scheduler has taken: its number, and the commands that show it and end it."""

    job: str
    follow: str
    end: str


def hand_in(scheduler: str, script: str, logs: Path, site: Path | None) -> Handed:
    """Make the folder for what the job says and give the script to the scheduler.

    `site` is the file that --site named. Raises BolusError: E_PATH where its command is not on this machine,
    E_TIMEOUT where it does not answer, E_RECIPE where it refuses; OSError.
    """
    command = COMMANDS[scheduler]
    if shutil.which(command[0]) is None:
        mend = "Use a machine from which jobs are handed in, or print the script with --dry-run."
        raise BolusError(Code.PATH, command[0], "no such command here", f"that of {scheduler}", mend)
    logs.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        mend = "Ask for the state of the queue there; then try again."
        seen = f"no answer in {PATIENCE} s"
        raise BolusError(Code.TIMEOUT, command[0], seen, "the number of a job", mend) from error
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    found = re.search(NUMBER[scheduler], done.stdout)
    if done.returncode or found is None:
        told = find(site)
        mend = f"Correct {told}, or try the script that --dry-run prints." if told else MEND_WITHOUT_SITE
        seen = f"{said or 'nothing'} (exit code {done.returncode})"
        raise BolusError(Code.RECIPE, told or command[0], seen, "a job that is taken", mend)
    job = found[1]
    return Handed(job, FOLLOW[scheduler].format(job), END[scheduler].format(job))


MEND_WITHOUT_SITE = (
    "Say queue, account and what else it wants in a file: --site FILE, see bolus submit --help."
)
