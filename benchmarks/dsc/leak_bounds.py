"""How well blood volume and K2 can be told at all from a curve of the reference's shape with leakage and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.dsc import leakage
from bolus_kernels.jit import kernel

Array = NDArray[Any]
Row = dict[str, Any]

CNR, SEED, VOXELS = 10.0, 3, leakage.VOXELS
RATIOS, LEAKS = (2 / leakage.REFERENCE_VOLUME, 8 / leakage.REFERENCE_VOLUME), (-0.01, 0.02)
"""Ends of the uniform laws of rCBV, and of K2, 1/s, in the half of the voxels that leak."""
PARTS, NEGLIGIBLE = (96, 121, 37), 14.0
"""rCBV, K2 and kep of the grid; what lies so far below the best in ln density carries no mass."""
WANTED = {"bsw": "3 % and 0.98", "bidirectional": "0.98"}


def rows() -> list[Row]:
    """For each model: an efficient unbiased estimator, the best that knows all laws, and the correction itself."""
    found = []
    for model, (first, last) in leakage.LEAKS.items():
        truth = leakage.simulated(VOXELS, model, False, CNR, SEED)
        kep = np.linspace(first, last, PARTS[2]) if last > first else np.array([first])
        volume, leak = posterior(truth.curves, kep, CNR)
        error = np.abs(volume / truth.ratio - 1)
        reached = leakage.errors(truth, model, "none")
        spread, scatter = unbiased(truth.ratio, truth.k2, kep, CNR)
        least = float(np.median(norm.ppf(0.75) * spread))
        correlation = float(np.sqrt(np.var(truth.k2) / (np.var(truth.k2) + np.mean(scatter**2))))
        known = float(np.corrcoef(leak, truth.k2)[0, 1])
        wanted = WANTED[model]
        found += [
            _row(model, "unbiased estimator, at best", least, correlation, wanted),
            _row(model, "estimator that knows every law", float(np.median(error)), known, wanted),
            _row(model, "the correction", reached["median"], reached["k2"], wanted),
        ]
    return found


def _row(model: str, what: str, median: float, correlation: float, wanted: str) -> Row:
    return {
        "what": f"{model}, shape known, CNR {CNR:.0f}: {what}",
        "said": f"median |error| of rCBV {100 * median:.2f} %, r(K2) {correlation:.3f}; wanted {wanted}",
        "median": median,
        "k2": correlation,
    }


def unbiased(ratio: Array, k2: Array, kep: Array, cnr: float) -> tuple[Array, Array]:
    """Cramer-Rao: least relative SD of rCBV and least SD of K2, 1/s, in voxels (n,); the noise is known.

    kep : (k,) 1/s; of more than one it is unknown too, and the information that of the mean over them. Where
    nothing leaks nothing tells kep, and K2 is then as if kep were known: no bound for it is higher than that.
    c = rCBV m - K2 integral m e^{-kep(t-s)} + noise of SD rCBV max m/cnr. Source: Kay 1993, ch. 3.
    """
    shape = leakage.sampled(leakage.reference())
    noise = shape.max() / cnr  # of rCBV
    relative, spread = np.empty(ratio.size), np.empty(ratio.size)
    step = 1e-4
    for voxel, (size, leak) in enumerate(zip(ratio.tolist(), k2.tolist(), strict=True)):
        found = []
        for rate in kep.tolist():
            columns = [size * shape, -leakage.retained(rate)]
            if kep.size > 1 and leak:
                slope = leakage.retained(rate + step) - leakage.retained(rate - step)
                columns.append(-leak * slope / (2 * step))
            design = np.stack(columns, 1) / (noise * size)
            found.append(np.diag(np.linalg.inv(design.T @ design))[:2])
        relative[voxel], spread[voxel] = np.sqrt(np.mean(found, axis=0))
    return relative, spread


def posterior(curves: Array, kep: Array, cnr: float) -> tuple[Array, Array]:
    """E rCBV and E K2 (1/s) under the laws they are drawn from, kep (k,) 1/s equally likely; curves (n, t), 1/s.

    K2 is 0 in half of the voxels and uniform in the others. No estimate of K2 correlates with it better than its
    posterior mean.
    """
    ratios, k2 = np.linspace(*RATIOS, PARTS[0]), np.linspace(*LEAKS, PARTS[1])
    belief = np.append(np.full(k2.size, 0.5 / k2.size), 0.5)
    shape = leakage.sampled(leakage.reference())
    held = np.stack([leakage.retained(rate) for rate in kep.tolist()])
    values = np.asarray(curves, np.float64)
    found = np.empty((len(values), 2))
    _sums(
        np.sum(values**2, axis=1), values @ shape, values @ held.T, float(shape @ shape), held @ shape,
        np.sum(held**2, axis=1), ratios, np.append(k2, 0.0), np.log(belief), shape.max() / cnr,
        values.shape[1], found,
    )  # fmt: skip
    return found[:, 0], found[:, 1]


@kernel
def _sums(
    square: Any, along: Any, leaked: Any, norm: Any, cross: Any, held: Any, ratios: Any, k2: Any, belief: Any,
    noise: float, times: int, found: Any,
) -> None:  # fmt: skip
    """|c - A m + K2 I|^2 from products of c with m and I, of m with I, and of each with itself."""
    density = np.empty((ratios.size, k2.size, held.size))
    for v in range(square.size):
        top = -np.inf
        for i in range(ratios.size):
            a = ratios[i]
            sharp, constant = 0.5 / (a * noise) ** 2, -times * np.log(a)
            for j in range(k2.size):
                leak = k2[j]
                for k in range(held.size):
                    left = square[v] + a * a * norm + leak * leak * held[k]
                    left += 2 * (leak * leaked[v, k] - a * along[v] - a * leak * cross[k])
                    density[i, j, k] = constant + belief[j] - sharp * left
                    top = max(top, density[i, j, k])
        total, volume, of_leak = 0.0, 0.0, 0.0
        for i in range(ratios.size):
            for j in range(k2.size):
                for k in range(held.size):
                    if density[i, j, k] > top - NEGLIGIBLE:
                        w = np.exp(density[i, j, k] - top)
                        total += w
                        volume += w * ratios[i]
                        of_leak += w * k2[j]
        found[v, 0], found[v, 1] = volume / total, of_leak / total
