"""SCRUB: each voxel's flow by Huber's robust mean of its repeats, held to what its tissue leads one to expect."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[Any]

HUBER = 1.345
"""Bend of Huber's loss in SDs: 95 % efficiency where the noise is normal. Source: Huber 1981."""


class Structure(NamedTuple):
    """What structure says of flow: expected : (n,) ml/100g/min, and the variance of voxels about it."""

    expected: Array
    variance: float


def structure(series: Array, tissues: Array) -> Structure:
    """Expected flow sum_k p_k m_k by least squares of the voxels' medians on tissue probabilities.

    series : (n, r). tissues : (n, k). The variance about it is what scatter the repeats do not explain:
    mean (median - expected)^2 less the mean variance of a median, pi/2 sigma^2/r.
    Source: Dolui et al. 2016, ISMRM 24:2880 (structural prior with an empirical variance).
    """
    middle = np.median(series, axis=1)
    flows = np.linalg.lstsq(tissues, middle, rcond=None)[0]
    expected = tissues @ flows
    noise = np.array([_scale(row) for row in series]) ** 2
    excess = np.mean((middle - expected) ** 2) - np.pi / 2 * noise.mean() / series.shape[1]
    return Structure(expected, max(float(excess), 0.01 * float(noise.mean()) / series.shape[1]))


def _scale(repeats: Array) -> float:
    return float(np.median(np.abs(repeats - np.median(repeats))) / stats.norm.ppf(0.75))


def scrub(repeats: Array, expected: float, variance: float) -> float:
    """argmin_f sum_r rho_H((y_r - f)/sigma) + (f - expected)^2/(2 variance), by reweighting; repeats : (r,).

    sigma is 1.4826 MAD of the voxel, weights w_r = min(1, 1.345 sigma/|y_r - f|).
    """
    sigma = _scale(repeats)
    if sigma == 0:
        return float(np.median(repeats))
    f = float(np.median(repeats))
    for _ in range(500):
        away = np.maximum(np.abs(repeats - f) / sigma, np.finfo(float).tiny)
        weight = np.minimum(1.0, HUBER / away)
        precision = weight.sum() / sigma**2 + 1 / variance
        new = (weight @ repeats / sigma**2 + expected / variance) / precision
        if abs(new - f) <= 1e-12 * (abs(f) + sigma):
            return float(new)
        f = new
    raise ArithmeticError("Huber's mean did not settle in 500 passes")
