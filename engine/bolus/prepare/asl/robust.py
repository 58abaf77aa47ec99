"""Each voxel's repeats held to their robust mean by Huber's loss, and to what its tissue leads one to expect."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HUBER = "Huber, Ann Math Stat 35:73 (1964)"
SCRUB = "Dolui et al., ISMRM 24:2880 (2016)"
BEND = 1.345
"""SDs from which a repeat counts less: 95 % of the mean's efficiency where noise is normal."""
CLOSE = 1e-6
"""SDs by which the last step of the search may still move a voxel."""
PASSES = 500
MOSTLY = 0.5
"""Share of known tissues from which a voxel is held to what they lead one to expect."""
LAGS = (1, 2, 3)
QUARTILE = NormalDist(0, 2**0.5).inv_cdf(0.625)
"""The lower quartile of |a - b| for two numbers of one normal distribution, in its SDs."""


class Expected(NamedTuple):
    """What tissue says of a voxel's signal: expected : (n,), the variance of voxels about it, and where it says it.

    known : (n,) bool; a lesion that is none of the tissues has no expectation, rather than one of nothing.
    """

    mean: Array
    variance: float
    known: Array | bool = True


def noise_scale(groups: list[Array]) -> float:
    """The SD of one repeat, from differences between neighbouring repeats of each delay, (n, r) each.

    The lower quartile of all differences, so that half of them may be spoilt; like Rousseeuw and Croux's Q_n, J Am
    Stat Assoc 88:1273 (1993), it needs no centre and so has no bias where repeats are few.
    """
    apart = [
        np.abs(group[:, lag:] - group[:, :-lag]).reshape(-1)
        for group in groups
        for lag in LAGS
        if group.shape[1] > lag
    ]
    return float(np.quantile(np.concatenate(apart), 0.25)) / QUARTILE


def expected_of(values: Array, tissues: Array, scale: Array) -> Expected:
    """What least squares of the voxels' medians on their tissues expects, and how far voxels truly stray from it.

    values : (n, r), without NaN. tissues : (n, k) probabilities. scale : (n,) SD of one repeat. The variance is
    what the median's own, pi/2 scale^2/r, leaves of the mean square about the fit. Source: Dolui et al. 2016.
    """
    middle = np.median(values, axis=1)
    known = tissues.sum(axis=1) >= MOSTLY
    if not known.any():
        return Expected(np.zeros(len(values)), 1.0, known)
    mean = tissues @ np.linalg.lstsq(tissues[known], middle[known], rcond=None)[0]
    error = float((scale[known] ** 2).mean()) / values.shape[1]
    excess = float(((middle - mean)[known] ** 2).mean()) - np.pi / 2 * error
    return Expected(mean, max(excess, 0.01 * error), known)


def robust_mean(values: Array, scale: Array, prior: Expected | None = None) -> Array:
    """argmin_f sum_r rho((y_r - f)/scale) + (f - expected)^2/(2 variance), by reweighting; rho is Huber's loss.

    values : (n, r), without NaN. scale : (n,) SD of one repeat; the median where it is 0. Gives (n,).
    Source: Huber 1964, eq. 3.1; Dolui et al. 2016, SCRUB's prior.
    """
    found = np.median(values, axis=1)
    moving = np.flatnonzero(scale > 0)
    held, towards = np.zeros(len(values)), np.zeros(len(values))
    if prior is not None:
        held, towards = np.where(prior.known, scale**2 / prior.variance, 0.0), prior.mean
    for _ in range(PASSES):
        if moving.size == 0:
            break
        here, sd = found[moving], scale[moving]
        away = np.abs(values[moving] - here[:, None])
        weight = np.minimum(1.0, BEND * sd[:, None] / np.maximum(away, np.finfo(np.float64).tiny))
        pull = (weight * values[moving]).sum(axis=1) + held[moving] * towards[moving]
        found[moving] = pull / (weight.sum(axis=1) + held[moving])
        moving = moving[np.abs(found[moving] - here) > CLOSE * sd]
    return found


def pseudo_values(values: Array, scale: Array, prior: Expected | None = None) -> tuple[Array, Array]:
    """Repeats (n, r) whose plain mean is the robust one, and which of the given ones were bent, (n, r) bool.

    Each is the robust mean and its bent residual over the share of residuals that are not bent, so that their
    scatter tells the robust mean's own error. A prior moves all repeats of a voxel alike.
    Source: Huber 1964; pseudo-values as in Huber & Ronchetti, Robust Statistics (2009), section 7.
    """
    middle = robust_mean(values, scale)
    limit = BEND * scale[:, None]
    residual = values - middle[:, None]
    bent = np.abs(residual) > limit
    straight = max(1 - float(bent.mean()), 1 / values.shape[1])
    centre = middle if prior is None else robust_mean(values, scale, prior)
    return centre[:, None] + np.clip(residual, -limit, limit) / straight, bent
