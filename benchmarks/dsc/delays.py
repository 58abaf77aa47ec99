"""How flat CBF is over delays of the same tissue: our kernels, the float64 reference, and the reference's f finely."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels.device import cpu
from bolus_kernels.method import RESIDUE
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

CBF, MTT = 60.0, 4.0
DELAYS = np.arange(-2.0, 5.01, 0.25)
FINER = 16
CASES = {"csvd": (None, 1), "osvd": (100.0, 1000)}
"""Method -> SNR and voxels at each delay, the median of which is taken."""


def measure() -> list[dict[str, Any]]:
    """A row for each method and residue: largest less smallest median CBF over the delays, as a share of the truth."""
    return [_row(name, residue) for name in CASES for residue in simulate.RESIDUES]


def _row(name: str, residue: str) -> dict[str, Any]:
    snr, voxels = CASES[name]
    times, known = example.volume_times(), shelf()[name]
    protocol = example.dsc(1, 19)[1].rows(slice(0, 0))._replace(residue=True)
    medians: dict[str, list[float]] = {"ours": [], "reference": [], "finely": []}
    for seed, delay in enumerate(DELAYS):
        clean = np.tile(simulate.tissue(times, CBF, MTT, float(delay), residue), (voxels, 1))
        noisy = clean if snr is None else noise(clean, snr, seed)
        curves = np.asfortranarray(noisy, np.float32)
        told = protocol._replace(blood_volume=np.full(voxels, CBF * MTT / 60, np.float32))
        flows = known.function(curves, told, known.defaults(), cpu())["cbf"]
        truth = judged(name, curves, told, known.defaults())
        factor = 6000 * protocol.density_factor
        for key, found in zip(medians, (flows, truth["cbf"], factor * finest(truth[RESIDUE])), strict=True):
            medians[key].append(float(np.nanmedian(found)) / CBF)
    spread = {key: float(np.ptp(found)) for key, found in medians.items()}
    level = float(np.median(medians["ours"]))
    noisiness = "without noise" if snr is None else f"SNR {snr:g}"
    return {
        "what": f"{name}, {noisiness}, {residue}, MTT {MTT:g} s",
        "said": (
            f"CBF {100 * level:5.1f} %, spread {spread['ours']:.4f}  reference {spread['reference']:.4f}  "
            f"its f at {FINER} x the samples {spread['finely']:.4f}"
        ),
        "median": level,
        "beyond": abs(spread["ours"] - spread["reference"]),
        **spread,
    }


def noise(clean: Array, snr: float, seed: int) -> Array:
    """The curves as they are measured."""
    return simulate.noisy_relaxation(clean, snr, example.ECHO_TIME, example.BASELINE, seed)


def finest(residues: Array) -> Array:
    """max f, (n,), where residues (n, L) are continued between their samples by their Fourier coefficients."""
    length = residues.shape[1]
    return np.asarray(np.fft.irfft(FINER * np.fft.rfft(residues), FINER * length).max(axis=1))
