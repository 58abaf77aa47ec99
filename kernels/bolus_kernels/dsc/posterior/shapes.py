"""The shapes a residue function may have: distributions of transit times of mean 1, and what is believed of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAMMAS = (0.6, 1.0, 1.8, 3.2, 6.0, 12.0)
"""Shapes of gamma-distributed transit times; 1 is the exponential."""
PLATEAUS = (1 / 4, 1 / 2, 3 / 4)
"""Least transit times, in mean ones, beyond which they are exponentially distributed."""
LOG_NORMALS = (0.6, 0.9)
"""SDs of the logarithm of log-normally distributed transit times."""
COMPARTMENTS = (
    (7 / 12, 3.0),
    (3 / 4, 3.0),
    (1 / 2, 18**0.5),
    (2 / 3, 18**0.5),
    (5 / 6, 18**0.5),
    (7 / 12, 6.0),
    (3 / 4, 6.0),
    (11 / 12, 6.0),
)
"""Share of the flow that goes the fast one of two ways, and how many times slower the other is, both exponential:
ratios sqrt(2) apart, shares a sixth apart and every second row between those of the first."""


def residue(shape: int, time: NDArray[Any]) -> NDArray[np.float64]:
    """R of the shape of this index; time : in mean transit times; 0 before time 0."""
    return np.where(np.asarray(time) < 0, 0.0, LAWS[shape](np.maximum(time, 0.0))[0])


@cache
def integrals() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The integral of R from 0 and the integral of that, (SHAPES, nodes), in mean transit times, in closed form."""
    u = np.arange(LAST * NODES + 1) / NODES
    r, first, second = np.stack([law(u) for law in LAWS], 1)
    once = u * r + first  # by parts
    return once, u * once - (u * u * r + second) / 2


def _box(u: NDArray[Any]) -> NDArray[np.float64]:
    """What is still on its way at u >= 0, and the integrals from 0 to u of s f(s) and s^2 f(s), f the density."""
    gone = u >= 1
    return np.array([~gone, gone, gone], np.float64)


def _line(u: NDArray[Any]) -> NDArray[np.float64]:
    end = np.minimum(u, 2)
    return np.array([1 - end / 2, end**2 / 4, end**3 / 6])


def _gamma(alpha: float, mean: float, u: NDArray[Any]) -> NDArray[np.float64]:
    """The integrals of s f(s) and s^2 f(s) are gammas again."""
    from scipy.special import gammainc, gammaincc  # SciPy takes longer to import than all kernels together

    x = alpha * u / mean
    first, second = gammainc(alpha + 1, x), gammainc(alpha + 2, x)
    return np.array([gammaincc(alpha, x), mean * first, mean**2 * (alpha + 1) / alpha * second])


def _plateau(least: float, u: NDArray[Any]) -> NDArray[np.float64]:
    beyond = 1 - least
    x = np.maximum(u - least, 0.0) / beyond
    here = np.exp(-x)
    gone, first, second = 1 - here, 1 - here * (1 + x), 2 - here * (2 + x * (2 + x))
    once = least * gone + beyond * first
    return np.array([here, once, least * (least * gone + 2 * beyond * first) + beyond**2 * second])


def _log_normal(spread: float, u: NDArray[Any]) -> NDArray[np.float64]:
    """The integrals of s f(s) and s^2 f(s) are log-normals again."""
    from scipy.special import ndtr

    z = np.log(np.maximum(u, TINY)) / spread + spread / 2
    return np.array([ndtr(-z), ndtr(z - spread), np.exp(spread**2) * ndtr(z - 2 * spread)])


def _compartments(fast: float, slower: float, u: NDArray[Any]) -> NDArray[np.float64]:
    mean = 1 / (fast + (1 - fast) * slower)
    return np.asarray(fast * _gamma(1.0, mean, u) + (1 - fast) * _gamma(1.0, slower * mean, u))


def _spread(fast: float, slower: float) -> float:
    """SD of the transit times of two compartments."""
    mean = 1 / (fast + (1 - fast) * slower)
    return float(np.sqrt(2 * mean**2 * (fast + (1 - fast) * slower**2) - 1))


TINY = 1e-30
"""A transit time that nothing has."""
LAWS: tuple[Callable[[NDArray[Any]], NDArray[np.float64]], ...] = (
    *(partial(_gamma, alpha, 1.0) for alpha in GAMMAS),
    _box,
    _line,
    *(partial(_plateau, least) for least in PLATEAUS),
    *(partial(_log_normal, spread) for spread in LOG_NORMALS),
    *(partial(_compartments, *two) for two in COMPARTMENTS),
)
"""Of each shape, in this order: R and two integrals, (3, n), at u in mean transit times."""
BOX, SHAPES = len(GAMMAS), len(LAWS)
SPREAD = np.array(
    [
        *(1 / np.sqrt(GAMMAS)),
        0.0,
        1 / np.sqrt(3.0),
        *(1 - np.array(PLATEAUS)),
        *np.sqrt(np.expm1(np.square(LOG_NORMALS))),
        *(_spread(*two) for two in COMPARTMENTS),
    ]
)
"""Standard deviation of the transit times of each shape, in mean transit times."""
WEIGHT = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 6.0, 4.5, *[2 / 3] * 3, *[0.5] * 2, *[0.25] * 8])
"""Prior of each shape, up to a factor. Residues that come to an end are but two, box and line: together they weigh
about as much as all with a tail. No series tells one transit time from gammas of shape 24 or 48: the box stands for
those too. Shapes that are alike share their weight."""
BETWEEN = 0.01
"""SD within what one shape stands for, of ln CBF, of ln MTT, and of the SD of transit times in mean ones."""
NODES, LAST = 256, 32
"""Nodes per mean transit time of the tabulated integrals, and the mean transit times after which they are lines."""
