"""What tissue still holds of agent that has leaked into it and returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def retained(m: NDArray[np.float64], step: float, kep: NDArray[np.float64]) -> NDArray[np.float64]:
    """integral_0^t m(s) e^{-kep (t-s)} ds at every sample, (k, t), exact for m (t,) linear between samples.

    step : s. kep : (k,) 1/s; 0 gives the integral of m by the trapezoid rule.
    """
    x = kep * step
    small = x < 1e-2  # here the closed formula cancels, and the series is exact to 1e-13
    safe = np.where(small, 1.0, x)
    mean = np.where(
        small, 1 - x / 2 + x**2 / 6 - x**3 / 24 + x**4 / 120 - x**5 / 720, -np.expm1(-safe) / safe
    )
    series = 1 / 2 - x / 6 + x**2 / 24 - x**3 / 120 + x**4 / 720 - x**5 / 5040
    after = step * np.where(small, series, (1 - mean) / safe)
    before = step * mean - after
    held = np.zeros((kep.size, m.size))
    for t in range(1, m.size):
        held[:, t] = np.exp(-x) * held[:, t - 1] + before * m[t - 1] + after * m[t]
    return held
