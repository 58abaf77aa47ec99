"""The head of a batch script: what one job asks of Slurm, PBS, SGE or LSF, as pure text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from bolus_cluster.site import Site

NAME = "bolus"
PREFIX = {"slurm": "#SBATCH", "pbs": "#PBS", "sge": "#$", "lsf": "#BSUB"}
NOTICE = 120
"""Seconds before the end of a job's time at which it is told."""
AGAIN = 99
"""The exit code by which a job of SGE or LSF asks to be run again."""
# Schedulers read a name up to a blank, a colon, a per cent sign: any other is opened by the job itself.
PLAIN = re.compile(r"[\w./+=,@-]+", re.ASCII)
JOB = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "sge": "JOB_ID", "lsf": "LSB_JOBID"}


def directives(
    scheduler: str, site: Site, logs: Path, array: int | None = None, again: bool = True
) -> list[str]:
    """The arguments of each directive, in order, without the mark before them.

    `array`: so many jobs in one, numbered from 1. `again`: the job may be run again after a node was lost, and
    is told before its time is over.
    """
    write = {"slurm": _slurm, "pbs": _pbs, "sge": _sge, "lsf": _lsf}[scheduler]
    return [*write(site, logs, array, again), *site.directives]


def head(scheduler: str, lines: list[str]) -> str:
    """Directives as they stand in a script."""
    return "".join(f"{PREFIX[scheduler]} {line}\n" for line in lines)


def preparation(scheduler: str, site: Site, logs: Path) -> list[str]:
    """The lines of shell before the command: where it writes, if the scheduler cannot be told; the site's own."""
    lines = []
    if not _is_plain(logs):
        lines.append(f'exec >>{shlex.quote(str(logs))}/"{NAME}-${JOB[scheduler]}.log" 2>&1')
    lines += [f"module load {shlex.quote(module)} || exit 3" for module in site.modules]
    return [*lines, *site.before]


def clock(seconds: int) -> str:
    """Seconds as hours:minutes:seconds, which every scheduler but LSF reads."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _is_plain(logs: Path) -> bool:
    return PLAIN.fullmatch(str(logs)) is not None


def _slurm(site: Site, logs: Path, array: int | None, again: bool) -> list[str]:
    lines = [f"--job-name={NAME}"]
    file = f"{logs}/{NAME}-%{'A_%a' if array else 'j'}.log"
    lines += [f"--output={file if _is_plain(logs) else '/dev/null'}", "--open-mode=append"]
    lines += [f"--partition={site.queue}"] if site.queue else []
    lines += [f"--account={site.account}"] if site.account else []
    lines += [f"--qos={site.qos}"] if site.qos else []
    lines += ["--nodes=1", "--ntasks=1", f"--cpus-per-task={site.cpus}"]
    lines += [f"--mem={site.mebibytes}M"] if site.mebibytes else []
    if site.gres or site.gpus:
        lines.append(f"--gres={site.gres or f'gpu:{site.gpus}'}")
    lines += [f"--time={clock(site.seconds)}"] if site.seconds else []
    lines += [f"--array=1-{array}"] if array else []
    return lines + (["--requeue", f"--signal=B:USR1@{NOTICE}"] if again else ["--no-requeue"])


def _pbs(site: Site, logs: Path, array: int | None, again: bool) -> list[str]:
    lines = [f"-N {NAME}", "-j oe", f"-o {f'{logs}/' if _is_plain(logs) else '/dev/null'}"]
    lines += [f"-q {site.queue}"] if site.queue else []
    lines += [f"-A {site.account}"] if site.account else []
    chunk = f"select=1:ncpus={site.cpus}"
    chunk += f":mem={site.mebibytes}mb" if site.mebibytes else ""
    if site.gres or site.gpus:
        chunk += f":{site.gres or f'ngpus={site.gpus}'}"
    lines.append(f"-l {chunk}")
    lines += [f"-l walltime={clock(site.seconds)}"] if site.seconds else []
    lines += [f"-J 1-{array}"] if array and array > 1 else []  # PBS knows no array of one
    return [*lines, f"-r {'y' if again else 'n'}"]


def _sge(site: Site, logs: Path, array: int | None, again: bool) -> list[str]:
    file = f"{logs}/{NAME}-$JOB_ID{'.$TASK_ID' if array else ''}.log"
    lines = [f"-N {NAME}", "-S /bin/bash", "-j y", f"-o {file if _is_plain(logs) else '/dev/null'}"]
    lines += [f"-q {site.queue}"] if site.queue else []
    lines += [f"-P {site.account}"] if site.account else []
    lines += [f"-pe {site.parallel_environment} {site.cpus}"] if site.cpus > 1 else []
    if site.mebibytes:
        lines.append(f"-l mem_free={-(-site.mebibytes // site.cpus)}M")  # SGE counts it for each processor
    if site.gres or site.gpus:
        lines.append(f"-l {site.gres or f'gpu={site.gpus}'}")
    if site.seconds:
        soft = f",s_rt={clock(max(1, site.seconds - NOTICE))}" if again else ""
        lines.append(f"-l h_rt={clock(site.seconds)}{soft}")
    lines += [f"-t 1-{array}"] if array else []
    return [*lines, f"-r {'y' if again else 'n'}"]


def _lsf(site: Site, logs: Path, array: int | None, again: bool) -> list[str]:
    file = f"{logs}/{NAME}-%J{'_%I' if array else ''}.log"
    lines = [f'-J "{NAME}[1-{array}]"' if array else f"-J {NAME}"]
    lines.append(f"-o {file if _is_plain(logs) else '/dev/null'}")
    lines += [f"-q {site.queue}"] if site.queue else []
    lines += [f"-P {site.account}"] if site.account else []
    lines += [f"-n {site.cpus}", '-R "span[hosts=1]"']
    if site.mebibytes:
        lines += [f'-R "rusage[mem={site.mebibytes}MB]"', f"-M {site.mebibytes}MB"]
    if site.gres or site.gpus:
        lines.append(f'-gpu "{site.gres or f"num={site.gpus}"}"')
    if site.seconds:
        minutes = -(-site.seconds // 60)
        lines.append(f"-W {minutes // 60}:{minutes % 60:02d}")
        lines += [f"-wa USR1 -wt {NOTICE // 60}"] if again else []
    return lines + (["-r", f'-Q "{AGAIN}"'] if again else ["-rn"])
