"""Workers that are jobs of Slurm, PBS, SGE or LSF: encrypted, replaced when lost, gone when the driver is."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bolus.errors import BolusError, Code
from bolus_cluster.directives import NOTICE, PREFIX, directives, preparation
from bolus_cluster.site import Site
from bolus_cluster.workers.settings import LOOPBACK, SETTINGS

if TYPE_CHECKING:
    from distributed import Client

CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
HANDS_IN = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub"}
# Says something, without an error, as long as the job waits or runs.
ASKS = {
    "slurm": "squeue --noheader --format=%T --jobs={}",
    "pbs": "qstat {}",
    "sge": "qstat -j {}",
    "lsf": "bjobs -noheader -o jobid -p -r -s {}",
}
HALF_A_MINUTE = 30
QUEUE_SETTINGS = {
    "distributed.deploy.lost-worker-timeout": "15s",
    "distributed.comm.require-encryption": True,
}
ROLES = ("scheduler", "worker", "client")


@contextmanager
def queued(
    scheduler: str,
    site: Site,
    workers: int,
    shared: Path,
    logs: Path,
    work_dir: Path | None,
) -> Iterator[Client]:
    """Hand in jobs for so many workers of one thread each, and give a client when the first one is there.

    With GPUs a job is one worker and one GPU. `shared`: a folder that every node sees, where the certificates
    of this run lie while it lasts; `work_dir`: where workers put temporary files, on their own node.
    Raises BolusError: E_PATH where the scheduler's command is absent, E_RECIPE where it refuses the job,
    E_WORKER_DIED where every job ended before its worker was there; OSError.
    """
    import dask
    import dask_jobqueue
    from distributed import Client

    _look_for_command(scheduler)
    job = _per_job(site)
    processes = 1 if job.gpus else job.cpus
    with ExitStack() as stack:
        keys = Path(stack.enter_context(TemporaryDirectory(prefix=".keys-", dir=shared)))
        told = {**SETTINGS, **QUEUE_SETTINGS, **_certificates(keys)}
        stack.enter_context(dask.config.set(told))
        kind = getattr(dask_jobqueue, CLUSTERS[scheduler])
        refusals: list[str] = []
        cluster = kind(
            job_cls=_telling(kind.job_cls, refusals),
            cores=processes,
            processes=processes,
            memory="1GiB",  # only for a line that is not used: the site's own stands in its place
            nanny=True,
            protocol="tls://",
            interface=job.interface or None,
            death_timeout=2 * HALF_A_MINUTE,
            local_directory=shlex.quote(str(work_dir)) if work_dir else None,
            python=_python(job),
            job_directives_skip=[PREFIX[scheduler]],
            job_extra_directives=directives(scheduler, job, logs, again=False),
            job_script_prologue=[*preparation(scheduler, job, logs), *_exports(told)],
            worker_extra_args=["--memory-limit", "0", "--no-dashboard", *_lifetime(job)],
            scheduler_options={"dashboard_address": f"{LOOPBACK}:0"},
            log_directory=None,
            silence_logs="critical",
        )
        stack.enter_context(cluster)
        jobs = -(-workers // processes)
        logs.mkdir(parents=True, exist_ok=True)
        _hand_in(cluster, jobs, scheduler, refusals)
        client = stack.enter_context(Client(cluster))
        _first(client, cluster, scheduler, logs)
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs, interval="2s")
        yield client


def _per_job(site: Site) -> Site:
    """A job of one worker where there are GPUs, so that the scheduler itself gives each worker its own."""
    if not site.gpus:
        return site
    memory = f"{max(1, site.mebibytes // site.gpus)}M" if site.mebibytes else ""
    return replace(site, gpus=1, cpus=max(1, site.cpus // site.gpus), memory=memory)


def _python(site: Site) -> str:
    inside = "python3" if site.container else shlex.quote(sys.executable)
    return " ".join(part for part in (site.container, site.python or inside) if part)


def _lifetime(site: Site) -> list[str]:
    """A worker leaves before its job's time is over, and hands its scan back; not all at the same moment."""
    if not site.seconds or site.seconds <= 2 * NOTICE:
        return []
    return ["--lifetime", f"{site.seconds - NOTICE}s", "--lifetime-stagger", f"{NOTICE // 2}s"]


def _certificates(folder: Path) -> dict[str, str]:
    """Make a key and a certificate for this run alone; where dask finds them.

    They reach the workers as names of files that only this user may read: in no script, on no command line.
    """
    from distributed.security import Security

    made = Security.temporary().get_tls_config_for_role("scheduler")
    for name in ("ca_file", "cert", "key"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(made[name])
    prefix = "distributed.comm.tls"
    found = {f"{prefix}.ca-file": str(folder / "ca_file")}
    for role in ROLES:
        found |= {f"{prefix}.{role}.{name}": str(folder / name) for name in ("cert", "key")}
    return found


def _exports(settings: Mapping[str, Any]) -> list[str]:
    """Settings of dask as variables, which every process of a job reads."""
    names = {key: "DASK_" + key.upper().replace(".", "__").replace("-", "_") for key in settings}
    return [f"export {names[key]}={shlex.quote(str(value))}" for key, value in settings.items()]


def _look_for_command(scheduler: str) -> None:
    command = HANDS_IN[scheduler]
    if shutil.which(command) is None:
        mend = "Start it on a machine from which jobs are handed in, or use --cluster local."
        raise BolusError(Code.PATH, command, "no such command here", f"that of {scheduler}", mend)


def _telling(job: Any, refusals: list[str]) -> Any:
    """The same kind of job, but one that the scheduler refuses is told here instead of in a log nobody reads."""
    from distributed import Status

    async def start(self: Any) -> None:
        try:
            await job.start(self)
        except RuntimeError as error:
            refusals.append(str(error).partition("stderr:\n")[2] or str(error))
            self.status = Status.failed

    return type(job.__name__, (job,), {"start": start})


def _hand_in(cluster: Any, jobs: int, scheduler: str, refusals: list[str]) -> None:
    async def handed() -> None:
        await cluster

    cluster.scale(jobs=jobs)
    cluster.sync(handed)
    if refusals:
        mend = "Correct the site's file (--site FILE), or ask what this scheduler wants."
        seen = " ".join(refusals[0].split())
        raise BolusError(Code.RECIPE, HANDS_IN[scheduler], seen, "a job that is taken", mend)


def _first(client: Client, cluster: Any, scheduler: str, logs: Path) -> None:
    """Wait for the first worker, however long the queue is, but not for jobs that are gone."""
    while True:
        waiting = any(_is_there(scheduler, str(job.job_id)) for job in cluster.workers.values())
        try:
            client.wait_for_workers(1, timeout=3)
            return
        except TimeoutError:
            if waiting:
                continue
        raise BolusError(
            Code.WORKER_DIED,
            logs,
            "that every job of a worker ended before the worker was there",
            "jobs that start a worker",
            "Read what they say in this folder: most often a module, the Python or the network is another there.",
        )


def _is_there(scheduler: str, job: str) -> bool:
    done = subprocess.run(shlex.split(ASKS[scheduler].format(job)), capture_output=True, text=True)
    return done.returncode == 0 and bool(done.stdout.strip())
