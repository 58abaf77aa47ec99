"""Pure grey and white matter, uncorrected, by regression and within the posterior, on brains whose flow is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.asl import brain as asl_brain
from benchmarks.asl import hard as asl_hard
from benchmarks.asl import simulate as simulate_asl
from benchmarks.asl.brain import PHYSICAL, Brain
from benchmarks.asl.simulate import Acquisition
from bolus_kernels.asl.partial_volume.posterior import Prior, Tissue, tissue_posterior
from bolus_kernels.asl.partial_volume.regression import pure_signals
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]
Maps = Mapping[str, Array]

SNR = 150.0
"""M0 of grey matter over the noise of one image."""
COVERING = 1.959964
NAMES, T1, PARTITION = ("gm", "wm"), (1.3, 1.1), np.array([0.98, 0.82], np.float32)
ARRIVALS, LATER = {"PCASL": 1.3, "PASL": 0.7}, (0.0, 0.3)
REACH = 2
LEAST = (0.1, 0.5)
"""Shares of the tissue from which a voxel counts."""


def measure() -> list[Row]:
    """Rows of bias, error and honesty of either tissue's CBF, on both brains with noise, on one without."""
    plain = asl_brain.brain(tissues=PHYSICAL)
    rows = []
    for name, whole, snr in (
        ("brain", plain, SNR),
        ("brain without noise", plain, np.inf),
        ("hard brain", asl_hard.harden(plain), SNR),
    ):
        for acquisition in (simulate_asl.PCASL, simulate_asl.PASL):
            rows += _rows(f"{name}, {acquisition.labeling}", whole, replace(acquisition, snr=snr))
    return rows


def _rows(name: str, whole: Brain, acquisition: Acquisition) -> list[Row]:
    scan = simulate_asl.acquire(whole, acquisition)
    inside = asl_brain.mask(whole)
    curves, protocol = simulate_asl.curves(whole, scan)
    voxels = np.ravel_multi_index(np.nonzero(inside), inside.shape, order="F")
    m0 = scan.m0[inside].astype(np.float32)
    shares = np.stack([whole.fractions[tissue][inside] for tissue in (*NAMES, "csf")], 1).astype(np.float32)
    place = voxels, inside.shape, REACH, cpu()
    calibration = pure_signals(np.stack([m0, m0], axis=1), shares, *place).signals
    pure_m0 = np.stack([calibration[k, :, k] for k in (0, 1)], axis=1)
    signals = (curves.T * m0).T
    rows = []
    ways = {
        "uncorrected": lambda: _uncorrected(curves, protocol),
        "regression": lambda: _regression(signals, shares, pure_m0, protocol, m0, place),
        "posterior": lambda: _posterior(signals, shares, pure_m0, protocol, m0, place),
    }
    for way, computed in ways.items():
        started = time.process_time()
        maps = computed()
        rate = len(curves) / (time.process_time() - started)
        for k, tissue in enumerate(NAMES):
            truth = whole.cbf[tissue][inside]
            for least in LEAST:
                where = (shares[:, k] > least) & np.isfinite(maps[k]["cbf"])
                what = f"{name}, {way}: {tissue} > {least}"
                rows.append({"what": what, "said": _said(maps[k], truth, where), "rate": rate})
        lesions = whole.lesions[inside]
        rows += [
            {"what": f"{name}, {way}: lesion {lesion}", "said": _lesion(maps, whole, shares, lesion)}
            for lesion in range(1, int(lesions.max()) + 1)
        ]
        rows.append({"what": f"{name}, {way}", "said": f"{rate:,.0f} voxels/s"})
    return rows


def _parameters(protocol: AslProtocol, later: float = 0.0) -> dict[str, Any]:
    known = shelf()["multi_delay"].defaults()
    return {**known, "att_mean": ARRIVALS[protocol.labeling] + later}


def _uncorrected(curves: Array, protocol: AslProtocol) -> tuple[Maps, Maps]:
    maps = shelf()["multi_delay"].function(curves, protocol, _parameters(protocol), cpu())
    return maps, maps


def _regression(
    signals: Array, shares: Array, pure_m0: Array, protocol: AslProtocol, m0: Array, place: Any
) -> tuple[Maps, Maps]:
    pure = pure_signals(signals, shares[:, :2], *place)
    found = []
    for k in (0, 1):
        spread = pure.variance[k] * (m0 / pure_m0[:, k]) ** 2
        known = protocol._replace(
            t1_tissue=np.full(len(m0), T1[k], np.float32),
            partition_coefficient=float(PARTITION[k]),
            noise_variance=protocol.noise_variance * float(np.nanmedian(spread)),
        )
        values = (pure.signals[k].T / pure_m0[:, k]).T
        parameters = _parameters(protocol, LATER[k])
        found.append(shelf()["multi_delay"].function(values, known, parameters, cpu()))
    return found[0], found[1]


def _posterior(
    signals: Array, shares: Array, pure_m0: Array, protocol: AslProtocol, m0: Array, place: Any
) -> tuple[Maps, Maps]:
    blood = pure_m0 / PARTITION
    blood = np.where(np.isfinite(blood), blood, blood[:, ::-1])
    amounts = np.where(shares[:, :2] > 0, blood * shares[:, :2], np.float32(0))
    parameters = _parameters(protocol)
    prior = Prior(
        (parameters["att_mean"], parameters["att_sd"]),
        (0.3, 0.3),
        parameters["cbf_sd"],
        parameters["noise_weight"],
    )
    known = protocol._replace(noise_variance=protocol.noise_variance * float(np.median(m0)) ** 2)
    tissues = Tissue(T1[0], float(PARTITION[0])), Tissue(T1[1], float(PARTITION[1]))
    found = tissue_posterior(signals, amounts, known, tissues, prior, *place)
    return found.gm, found.wm


def _said(maps: Maps, truth: Array, where: Array) -> str:
    away, real = (maps["cbf"] - truth)[where], truth[where].mean()
    covered = np.mean(np.abs(away) <= COVERING * maps["sd_cbf"][where])
    return (
        f"CBF {real:6.1f}: bias {100 * away.mean() / real:+6.1f} %, RMSE {np.sqrt(np.mean(away**2)):5.1f}, "
        f"95 % intervals cover {100 * covered:.0f} %"
    )


def _lesion(maps: tuple[Maps, Maps], whole: Brain, shares: Array, lesion: int) -> str:
    inside = asl_brain.mask(whole)
    told = []
    for k, tissue in enumerate(NAMES):
        where = (whole.lesions[inside] == lesion) & (shares[:, k] > 0.5) & np.isfinite(maps[k]["cbf"])
        if where.sum() > 5:
            truth = whole.cbf[tissue][inside][where].mean()
            told.append(f"{tissue} CBF {truth:.1f}, found {maps[k]['cbf'][where].mean():.1f}")
    return "; ".join(told)
