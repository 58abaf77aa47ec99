"""The arterial input on many phantoms: are its voxels arteries, and is its area, scaled to a vein, the true one."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.phantom import dsc_truth, subject_of
from bolus.phantom.anatomy import Head, head_of
from bolus.phantom.scanner import acquire
from bolus.phantom.tissue import LABEL
from bolus.prepare.arterial_input import Brain, arterial_input
from bolus.prepare.relaxed import echoes_of
from bolus.series import DSC, Scan, Series, Volume
from bolus.voxels import rows_of
from bolus_kernels.dsc.concentration import relaxation

SHAPE, VOLUMES, BASELINE = (40, 40, 8), 60, (0, 7)
SEEDS = range(1, 51)
CASES = ((100.0, False), (30.0, False), (20.0, False), (50.0, True))
"""SNR of grey matter, and whether arteries and veins share their voxels with grey matter."""
LEVELS = 7
LEAST_BLOOD = {"artery": 0.4, "vein": 0.6}
METHODS = ("kmeans", "peruzzo")
Array = NDArray[Any]
Row = dict[str, Any]


def measure() -> list[Row]:
    """A row per case and method: scans searched per second; the ratio is the median scaled area over the true one."""
    return [row for snr, shared in CASES for row in _case(snr, shared)]


def phantom(seed: int, snr: float, shared: bool) -> tuple[Brain, Array, Array]:
    """A phantom's brain, the tissue label (n,) of each of its voxels, and the true input (t,) 1/s.

    shared : blood fills 40 to 100 % of an artery's and 60 to 100 % of a vein's voxel, grey matter the rest.
    """
    head = head_of(SHAPE, subject_of(seed, 1))
    random = np.random.default_rng([seed, 7])
    arrival = float(random.uniform(dsc_truth.EARLIEST_ARRIVAL, dsc_truth.LATEST_ARRIVAL))
    counts = np.bincount(head.labels.ravel(), minlength=len(head.tissues))
    curves = dsc_truth.relaxation(VOLUMES, arrival, head.tissues, counts)
    baseline = np.array([tissue.s0 for tissue in head.tissues])
    labels = head.labels
    if shared:
        labels, curves, baseline = _shared(head, curves, baseline, random)
    signal = baseline[:, None] * np.exp(-dsc_truth.ECHO_TIME * curves)
    stored, slope = acquire(labels, signal, 1 / snr, random)
    scan = Scan("01", None, "dsc", "sub-01", (Path("sub-01_dsc.nii.gz"),))
    acquisition = DSC((dsc_truth.ECHO_TIME,), dsc_truth.REPETITION_TIME)
    image = Volume(stored, slope, 0.0, head.grid, scan.images[0])
    series = Series(scan, (image,), acquisition, {}, None, {})
    echoes, rows = echoes_of(series, acquisition, 0), rows_of(head.brain)
    time = dsc_truth.REPETITION_TIME * np.arange(VOLUMES)
    values = relaxation(echoes, rows, BASELINE).values
    brain = Brain(
        series, values, rows, time, BASELINE, echoes, lambda some: relaxation(echoes, some, BASELINE),
        dsc_truth.ECHO_TIME,
    )  # fmt: skip
    return brain, head.labels.reshape(-1, order="F"), dsc_truth.arterial_input(time, arrival)


def _shared(
    head: Head, curves: Array, baseline: Array, random: np.random.Generator
) -> tuple[NDArray[np.uint8], Array, Array]:
    """More tissue classes: arteries and veins at several shares of blood, dealt to their voxels by chance."""
    labels, grey = head.labels.copy(order="F"), LABEL["grey_matter"]
    for name, least in LEAST_BLOOD.items():
        blood = LABEL[name]
        share = np.linspace(least, 1, LEVELS)[:, None]
        where = head.labels == blood
        labels[where] = len(curves) + random.integers(LEVELS, size=int(where.sum()))
        curves = np.concatenate([curves, share * curves[blood] + (1 - share) * curves[grey]])
        baseline = np.concatenate([baseline, np.full(LEVELS, baseline[blood])])
    return labels, curves, baseline


def _case(snr: float, shared: bool) -> list[Row]:
    told: dict[str, list[tuple[float, ...]]] = {method: [] for method in METHODS}
    for seed in SEEDS:
        brain, labels, truth = phantom(seed, snr, shared)
        for method in METHODS:
            started = clock.perf_counter()
            found = arterial_input(brain, method, "auto")
            seconds = clock.perf_counter() - started
            again = arterial_input(brain, method, "auto")
            arterial = float((labels[found.aif.voxels] == LABEL["artery"]).mean())
            venous = float((labels[found.vein] == LABEL["vein"]).mean()) if found.vein.size else 0.0
            area = float(found.aif.concentration.sum() / truth.sum())
            peak = float(found.aif.concentration.max() / truth.max())
            same = np.array_equal(found.aif.voxels, again.aif.voxels)
            told[method].append((arterial, venous, area, peak, seconds, float(same)))
    return [_row(method, snr, shared, np.array(each)) for method, each in told.items()]


def _row(method: str, snr: float, shared: bool, told: NDArray[np.float64]) -> Row:
    arterial, venous, area, peak, seconds, same = told.T
    return {
        "what": f"AIF by {method}, SNR {snr:g}, {'shared' if shared else 'whole'} voxels, {len(told)} seeds",
        "rate": 1 / float(np.median(seconds)),
        "ratio": float(np.median(area)),
        "against": "the true area, after scaling to the vein",
        "area_least": float(area.min()),
        "area_most": float(area.max()),
        "peak_median": float(np.median(peak)),
        "peak_most": float(peak.max()),
        "arterial_least": float(arterial.min()),
        "arterial_mean": float(arterial.mean()),
        "venous_mean": float(venous.mean()),
        "same_twice": bool(same.all()),
    }
