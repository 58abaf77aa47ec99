"""The shapes a residue function may have: distributions of transit times of mean 1, and what is believed of each."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALPHAS = (0.6, 1.0, 1.8, 3.2, 6.0, 12.0)
"""Shapes of gamma-distributed transit times; the first of the bank, in this order."""
BOX, LINE, PLATEAU, TWO = range(len(ALPHAS), len(ALPHAS) + 4)
"""One single transit time; a residue that is a line; one that is whole, then exponential; from TWO on, a fast and a
slow compartment that hold half the blood each."""
WIDTHS = (3 / 2, 5 / 3)
"""SDs of the transit times of two compartments, in mean transit times; one compartment has 1."""
SHAPES = TWO + len(WIDTHS)
LEAST = 0.5
"""The least transit time of PLATEAU, in mean ones."""
SPREAD = np.array([*(1 / np.sqrt(ALPHAS)), 0.0, 1 / np.sqrt(3.0), 1 - LEAST, *WIDTHS])
"""Standard deviation of the transit times of each shape, in mean transit times."""
WEIGHT = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 4.0, 1.0, 0.5, 0.5])
"""Prior of each shape, up to a factor. Residues that come to an end are but two, BOX and LINE: together they weigh
about as much as all with a tail. No series tells one transit time from gammas of shape 24 or 48: BOX stands for those
too. The three wider than an exponential are alike and count half."""
BETWEEN = 0.05
"""SD within what one shape stands for, of ln CBF, of ln MTT, and of the SD of transit times in mean ones: about the
step from one shape to the next that fits its curve best, over sqrt(12)."""
NODES, LAST = 256, 32
"""Nodes per mean transit time of the tabulated integrals, and the mean transit times after which they are lines."""


def residue(shape: int, time: NDArray[Any]) -> NDArray[np.float64]:
    """R of a shape of ALPHAS, BOX, LINE, PLATEAU or from TWO on; time : in mean transit times; 0 before time 0."""
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
    if shape == PLATEAU:
        return _plateau(u)
    if shape >= TWO:
        fast = fast_share(WIDTHS[shape - TWO])
        slow = 1 - fast
        return np.asarray(fast * _gamma(1.0, 0.5 / fast, u) + slow * _gamma(1.0, 0.5 / slow, u))
    return _gamma(ALPHAS[shape], 1.0, u)


def fast_share(width: float) -> float:
    """Share of the flow that goes the fast way, in 1/(2 share) of the mean transit time; width : of WIDTHS."""
    return float(0.5 + 0.5 * np.sqrt((width**2 - 1) / (width**2 + 1)))


def _plateau(u: NDArray[Any]) -> NDArray[np.float64]:
    """The same for transit times that are LEAST and, beyond it, exponentially distributed."""
    beyond = 1 - LEAST
    x = np.maximum(u - LEAST, 0.0) / beyond
    here = np.exp(-x)
    gone, first, second = 1 - here, 1 - here * (1 + x), 2 - here * (2 + x * (2 + x))
    once = LEAST * gone + beyond * first
    return np.array([here, once, LEAST * (LEAST * gone + 2 * beyond * first) + beyond**2 * second])


def _gamma(alpha: float, mean: float, u: NDArray[Any]) -> NDArray[np.float64]:
    """The same for gamma-distributed transit times: the integrals of s f(s) and s^2 f(s) are gammas again."""
    from scipy.special import gammainc, gammaincc  # SciPy takes longer to import than all kernels together

    x = alpha * u / mean
    first, second = gammainc(alpha + 1, x), gammainc(alpha + 2, x)
    return np.array([gammaincc(alpha, x), mean * first, mean**2 * (alpha + 1) / alpha * second])
