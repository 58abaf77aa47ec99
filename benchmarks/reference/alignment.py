"""What may stand for the reference curve in one voxel by the book: itself, delayed, or behind other transits."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.interpolate import CubicSpline

from benchmarks.reference.residue import behind
from benchmarks.reference.shapes import gamma

Array = NDArray[Any]

DELAYS = np.arange(-3.0, 9.0)
"""s."""
ALPHAS = (0.6, 1.8, 6.0)
MTTS = np.geomspace(0.7, 20.0, 10)
"""s."""
FINER = 15
"""Steps of the arterial input between two samples."""


class Shape(NamedTuple):
    """A curve (t,) 1/s of tissue that does not leak, and how many parameters chose it."""

    curve: Array
    parameters: int


def shapes(reference: Array, aif: Array, dt: float, alignment: str) -> tuple[Shape, ...]:
    """The reference m; with "delay" also m(t - d); with "transit" also a (*) h(t - d), of the volume of m.

    reference, aif : (t,) 1/s. dt : s. h = R/MTT of gamma-distributed transit times. m and a by cubic
    splines.
    Source: Leigh et al. 2012, PLoS One 7:e52656 (delay); Bjornerud et al. 2011, JCBFM 31:2041 (transit times).
    """
    return _shapes(tuple(np.asarray(reference).tolist()), tuple(np.asarray(aif).tolist()), dt, alignment)


@lru_cache(maxsize=8)
def _shapes(
    reference: tuple[float, ...], aif: tuple[float, ...], dt: float, alignment: str
) -> tuple[Shape, ...]:
    m, a = np.array(reference), np.array(aif)
    times = dt * np.arange(len(m))
    found = [Shape(m, 0)]
    if alignment != "none":
        between = CubicSpline(times, m)
        moved = [between(np.clip(times - delay, 0, times[-1])) for delay in DELAYS if delay]
        found += [Shape(curve, 1) for curve in moved]
    if alignment == "transit":
        fine = np.linspace(0, times[-1], FINER * (len(a) - 1) + 1)
        smooth = CubicSpline(times, a)(fine)
        for alpha, mtt in product(ALPHAS, MTTS):
            passed = behind(smooth, dt / FINER, gamma(alpha), np.array([mtt]), DELAYS)[
                0, :, ::FINER
            ]  # (delays, t)
            found += [Shape(curve * trapezoid(m) / trapezoid(a) / mtt, 3) for curve in passed]
    return tuple(found)
