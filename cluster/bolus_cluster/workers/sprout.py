"""Imported last by the process that workers are forked from: wait to be told which kernels to load, and load them."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

from bolus import pipeline
from bolus.recipe import Recipe, load
from bolus_cluster.workers.seed import CONTRASTS, PLACE, RECIPE, RUN
from bolus_kernels.method import Contrast

LOOK = 0.01
"""Seconds between two looks at whether it has been told."""


def heed(place: Path) -> None:
    """Wait for the word, and load the kernels that it asks for; what is in no cache is compiled.

    Comes back at once when the run is gone.
    """
    run = int((place / RUN).read_text())
    while not (place / CONTRASTS).exists():
        if os.getppid() != run:
            shutil.rmtree(place, ignore_errors=True)
            return
        time.sleep(LOOK)
    contrasts = [each for each in get_args(Contrast) if each in (place / CONTRASTS).read_text().split()]
    if not contrasts:
        return
    recipe = load(place / RECIPE)
    beside = [
        _warming(recipe, contrast) for contrast in contrasts[1:]
    ]  # to compile them takes as long as the first
    pipeline.warm(recipe, contrasts[:1])
    for process in beside:
        os.waitpid(process, 0)
    pipeline.warm(recipe, contrasts[1:])


def _warming(recipe: Recipe, contrast: Contrast) -> int:
    """A process that fills the cache on disk."""
    process = os.fork()
    if process == 0:
        try:
            pipeline.warm(recipe, (contrast,))
        finally:
            os._exit(0)
    return process


if PLACE in os.environ:
    with suppress(Exception):  # what goes wrong here goes wrong again in a scan, and has a row there
        heed(Path(os.environ.pop(PLACE)))
