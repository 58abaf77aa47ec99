"""The laws that transit times may follow, each of mean 1: who is still inside, what has passed, how far they spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc, ndtr

Array = NDArray[Any]


class Shape(NamedTuple):
    """A law of transit times of mean 1; u : any shape, mean transit times.

    survival : R(u), the share of transit times above u. passed : S(u) = integral_0^u R. spread : their SD.
    """

    name: str
    survival: Callable[[Array], Array]
    passed: Callable[[Array], Array]
    spread: float


def gamma(alpha: float) -> Shape:
    """Gamma-distributed: R = Q(alpha, x), S = u Q(alpha, x) + P(alpha + 1, x) with x = alpha u.

    Source: Mouridsen et al. 2006, NeuroImage 33:570, the vascular model.
    """

    def survival(u: Array) -> Array:
        return np.asarray(gammaincc(alpha, alpha * u))

    def passed(u: Array) -> Array:
        return np.asarray(u * survival(u) + gammainc(alpha + 1, alpha * u))

    return Shape(f"gamma {alpha:g}", survival, passed, 1 / np.sqrt(alpha))


def box() -> Shape:
    """One transit time: R = 1 until it, then 0."""

    def survival(u: Array) -> Array:
        return np.where(u < 1, 1.0, 0.0)

    def passed(u: Array) -> Array:
        return np.minimum(u, 1.0)

    return Shape("box", survival, passed, 0.0)


def linear() -> Shape:
    """Spread evenly from 0 to 2: R = 1 - u/2."""

    def survival(u: Array) -> Array:
        return np.maximum(1 - u / 2, 0.0)

    def passed(u: Array) -> Array:
        end = np.minimum(u, 2.0)
        return np.asarray(end - end**2 / 4)

    return Shape("linear", survival, passed, 1 / np.sqrt(3))


def plateau(p: float) -> Shape:
    """None below p, exponential beyond: R = 1 until p, then e^{-(u - p)/(1 - p)}."""

    def survival(u: Array) -> Array:
        return np.asarray(np.exp(-np.maximum(u - p, 0.0) / (1 - p)))

    def passed(u: Array) -> Array:
        return np.minimum(u, p) + (1 - p) * (1 - survival(u))

    return Shape(f"plateau {p:g}", survival, passed, 1 - p)


def log_normal(s: float) -> Shape:
    """ln of them normal with SD s: R = Phi((-s^2/2 - ln u)/s), S = u R + Phi((ln u - s^2/2)/s)."""

    def logarithm(u: Array) -> Array:
        with np.errstate(divide="ignore"):  # -inf at 0 gives R = 1 and S = 0
            return np.asarray(np.log(u))

    def survival(u: Array) -> Array:
        return np.asarray(ndtr((-(s**2) / 2 - logarithm(u)) / s))

    def passed(u: Array) -> Array:
        return np.asarray(u * survival(u) + ndtr((logarithm(u) - s**2 / 2) / s))

    return Shape(f"log-normal {s:g}", survival, passed, float(np.sqrt(np.expm1(s**2))))


def compartments(w: float, r: float) -> Shape:
    """Two compartments: a share w of the flow at t1 = 1/(w + (1 - w) r), the rest at r t1, both exponential."""
    shares = np.array([w, 1 - w])
    times = np.array([1.0, r]) / (w + (1 - w) * r)

    def survival(u: Array) -> Array:
        return np.asarray(np.exp(-np.asarray(u)[..., None] / times) @ shares)

    def passed(u: Array) -> Array:
        return np.asarray(-np.expm1(-np.asarray(u)[..., None] / times) @ (shares * times))

    return Shape(f"compartments {w:.3g} {r:.3g}", survival, passed, float(np.sqrt(2 * shares @ times**2 - 1)))


SHAPES = (
    *(gamma(alpha) for alpha in (0.6, 1.0, 1.8, 3.2, 6.0, 12.0)),
    box(),
    linear(),
    *(plateau(p) for p in (1 / 4, 1 / 2, 3 / 4)),
    *(log_normal(s) for s in (0.6, 0.9)),
    *(compartments(w, 3.0) for w in (7 / 12, 3 / 4)),
    *(compartments(w, np.sqrt(18)) for w in (1 / 2, 2 / 3, 5 / 6)),
    *(compartments(w, 6.0) for w in (7 / 12, 3 / 4, 11 / 12)),
)
BELIEVED = np.array([0.5, *5 * [1.0], 6.0, 4.5, *3 * [2 / 3], *2 * [0.5], *8 * [0.25]])
"""Prior of each shape, up to a factor."""
