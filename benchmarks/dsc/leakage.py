"""Leakage correction on simulated leakage: errors of blood volume and K2, for each model and what it lets m be."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

from benchmarks import simulate
from bolus_kernels.device import cpu
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

TIME = 1.5 * np.arange(60)
FINE = simulate.FINE * np.arange(round(TIME[-1] / simulate.FINE) + 1)
REFERENCE_VOLUME = 3.5
VOXELS = 400
LEAKS = {"bsw": (0.0, 0.0), "bidirectional": (0.02, 0.2)}
"""Model -> the range of kep (1/s) of what is simulated for it."""


class Truth(NamedTuple):
    """Curves (n, t) float32, 1/s; rCBV (n,), K2 (n,) 1/s, 0 in every second voxel; curves (n, t) without leakage."""

    curves: Array
    ratio: Array
    k2: Array
    tight: Array


@lru_cache
def reference() -> Array:
    """The mean curve of normal tissue at 5 ms, 1/s: many residues, MTT 3-6 s, delays -0.5 to 1 s."""
    rng = np.random.default_rng(5)
    names = sorted(simulate.RESIDUES)
    total = np.zeros(FINE.size)
    for _ in range(60):
        mtt = rng.uniform(3, 6)
        flow = 60 * REFERENCE_VOLUME / mtt
        total += simulate.tissue(FINE, flow, mtt, rng.uniform(-0.5, 1), str(rng.choice(names))) / 60
    return total


def protocol() -> DscProtocol:
    """The acquisition: 60 volumes of 1.5 s."""
    return DscProtocol(1.5, simulate.arterial(TIME), simulate.KAPPA_RHO, sampled(reference()))


def sampled(fine: Array) -> Array:
    """Values at the sampling times of a curve (..., 5 ms)."""
    return np.asarray(fine[..., np.rint(TIME / simulate.FINE).astype(int)])


def retained(kep: float) -> Array:
    """integral_0^t m(s) e^{-kep (t - s)} ds by the trapezoid rule at 5 ms, sampled."""
    weighted = cumulative_trapezoid(reference() * np.exp(kep * FINE), dx=simulate.FINE, initial=0.0)
    return sampled(weighted * np.exp(-kep * FINE))


def simulated(n: int, model: str, varied: bool, cnr: float | None, seed: int) -> Truth:
    """Leakage of both signs in every second voxel; cnr : peak of the curve without leakage over the noise, or None.

    varied : tissue of all residues, MTT 2-10 s, delays -1 to 3 s; else of the reference's own shape.
    """
    rng = np.random.default_rng(seed)
    names, volume = sorted(simulate.RESIDUES), rng.uniform(2, 8, n)
    tight, leak = np.empty((n, TIME.size)), np.empty((n, TIME.size))
    for voxel in range(n):
        mtt, delay, residue = rng.uniform(2, 10), rng.uniform(-1, 3), str(rng.choice(names))
        leak[voxel] = retained(rng.uniform(*LEAKS[model]))
        if varied:
            tight[voxel] = simulate.tissue(TIME, 60 * volume[voxel] / mtt, mtt, delay, residue)
        else:
            tight[voxel] = volume[voxel] / REFERENCE_VOLUME * sampled(reference())
    k2 = rng.uniform(-0.01, 0.02, n) * (np.arange(n) % 2)
    curves = tight - k2[:, None] * leak
    if cnr is not None:
        curves = curves + rng.normal(size=curves.shape) * tight.max(axis=1, keepdims=True) / cnr
    return Truth(np.asfortranarray(curves, np.float32), volume / REFERENCE_VOLUME, k2, tight)


def errors(truth: Truth, model: str, alignment: str) -> dict[str, float]:
    """Median and 90 % of |error| of rCBV, correlation of K2, and the median change where nothing leaks.

    rCBV is the ratio to the reference curve's own volume; truth is the same sum over the curve without leakage.
    """
    told = protocol()
    known = shelf()[model]
    maps = known.function(truth.curves, told, known.defaults() | {"alignment": alignment}, cpu())
    plain = shelf()["uncorrected"]
    every = np.concatenate([truth.curves, truth.tight, told.reference[None]])
    volume = plain.function(np.asfortranarray(every, np.float32), told, plain.defaults(), cpu())[
        "cbv"
    ].astype(np.float64)
    n = len(truth.k2)
    error = np.abs(maps["cbv"] / volume[n : 2 * n] - 1)  # of the ratio too: both have one denominator
    change = np.abs(maps["cbv"] / volume[:n] - 1)[truth.k2 == 0]
    return {
        "median": float(np.median(error)),
        "most": float(np.quantile(error, 0.9)),
        "k2": float(np.corrcoef(maps["k2"], truth.k2)[0, 1]),
        "changed": float(np.median(change)),
    }


def measure() -> list[dict[str, Any]]:
    """A row for each model, tissue, noise and alignment."""
    rows = []
    for model in LEAKS:
        for varied in (False, True):
            for cnr in (None, 10.0, 20.0, 50.0):
                truth = simulated(VOXELS, model, varied, cnr, 3)
                for alignment in shelf()[model].choices["alignment"]:
                    found = errors(truth, model, alignment)
                    what = f"{model}, {'varied' if varied else 'same'} shape, CNR {cnr or 'infinite'}, {alignment}"
                    said = (
                        f"|error| {100 * found['median']:6.2f} % (90 %: {100 * found['most']:6.2f} %)  "
                        f"r(K2) {found['k2']:.4f}  not leaky: {100 * found['changed']:6.2f} %"
                    )
                    rows.append({"what": what, "said": said, **found})
    return rows


if __name__ == "__main__":
    measure()
