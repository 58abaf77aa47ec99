"""The arterial input by hierarchical clustering, after Peruzzo: early, high and narrow, judged by a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.candidates import candidates, clipped, passage, smoothed
from bolus.arterial.firstpass import fit
from bolus.arterial.quality import described, first_moment, mean_of
from bolus.series import AIF

Array = NDArray[Any]

MOST_CURVES, MOST, FEWEST, CLEARLY_SMALLER = 1500, 40, 8, 0.8
AS_HIGH, AS_EARLY, AS_GOOD = 0.8, 0.5, 1.25
"""Ratio of peaks, repetition times and ratio of residuals within which two clusters are alike."""


def by_hierarchy(
    curves: Array,
    time: Array,
    brain: Array,
    file: str,
    allowed: Array | None = None,
    ceiling: Array | None = None,
) -> AIF:
    """The voxels at the end of a tree of curves, at every fork towards the higher or the earlier ones; their mean.

    curves : (n, t) float32, 1/s, NaN rows are passed over. time : (t,) s. brain : (t,) 1/s, the mean curve, before
    which the early ones pass. allowed : (n,) bool, where to look. ceiling : (n,) 1/s, above it noise
    hides the signal; voxels that reach it are left out where half of them are left. Ward's tree of smoothed curves
    is walked down until a fork's branches are alike or too small; of the last clusters on the way, of 40 voxels at
    most, the largest whose mean is fitted well by a gamma variate with recirculation is taken. Raises BolusError
    E_AIF when too few have a bolus. Source: Peruzzo et al., Comput Methods Programs Biomed 104:e148 (2011).
    """
    among = _early(curves, candidates(curves, file, allowed), time, brain)
    if ceiling is not None:
        whole = among[~clipped(curves[among], ceiling[among])]
        among = whole if whole.size >= max(FEWEST, among.size / 2) else among
    among = among[:MOST_CURVES]
    clusters = [among[members] for members in _descent(smoothed(curves[among])[:, passage(curves[among])])]
    fits = [fit(mean_of(curves, cluster), time) for cluster in clusters]
    well = AS_GOOD * min(found.residual for found in fits)
    best = next(k for k, found in enumerate(fits) if found.residual <= well)
    chosen = np.sort(clusters[best])
    quality = {
        "FitResidual": fits[best].residual,
        "FitFirstPassArea": fits[best].area,
        "FitRecirculationShare": fits[best].recirculation,
    }
    return described(mean_of(curves, chosen), chosen, time, "hierarchy (Peruzzo 2011)", file, **quality)


def _early(curves: Array, among: Array, time: Array, brain: Array) -> Array:
    """Those of the voxels `among` that pass in the first half of the time from the earliest to the mean brain."""
    moment = np.array([first_moment(curve, time, 0.5) for curve in smoothed(curves[among])])
    earliest = float(np.quantile(moment, 0.05))
    latest = (earliest + first_moment(brain, time, 0.5)) / 2
    return np.asarray(among[moment <= max(latest, earliest + AS_EARLY * (time[1] - time[0]))])


def _descent(curves: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """The last clusters of curves (n, t) on the way down the tree, of `MOST` at most, from large to small.

    Where branches are alike before that, the one large cluster is the answer: only noise divides it further.
    """
    from scipy.cluster.hierarchy import linkage, to_tree

    if len(curves) < 2 * FEWEST:
        return [np.arange(len(curves))]
    node = to_tree(linkage(curves, "ward"))
    way = [node]
    while True:
        children = [child for child in (node.left, node.right) if child and child.count >= FEWEST]
        means = [curves[child.pre_order()].mean(0) for child in children]
        if not children or (len(children) == 2 and _alike(means)):
            break
        node = children[_better(means)]
        if node.count <= CLEARLY_SMALLER * way[-1].count:
            way.append(node)
    members = [np.array(each.pre_order(), np.int64) for each in way]
    return [each for each in members if each.size <= MOST] or members[-1:]


def _alike(means: list[NDArray[np.float64]]) -> bool:
    return _as_high(means) and abs(_middle(means[0]) - _middle(means[1])) < AS_EARLY


def _better(means: list[NDArray[np.float64]]) -> int:
    """The higher of one or two mean curves; of two as high as each other, the one that passes earlier."""
    if _as_high(means):
        return int(np.argmin([_middle(mean) for mean in means]))
    return int(np.argmax([mean.max() for mean in means]))


def _as_high(means: list[NDArray[np.float64]]) -> bool:
    peaks = [mean.max() for mean in means]
    return bool(min(peaks) >= AS_HIGH * max(peaks))


def _middle(mean: NDArray[np.float64]) -> float:
    """The first moment of a curve, in volumes."""
    return first_moment(mean, np.arange(mean.size))
