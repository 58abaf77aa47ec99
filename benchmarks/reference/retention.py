"""What has left the vessels and is still in the tissue, when it goes back at one rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
"""Gauss-Legendre on (-1, 1): for an exponential over one volume exact to rounding."""


def retained(reference: Array, dt: float, kep: Array) -> Array:
    """I(t) = integral_0^t m(s) e^{-kep (t-s)} ds, m linear between its samples, by quadrature in every volume.

    reference : (t,) 1/s. dt : s. kep : (k,) 1/s, any. Gives (k, t), 1.
    I(t + dt) = e^{-kep dt} I(t) + integral_0^dt m(t + u) e^{-kep (dt-u)} du.
    """
    m, kep = np.asarray(reference, np.float64), np.atleast_1d(kep)
    u = dt * (1 + NODES) / 2
    decay = dt / 2 * WEIGHTS * np.exp(-kep[:, None] * (dt - u))
    before, after = decay @ (1 - u / dt), decay @ (u / dt)  # the weights of m(t) and m(t + dt)
    held = np.zeros((len(kep), len(m)))
    for k in range(1, len(m)):
        held[:, k] = np.exp(-kep * dt) * held[:, k - 1] + before * m[k - 1] + after * m[k]
    return held
