"""Which repeats of a flow series to leave out: SCORE and ENABLE, volume by volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[Any]

DEVIATIONS = 2.5
"""A volume whose grey matter lies so many robust SDs from the median is an outlier."""
LEAST_REPEATS = 3


def _tissues(gm: Array, wm: Array, csf: Array, threshold: float) -> tuple[Array, ...]:
    return tuple(tissue > threshold for tissue in (gm, wm, csf))


def pooled_variance(mean: Array, tissues: tuple[Array, ...]) -> float:
    """Variance of a map about the mean of each tissue, weighted by (voxels - 1)."""
    weights = [max(int(tissue.sum()) - 1, 0) for tissue in tissues]
    variances = [
        mean[tissue].var(ddof=1) if weight else 0.0 for tissue, weight in zip(tissues, weights, strict=True)
    ]
    return float(np.dot(weights, variances) / sum(weights))


def score(series: Array, gm: Array, wm: Array, csf: Array, threshold: float = 0.7) -> Array:
    """Which volumes stay; series : (n, r) CBF of brain voxels, gm, wm, csf : (n,). Gives (r,) bool.

    First go the volumes whose mean over GM lies more than 2.5 robust SDs (MAD/0.6745) from the median. Then, one
    at a time, the volume most correlated with the mean of those that stay, while the pooled variance of the
    tissues in that mean falls. Source: Dolui et al. 2017, J Magn Reson Imaging 46:1786, eqs. 1-3.
    """
    tissues = _tissues(gm, wm, csf, threshold)
    means = series[tissues[0]].mean(axis=0)
    away = np.abs(means - np.median(means))
    stay = np.asarray(away <= DEVIATIONS * np.median(away) / stats.norm.ppf(0.75))
    variance = pooled_variance(series[:, stay].mean(axis=1), tissues)
    while stay.sum() > LEAST_REPEATS:
        mean = series[:, stay].mean(axis=1)
        alike = [np.corrcoef(series[:, r], mean)[0, 1] if stay[r] else -np.inf for r in range(len(stay))]
        fewer = stay.copy()
        fewer[int(np.argmax(alike))] = False
        found = pooled_variance(series[:, fewer].mean(axis=1), tissues)
        if found >= variance:
            break
        stay, variance = fewer, found
    return stay


def quality(series: Array, gm: Array, wm: Array) -> Array:
    """Signal to noise, contrast to noise and detectability of a set of repeats, (3,).

    series : (n, r). gm, wm : (n,) bool. SNR = mean GM over the mean standard error of a GM voxel; CNR = mean
    GM - WM over the pooled spatial SD; detectability = share of GM voxels whose flow is above 0 at p < 0.05
    (one-sided t). Source: Shirzadi et al. 2018, J Magn Reson Imaging 47:647, the features of ENABLE.
    """
    r, mean = series.shape[1], series.mean(axis=1)
    error = series.std(axis=1, ddof=1) / np.sqrt(r)
    signal_to_noise = mean[gm].mean() / error[gm].mean()
    contrast_to_noise = (mean[gm].mean() - mean[wm].mean()) / np.sqrt(pooled_variance(mean, (gm, wm)))
    detectable = float(np.mean(mean[gm] > stats.t.ppf(0.95, r - 1) * error[gm]))
    return np.array([signal_to_noise, contrast_to_noise, detectable])


def enable(series: Array, gm: Array, wm: Array, threshold: float = 0.7) -> Array:
    """Which volumes stay; series : (n, r) CBF of brain voxels, gm, wm : (n,) probabilities. Gives (r,) bool.

    The score is the mean of the three features, each over its value with all repeats. One at a time goes the
    volume without which the score is highest, while it rises. Source: Shirzadi et al. 2018; equal weights here.
    """
    grey, white = gm > threshold, wm > threshold
    stay = np.ones(series.shape[1], bool)
    whole = quality(series, grey, white)
    best = 1.0
    while stay.sum() > LEAST_REPEATS:
        scores = np.full(len(stay), -np.inf)
        for r in np.flatnonzero(stay):
            fewer = stay & (np.arange(len(stay)) != r)
            scores[r] = np.mean(quality(series[:, fewer], grey, white) / whole)
        if scores.max() <= best:
            break
        best, stay[int(np.argmax(scores))] = scores.max(), False
    return stay
