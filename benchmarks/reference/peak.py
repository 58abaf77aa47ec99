"""The largest value of a residue between its samples by the book: its trigonometric interpolation, densely."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Array = NDArray[Any]

FINER = 64
"""Times looked at for each sample."""
CLOSE = 0.01
"""Of the largest value: what a time next to a local maximum may lack of it, and no more, at so many times."""


def interpolated(residue: Array, t: Array) -> Array:
    """f(t) = X_0/L + 2/L sum_{k=1}^{L/2-1} Re(X_k e^{2 pi i k t/L}) + X_{L/2}/L cos(pi t), X the transform of f.

    residue : (L,), L even, 1/s. t : (m,), in samples. Gives (m,) 1/s.
    Source: Zygmund, Trigonometric Series II, ch. X.3 (1959), interpolation at an even number of points.
    """
    length = len(residue)
    k = np.arange(length // 2 + 1)
    share = np.fft.rfft(np.asarray(residue, np.float64)) / length
    share[1:-1] *= 2
    angle = 2 * np.pi * np.outer(np.asarray(t, np.float64), k) / length
    return np.asarray(np.cos(angle) @ share.real - np.sin(angle[:, :-1]) @ share.imag[:-1])


def highest(residue: Array) -> tuple[float, float]:
    """max f(t) over all t, 1/s, and the t of it in samples, 0 <= t < L; residue : (L,) 1/s.

    Every one of FINER L times that is a local maximum, and may lead to the largest value, is followed to its top.
    """
    length = len(residue)
    t = np.arange(FINER * length) / FINER
    f = interpolated(residue, t)
    local = (f >= np.roll(f, 1)) & (f >= np.roll(f, -1)) & (f >= f.max() - CLOSE * np.abs(f).max())
    best, at = float(f.max()), float(t[np.argmax(f)])
    for start in t[local]:
        found = minimize_scalar(
            lambda s: -float(interpolated(residue, np.array([s]))[0]),
            bounds=(start - 1 / FINER, start + 1 / FINER),
            method="bounded",
            options={"xatol": 1e-9},
        )
        if -found.fun > best:
            best, at = -float(found.fun), float(found.x)
    return best, at % length
