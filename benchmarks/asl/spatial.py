"""ASL posteriors, voxelwise and with neighbours, on a brain whose flow is known: errors, honesty, speed of one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example
from benchmarks.asl import brain as asl_brain
from benchmarks.asl import hard as asl_hard
from benchmarks.asl import simulate as simulate_asl
from benchmarks.asl.brain import Brain
from benchmarks.asl.simulate import Acquisition
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.asl.spatial.spatial import spatial
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]
Maps = dict[str, Array]

SNR = 150.0
"""M0 of grey matter over the noise of one image."""
VOXEL = (3.4, 3.4, 4.0)
"""mm, of the voxels of which each has an arrival of its own, wherever it lies."""
COVERING = 1.959964
"""Standard deviations either side of the mean that hold 95 % of a normal distribution."""
TISSUES = ("gm", "wm", "rim")
REPEAT_SNR = (2.5, 5.0, 10.0)
"""Largest difference of typical grey matter over the noise of one pair."""
NOISE_FREE = ((60.0, 0.9, 1.3), (22.0, 1.25, 1.1), (100.0, 0.7, 1.6))
"""CBF (ml/100g/min), ATT (s) and T1 (s) of TISSUES where each voxel is of one tissue."""


def measure() -> list[Row]:
    """Rows of what each posterior strays from the truth in each tissue, and how many voxels a second it takes."""
    acquisitions = (simulate_asl.PCASL, simulate_asl.PASL)
    rows = [_noise_free(acquisition) for acquisition in acquisitions]
    rows += [_covering(acquisition, snr) for acquisition in acquisitions for snr in REPEAT_SNR]
    for name, whole in (("brain", asl_brain.brain()), ("hard brain", asl_hard.harden(asl_brain.brain()))):
        for acquisition in (simulate_asl.PCASL, simulate_asl.PASL):
            rows += _noisy(name, whole, acquisition)
    return rows


def _noisy(name: str, whole: Brain, acquisition: Acquisition) -> list[Row]:
    inside = asl_brain.mask(whole)
    scan = simulate_asl.acquire(whole, replace(acquisition, snr=SNR))
    curves, protocol = simulate_asl.curves(whole, scan)
    static = ((scan.control + scan.label) / 2).mean(axis=3)
    structure = np.stack([static[inside], scan.m0[inside]], axis=1).astype(np.float32)
    known, voxels = shelf()["multi_delay"], np.argwhere(inside)
    parameters = known.defaults()
    place = np.ravel_multi_index(tuple(voxels.T), inside.shape, order="F"), inside.shape, whole.voxel
    protocol = protocol._replace(arrival_prior=arrival_evidence(curves, protocol, parameters, *place))

    def alone(rows: slice) -> Maps:
        return known.function(curves[rows], protocol.rows(rows), parameters, cpu())

    def together(rows: slice) -> Maps:
        return spatial(
            curves[rows], protocol.rows(rows), voxels[rows], np.array(whole.voxel), structure[rows],
            parameters, cpu(),
        ).maps  # fmt: skip

    truth = asl_brain.mixed(whole, whole.cbf)[inside]
    parts = {tissue: asl_brain.pure(whole, tissue)[inside] for tissue in TISSUES}
    lesions = whole.lesions[inside]
    parts |= {f"lesion {i}": lesions == i for i in range(1, int(lesions.max()) + 1)}
    rows = []
    for how, posterior in (("voxelwise", alone), ("spatial", together)):
        maps, rate = _timed(posterior, len(curves))
        for part, where in parts.items():
            what = f"{name}, {acquisition.labeling}, {how}: {part}"
            rows.append({"what": what, "said": _said(maps, truth, where), "rate": rate})
        rows.append({"what": f"{name}, {acquisition.labeling}, {how}", "said": f"{rate:,.0f} voxels/s"})
    return rows


def _timed(posterior: Callable[[slice], Maps], n: int) -> tuple[Maps, float]:
    posterior(slice(0, 100))  # compiles
    started = time.process_time()
    maps = posterior(slice(0, n))
    return maps, n / (time.process_time() - started)


def _said(maps: Maps, truth: Array, where: Array) -> str:
    away, real = (maps["cbf"] - truth)[where], truth[where].mean()
    covered = np.mean(np.abs(away) <= COVERING * maps["sd_cbf"][where])
    return (
        f"CBF {real:6.1f}: bias {100 * away.mean() / real:+6.1f} %, RMSE {np.sqrt(np.mean(away**2)):5.1f}, "
        f"95 % intervals cover {100 * covered:.1f} %"
    )


def _noise_free(acquisition: Acquisition) -> Row:
    """The largest bias of flow and error of arrival over pure tissues, arrivals 0.2 s about each tissue's own."""
    known, n = shelf()["multi_delay"], 200
    flow, late = [], []
    for cbf, att, t1 in NOISE_FREE:
        arrivals = att + np.linspace(-0.2, 0.2, n)
        protocol = _protocol(acquisition, np.full(n, t1))
        curves = example.asl_curves(protocol, np.full(n, cbf), arrivals, 0.0, 0)
        maps = known.function(curves, protocol, known.defaults(), cpu())
        flow.append(abs(float(np.mean(maps["cbf"] - cbf))))
        late.append(float(np.sqrt(np.mean((maps["att"] - arrivals) ** 2))))
    said = f"worst bias of CBF {max(flow):.3f} ml/100g/min, worst RMSE of ATT {max(late):.4f} s"
    return {"what": f"noise-free, {acquisition.labeling}, voxelwise", "said": said}


def _covering(acquisition: Acquisition, snr: float, n: int = 20000) -> Row:
    """How often the intervals hold the flow of grey matter, 60 +- 10 ml/100g/min, ATT 0.9 +- 0.2 s, four repeats."""
    rng = np.random.default_rng(3)
    cbf, att = rng.normal(60, 10, n), np.abs(rng.normal(0.9, 0.2, n))
    once = _protocol(acquisition, np.full(n, 1.3))
    typical = example.asl_curves(once.rows(slice(0, 1)), np.array([60.0]), np.array([0.9]), 0.0, 0)
    noise = float(typical.max()) / snr
    protocol = once._replace(
        post_labeling_delay=np.tile(once.post_labeling_delay, acquisition.repeats),
        labeling_duration=np.tile(once.labeling_duration, acquisition.repeats),
        noise_variance=noise**2,
    )
    clean = np.tile(example.asl_curves(once, cbf, att, 0.0, 0), acquisition.repeats)
    curves = np.asfortranarray(clean + rng.normal(0, noise, clean.shape), np.float32)
    known = shelf()["multi_delay"]
    prior = arrival_evidence(curves, protocol, known.defaults(), rng.permutation(30**3)[:n], (30,) * 3, VOXEL)
    maps = known.function(curves, protocol._replace(arrival_prior=prior), known.defaults(), cpu())
    said = _said(maps, cbf, np.ones(n, np.bool_))
    return {"what": f"grey matter, {acquisition.labeling}, voxelwise, repeat SNR {snr:g}", "said": said}


def _protocol(acquisition: Acquisition, t1: Array) -> AslProtocol:
    return AslProtocol(
        acquisition.labeling,
        np.array(acquisition.delays),
        np.full(len(acquisition.delays), acquisition.duration),
        acquisition.efficiency,
        acquisition.t1_blood,
        t1.astype(np.float32),
        0.9,
        np.zeros(len(t1), np.float32),
        0.0,
    )
