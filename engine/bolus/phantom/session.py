"""One session of the phantom: its DSC and ASL series as BIDS files, and beside them what is true of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus import nifti
from bolus.phantom import asl_truth, dsc_truth
from bolus.phantom.anatomy import Head, head_of, subject_of
from bolus.phantom.design import Design, Labeling
from bolus.phantom.files import beside, write_json, write_table
from bolus.phantom.scanner import acquire
from bolus.phantom.sidecars import asl_sidecar, dsc_sidecar, m0_sidecar
from bolus.phantom.tissue import Tissue
from bolus.phantom.truth import write_asl_truth, write_dsc_truth

TRUTH = Path("derivatives", "phantom")
# A segmented 3D readout of ASL has this much more signal in a volume than the echo-planar one of DSC.
ASL_GAIN = 1.5
T2_STAR = 0.05
"""s, of every tissue alike, from one echo to the next."""


def write_session(folder: Path, design: Design, subject: int, session: int) -> None:
    """Write the scans and the truth of one session below `folder`; in any order, or at once.

    subject, session : count from 1. Raises OSError.
    """
    prefix = design.prefix(subject, session)
    below = Path(*prefix.split("_"), "perf")
    person = subject_of(design.seed, subject)
    for number, contrast in enumerate(("dsc", "asl")):
        if contrast not in design.contrasts:
            continue
        for place in (folder / below, folder / TRUTH / below):
            place.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng([design.seed, subject, session, number])
        if contrast == "dsc":
            head = head_of(design.shape, person)
            arrival = float(random.uniform(dsc_truth.EARLIEST_ARRIVAL, dsc_truth.LATEST_ARRIVAL))
            _write_dsc(folder / below / prefix, head, design, arrival, random)
            time = dsc_truth.REPETITION_TIME * np.arange(design.volumes)
            aif = dsc_truth.arterial_input(time, arrival)
            if len(design.echo_times) > 1:  # what several echoes show is free of T1
                head = replace(head, tissues=tuple(replace(tissue, k2=0.0) for tissue in head.tissues))
            write_dsc_truth(folder / TRUTH / below / prefix, head, time, aif)
        else:
            head = head_of(asl_shape(design.shape), person)
            _write_asl(folder, below / prefix, head, design, random)
            write_asl_truth(folder / TRUTH / below / prefix, head)


def asl_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The matrix of the ASL series beside a DSC series of `shape`: three quarters of it in plane."""
    return 3 * shape[0] // 4, 3 * shape[1] // 4, shape[2]


def _write_dsc(prefix: Path, head: Head, design: Design, arrival: float, random: np.random.Generator) -> None:
    counts = np.bincount(head.labels.ravel(), minlength=len(head.tissues))
    blood, t1 = dsc_truth.blood_and_t1(design.volumes, arrival, head.tissues, counts)
    baseline = np.array([tissue.s0 for tissue in head.tissues])
    for number, echo_time in enumerate(design.echo_times, 1):
        decayed = baseline * np.exp((dsc_truth.ECHO_TIME - echo_time) / T2_STAR)
        # T1 lifts all echoes alike, by as much as one at the usual echo time would show.
        signal = decayed[:, None] * np.exp(dsc_truth.ECHO_TIME * t1 - echo_time * blood)
        stored, slope = acquire(head.labels, signal, design.noise, random)
        ending = "dsc" if len(design.echo_times) == 1 else f"echo-{number}_dsc"
        image = beside(prefix, f"{ending}.nii.gz")
        nifti.save(image, stored, head.grid, tr=dsc_truth.REPETITION_TIME, slope=slope)
        write_json(beside(prefix, f"{ending}.json"), dsc_sidecar(echo_time))


def _write_asl(folder: Path, below: Path, head: Head, design: Design, random: np.random.Generator) -> None:
    prefix, grid, noise = folder / below, head.grid, design.noise / ASL_GAIN
    # Half a step of int16 would visibly move a difference of 0.2 %, unless noise averages it out.
    dtype = np.int16 if noise else np.float32
    signal, delays = _pairs(head.tissues, design.labeling)
    stored, slope = acquire(head.labels, signal, noise, random, dtype)
    nifti.save(beside(prefix, "asl.nii.gz"), stored, grid, tr=asl_truth.REPETITION_TIME, slope=slope)
    write_json(beside(prefix, "asl.json"), asl_sidecar(grid, design.labeling, delays))
    context = [("control",), ("label",)] * (len(delays) // 2)
    write_table(beside(prefix, "aslcontext.tsv"), ("volume_type",), context)
    calibration = _recovered(head.tissues, asl_truth.M0_REPETITION_TIME)
    stored, slope = acquire(head.labels, calibration[:, None], noise, random, dtype)
    nifti.save(beside(prefix, "m0scan.nii.gz"), stored[..., 0], grid, slope=slope)
    write_json(beside(prefix, "m0scan.json"), m0_sidecar(grid, f"{below.as_posix()}_asl.nii.gz"))


def _pairs(tissues: tuple[Tissue, ...], labeling: Labeling) -> tuple[NDArray[np.float64], list[float]]:
    """Control, label, control, label, ... at every delay in turn: (classes, t), and the delay (s) of each."""
    control = _recovered(tissues, asl_truth.REPETITION_TIME)
    columns: list[NDArray[Any]] = []
    delays: list[float] = []
    for delay in asl_truth.DELAYS[labeling]:
        held = np.array([t.m0 * asl_truth.difference(t, labeling, delay) for t in tissues])
        columns += [control, control - held] * asl_truth.REPEATS
        delays += [delay] * (2 * asl_truth.REPEATS)
    return np.stack(columns, axis=1), delays


def _recovered(tissues: tuple[Tissue, ...], repetition_time: float) -> NDArray[np.float64]:
    return np.array([asl_truth.recovered(tissue, repetition_time) for tissue in tissues])
