"""Which repeats of one delay to leave out: SCORE and ENABLE, each repeat with the number that speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SCORE = "Dolui et al., J Magn Reson Imaging 46:1786 (2017)"
ENABLE = "Shirzadi et al., J Magn Reson Imaging 47:647 (2018)"
PURE = 0.7
"""Probability from which a voxel counts as one tissue."""
BEYOND = 2.5
"""Robust SDs from the median that a repeat's grey matter may lie."""
FEWEST = 3
"""Repeats that a delay must have to be judged, and that are left to it while its repeats are tried one by one."""
NORMAL = NormalDist().inv_cdf(0.75)
FEW = {3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
"""By how much the MAD of so few numbers falls short; Croux & Rousseeuw, Computational Statistics 1:411 (1992)."""
CLEAR = 3.0
"""SDs of one repeat by which grey matter, and its contrast to white, must lie above zero for ENABLE to judge by them:
closer to it good repeats would go for the luck of the others."""


class Verdict(NamedTuple):
    """One repeat that goes: its place, the number that speaks against it, and what that number is."""

    repeat: int
    score: float
    reason: str


def spread(values: Array) -> float:
    """The robust SD of numbers (r,) about their median, 1.48 MAD, enlarged where they are few."""
    return float(np.median(np.abs(values - np.median(values)))) / NORMAL * FEW.get(values.size, 1.0)


def score(values: Array, regions: list[Array], usual: float = 0.0) -> list[Verdict]:
    """The repeats that SCORE drops from values (n, r), without NaN.

    regions : boolean (n,) each, grey matter first. First goes every repeat whose mean over grey matter is further
    than 2.5 robust SDs from the median; `usual`, the SD that all delays tell, holds where these few repeats happen
    to lie closer. Then, one at a time, the repeat most like the mean of those left, while the variance
    within the regions of that mean falls. Source: Dolui et al. 2017, eqs. 1-3.
    """
    grey = values[regions[0]].mean(axis=0)
    off = np.abs(grey - np.median(grey))
    scale = max(spread(grey), usual)
    stays = off <= BEYOND * scale
    gone = [
        Verdict(
            int(r), float(off[r] / scale) if scale > 0 else np.inf, "robust SDs of its grey matter's mean"
        )
        for r in np.flatnonzero(~stays)
    ]
    best = _within(values[:, stays].mean(axis=1), regions)
    while stays.sum() > FEWEST:
        likeness = np.where(stays, _likeness(values, values[:, stays].mean(axis=1)), -np.inf)
        worst = int(np.argmax(likeness))
        stays[worst] = False
        variance = _within(values[:, stays].mean(axis=1), regions)
        if variance >= best:
            break
        gone.append(Verdict(worst, variance / best, "share of the tissues' variance that is left without it"))
        best = variance
    return gone


def enable(
    values: Array, grey: Array, white: Array | None, usual: tuple[float, float] = (0.0, 0.0)
) -> list[Verdict] | None:
    """The repeats that ENABLE drops from values (n, r), without NaN; None where this delay cannot be judged so.

    grey, white : boolean (n,). One at a time goes the repeat without which the mean of signal to noise, contrast to
    noise and share of detected voxels, each over its value with all repeats, is highest, while it rises. Contrast
    counts only where it is clear of zero, a delay only where its grey matter is; usual : the SDs of one repeat's
    mean grey matter and of its contrast. Source: Shirzadi et al. 2018, with equal weights.
    """
    level = values[grey].mean(axis=0)
    if white is not None and not np.median(level - values[white].mean(axis=0)) > CLEAR * usual[1]:
        white = None
    whole = _features(values, grey, white)
    if not (np.median(level) > CLEAR * usual[0] and np.isfinite(whole).all() and (whole > 0).all()):
        return None
    stays, best = list(range(values.shape[1])), 1.0
    gone = []
    while len(stays) > FEWEST:
        trials = [
            float(np.mean(_features(values[:, [s for s in stays if s != r]], grey, white) / whole))
            for r in stays
        ]
        worst = int(np.argmax(trials))
        if not trials[worst] > best:
            break
        best = trials[worst]
        gone.append(Verdict(stays.pop(worst), best, "quality without it over that with all repeats"))
    return gone


def regions_of(tissues: Mapping[str, Array], n: int) -> list[Array]:
    """Where there is grey matter, white matter and fluid alone, boolean (n,) each; the whole brain if unknown."""
    known = [tissues[name] > PURE for name in ("GM", "WM", "CSF") if name in tissues]
    if {"GM", "WM"} <= tissues.keys() and all(region.sum() > 1 for region in known[:2]):
        return known
    return [np.ones(n, np.bool_)]


def _within(mean: Array, regions: list[Array]) -> float:
    """The variance of a mean map (n,) about the mean of each region, pooled by degrees of freedom."""
    parts = [mean[region] for region in regions if region.sum() > 1]
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    return squares / sum(part.size - 1 for part in parts)


def _likeness(values: Array, mean: Array) -> Array:
    """The correlation of each repeat (n, r) with a mean (n,); a constant repeat is like nothing."""
    centred, middle = values - values.mean(axis=0), mean - mean.mean()
    norms = np.sqrt((centred**2).sum(axis=0) * (middle**2).sum())
    return np.asarray(np.divide(middle @ centred, norms, out=np.full(norms.shape, -1.0), where=norms > 0))


def _features(values: Array, grey: Array, white: Array | None) -> Array:
    """Signal to noise, contrast to noise and the share of voxels detected at p < 0.05, of repeats (n, r)."""
    from scipy.special import stdtrit

    r = values.shape[1]
    mean, signal = values.mean(axis=1), values[grey]
    error = signal.std(axis=1, ddof=1) / np.sqrt(r)
    level = signal.mean()
    found = float((mean[grey] > stdtrit(r - 1, 0.95) * error).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        if white is None:
            return np.array([level / error.mean(), found])
        contrast = (level - mean[white].mean()) / np.sqrt(_within(mean, [grey, white]))
        return np.array([level / error.mean(), contrast, found])
