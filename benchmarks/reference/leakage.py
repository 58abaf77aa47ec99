"""Leakage correction by the book, one voxel at a time: none, one way out, both ways; and how well each fits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import minimize_scalar

from benchmarks.reference.alignment import Shape
from benchmarks.reference.retention import retained

Array = NDArray[Any]

SCANNED = 401
"""Values of kep that are looked at before the best of them is refined."""
UNREFINED = 0.5
"""By how much refining may lower AIC, at most."""


class Leakage(NamedTuple):
    """K1 (1), K2 and kep (1/s), the curve (t,) 1/s with the leakage taken out, Akaike's criterion of the fit."""

    k1: float
    k2: float
    kep: float
    corrected: Array
    aic: float


def aic(residual: Array, parameters: int) -> float:
    """AIC = N ln(RSS/N) + 2 p of a least-squares fit of p parameters that left residual (N,).

    Source: Akaike 1974, IEEE Trans Autom Control 19:716, for Gaussian noise of unknown size.
    """
    n = len(residual)
    return float(n * np.log(np.sum(residual**2) / n) + 2 * parameters)


def uncorrected(curve: Array, shapes: Sequence[Shape]) -> Leakage:
    """Fit dR2* = K1 g alone, no leakage, g the shape of least AIC; curve : (t,) 1/s."""
    c = np.asarray(curve, np.float64)
    fits = []
    for g, parameters in shapes:
        k1 = float(c @ g / (g @ g))
        fits.append(Leakage(k1, 0.0, 0.0, c, aic(c - k1 * g, 1 + parameters)))
    return min(fits, key=lambda fit: fit.aic)


def bsw(curve: Array, reference: Array, dt: float, shapes: Sequence[Shape]) -> Leakage:
    """Fit dR2* = K1 g - K2 integral_0^t m by linear least squares; corrected = dR2* + K2 integral_0^t m.

    curve, reference : (t,) 1/s, reference the mean m over non-enhancing brain. dt : s. g : the one of `shapes` of
    least AIC, m itself in the paper. Source: Boxerman, Schmainda, Weisskoff 2006, AJNR 27:859; OSIPI M.LC1.001.
    """
    leaked = cumulative_trapezoid(
        np.asarray(reference, np.float64), dx=dt, initial=0.0
    )  # integral_0^t m(s) ds
    return min((_fitted(curve, g, leaked, 0.0, 2) for g in shapes), key=lambda fit: fit.aic)


def bidirectional(
    curve: Array, reference: Array, dt: float, shapes: Sequence[Shape], kep_most: float
) -> Leakage:
    """Fit dR2* = K1 g - K2 integral_0^t m(s) e^{-kep (t-s)} ds, kep in [0, kep_most] by search.

    curve, reference : (t,) 1/s. dt : s. kep_most : 1/s. g : the one of `shapes` of least AIC, m itself in the paper.
    K1 and K2 by linear least squares for each kep; kep is the least of a scan, refined between its neighbours.
    corrected = dR2* + K2 I_kep. Source: Leu et al. 2016, AJNR 37:1440; OSIPI M.LC1.002.
    """
    m = tuple(np.asarray(reference, np.float64).tolist())
    coarse = [_scan(curve, m, dt, shape, kep_most) for shape in shapes]
    least = min(fit.aic for fit in coarse)
    near = [(s, fit) for s, fit in zip(shapes, coarse, strict=True) if fit.aic <= least + UNREFINED]
    return min((_refined(curve, m, dt, *pair, kep_most) for pair in near), key=lambda fit: fit.aic)


def _scan(curve: Array, m: tuple[float, ...], dt: float, shape: Shape, kep_most: float) -> Leakage:
    kep, held, across = _scanned(m, dt, kep_most, tuple(shape.curve.tolist()))
    best = int(np.argmax((across @ np.asarray(curve, np.float64)) ** 2))
    return _fitted(curve, shape, held[best], float(kep[best]), 3)


def _refined(
    curve: Array, m: tuple[float, ...], dt: float, shape: Shape, start: Leakage, kep_most: float
) -> Leakage:
    def fit(kep: float) -> Leakage:
        return _fitted(curve, shape, retained(np.array(m), dt, np.array([kep]))[0], kep, 3)

    place = np.sqrt(start.kep / kep_most)
    low, high = (kep_most * np.clip(place + side / (SCANNED - 1), 0, 1) ** 2 for side in (-1, 1))
    found = minimize_scalar(
        lambda kep: fit(kep).aic, bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    )  # AIC grows with the residual sum
    return min(fit(float(found.x)), start, key=lambda made: made.aic)


@lru_cache(maxsize=400)
def _scanned(
    reference: tuple[float, ...], dt: float, kep_most: float, shape: tuple[float, ...]
) -> tuple[Array, Array, Array]:
    """The scanned kep (k,), what is retained at each (k, t), and the direction that adds to the shape, of length 1."""
    g = np.array(shape)
    kep = kep_most * np.linspace(0, 1, SCANNED) ** 2
    held = _held(reference, dt, kep_most)
    across = held - np.outer(held @ g / (g @ g), g)
    return kep, held, across / np.linalg.norm(across, axis=1, keepdims=True)


@lru_cache(maxsize=8)
def _held(reference: tuple[float, ...], dt: float, kep_most: float) -> Array:
    return retained(np.array(reference), dt, kep_most * np.linspace(0, 1, SCANNED) ** 2)


def _fitted(curve: Array, shape: Shape, leaked: Array, kep: float, parameters: int) -> Leakage:
    c = np.asarray(curve, np.float64)
    design = np.column_stack([shape.curve, -leaked])
    (k1, k2), *_ = np.linalg.lstsq(design, c)
    residual = c - design @ (k1, k2)
    return Leakage(float(k1), float(k2), kep, c + k2 * leaked, aic(residual, parameters + shape.parameters))
