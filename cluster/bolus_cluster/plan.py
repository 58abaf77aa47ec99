"""What a run has to do: which scans there are, which are its share, which must be computed and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bolus import bids, recipe
from bolus.errors import BolusError, Code
from bolus.series import Found, Scan
from bolus_cluster.ledger.records import LEDGER, look_up, reason

if TYPE_CHECKING:
    from bolus.recipe import Recipe


@dataclass(frozen=True)
class Request:
    """What the user asked for, as they said it."""

    root: Path
    out: Path
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    contrast: Literal["dsc", "asl"] | None = None
    manifest: Path | None = None
    derivatives: tuple[Path, ...] = ()
    recipe: Path | None = None
    settings: tuple[str, ...] = ()
    device: str = "auto"
    workers: int | None = None
    cluster: str = "local"
    """Where the workers are: `local`, jobs of a scheduler by its name, or the address of a running one."""
    site: Path | None = None
    shard: tuple[int, int] | None = None
    work_dir: Path | None = None
    deadline: float = 3600.0
    """Seconds that one scan may take."""
    stop_on_first_failure: bool = False

    @property
    def whole(self) -> bool:
        """Whether it asks for the whole cohort, or is one shard of that."""
        return not (self.participants or self.sessions or self.contrast)


@dataclass(frozen=True)
class Task:
    """A scan to compute, why, and the signature under which it is entered in the ledger."""

    scan: Scan
    problem: BolusError | None
    why: str
    signature: str
    attempts: int = 0
    """How many of them the ledger knows."""


@dataclass(frozen=True)
class Plan:
    """The request with its recipe; the tasks in order; the scans that stand as they are; all there are."""

    request: Request
    recipe: Recipe
    tasks: tuple[Task, ...]
    standing: tuple[str, ...]
    met: frozenset[str]

    @property
    def work(self) -> str:
        """Digest of what the maps of all parts of one cohort have in common: the recipe, and the device asked."""
        return hashlib.sha256(f"{self.recipe.hash} {self.request.device}".encode()).hexdigest()


def plan(request: Request, due: Callable[[], object] = lambda: None) -> Plan:
    """Find the scans and compare each with the ledger; nothing is written.

    `due` is called, once or more, as soon as it is clear that there is something to compute.
    Raises BolusError: E_RECIPE, E_PATH and whatever discovery raises for a tree it cannot use.
    """
    _check_output(request)
    if not (request.out / LEDGER).exists():
        due()
    chosen = recipe.load(request.recipe, request.settings)
    found = _discover(request)
    share = [each for each in found if in_shard(each.scan.key, request.shard)]
    signatures = {
        contrast: recipe.signature(chosen, contrast) for contrast in {each.scan.contrast for each in share}
    }
    tasks, standing = [], []
    for each in share:
        signature = signatures[each.scan.contrast]
        record = look_up(request.out, each.scan.key)
        why = reason(record, each.scan, signature, request.root, request.out)
        if why is None and each.problem is None:
            standing.append(each.scan.key)
        else:
            due()
            attempts = record.attempts if record else 0
            tasks.append(Task(each.scan, each.problem, why or "refused", signature, attempts))
    met = frozenset(each.scan.key for each in found)
    return Plan(request, chosen, tuple(tasks), tuple(standing), met)


def still_due(plan: Plan) -> Plan:
    """The plan without what another run has done since it was made; asked once nobody else may work there."""
    request, due, done = plan.request, [], []
    for task in plan.tasks:
        record = look_up(request.out, task.scan.key)
        if (
            record is not None
            and record.attempts != task.attempts
            and reason(record, task.scan, task.signature, request.root, request.out) is None
        ):
            done.append(task.scan.key)
        else:
            due.append(replace(task, attempts=record.attempts if record else 0))
    return replace(plan, tasks=tuple(due), standing=(*plan.standing, *done))


def in_shard(key: str, shard: tuple[int, int] | None) -> bool:
    """Whether a scan belongs to shard k of N (k from 1); its name alone decides, so no two runs differ."""
    if shard is None:
        return True
    number, count = shard
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count == number - 1


def _discover(request: Request) -> list[Found]:
    search = (
        partial(bids.from_manifest, request.manifest)
        if request.manifest
        else partial(bids.find_scans, request.root)
    )
    found = search(
        derivatives=request.derivatives,
        participants=request.participants,
        sessions=request.sessions,
        contrast=request.contrast,
    )
    return sorted(found, key=lambda each: each.scan.key)


def _check_output(request: Request) -> None:
    if request.out.resolve() == request.root.resolve():
        mend = f"Choose another folder, for instance {request.root / 'derivatives' / 'bolus'}."
        raise BolusError(Code.PATH, request.out, "the input folder itself", "a folder for the maps", mend)
    if request.out.exists() and not request.out.is_dir():
        raise BolusError(Code.PATH, request.out, "a file", "a folder for the maps", "Choose another name.")
