"""The sentence: read a scan, prepare it, compute its maps, write them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bolus import write
from bolus.prepare import prepare
from bolus.read import read
from bolus.recipe import NONE, Recipe, chosen_methods
from bolus.series import Outcome, Scan
from bolus.turns import FREE, Turns
from bolus.write import Written
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.pairs import combined, scatter
from bolus_kernels.asl.partial_volume.posterior import Prior, Tissue, tissue_posterior
from bolus_kernels.asl.partial_volume.regression import pure_signals
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.connected import filled, largest_part
from bolus_kernels.device import Device, cpu
from bolus_kernels.dsc.clusters import moved
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.dsc.traits import level_of, marked_mean, mean_curve, shape_of
from bolus_kernels.method import Contrast
from bolus_kernels.order import histogram, median, median_step
from bolus_kernels.shelf import shelf
from bolus_kernels.smooth import gaussian

log = logging.getLogger("bolus")


def process(scan: Scan, out: Path, recipe: Recipe, device: Device, turns: Turns = FREE) -> Outcome:
    """All maps of one scan, from its files to files below `out`; whole or not at all.

    Raises BolusError with a code when the scan cannot be processed, OSError when `out` cannot be written.
    """
    return begin(scan, out, recipe, device, turns).settle()


def begin(scan: Scan, out: Path, recipe: Recipe, device: Device, turns: Turns = FREE) -> Written:
    """As `process`, but the maps are still on their way to the disk; they have to be settled."""
    started = time.perf_counter()
    with turns.read:
        series = read(scan, recipe["asl.bolus_duration"] or None)
    with turns.prepare:
        curves = prepare(series, recipe)
        del series
    maps = turns.compute(curves, recipe, device)
    del curves
    with turns.write:
        written = write.begin(maps, out, recipe)
    seconds, done = time.perf_counter() - started, written.outcome
    log.info("%s: %d voxels in %.2f s on %s", scan.key, done.voxels, seconds, done.device)
    return written


def warm(recipe: Recipe, contrasts: Iterable[Contrast]) -> None:
    """Compile the kernels that a recipe needs, once, so that workers find them in the cache on disk."""
    wanted = set(contrasts)
    time = np.arange(12.0)
    one = np.ones(1, np.float32)
    bolus = np.exp(-((time - 5) ** 2))
    dsc = DscProtocol(1.5, bolus, 1.0, bolus, one, 4.0, (0, 2), 0.03, one)
    asl = AslProtocol("PCASL", np.ones(12), np.ones(12), 0.85, 1.65, one, 0.9, 0 * one, 1e-6)
    several = asl._replace(post_labeling_delay=np.arange(1.0, 13.0) / 6, relative_noise=one)
    if "dsc" in wanted:
        series = np.asarray(1000 * np.exp(-0.03 * bolus), np.int16)[:, None]
        relaxation((Echo(series, 1.0, 0.0, 0.03),), np.zeros(1, np.int64), (0, 2))
        curves = np.asfortranarray(bolus[None], np.float32)
        shape_of(curves)
        level_of(curves, (0, 2), 4)
        mean_curve(curves, np.zeros(1, np.int64))
        mean_curve(series.T, np.zeros(1, np.int64))
        marked_mean(curves, np.ones(1, np.bool_))
        median_step(curves, np.zeros(1, np.int64))
        moved(np.eye(2), np.arange(2), 2, 1)
    median(one)
    gaussian(one[None, None], 1.0)
    histogram(one, 0.0, 2.0, 2)
    filled(largest_part(np.ones((1, 1, 1), np.bool_)))
    if "asl" in wanted:
        arrival_evidence(
            np.asfortranarray(bolus[None], np.float32), several, shelf()["multi_delay"].defaults(),
            np.zeros(1, np.int64), (1, 1, 1), (1.0, 1.0, 1.0),
        )  # fmt: skip
        series = np.ones((2, 1), np.int16)
        scatter(combined(series, np.zeros(1, np.int64), np.array([[1.0, -1.0]])).T, np.zeros(1, np.int64))
    if "asl" in wanted and recipe["asl.partial_volume"] != NONE:
        for tissues in (2, 3):
            shares = np.full((1, tissues), 1 / tissues, np.float32)
            pure_signals(np.ones((1, 4), np.float32), shares, np.zeros(1, np.int64), (1, 1, 1), 1, cpu())
        if recipe["asl.partial_volume"] == "posterior":
            tissues_of_it = Tissue(1.3, 0.98), Tissue(1.1, 0.82)
            tissue_posterior(
                np.ones((1, 12), np.float32), np.ones((1, 2), np.float32), several, tissues_of_it,
                Prior((1.3, 1.0), (0.3, 0.3), 200.0, 10.0), np.zeros(1, np.int64), (1, 1, 1), 1, cpu(),
            )  # fmt: skip
    for contrast in wanted:
        protocol = dsc if contrast == "dsc" else asl
        for method in chosen_methods(recipe, contrast):
            method.function(
                np.asfortranarray(bolus[None], np.float32), protocol, recipe.parameters(method), cpu()
            )
