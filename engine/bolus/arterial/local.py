"""Local arterial inputs: each neighbourhood's own curve, so that delay and dispersion before it do not count."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.candidates import clipped, features, smoothed
from bolus.arterial.quality import described, first_moment, mean_of, width
from bolus.series import AIF, Region

Array = NDArray[Any]

BLOCK, LARGER, MOST = 20.0, 1.1, 256
"""The edge of a region, mm; the factor by which it grows until there are no more regions than this."""
AROUND, REACH = 25.0, 35.0
"""mm: how far from a region's middle, along each axis, its arteries are sought; how far they count for others."""
FAR = 0.2
"""The weight of the whole brain's input in every mean: what is left where arteries are further and further away."""
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
    """An arterial input for each block of 20 mm; every row is in one region, regions in a fixed order.

    curves : (n, t) 1/s. position : (n, 3) mm. time : (t,) s. everywhere : the input of the whole brain, which holds
    where no artery is near. allowed, ceiling : as for clustering. Around each block, the 30 highest smooth
    curves that pass before the block's mean curve are ranked by height, width and first moment, and the mean of the 8
    first is scaled to the area of the brain's input, because small arteries fill little of a voxel. A block's input is
    the mean of these curves of the blocks within 35 mm, their weights falling smoothly to zero, and a little of the
    brain's: so there is no step between one block and the next. Blocks are larger where there would be more than 256.
    Source: Calamante et al., Magn Reson Med 52:789 (2004); Lorenz et al., J Magn Reson Imaging 24:1133 (2006).
    """
    known = features(curves)
    usable = known.bolus if allowed is None else known.bolus & allowed
    if ceiling is not None:
        usable &= ~clipped(curves, ceiling)
    tall = _vessels(curves, usable, known.height, time, everywhere)
    middles, parts = _blocks(position)
    around = position[tall.voxels]
    chosen, own = [], np.zeros((len(parts), time.size))
    for block, (middle, rows) in enumerate(zip(middles, parts, strict=True)):
        near = (np.abs(around - middle) <= AROUND).all(axis=1)
        best = _best(curves, tall.some(near), rows[known.bolus[rows]], known.height, time)
        chosen.append(best if best.size >= FEWEST else best[:0])
        if best.size >= FEWEST:
            values = mean_of(curves, best)
            own[block] = everywhere.quality["Area"] / float(np.trapezoid(values, time)) * values
    weights = _weights(middles, np.array([each.size for each in chosen]) / CHOSEN)
    regions, without = [], []
    for rows, weight in zip(parts, weights, strict=True):
        counts = np.flatnonzero(weight)
        if counts.size == 0:
            without.append(rows)
            continue
        values = (weight @ own + FAR * everywhere.concentration) / (weight.sum() + FAR)
        voxels = np.unique(np.concatenate([chosen[block] for block in counts]))
        regions.append(Region(rows, described(values, voxels, time, f"local, in {everywhere.how}", file)))
    if without:
        regions.append(Region(np.sort(np.concatenate(without)), everywhere))
    return tuple(regions)


def _blocks(position: Array) -> tuple[Array, list[Array]]:
    """The middles (b, 3), mm, of the blocks that hold any of the positions (n, 3), and the rows of each, sorted."""
    corner, edge = position.min(axis=0), BLOCK
    while True:
        cells, member = np.unique(np.floor((position - corner) / edge), axis=0, return_inverse=True)
        if len(cells) <= MOST:
            break
        edge *= LARGER
    order = np.argsort(member.reshape(-1), kind="stable")
    return corner + edge * (cells + 0.5), np.split(order, np.cumsum(np.bincount(member.reshape(-1)))[:-1])


def _weights(middles: Array, share: Array) -> NDArray[np.float64]:
    """How much each block's arteries count in each block, (b, b): Tukey's biweight of the distance of their middles.

    share : (b,), how many arteries a block has of those it may have.
    """
    apart = np.linalg.norm(middles[:, None] - middles, axis=-1) / REACH
    return np.asarray(share * np.maximum(1 - apart**2, 0.0) ** 2)


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
