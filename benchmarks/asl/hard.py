"""The hard phantom of ASL: texture inside tissue, a coil's bias field, lesions that no structural image shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.asl.brain import Brain, ball, brain, coordinates

Array = NDArray[Any]

RADIUS = 9.0
"""Of the lesions, mm."""


class Lesion(NamedTuple):
    """A ball of other flow: its centre (mm from the middle), the factor on flow, seconds added to transit."""

    centre: tuple[float, float, float]
    flow: float
    delay: float


LESIONS = (
    Lesion((-24.0, 38.0, 6.0), 1.6, 0.0),
    Lesion((-22.0, -2.0, -4.0), 0.5, 0.3),
    Lesion((36.0, -22.0, 4.0), 0.4, 0.5),
    Lesion((22.0, -48.0, 10.0), 2.0, -0.2),
)
"""Hyper- and hypoperfusion in white matter, deep grey matter and near the cortex."""


def texture(shape: tuple[int, ...], voxel: tuple[float, ...], width: float, seed: int) -> Array:
    """A smooth random field of mean 0 and SD 1; width : mm, its full width at half maximum."""
    rough = np.random.default_rng(seed).normal(size=shape)
    smooth = gaussian_filter(rough, [width / 2.3548 / size for size in voxel], mode="wrap")
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def bias_field(shape: tuple[int, int, int], voxel: tuple[float, float, float], strength: float) -> Array:
    """Sensitivity of a coil with elements at two corners, between 1 - strength and 1 + strength."""
    at = coordinates(shape, voxel)
    near = np.exp(-(ball(at, (90, 90, 30), (90, 90, 90)) ** 2) / 2)
    far = 0.7 * np.exp(-(ball(at, (-90, -60, -20), (80, 80, 80)) ** 2) / 2)
    field = near + far
    return np.asarray(1 + strength * (2 * (field - field.min()) / np.ptp(field) - 1))


def harden(
    easy: Brain,
    *,
    variation: float = 0.2,
    width: float = 7.0,
    bias: float = 0.3,
    lesions: tuple[Lesion, ...] = LESIONS,
    seed: int = 0,
) -> Brain:
    """The same anatomy, harder: flow varies inside each tissue, the coil shades the image, lesions hide.

    variation : SD of flow over its mean inside a tissue, width : mm of that texture. bias : of the coil. A lesion
    changes flow and transit time of all tissue within 9 mm and nothing else: M0, T1 and the tissue probabilities
    do not know of it.
    """
    shape = (easy.late.shape[0], easy.late.shape[1], easy.late.shape[2])
    at = coordinates(shape, easy.voxel)
    flow, delay, labelled = np.ones(shape), np.zeros(shape), np.zeros(shape, np.uint8)
    for number, lesion in enumerate(lesions, 1):
        inside = ball(at, lesion.centre, (RADIUS, RADIUS, RADIUS)) < 1
        flow[inside], delay[inside], labelled[inside] = lesion.flow, lesion.delay, number
    cbf = {}
    for number, (name, mean) in enumerate(easy.cbf.items()):
        field = 1 + variation * texture(shape, easy.voxel, width, seed + number)
        cbf[name] = mean * flow * np.maximum(field, 0.1)
    return easy._replace(
        cbf=cbf,
        att={name: np.maximum(att + delay, 0.1) for name, att in easy.att.items()},
        sensitivity=easy.sensitivity * bias_field(shape, easy.voxel, bias),
        lesions=labelled,
    )


def hard(seed: int = 0) -> Brain:
    """The hard phantom of the standard size: 20 % texture, 30 % bias field, four hidden lesions."""
    return harden(brain(), seed=seed)
