"""Priors of arrivals on brains that differ in what is late, how late, by how much and how it is scanned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.asl import brain as asl_brain
from benchmarks.asl import hard as asl_hard
from benchmarks.asl import simulate as simulate_asl
from benchmarks.asl.brain import Brain
from benchmarks.asl.simulate import PASL, PCASL, Acquisition
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]
Parts = dict[str, dict[str, float]]

SHAPE, VOXEL = asl_brain.SHAPE, asl_brain.VOXEL
CENTRE = (-48.0, -12.0, 0.0)
"""mm; the late territory lies around it, on the left and lateral, as that of a middle cerebral artery."""
PURE, FEW = 0.98, 20
"""Share of a tissue from which a voxel is of it; voxels that a number needs."""
PARTS = ("GM", "WM", "rim", "late GM", "late WM")
PRIORS = ("literature", "one for the scan", "evidence")
SCAN_SD = 0.6
"""s, of one prior for the scan, about the mean of what is expected of its voxels."""
COVERING = 1.959964


class Object(NamedTuple):
    """A brain and how it is scanned.

    share : of the brain that is late. later : s, by how much. grey, white : arrivals of the rest, s. fed : flow in
    the late territory over that of the rest. variation : of flow within a tissue.
    """

    name: str
    share: float
    later: float
    grey: float
    white: float
    acquisition: Acquisition
    snr: float = 150.0
    fed: float = 0.8
    variation: float = 0.15


TO_1_8 = replace(PCASL, delays=(0.2, 0.5, 0.8, 1.1, 1.4, 1.8))
TO_2_5 = replace(PCASL, delays=(0.5, 1.0, 1.5, 2.0, 2.5))
TO_3_5 = replace(PCASL, delays=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5))
PULSED = replace(PASL, delays=(0.5, 0.8, 1.2, 1.6, 2.0, 2.5))
OBJECTS = (
    Object("8 %, 1.2 s late", 0.08, 1.2, 0.9, 1.25, PCASL),
    Object("2 %, 1.7 s late", 0.02, 1.7, 0.9, 1.25, PCASL),
    Object("15 %, 0.5 s late", 0.15, 0.5, 1.0, 1.2, PCASL),
    Object("8 %, 2 s late", 0.08, 2.0, 0.8, 1.1, TO_3_5),
    Object("old, 5 %, 1 s late", 0.05, 1.0, 1.4, 1.9, TO_2_5),
    Object("young, 5 %, 0.8 s late", 0.05, 0.8, 0.6, 0.9, TO_1_8),
    Object("noisy, 10 %, 1 s late", 0.10, 1.0, 0.9, 1.25, PCASL, snr=75.0),
    Object("quiet, 8 %, 1.5 s late", 0.08, 1.5, 0.9, 1.25, PCASL, snr=400.0),
    Object("0.5 %, 1 s late", 0.005, 1.0, 0.9, 1.25, PCASL),
    Object("nothing late", 0.0, 0.0, 0.9, 1.25, TO_2_5),
    Object("8 %, 1 s late", 0.08, 1.0, 0.9, 1.25, PASL),
    Object("quiet, 8 %, 1 s late", 0.08, 1.0, 0.9, 1.25, PASL, snr=400.0),
    Object("4 %, 0.7 s late", 0.04, 0.7, 0.8, 1.1, PULSED),
    Object("old, 10 %, 0.5 s late", 0.10, 0.5, 1.1, 1.5, PASL, snr=200.0),
)


def brain_of(one: Object, seed: int = 0) -> Brain:
    """The benchmarks' anatomy with the object's arrivals, tumour and late territory; flow varies smoothly within."""
    tissues = dict(asl_brain.TISSUES)
    for name, att in (("gm", one.grey), ("wm", one.white)):
        tissues[name] = tissues[name]._replace(att=att)
    plain = asl_brain.brain(SHAPE, VOXEL, tissues)
    away = asl_brain.ball(asl_brain.coordinates(SHAPE, VOXEL), CENTRE, (1.0, 1.0, 1.0))
    inside = asl_brain.mask(plain)
    late = inside & (away <= np.quantile(away[inside], one.share)) & (one.share > 0)
    changed = plain._replace(
        late=late,
        att={name: plain.att[name] + (one.later * late - asl_brain.LATE * plain.late) for name in plain.att},
        cbf={name: flow * np.where(late, one.fed, 1.0) for name, flow in plain.cbf.items()},
    )
    return asl_hard.harden(changed, variation=one.variation, bias=0.0, lesions=(), seed=seed)


def parts_of(whole: Brain) -> dict[str, Array]:
    """Which of the brain's voxels are of each tissue, prompt and late; bool (n,)."""
    inside = asl_brain.mask(whole)
    pure = {name: asl_brain.pure(whole, name, PURE)[inside] for name in ("gm", "wm", "rim")}
    late = whole.late[inside]
    return {
        "GM": pure["gm"] & ~late, "WM": pure["wm"] & ~late, "rim": pure["rim"],
        "late GM": pure["gm"] & late, "late WM": pure["wm"] & late,
    }  # fmt: skip


def measure() -> list[Row]:
    """Rows of what each prior makes of each object, and of all objects together."""
    rows, whole = [], []
    for one in OBJECTS:
        found = results(one)
        whole.append(found)
        for prior, parts in found.items():
            what = f"{one.acquisition.labeling}, SNR {one.snr:g}, {one.name}: {prior}"
            rows.append({"what": what, "said": _said(parts), "parts": parts})
    for prior in PRIORS:
        told = {part: [found[prior][part] for found in whole if part in found[prior]] for part in PARTS}
        said = ", ".join(
            f"{part} {np.mean([abs(one['bias']) for one in its]):.1f} % "
            f"({max(abs(one['pull']) for one in its):.2f} SD)"
            for part, its in told.items()
        )
        error = np.mean([one["error"] for one in told["GM"]])
        rows.append(
            {"what": f"all, {prior}: mean |bias| (worst pull)", "said": f"{said}; GM RMSE {error:.1f}"}
        )
    return rows


def results(one: Object) -> dict[str, Parts]:
    """By prior and tissue: bias (%), pull (mean error over mean SD), root mean square error, coverage (%)."""
    whole = brain_of(one)
    curves, protocol = simulate_asl.curves(
        whole, simulate_asl.acquire(whole, replace(one.acquisition, snr=one.snr), seed=3)
    )
    inside, known = asl_brain.mask(whole), shelf()["multi_delay"]
    parameters = known.defaults()
    place = np.ravel_multi_index(np.nonzero(inside), inside.shape, order="F"), inside.shape, VOXEL
    truth, parts = asl_brain.mixed(whole, whole.cbf)[inside], parts_of(whole)
    found = {}
    evidence = arrival_evidence(curves, protocol, parameters, *place)
    one_for_all = evidence._replace(mean=float(np.mean(evidence.mean)), sd=SCAN_SD)
    for name, prior in zip(PRIORS, (None, one_for_all, evidence), strict=True):
        maps = known.function(curves, protocol._replace(arrival_prior=prior), parameters, cpu())
        found[name] = {
            part: _judged(maps["cbf"][where], maps["sd_cbf"][where], truth[where])
            for part, where in parts.items()
            if np.count_nonzero(where) >= FEW
        }
    return found


def _judged(cbf: Array, sd: Array, truth: Array) -> dict[str, float]:
    away = cbf - truth
    return {
        "truth": float(truth.mean()),
        "bias": float(100 * away.mean() / truth.mean()),
        "pull": float(away.mean() / sd.mean()),
        "error": float(np.sqrt(np.mean(away**2))),
        "covered": float(100 * np.mean(np.abs(away) <= COVERING * sd)),
    }


def _said(parts: Parts) -> str:
    return "; ".join(
        f"{part} {one['truth']:.0f}: {one['bias']:+.1f} %, RMSE {one['error']:.1f}, {one['covered']:.0f} %"
        for part, one in parts.items()
    )
