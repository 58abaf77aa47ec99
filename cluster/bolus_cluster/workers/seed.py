"""The process that workers here are forked from, as the run sees it: begun early, then told which kernels to load."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

from bolus_cluster.workers.settings import ONE_THREAD

if TYPE_CHECKING:
    from bolus.recipe import Recipe
    from bolus_kernels.method import Contrast

PLACE = "BOLUS_SEED"
"""The variable that says in which folder the process will find what to load."""
RUN, RECIPE, CONTRASTS, COMPILES = "run", "recipe.toml", "contrasts", "compiles"
"""The files there: the process of the run, first; what to load of which contrasts, last; that it compiles, from it."""
IMPORTED = (
    "distributed.nanny",
    "bolus.pipeline",
    "bolus_cluster.workers.handful",
    "bolus_cluster.workers.sprout",
)
"""What every worker needs; the last one waits to be told, and loads the kernels, or compiles them."""
LONGEST = 107 - len("/pymp-12345678/listener-12345678")
"""Bytes of the name of a folder in which the process can listen: Linux takes sockets of 107."""


@dataclass(frozen=True)
class Kernels:
    """Those that a recipe needs for scans of some contrasts."""

    recipe: Recipe
    contrasts: Sequence[Contrast]


@dataclass
class _Seed:
    """Its folder, once the process is begun, and whether it has been told: it listens once."""

    place: TemporaryDirectory[str] | None = None
    told: bool = False


_seed = _Seed()


def begin(work_dir: Path | None = None) -> None:
    """Start the process while this one goes on, unless it is there; it has one thread, and no GPU.

    What it is told lies in `work_dir`, which may go before this process does; its socket does not. Raises OSError.
    """
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
    if _seed.place is not None:
        return
    place = TemporaryDirectory(prefix="bolus-seed-", dir=work_dir, ignore_cleanup_errors=True)
    _seed.place = place
    (Path(place.name) / RUN).write_text(str(os.getpid()))
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(IMPORTED))
    before = dict(os.environ)
    os.environ.update(ONE_THREAD | {PLACE: place.name})
    try:
        with deaf(), _spared(), _listening():
            forkserver.ensure_running()
    finally:
        for name in (*ONE_THREAD, PLACE):
            os.environ.pop(name)
        os.environ.update(before)


def tell(kernels: Kernels | None, work_dir: Path | None = None) -> bool:
    """Have it load these kernels, or none, before the first worker is forked from it; begun here if it is not there.

    Says whether it will: one that has been told by an earlier run of this process hears nothing more.
    """
    begin(work_dir)
    if _seed.told or _seed.place is None:
        return kernels is None
    folder = Path(_seed.place.name)
    if kernels is not None:
        (folder / RECIPE).write_text(kernels.recipe.toml())
    (folder / "part").write_text(" ".join(kernels.contrasts if kernels else ()))
    (folder / "part").replace(folder / CONTRASTS)
    _seed.told = True
    return True


def compiles() -> bool:
    """Whether it is still at what it was told, and found some of it in no cache."""
    return _seed.place is not None and (Path(_seed.place.name) / COMPILES).exists()


def give_up() -> None:
    """Have it end if it is still busy: nobody waits for it any more."""
    if _seed.place is not None:
        _seed.place.cleanup()


def end_if_being_started() -> None:
    """End this process where it is a worker that has only just begun and runs the script of the run once more.

    So it does with a script that computes without `if __name__ == "__main__":`; the run itself says what is wrong.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)


@contextmanager
def _spared() -> Iterator[None]:
    """Hold SIGTERM back, here for a moment and for good in what is begun: some send it to all processes of a run.

    The run answers it, and lets scans land; so the processes that are at them have to outlive it.
    """
    resource_tracker.ensure_running()  # as it begins it would let SIGTERM through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _listening() -> Iterator[None]:
    """Let the socket lie in the system's folder for temporary files if its name is short enough, else in /tmp."""
    before = tempfile.tempdir
    if len(os.fsencode(gettempdir())) > LONGEST:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def deaf() -> Iterator[None]:
    """Ignore Ctrl-C for the seconds in which processes start: they inherit it, and half a start cannot end well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
