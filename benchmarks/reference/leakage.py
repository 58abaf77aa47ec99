"""Leakage correction by the book, one voxel at a time: Boxerman, Schmainda and Weisskoff."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

Array = NDArray[Any]


class Leakage(NamedTuple):
    """K1 (1), K2 (1/s) and the curve (t,) 1/s with the leakage taken out."""

    k1: float
    k2: float
    corrected: Array


def bsw(curve: Array, reference: Array, dt: float) -> Leakage:
    """Fit dR2* = K1 m - K2 integral_0^t m by linear least squares; corrected = dR2* + K2 integral_0^t m.

    curve, reference : (t,) 1/s, reference the mean m over non-enhancing brain. dt : s.
    Source: Boxerman, Schmainda, Weisskoff 2006, AJNR 27:859; OSIPI M.LC1.001.
    """
    curve, m = np.asarray(curve, np.float64), np.asarray(reference, np.float64)
    integral = cumulative_trapezoid(m, dx=dt, initial=0.0)  # integral_0^t m(s) ds
    design = np.column_stack([m, -integral])
    (k1, k2), *_ = np.linalg.lstsq(design, curve)
    return Leakage(float(k1), float(k2), curve + k2 * integral)
