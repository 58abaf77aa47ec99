"""Which voxels could be arterial at all: high, smooth curves of a fair area, their peaks not lost in noise."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.quality import first_pass, refusal
from bolus_kernels.dsc.traits import Shape, shape_of
from bolus_kernels.order import median_step

Array = NDArray[Any]

SHARE = {"height": 0.03, "area": 0.05}
FEWEST, FEWEST_LOOKED_AT, LEAST_AREA = 15, 30, 0.3
ROUGHEST = 2.0
"""Squared second differences over squared values: 6 for white noise, about 1 for a peak two volumes wide."""
CLEAR_OF_NOISE, SPARE = 6.0, 3
NORMAL_DIFFERENCE = 1.4826 / np.sqrt(2)
"""From the median size of a difference between neighbours in time to a standard deviation of normal noise."""
CLIPPED_SAMPLES, LEAD = 2, 2


class Features(NamedTuple):
    """One number a voxel, each (n,): area and height of the smoothed curve (1/s), whether it is a smooth bolus."""

    area: Array
    height: Array
    bolus: Array


def features(curves: Array, shape: Shape | None = None) -> Features:
    """Area, height and smoothness of every curve (n, t), 1/s, from their shape where it is known already.

    A curve with a NaN is no bolus.
    """
    shape = shape_of(curves) if shape is None else shape
    smooth = shape.roughness <= ROUGHEST * shape.power
    return Features(shape.area, shape.height, np.isfinite(shape.area) & (shape.area > 0) & smooth)


def candidates(
    curves: Array, file: str, allowed: Array | None = None, shape: Shape | None = None
) -> NDArray[np.int64]:
    """The voxels that are worth clustering, the highest first; raises BolusError E_AIF when too few have a bolus.

    curves : (n, t) 1/s. allowed : (n,) bool, where to look. shape : of the curves, where it is known already.
    """
    found = foremost(curves, "height", allowed, shape)
    if found.size < FEWEST:
        where = "" if allowed is None else " where the search allows"
        raise refusal(file, f"{found.size} voxels with a bolus clear of noise{where}", f"at least {FEWEST}")
    return found


def foremost(
    curves: Array, by: Literal["height", "area"], allowed: Array | None = None, shape: Shape | None = None
) -> NDArray[np.int64]:
    """The smooth curves (n, t) clear of noise among the highest 3 % or the 5 % of largest area, in that order.

    Heights are taken after smoothing (1, 2, 1), because the highest single samples are those that noise has raised.
    """
    known = features(curves, shape)
    usable = np.flatnonzero(known.bolus if allowed is None else known.bolus & allowed)
    searched = len(curves) if allowed is None else int(np.count_nonzero(allowed))
    count = max(FEWEST_LOOKED_AT, int(SHARE[by] * searched))
    first = _first(usable, getattr(known, by)[usable], SPARE * count)
    clear, begin = first[:0], 0
    while begin < first.size and clear.size < count:
        part = first[begin : begin + max(FEWEST_LOOKED_AT, 2 * (count - clear.size) if begin else count)]
        clear = np.concatenate([clear, part[_clear(curves, part, known.height[part])]])
        begin += part.size  # the first part is mostly nearly enough
    first = clear[:count]
    # A curve of hardly any area has any first moment, also the lowest one.
    area = known.area[first]
    return np.asarray(first[area >= LEAST_AREA * np.median(area)] if first.size else first)


def _first(voxels: NDArray[np.int64], values: Array, count: int) -> NDArray[np.int64]:
    """The `count` voxels (n,) of the greatest values (n,), the greatest first; of equal ones the earlier."""
    if count < values.size:
        enough = values >= np.partition(values, values.size - count)[values.size - count]
        voxels, values = voxels[enough], values[enough]
    return voxels[np.argsort(-values, kind="stable")[:count]]


def _clear(curves: Array, rows: NDArray[np.int64], height: Array) -> NDArray[np.bool_]:
    """Which rows of curves (n, t) rise clear of their own noise, told from neighbours in time: most are quiet."""
    return np.asarray(height >= CLEAR_OF_NOISE * NORMAL_DIFFERENCE * median_step(curves, rows))


def clipped(curves: Array, ceiling: Array) -> NDArray[np.bool_]:
    """Which curves (n, t), 1/s, reach their ceiling (n,) at two samples and more: flat tops of lost signal."""
    return np.asarray((curves >= ceiling[:, None]).sum(1) >= CLIPPED_SAMPLES)


def smoothed(curves: Array) -> NDArray[np.float64]:
    """Curves (n, t) after a running (1, 2, 1)/4 in time; the ends repeat."""
    curves = np.asarray(curves, np.float64)
    total = 2 * curves
    total[:, 0] += curves[:, 0]
    total[:, 1:] += curves[:, :-1]
    total[:, :-1] += curves[:, 1:]
    total[:, -1] += curves[:, -1]
    total /= 4
    return np.asarray(total)


def passage(curves: Array) -> slice:
    """The volumes in which the bolus passes candidates (n, t): later, tails are noise and recirculation."""
    run = first_pass(np.asarray(curves, np.float64).mean(0), 0.1)
    return slice(max(0, run.start - LEAD), run.stop)
