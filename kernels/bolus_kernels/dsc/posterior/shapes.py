"""The shapes a residue function may have: distributions of transit times of mean 1, and what is believed of each."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALPHAS = (0.6, 1.0, 1.8, 3.2, 6.0, 12.0)
"""Shapes of gamma-distributed transit times; the first of the bank, in this order."""
BOX, LINE, TWO = len(ALPHAS), len(ALPHAS) + 1, len(ALPHAS) + 2
"""One single transit time; a residue that is a line; a fast and a slow compartment that hold half the blood each."""
SHAPES = len(ALPHAS) + 3
WIDEST = 5 / 3
"""SD of the transit times of TWO, in mean transit times: that of the next gamma in the row, of shape 0.36."""
FAST = 0.5 + 0.5 * np.sqrt((WIDEST**2 - 1) / (WIDEST**2 + 1))
"""Share of the flow of TWO that goes the fast way, in 1/(2 FAST) of the mean transit time."""
SPREAD = np.array([*(1 / np.sqrt(ALPHAS)), 0.0, 1 / np.sqrt(3.0), WIDEST])
"""Standard deviation of the transit times of each shape, in mean transit times."""
WEIGHT = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 1.0, 0.5])
"""Prior of each shape, up to a factor. No series tells one transit time from gammas of shape 24 or 48, the next in the
row: BOX stands for three. Two shapes are wider than an exponential, and share the place of one."""
NODES, LAST = 256, 32
"""Nodes per mean transit time of the tabulated integrals, and the mean transit times after which they are lines."""


def residue(shape: int, time: NDArray[Any]) -> NDArray[np.float64]:
    """R of a shape of ALPHAS, BOX, LINE or TWO; time : in mean transit times, any shape; 0 before time 0."""
    return np.where(np.asarray(time) < 0, 0.0, _transits(shape, np.maximum(time, 0.0))[0])


@cache
def integrals() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The integral of R from 0 and the integral of that, (SHAPES, nodes), in mean transit times, in closed form."""
    u = np.arange(LAST * NODES + 1) / NODES
    r, first, second = np.stack([_transits(shape, u) for shape in range(SHAPES)], 1)
    once = u * r + first  # by parts
    return once, u * once - (u * u * r + second) / 2


def _transits(shape: int, u: NDArray[Any]) -> NDArray[np.float64]:
    """What is still on its way at u >= 0, and the integrals from 0 to u of s f(s) and s^2 f(s), f the density."""
    if shape == BOX:
        gone = u >= 1
        return np.array([~gone, gone, gone], np.float64)
    if shape == LINE:
        end = np.minimum(u, 2)
        return np.array([1 - end / 2, end**2 / 4, end**3 / 6])
    if shape == TWO:
        slow = 1 - FAST
        return np.asarray(FAST * _gamma(1.0, 0.5 / FAST, u) + slow * _gamma(1.0, 0.5 / slow, u))
    return _gamma(ALPHAS[shape], 1.0, u)


def _gamma(alpha: float, mean: float, u: NDArray[Any]) -> NDArray[np.float64]:
    """The same for gamma-distributed transit times: the integrals of s f(s) and s^2 f(s) are gammas again."""
    from scipy.special import gammainc, gammaincc  # SciPy takes longer to import than all kernels together

    x = alpha * u / mean
    first, second = gammainc(alpha + 1, x), gammainc(alpha + 2, x)
    return np.array([gammaincc(alpha, x), mean * first, mean**2 * (alpha + 1) / alpha * second])
