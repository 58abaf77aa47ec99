"""A run over a cohort: refuse what cannot be read, spread the rest, collect, enter, write the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile

from bolus.errors import BolusError, Code
from bolus_cluster.crew import crew_of
from bolus_cluster.describe import describe
from bolus_cluster.ending import Ending, ending
from bolus_cluster.ledger import table
from bolus_cluster.ledger.lock import held
from bolus_cluster.ledger.records import DONE, forget, look_up, scans
from bolus_cluster.plan import Plan, Request, Task, still_due
from bolus_cluster.workers.attempt import Job, Row, attempt, refuse, skip, translate
from bolus_cluster.workers.cluster import at_work
from bolus_cluster.workers.seed import Kernels, end_if_being_started
from bolus_cluster.workers.stream import stream
from bolus_kernels import device

# The machine's or a neighbour's fault rather than the request's: exit 3, not 2.
MACHINE = frozenset(
    {
        Code.LOCKED, Code.SPACE, Code.PERM, Code.DEVICE, Code.MEMORY,
        Code.WORKER_DIED, Code.TIMEOUT, Code.INTERNAL,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """What a run came to: scans per state over its share of the cohort, and how many stood as they were."""

    states: Counter[str]
    standing: int

    @property
    def exit_code(self) -> int:
        """0 when all are done, 1 when some are not."""
        return 0 if all(state in DONE for state, count in self.states.items() if count) else 1


def run_cohort(plan: Plan, watch: Callable[[Row], None] = lambda row: None) -> Summary:
    """Carry out a plan; one bad scan never stops the rest, an end at any moment can be resumed.

    Each finished scan is told to `watch`. A SIGTERM lets the scans in the air land, for GRACE seconds; before there are
    any it ends the run at once.
    Raises BolusError where the cohort cannot run: E_LOCKED, E_DEVICE, E_WORKER_DIED, E_TIMEOUT; OSError where
    the output folder cannot be written; KeyboardInterrupt when it was ended from outside.
    """
    end_if_being_started()
    request = plan.request
    chosen = _chosen(request)
    states: Counter[str] = Counter()
    count = len(plan.tasks)
    with ending() as end:
        with held(request.out, count, request.shard, request.participants, plan.work, end.lost) as lock:
            plan = still_due(plan)
            left = {task.scan.key: task for task in plan.tasks}
            describe(request.out, request.root, plan.recipe)
            try:
                with closing(_rows(plan, end, chosen)) as rows:
                    for row in rows:
                        del left[row.scan]
                        states[row.state] += 1
                        lock.tell(row.state == "failed")
                        watch(row)
                        if row.state == "failed" and request.stop_on_first_failure:
                            end.draw_no_more()  # what is in the air still lands
            finally:
                if not end.is_lost:
                    states["skipped"] += _skip(plan, left)
                    _forget_vanished(plan)
                    table.write(request.out)
        end.told()
    for key in plan.standing:
        record = look_up(request.out, key)
        states[record.state if record else "failed"] += 1
    return Summary(states, len(plan.standing))


def exit_code(problem: BolusError) -> int:
    """The exit code of a run that could not: 3 for the machine's fault, 2 where the request is wrong."""
    return 3 if problem.code in MACHINE else 2


def _rows(plan: Plan, end: Ending, chosen: device.Device) -> Generator[Row]:
    request = plan.request
    for task in plan.tasks:
        if task.problem is not None and not end.near:
            yield refuse(task.scan, request.out, task.problem)
    sound = [task for task in plan.tasks if task.problem is None]
    if not sound or end.near:
        return
    crew = crew_of(request, chosen, [task.scan for task in sound])
    jobs = takewhile(lambda _: not end.near, (_job(plan, task, crew.threads) for task in sound))
    if crew.workers == 0:
        end.scans_begin()
        yield from map(attempt, jobs)
        return
    contrasts = sorted({task.scan.contrast for task in sound})
    kernels = Kernels(plan.recipe, contrasts)
    with at_work(request.cluster, crew, request.out, kernels, request.site, request.work_dir) as (
        client,
        room,
    ):
        end.scans_begin()
        yield from stream(client, jobs, len(sound), room)


def _job(plan: Plan, task: Task, threads: int) -> Job:
    request = plan.request
    return Job(
        task.scan, request.root, request.out, plan.recipe, task.signature, request.device, threads,
        request.deadline, task.attempts,
    )  # fmt: skip


def _skip(plan: Plan, left: dict[str, Task]) -> int:
    """Enter what the run did not come to; the record of an earlier run stands."""
    for key, task in left.items():
        if look_up(plan.request.out, key) is None:
            skip(task.scan, plan.request.out, "not started: the run was ended before it")
    return len(left)


def _forget_vanished(plan: Plan) -> None:
    """Take scans without maps out of the ledger when their files are gone; finished maps keep their row."""
    if not plan.request.whole:
        return
    for scan in scans(plan.request.out):
        if scan not in plan.met:
            record = look_up(plan.request.out, scan)
            if record is None or record.state not in DONE:
                forget(plan.request.out, scan)


def would_take(plan: Plan) -> str:
    """What a run over this plan would take of the machine, in words; raises as `run_cohort` where it could not."""
    request = plan.request
    chosen = _chosen(request)
    crew = crew_of(request, chosen, [task.scan for task in plan.tasks if task.problem is None])
    count, each = max(1, crew.workers), crew.memory / 2**30
    free = f", {device.free_memory(device.cpu()) / 2**30:.1f} GiB free" if request.cluster == "local" else ""
    return (
        f"workers: {count} ({request.cluster}, {chosen.name}), scans under way in each: {crew.overlap}, "
        f"memory: about {each:.1f} GiB each, {count * each:.1f} GiB together{free}"
    )


def _chosen(request: Request) -> device.Device:
    return _device(request.device if request.cluster == "local" else "cpu")  # a head node has no GPU


def _device(kind: str) -> device.Device:
    try:
        return device.select(kind)
    except device.DeviceUnavailable as error:
        raise translate(error, f"--device {kind}", "") from error
