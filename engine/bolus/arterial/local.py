"""Local arterial inputs: each neighbourhood's own curve, so that delay and dispersion before it do not count."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.candidates import clipped, features, smoothed
from bolus.arterial.quality import described, first_moment, mean_of, width
from bolus.series import AIF, Region

Array = NDArray[Any]

BLOCK, MARGIN = 30.0, 15.0
"""mm: edge of a neighbourhood, and how far around it arteries are sought, so that neighbours share most of them."""
TALLEST, CHOSEN, FEWEST = 30, 8, 3
STANDS_OUT, OF = 2.0, 0.75
"""An artery is twice as high as three quarters of its neighbourhood: grey matter is not, however white the rest."""
WIDEST, EARLIER, HALF = 2.0, 3.0, 0.5


def local_inputs(
    curves: Array,
    position: Array,
    time: Array,
    everywhere: AIF,
    file: str,
    allowed: Array | None = None,
    ceiling: Array | None = None,
) -> tuple[Region, ...]:
    """An arterial input for each block of 30 mm; every row is in one region, regions in a fixed order.

    curves : (n, t) 1/s. position : (n, 3) mm. time : (t,) s. everywhere : the input of the whole brain, which holds
    where a neighbourhood has no artery of its own. allowed, ceiling : as for clustering. The 30 highest smooth
    curves within a block and 15 mm around it that pass before the block's mean curve are ranked by height, width and
    first moment; the mean of the 8 first is scaled to the area of the brain's input, because small arteries fill
    little of a voxel.
    Source: Calamante et al., Magn Reson Med 52:789 (2004); Lorenz et al., J Magn Reson Imaging 24:1133 (2006).
    """
    known = features(curves)
    usable = known.bolus if allowed is None else known.bolus & allowed
    if ceiling is not None:
        usable &= ~clipped(curves, ceiling)
    tall = _vessels(curves, usable, known.height, time, everywhere)
    corner = position.min(axis=0)
    cells, member = np.unique(np.floor((position - corner) / BLOCK), axis=0, return_inverse=True)
    order = np.argsort(member.reshape(-1), kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(member.reshape(-1)))[:-1])
    around = position[tall.voxels] - corner
    regions, without = [], []
    for cell, rows in zip(cells, parts, strict=True):
        near = (np.abs(around - BLOCK * (cell + 0.5)) <= BLOCK / 2 + MARGIN).all(axis=1)
        chosen = _best(curves, tall.some(near), rows[known.bolus[rows]], known.height, time)
        if chosen.size < FEWEST:
            without.append(rows)
            continue
        values = mean_of(curves, chosen)
        scale = everywhere.quality["Area"] / float(np.trapezoid(values, time))
        how = f"local, in {everywhere.how}"
        regions.append(Region(rows, described(scale * values, chosen, time, how, file, LocalScale=scale)))
    if without:
        regions.append(Region(np.sort(np.concatenate(without)), everywhere))
    return tuple(regions)


class _Vessels(NamedTuple):
    """High curves: which (n,), how high (1/s), how broad (s), when they pass (s)."""

    voxels: Array
    height: Array
    breadth: Array
    moment: Array

    def some(self, these: Array) -> _Vessels:
        return _Vessels(*(each[these] for each in self))


def _vessels(curves: Array, usable: Array, height: Array, time: Array, everywhere: AIF) -> _Vessels:
    """The usable curves that are high, and neither much broader nor earlier than the input of the whole brain."""
    tall = np.flatnonzero(usable)
    if tall.size:
        tall = tall[height[tall] >= STANDS_OUT * np.median(height[tall])]
    smooth = smoothed(curves[tall])
    moment = np.array([first_moment(curve, time, HALF) for curve in smooth])
    breadth = np.array([width(curve, time) for curve in smooth])
    (own,) = smoothed(everywhere.concentration[None])
    fair = (breadth <= WIDEST * width(own, time)) & (moment >= first_moment(own, time, HALF) - EARLIER)
    return _Vessels(tall, height[tall], breadth, moment).some(fair)


def _best(curves: Array, near: _Vessels, tissue: Array, height: Array, time: Array) -> Array:
    """The few of the vessels `near` that are most arterial, sorted: they stand out of the tissue and pass before it."""
    if tissue.size == 0:
        return near.voxels[:0]
    stands_out = near.height >= STANDS_OUT * np.quantile(height[tissue], OF)
    near = near.some(stands_out & (near.moment < first_moment(mean_of(curves, tissue), time, HALF)))
    near = near.some(np.argsort(-near.height, kind="stable")[:TALLEST])
    cost = _rank(-near.height) + _rank(near.breadth) + _rank(near.moment)
    return np.sort(near.voxels[np.argsort(cost, kind="stable")[:CHOSEN]])


def _rank(values: Array) -> NDArray[np.int64]:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")
