"""When blood comes to the region around a voxel, from the mean curve of the region, one region at a time."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference.asl import Posterior, Prior, multi_delay, own_noise
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]

CERTAIN = 1e6
"""Degrees of freedom of a noise that is taken as known."""


def points_along(n: int, size: float, spacing: float) -> Array:
    """Centres of n voxels of `size` mm along an axis, in units of the distance between points; (n,).

    The points 0, 1, ... lie from one side of the volume to the other, about `spacing` mm apart, two of them at least.
    """
    points = max(1, round(n * size / spacing))
    return np.asarray((np.arange(n) + 0.5) / n * points)


def nearness(
    voxels: Array, shape: tuple[int, int, int], voxel_size: tuple[float, float, float], spacing: float
) -> dict[tuple[int, ...], Array]:
    """Of each point of the lattice (i, j, k), its trilinear weight in every voxel, (n,), where it has any.

    voxels : (n,), positions in a volume of `shape`, Fortran order.
    """
    places = np.unravel_index(voxels, shape, order="F")
    axes = [points_along(n, size, spacing) for n, size in zip(shape, voxel_size, strict=True)]
    counts = [max(1, round(n * size / spacing)) + 1 for n, size in zip(shape, voxel_size, strict=True)]
    found = {}
    for point in product(*(range(count) for count in counts)):
        away = (np.abs(axis[place] - i) for axis, place, i in zip(axes, places, point, strict=True))
        weight = np.prod([np.maximum(0.0, 1.0 - distance) for distance in away], axis=0)
        if weight.any():
            found[point] = weight
    return found


def region(curves: Array, protocol: AslProtocol, weight: Array, prior: Prior) -> Posterior:
    """Flow and arrival in a region; curves : (n, t), weight : (n,), how near each voxel is.

    Every voxel counts by w = nearness/variance of its noise, so that the mean curve has the variance of one pair
    sum(nearness^2/variance)/(sum w)^2; that is known, and `multi_delay` gives the posterior. Relaxation and slice
    delay are averaged likewise (the rate, 1/T1).
    """
    noise = np.array([own_noise(protocol, v) for v in range(len(curves))])
    w = weight / noise
    delays = np.asarray(protocol.post_labeling_delay)
    mean = w @ np.asarray(curves, np.float64) / w.sum()
    for delay in np.unique(delays):  # repeats of a delay as their mean: what scatters between them is known
        mean[delays == delay] = mean[delays == delay].mean()
    one = protocol._replace(
        t1_tissue=np.array([w.sum() / (w @ (1 / np.asarray(protocol.t1_tissue, np.float64)))]),
        slice_delay=np.array([w @ protocol.slice_delay / w.sum()]),
        noise_variance=float((weight**2 / noise).sum() / w.sum() ** 2),
        relative_noise=None,
    )
    return multi_delay(mean, one, 0, prior._replace(noise_weight=CERTAIN))


def expected(
    regions: list[tuple[Array, Posterior]], prior: Prior, spread: float, fed: float
) -> tuple[Array, Array, Array]:
    """Mean (s) of each voxel's arrival before its own data, and two variances (s^2), (n,), from the regions around it.

    Region r says a_r with variance spread^2 + s_r^2, no more than the prior's; the part 1/(1 + z^2/fed^2) of what it
    says is the prior, z the SDs of its flow above none. The voxel's mean weighs it by nearness over that variance. The
    first variance is the harmonic mean of theirs by nearness, the second how the means of the regions lie about it.
    """
    precision, total, squares, near = (np.zeros(len(regions[0][0])) for _ in range(4))
    for weight, found in regions:
        share = 1 / (1 + (max(found.cbf, 0.0) / found.sd_cbf / fed) ** 2)
        sure = (1 - share) * max(1 / prior.att_sd**2, 1 / (spread**2 + found.sd_att**2))
        unsure = share / prior.att_sd**2
        own = (sure * found.att + unsure * prior.att_mean) / (sure + unsure)
        precision, near = precision + weight * (sure + unsure), near + weight
        total = total + weight * (sure + unsure) * own
        squares = squares + weight * (sure + unsure) * own**2
    mean = total / precision
    return mean, near / precision, squares / precision - mean**2
