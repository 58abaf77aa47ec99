"""Imported last by the process that workers are forked from: wait to be told which kernels to load, and load them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import get_args

from bolus import pipeline
from bolus.recipe import Recipe, load
from bolus_cluster.workers.seed import COMPILES, CONTRASTS, PLACE, RECIPE, RUN
from bolus_kernels.jit import told_of_compiling
from bolus_kernels.method import Contrast

LOOK = 0.01
"""Seconds between two looks at whether it has been told."""
WANTED = 0.5
"""Seconds between two looks at whether anybody still waits for it."""


def heed(place: Path) -> None:
    """Wait for the word, and load the kernels that it asks for; what is in no cache is compiled.

    Takes the folder away when it is done. This process ends when the run is gone, or has taken the folder away.
    """
    try:
        with _wanted(place, int((place / RUN).read_text())):
            while not (place / CONTRASTS).exists():
                time.sleep(LOOK)
            contrasts = [
                each for each in get_args(Contrast) if each in (place / CONTRASTS).read_text().split()
            ]
            if contrasts:
                with told_of_compiling((place / COMPILES).touch):
                    _load(place, load(place / RECIPE), contrasts)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _load(place: Path, recipe: Recipe, contrasts: Sequence[Contrast]) -> None:
    beside = [
        _warming(place, recipe, contrast) for contrast in contrasts[1:]
    ]  # to compile them takes as long as the first
    try:
        pipeline.warm(recipe, contrasts[:1])
    finally:
        for process in beside:
            os.waitpid(process, 0)
    pipeline.warm(recipe, contrasts[1:])


def _warming(place: Path, recipe: Recipe, contrast: Contrast) -> int:
    """A process that fills the cache on disk."""
    process = os.fork()
    if process == 0:
        try:
            with _wanted(place, os.getppid()):
                pipeline.warm(recipe, (contrast,))
        finally:
            os._exit(0)
    return process


@contextmanager
def _wanted(place: Path, parent: int) -> Iterator[None]:
    """End this process, whatever it is at, soon after its parent or RUN is gone; it has no thread for that."""

    def look(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent or not (place / RUN).exists():
            shutil.rmtree(place, ignore_errors=True)
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, WANTED, WANTED)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


if PLACE in os.environ:
    with suppress(Exception):  # what goes wrong here goes wrong again in a scan, and has a row there
        heed(Path(os.environ.pop(PLACE)))
