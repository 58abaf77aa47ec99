"""The arterial input by clustering twice, after Mouridsen: high, smooth, early and narrow curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.candidates import FEWEST, candidates, clipped, passage, smoothed
from bolus.arterial.quality import described, first_moment, mean_of
from bolus.series import AIF
from bolus_kernels.dsc.clusters import moved
from bolus_kernels.dsc.traits import Shape

Array = NDArray[Any]

CLUSTERS, ROUNDS = 5, 100
FEWEST_TO_CLUSTER, LEAST_SHARE = 4 * CLUSTERS, 0.1
SAME = 0.5
"""Repetition times by which first moments must differ for two clusters to be two."""


def by_clustering(
    curves: Array,
    time: Array,
    file: str,
    allowed: Array | None = None,
    ceiling: Array | None = None,
    shape: Shape | None = None,
) -> AIF:
    """Voxels whose curves are high, smooth, early and narrow, by clustering twice; their mean is the input.

    curves : (n, t) float32, 1/s, NaN rows are passed over. time : (t,) s. allowed : (n,) bool, where to look.
    ceiling : (n,) 1/s, above it noise hides the signal; voxels that reach it are left out where others are as early.
    shape : of the curves, where it is known already. Shapes of unit area, smoothed, over the bolus's passage are put
    into 5 clusters; the one of lowest first moment is kept, with those that half a repetition time cannot tell from
    it, and clustered once more. Starting from fixed quantiles, it gives the same voxels each time. Raises BolusError
    E_AIF when too few have a bolus. Source: Mouridsen et al., Magn Reson Med 55:524 (2006).
    """
    every = candidates(curves, file, allowed, shape)
    near = curves[every]  # once, because each of their samples lies in a line of memory of its own
    chosen = _arteries(near, every, time)
    if ceiling is not None:
        whole = ~clipped(near, ceiling[every])
        if FEWEST <= np.count_nonzero(whole) < every.size:
            fewer = _arteries(near[whole], every[whole], time)
            late = first_moment(mean_of(curves, fewer), time) - first_moment(mean_of(curves, chosen), time)
            chosen = fewer if late <= SAME * (time[1] - time[0]) else chosen
    values = mean_of(curves, chosen)
    return described(values, chosen, time, "kmeans (Mouridsen 2006)", file, Candidates=float(every.size))


def _arteries(curves: Array, voxels: Array, time: Array) -> NDArray[np.int64]:
    """Those of the voxels (m,) whose curves (m, t) stay in the earliest clusters, in their order in the brain."""
    of_them = np.asarray(curves, np.float64)
    run = passage(of_them)
    shapes = smoothed(of_them)[:, run]
    area = shapes.sum(1)
    chosen, shapes = voxels[area > 0], shapes[area > 0] / area[area > 0, None]
    for _ in range(2):
        if chosen.size >= FEWEST_TO_CLUSTER:
            early = _earliest(shapes, time[run])
            chosen, shapes = chosen[early], shapes[early]
    return np.sort(chosen)


def _earliest(shapes: NDArray[np.float64], time: Array) -> NDArray[np.bool_]:
    """Which of the curves (n, t) of unit area fall into the clusters of lowest first moment, outliers apart."""
    moment = np.einsum("nt,t->n", shapes, time)
    rank = np.argsort(np.argsort(moment, kind="stable"), kind="stable")
    member = moved(shapes, rank * CLUSTERS // moment.size, CLUSTERS, ROUNDS)
    present, counts = np.unique(member, return_counts=True)
    present = present[counts >= min(LEAST_SHARE * moment.size, counts.max())]
    moments = np.array([moment[member == cluster].mean() for cluster in present])
    # To take only the very first of clusters that differ by noise would be to choose the noise.
    first = present[moments <= moments.min() + SAME * (time[1] - time[0])]
    return np.isin(member, first)
