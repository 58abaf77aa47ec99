"""How flat CBF is over delays of the same tissue: our kernels, with the sampled peak and with that between samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels.device import cpu
from bolus_kernels.dsc.deconvolution.between import PEAKS
from bolus_kernels.method import RESIDUE
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

CBF, MTT = 60.0, 4.0
DELAYS = np.arange(-2.0, 5.01, 0.25)
FINER = 16
CASES = {"csvd": (None, 1), "osvd": (100.0, 1000)}
"""Method -> SNR and voxels at each delay, the median of which is taken."""


def measure() -> list[dict[str, Any]]:
    """Two rows for each method and residue: largest less smallest median CBF over the delays, as a share of the truth.

    The first is of the sampled peak, against the reference's; the second of the peak between samples, against the
    reference's f continued finely.
    """
    return [row for name in CASES for residue in simulate.RESIDUES for row in _rows(name, residue)]


def _rows(name: str, residue: str) -> list[dict[str, Any]]:
    snr, voxels = CASES[name]
    times, known = example.volume_times(), shelf()[name]
    protocol = example.dsc(1, 19)[1].rows(slice(0, 0))._replace(residue=True)
    medians: dict[str, list[float]] = {"ours": [], "reference": [], "between": [], "finely": []}
    for seed, delay in enumerate(DELAYS):
        clean = np.tile(simulate.tissue(times, CBF, MTT, float(delay), residue), (voxels, 1))
        noisy = clean if snr is None else noise(clean, snr, seed)
        curves = np.asfortranarray(noisy, np.float32)
        told = protocol._replace(blood_volume=np.full(voxels, CBF * MTT / 60, np.float32))
        flows, between = (
            known.function(curves, told, known.defaults() | {"peak": peak}, cpu())["cbf"] for peak in PEAKS
        )
        truth = judged(name, curves, told, known.defaults())
        factor = 6000 * protocol.density_factor
        all_flows = flows, truth["cbf"], between, factor * finest(truth[RESIDUE])
        for key, found in zip(medians, all_flows, strict=True):
            medians[key].append(float(np.nanmedian(found)) / CBF)
    spread = {key: float(np.ptp(found)) for key, found in medians.items()}
    noisiness = "without noise" if snr is None else f"SNR {snr:g}"
    told_of = f"{noisiness}, {residue}, MTT {MTT:g} s"
    level, level_between = (float(np.median(medians[key])) for key in ("ours", "between"))
    return [
        {
            "what": f"{name}, {told_of}",
            "said": (
                f"CBF {100 * level:5.1f} %, spread {spread['ours']:.4f}  reference {spread['reference']:.4f}  "
                f"its f at {FINER} x the samples {spread['finely']:.4f}"
            ),
            "median": level,
            "beyond": abs(spread["ours"] - spread["reference"]),
            **{key: spread[key] for key in ("ours", "reference", "finely")},
        },
        {
            "what": f"{name} between samples, {told_of}",
            "said": (
                f"CBF {100 * level_between:5.1f} %, spread {spread['between']:.4f}  "
                f"the reference's f at {FINER} x the samples {spread['finely']:.4f}"
            ),
            "median": level_between,
            "beyond": abs(spread["between"] - spread["finely"]),
            "ours": spread["between"],
            "finely": spread["finely"],
        },
    ]


def noise(clean: Array, snr: float, seed: int) -> Array:
    """The curves as they are measured."""
    return simulate.noisy_relaxation(clean, snr, example.ECHO_TIME, example.BASELINE, seed)


def finest(residues: Array) -> Array:
    """max f, (n,), where residues (n, L) are continued between their samples by their Fourier coefficients."""
    length = residues.shape[1]
    return np.asarray(np.fft.irfft(FINER * np.fft.rfft(residues), FINER * length).max(axis=1))
