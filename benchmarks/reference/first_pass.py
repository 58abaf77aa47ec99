"""The first pass of the bolus by the book: a gamma variate by global least squares, and its area."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import gamma

Array = NDArray[Any]

ALPHA, BETA = (0.5, 10.0), (0.2, 20.0)
"""Within these the shape (1) and the time scale (s) are looked for."""
ALPHAS, BETAS, ONSETS_PER_VOLUME = 16, 24, 4
STARTS = 4
"""How many of the best points of the search are refined."""


class GammaVariate(NamedTuple):
    """A (t - t0)^alpha e^{-(t-t0)/beta} after t0: A in 1/s per s^alpha, alpha 1, beta and t0 in s."""

    size: float
    alpha: float
    beta: float
    onset: float

    def at(self, times: Array) -> Array:
        """The curve itself; times : (t,) s -> (t,) 1/s."""
        return self.size * shape(times, self.alpha, self.beta, self.onset)

    @property
    def area(self) -> float:
        """integral_t0^infinity = A beta^(alpha+1) Gamma(alpha+1). Source: Thompson et al. 1964."""
        return float(self.size * self.beta ** (self.alpha + 1) * gamma(self.alpha + 1))


def shape(times: Array, alpha: Array | float, beta: Array | float, onset: Array | float) -> Array:
    """(t - t0)^alpha e^{-(t-t0)/beta} for t > t0, else 0. Source: Thompson et al. 1964, Circ Res 14:502."""
    x = np.maximum(times - onset, 0.0)
    return np.asarray(x**alpha * np.exp(-x / beta))


def window(curve: Array, cutoff: float) -> int:
    """How many samples the first pass has: up to the last of the unbroken run after the peak with c >= cutoff peak."""
    peak = int(np.argmax(curve))
    below = np.flatnonzero(curve[peak:] < cutoff * curve[peak])
    return peak + int(below[0]) if len(below) else len(curve)


@lru_cache(maxsize=4)
def _searched(n: int, dt: float) -> tuple[Array, Array]:
    """Every (alpha, beta, t0) of the search, (k, 3), and its curve, (k, n)."""
    onsets = dt / ONSETS_PER_VOLUME * np.arange(ONSETS_PER_VOLUME * (n - 1) + 1)
    grid = np.meshgrid(np.geomspace(*ALPHA, ALPHAS), np.geomspace(*BETA, BETAS), onsets, indexing="ij")
    points = np.column_stack([axis.ravel() for axis in grid])
    points = points[points[:, 0] * points[:, 1] <= n * dt]  # the peak comes at alpha beta after t0
    return points, shape(dt * np.arange(n), *(points[:, [k]] for k in range(3)))


def gamma_variate(curve: Array, dt: float, cutoff: float) -> GammaVariate:
    """The least-squares gamma variate of the first pass, best over all alpha, beta and t0 <= time of the peak.

    curve : (t,) 1/s. dt : s. A by projection: for each (alpha, beta, t0) the best A is g.c / g.g. The best points
    of a dense search are refined with all of alpha, beta and t0 free, and the best of these is taken.
    Source: Thompson et al. 1964, Circ Res 14:502; the projection after Golub and Pereyra 1973.
    """
    c = np.asarray(curve, np.float64)
    latest, stop = dt * int(np.argmax(c)), window(c, cutoff)
    times, c = dt * np.arange(stop), c[:stop]
    points, shapes = _searched(len(curve), dt)
    points, shapes = points[points[:, 2] <= latest], shapes[points[:, 2] <= latest, :stop]
    along, norm = shapes @ c, np.einsum("kt,kt->k", shapes, shapes)
    gain = np.where(along > 0, along**2 / np.maximum(norm, 1e-300), 0.0)  # |c|^2 less the residual sum
    low = np.array([np.log(ALPHA[0]), np.log(BETA[0]), 0.0])
    high = np.array([np.log(ALPHA[1]), np.log(BETA[1]), max(latest, 1e-9)])

    def best(x: Array) -> GammaVariate:
        alpha, beta, onset = float(np.exp(x[0])), float(np.exp(x[1])), float(x[2])
        g = shape(times, alpha, beta, onset)
        return GammaVariate(float(g @ c / max(float(g @ g), 1e-300)), alpha, beta, onset)

    def left(x: Array) -> Array:
        return np.asarray(best(x).at(times) - c)

    fits = []
    for start in points[_apart(points, gain)]:
        inside = np.clip([np.log(start[0]), np.log(start[1]), start[2]], low + 1e-9, high - 1e-9)
        fits.append(
            least_squares(left, inside, bounds=(low, high), x_scale=(1, 1, 2), xtol=1e-12, ftol=1e-14)
        )
    return best(min(fits, key=lambda fit: float(fit.cost)).x)


def _apart(points: Array, gain: Array) -> list[int]:
    """The best points of the search, no two of one onset."""
    found: dict[float, int] = {}
    for at in np.argsort(-gain, kind="stable"):
        found.setdefault(float(points[at, 2]), int(at))
        if len(found) == STARTS:
            break
    return list(found.values())


def blood_volume(curve: Array, aif: Array, dt: float, density_factor: float, cutoff: float) -> float:
    """CBV = 100 (kappa/rho) area_c / area_a in ml/100g, both areas those of fitted first passes.

    curve, aif : (t,) 1/s. dt : s. density_factor : kappa/rho, ml/g. NaN where the area is not positive.
    """
    area = gamma_variate(curve, dt, cutoff).area
    return 100 * density_factor * area / _area(tuple(aif.tolist()), dt, cutoff) if area > 0 else float("nan")


@lru_cache(maxsize=8)
def _area(aif: tuple[float, ...], dt: float, cutoff: float) -> float:
    return gamma_variate(np.array(aif), dt, cutoff).area
