"""A real Slurm of two nodes on this machine, as children in a private folder: munged, slurmctld, two slurmd."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
PACKAGES = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NODES = ("n1", "n2")
CPUS, MEMORY = 2, 3000
"""Processors and MiB of each node, as Slurm is told."""

CONFIGURATION = """\
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,requeue_delay=0
PreemptMode=OFF
ReturnToService=2
SlurmdTimeout=10
KillWait=3
MinJobAge=300
GresTypes=gpu
{nodes}
PartitionName=short Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Slurm:
    """A running Slurm: its folder, the environment of its commands, its daemons, the jobs it holds back."""

    folder: Path
    environment: Mapping[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)

    def say(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def jobs(self) -> dict[str, str]:
        """The jobs that are not over: `7_1` -> `RUNNING`."""
        lines = self.say("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def shown(self, job: str) -> dict[str, str]:
        """What Slurm knows of a job, over or not: `JobState`, `ExitCode`, `Restarts`, `BatchHost` ..."""
        text = self.say("scontrol", "show", "job", job, "--oneliner").splitlines()[0]
        return dict(part.split("=", 1) for part in text.split() if "=" in part)

    def wait(self, holds: Callable[[], object], seconds: float = 60, what: str = "") -> None:
        """Wait until something holds. Raises TimeoutError with the queue as it is then."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"{what or 'what was waited for'} after {seconds:g} s: {self.jobs()}")
            time.sleep(0.1)

    def hurry(self) -> None:
        """Let jobs that were put back into the queue begin soon: Slurm holds them for two minutes else.

        Not at once: a node refuses a job for the second in which its first turn was ended.
        """
        for line in self.say("squeue", "--noheader", "--array", "--format=%i %r").splitlines():
            job, reason = line.split(maxsplit=1)
            if reason == "BeginTime" and time.monotonic() > self.held.setdefault(job, time.monotonic()) + 2.5:
                self.say("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)
                del self.held[job]

    def start(self, node: str) -> None:
        """Start the daemon of a node."""
        self.daemons[node] = _child(
            ["slurmd", "-D", "-N", node], self.environment, self.folder / f"{node}.out"
        )

    def cut_power(self, node: str) -> None:
        """Kill a node's daemon and all that it runs at once, and tell Slurm, which would wait minutes else."""
        daemon = self.daemons[node]
        victims = [daemon.pid, *_stepds(self.folder, node)]
        for pid in [each for victim in victims for each in _tree(victim)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()
        self.say("scontrol", "update", f"nodename={node}", "state=down", "reason=power")

    def restore_power(self, node: str) -> None:
        """Start a node again and wait until Slurm has it back."""
        self.start(node)
        self.wait(
            lambda: self.say("sinfo", "-hn", node, "-o%t") in ("idle", "mix"), 30, f"{node} is not back"
        )


def missing() -> str:
    """Why there can be no Slurm here; nothing where there can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return f"no {', '.join(absent)} here: {PACKAGES}" if absent else ""


@contextmanager
def two_nodes() -> Iterator[Slurm]:
    """Start Slurm, give it, and take it down with everything in it, whatever happens meanwhile.

    Its commands need its environment: `SLURM_CONF`.
    """
    with ExitStack() as stack:
        # A socket's name is limited to 108 bytes, so not in a test's own long folder.
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bolus-slurm-", dir="/tmp")))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
        slurm = Slurm(folder, environment)
        _configure(folder)
        stack.callback(_down, slurm)
        slurm.daemons["munged"] = _child(_munged(folder), environment, folder / "munged.out")
        _wait_for_file(folder / "munge" / "sock", slurm.daemons["munged"])
        slurm.daemons["slurmctld"] = _child(["slurmctld", "-D", "-c"], environment, folder / "slurmctld.out")
        for node in NODES:
            slurm.start(node)
        _wait_until_idle(slurm)
        yield slurm


def _configure(folder: Path) -> None:
    folder.chmod(0o711)
    for name in ("munge", "state", *NODES):
        (folder / name).mkdir(mode=0o711)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    host = platform.node().split(".")[0]
    controller, *ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={CPUS} RealMemory={MEMORY} Gres=gpu:1"
        for node, port in zip(NODES, ports, strict=True)
    )
    text = CONFIGURATION.format(folder=folder, host=host, user=user, controller=controller, nodes=nodes)
    (folder / "slurm.conf").write_text(text)
    gres = "".join(f"NodeName={node} Name=gpu File=/dev/null\n" for node in NODES)
    (folder / "gres.conf").write_text(gres)


def _munged(folder: Path) -> list[str]:
    munge = folder / "munge"
    files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return ["munged", "-F", "--force", *(f"--{option}={munge / name}" for option, name in files.items())]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _child(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def _wait_for_file(path: Path, daemon: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        if daemon.poll() is not None or time.monotonic() > end:
            said = "".join(file.read_text() for file in path.parents[1].glob("*.out"))
            raise RuntimeError(f"{path.name} did not appear: {said}")
        time.sleep(0.02)


def _wait_until_idle(slurm: Slurm) -> None:
    def idle() -> bool:
        return slurm.say("sinfo", "--noheader", "--Node", "--format=%t", check=False).split() == ["idle"] * 2

    try:
        end = time.monotonic() + 30
        while not idle():
            if time.monotonic() > end:
                raise TimeoutError("the nodes are not idle")
            time.sleep(0.1)
    except TimeoutError as error:
        logs = [*slurm.folder.glob("*.out"), *slurm.folder.glob("*.log")]
        raise RuntimeError("\n".join(file.read_text()[-2000:] for file in logs)) from error


def _down(slurm: Slurm) -> None:
    """End the jobs, then the daemons, then whatever of them is left; only ever by number."""
    if (controller := slurm.daemons.get("slurmctld")) and controller.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            jobs = slurm.say("squeue", "--noheader", "--format=%A", check=False).split()
            if jobs:
                slurm.say("scancel", "--full", "--signal=KILL", *jobs, check=False)
                slurm.say("scancel", *jobs, check=False)
                with suppress(TimeoutError):
                    slurm.wait(lambda: not slurm.jobs(), 10)
    left = [pid for stepd in _stepds(slurm.folder) for pid in _tree(stepd)]
    for daemon in reversed(slurm.daemons.values()):
        daemon.terminate()
    for daemon in slurm.daemons.values():
        try:
            daemon.wait(5)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _stepds(folder: Path, node: str = "") -> list[int]:
    """The processes that watch over the jobs (of a node): its daemon starts them, but they are no child of it."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    logs = [f"{folder}/{each}.log" for each in NODES if node in ("", each)]
    return [pid for pid in pids if _title(pid).startswith("slurmstepd") and _opened(pid) & set(logs)]


def _opened(pid: int) -> set[str]:
    with suppress(OSError):
        return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return set()


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it, the youngest last."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found
