"""A batch script as pure text: an array of shards, or the one job that hands scans out to workers."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bolus_cluster.directives import AGAIN, JOB, directives, head, preparation
from bolus_cluster.site import Site

INDEX = {
    "slurm": "$SLURM_ARRAY_TASK_ID",
    "pbs": "${PBS_ARRAY_INDEX:-1}",
    "sge": "$SGE_TASK_ID",
    "lsf": "$LSB_JOBINDEX",
}
# $! is bolus from its first moment. A signal ends `wait`, not bolus: it is waited for until it is gone.
BODY = """\
over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
{command} &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
"""
SLURM_AGAIN = """\
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then
    scontrol requeue "{job}"
fi
"""
COUNTED_AGAIN = """\
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
turns={turns}
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "$(cat "$turns" 2>/dev/null | wc -l)" -lt {restarts} ]; then
    echo "$(date)" >>"$turns"
    exit {again}
fi
rm -f "$turns"
"""


def array_script(scheduler: str, site: Site, asked: Sequence[str], logs: Path, count: int) -> str:
    """So many jobs in one, each a shard of the cohort; no scheduler process, no open port.

    `asked` is everything after `bolus run`, without --workers and --shard.
    """
    most = site.gpus or site.cpus
    workers = [] if "--workers" in asked else ["--workers", str(most)]
    command = f'{command_line(site, ["run", *asked, *workers])} --shard "{INDEX[scheduler]}/{count}"'
    return _script(scheduler, site, logs, command, count)


def driver_script(scheduler: str, site: Site, asked: Sequence[str], logs: Path) -> str:
    """One job that hands the scans out to workers, which are jobs of their own; `asked` as above."""
    own = replace(site, cpus=1, gpus=0, gres="", memory=site.driver_memory)
    command = command_line(site, ["run", *asked, "--cluster", scheduler])
    return _script(scheduler, own, logs, command, None)


def command_line(site: Site, arguments: Sequence[str]) -> str:
    """`bolus` with its arguments as a line of shell; whatever they hold, each stays one word."""
    return f"{python(site)} -m bolus_cluster {shlex.join(arguments)}"


def python(site: Site) -> str:
    """How a node starts Python, as shell: the one that runs here, unless the site says otherwise."""
    inside = "python3" if site.container else shlex.quote(sys.executable)
    return " ".join(part for part in (site.container, site.python or inside) if part)


def _script(scheduler: str, site: Site, logs: Path, command: str, count: int | None) -> str:
    lines = directives(scheduler, site, logs, count)
    before = "".join(f"{line}\n" for line in preparation(scheduler, site, logs))
    body = BODY.format(command=command)
    parts = [f"#!/bin/bash\n{head(scheduler, lines)}", before, body + _again(scheduler, site, logs, count)]
    return "\n".join(part for part in parts if part) + 'exit "$code"\n'


def _again(scheduler: str, site: Site, logs: Path, count: int | None) -> str:
    """How a job whose time is over goes on; PBS has nothing that a user may call for that."""
    if scheduler == "slurm":
        # The number of the array is also that of one of its jobs: only number_index is certain.
        job = "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if count else "$SLURM_JOB_ID"
        return SLURM_AGAIN.format(restarts=site.restarts, job=job)
    if scheduler in ("sge", "lsf"):
        index = f".{INDEX[scheduler]}" if count else ""
        turns = f'{shlex.quote(str(logs))}/".turns-${JOB[scheduler]}{index}"'
        return COUNTED_AGAIN.format(turns=turns, restarts=site.restarts, again=AGAIN)
    return ""
