"""The arterial input function: found by clustering, taken from a mask, or read from a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code
from bolus.series import AIF, GivenAIF

CLUSTERS, ROUNDS = 5, 100
HIGHEST_SHARE, FEWEST_CANDIDATES, LEAST_AREA = 0.03, 30, 0.3
ROUGHEST = 2.0
"""Squared second differences over squared values: 6 for white noise, about 1 for a peak two volumes wide."""
FEWEST_TO_CLUSTER, LEAST_SHARE = 4 * CLUSTERS, 0.1
MEND = "Give one: *_aif.tsv or *_label-AIF_mask.nii.gz in a --derivatives folder."


def by_clustering(curves: NDArray[Any], time: NDArray[Any], file: str) -> AIF:
    """Voxels whose curves are high, smooth, early and narrow, by clustering twice; their mean is the input.

    curves : (n, t) float32, 1/s, NaN rows are passed over. time : (t,) s. What is as rough as noise is dropped;
    the highest 3 % of the peaks are candidates, but for the smallest areas; curves of unit area are put into
    5 clusters, the one of lowest first moment is kept and, if it holds enough, clustered once more. Starting
    from fixed quantiles, it gives the same voxels each time. Raises BolusError E_AIF when too few have a bolus.
    Source: Mouridsen et al., Magn Reson Med 55:524 (2006).
    """
    usable = np.flatnonzero(np.isfinite(curves).all(1))
    area = curves[usable].sum(1)
    usable, area = usable[area > 0], area[area > 0]
    power = (curves[usable] ** 2).sum(1)
    smooth = (np.diff(curves[usable], 2, axis=1) ** 2).sum(1) <= ROUGHEST * power
    usable, area = usable[smooth], area[smooth]
    if usable.size < FEWEST_CANDIDATES:
        raise _refusal(file, f"{usable.size} voxels with a bolus", f"at least {FEWEST_CANDIDATES}")
    count = max(FEWEST_CANDIDATES, int(HIGHEST_SHARE * usable.size))
    highest = np.argsort(-curves[usable].max(1), kind="stable")[:count]
    # A curve of hardly any area has any first moment, also the lowest one.
    chosen = usable[highest[area[highest] >= LEAST_AREA * np.median(area[highest])]]
    for _ in range(2):
        if chosen.size >= FEWEST_TO_CLUSTER:
            shapes = np.asarray(curves[chosen], np.float64)
            chosen = chosen[_earliest(shapes / shapes.sum(1, keepdims=True), time)]
    return _from_voxels(curves, np.sort(chosen), time, "kmeans (Mouridsen 2006)", file)


def from_mask(curves: NDArray[Any], time: NDArray[Any], file: str) -> AIF:
    """The mean of the curves (n, t), 1/s, of a mask's voxels; raises BolusError E_AIF when none can be used."""
    chosen = np.flatnonzero(np.isfinite(curves).all(1))
    if chosen.size == 0:
        raise _refusal(file, f"no usable curve under the AIF mask ({len(curves)} voxels)", "at least one")
    return _from_voxels(curves, chosen, time, "mask", file)


def from_table(given: GivenAIF, time: NDArray[Any], baseline: tuple[int, int], echo_time: float) -> AIF:
    """A given curve at the scan's times (t,) s, its signal turned into delta R2* with the scan's baseline.

    Both times count from the first volume of the file, dummy scans included.
    Raises BolusError E_AIF when the table does not cover the scan, or its signal is not positive.
    """
    step = time[1] - time[0]
    if given.time[0] > time[0] + step or given.time[-1] < time[-1] - step:
        seen = f"times {given.time[0]:g} to {given.time[-1]:g} s"
        raise _refusal(str(given.path), seen, f"the scan's {time[0]:g} to {time[-1]:g} s")
    values = np.interp(time, given.time, given.values)
    if given.column == "signal":
        if not (values > 0).all():
            raise _refusal(str(given.path), "a signal of zero or less", "a positive signal throughout")
        values = -np.log(values / values[slice(*baseline)].mean()) / echo_time
    return _described(values, np.empty(0, np.int64), time, f"table ({given.column})", str(given.path))


def _earliest(shapes: NDArray[np.float64], time: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the curves (n, t) of unit area fall into the cluster of lowest first moment, outliers apart."""
    moment = shapes @ time
    rank = np.argsort(np.argsort(moment, kind="stable"), kind="stable")
    member = rank * CLUSTERS // moment.size
    for _ in range(ROUNDS):
        present = np.unique(member)
        centres = np.stack([shapes[member == cluster].mean(0) for cluster in present])
        distance = (centres**2).sum(1) - 2 * shapes @ centres.T
        nearest = present[np.argmin(distance, axis=1)]
        if np.array_equal(nearest, member):
            break
        member = nearest
    present, counts = np.unique(member, return_counts=True)
    present = present[counts >= min(LEAST_SHARE * moment.size, counts.max())]
    first = present[int(np.argmin([moment[member == cluster].mean() for cluster in present]))]
    return np.asarray(member == first)


def _from_voxels(curves: NDArray[Any], chosen: NDArray[Any], time: NDArray[Any], how: str, file: str) -> AIF:
    return _described(np.asarray(curves[chosen], np.float64).mean(0), chosen, time, how, file)


def _described(values: NDArray[Any], voxels: NDArray[Any], time: NDArray[Any], how: str, file: str) -> AIF:
    area = float(np.trapezoid(values, time))
    peak = float(values.max(initial=-np.inf))
    if not (np.isfinite(values).all() and area > 0 and peak > 0):
        raise _refusal(file, f"a curve with peak {peak:g} 1/s and area {area:g}", "a positive bolus")
    above = time[values >= peak / 2]
    quality = {
        "Voxels": float(voxels.size),
        "PeakHeight": peak,
        "TimeToPeak": float(time[int(np.argmax(values))]),
        "FullWidthHalfMaximum": float(above[-1] - above[0] + (time[1] - time[0])),
        "FirstMoment": float(np.trapezoid(values * time, time) / area),
    }
    return AIF(np.asarray(time, np.float64), np.asarray(values, np.float64), voxels, how, quality)


def _refusal(file: str, seen: str, expected: str) -> BolusError:
    return BolusError(Code.AIF, file, seen, expected, MEND)
