"""Tikhonov's regularisation of the circulant by the book: its strength by cross-validation or by the L-curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference.dsc import circulant_svd, padded

Array = NDArray[Any]

STRENGTHS = 10.0 ** (-3 + 3 * np.arange(61) / 60)
"""mu_j / s_max, the strengths that are looked at."""


def damping(s: Array, mu: float) -> Array:
    """1 - w_k = mu^2 / (s_k^2 + mu^2), the share of each singular component that is given up.

    Source: Hansen 1998, Rank-Deficient and Discrete Ill-Posed Problems, the filter factors.
    """
    return np.asarray(mu**2 / (s**2 + mu**2))


def cross_validation(s: Array, along: Array, mu: float) -> float:
    """G(mu) = sum_k (1 - w_k)^2 (u_k^T c)^2 / (sum_k (1 - w_k))^2; s, along : (L,).

    Source: Golub, Heath and Wahba 1979, Technometrics 21:215, in the basis of the SVD.
    """
    left = damping(s, mu)
    return float(np.sum((left * along) ** 2) / np.sum(left) ** 2)


def curvature(s: Array, along: Array, mu: float) -> float:
    """Curvature of (log |residual|, log |f|) at mu, from eta = |f|^2, rho = |residual|^2 and d eta/d mu < 0.

    kappa = 2 eta rho/|eta'| (mu^2 eta' rho + 2 mu eta rho + mu^4 eta eta') / (mu^4 eta^2 + rho^2)^(3/2), positive
    at the corner; s, along : (L,). It follows from d rho/d mu = -mu^2 d eta/d mu.
    Source: Hansen 2001, The L-curve and its use in the numerical treatment of inverse problems, where the last
    bracket is printed with mu^2 for mu^4.
    """
    left = damping(s, mu)
    component = s / (s**2 + mu**2) * along  # w_k u_k^T c / s_k
    eta, rho = np.sum(component**2), np.sum((left * along) ** 2)
    slope = -4 / mu * np.sum(left * component**2)  # d eta / d mu
    bend = mu**2 * slope * rho + 2 * mu * eta * rho + mu**4 * eta * slope
    return float(2 * eta * rho / abs(slope) * bend / (mu**4 * eta**2 + rho**2) ** 1.5)


def chosen(s: Array, along: Array, selection: str) -> int:
    """j of the strength: the least G(mu_j), j = 0..60, or the largest curvature, j = 1..59; the first of equals."""
    strengths = s.max() * STRENGTHS
    if selection == "gcv":
        return int(np.argmin([cross_validation(s, along, mu) for mu in strengths]))
    return 1 + int(np.argmax([curvature(s, along, mu) for mu in strengths[1:-1]]))


def tikhonov(curve: Array, aif: Array, dt: float, selection: str) -> Array:
    """Residue times flow, f = sum_k w_k (u_k^T c) / s_k v_k with w = s^2/(s^2 + mu^2), mu chosen per curve.

    curve, aif : (N,) 1/s. dt : s. selection : "gcv" or "l_curve". Gives (2N,) 1/s.
    Source: Calamante, Gadian and Connelly 2003, Magn Reson Med 50:1237, on Wu's block-circulant matrix.
    """
    u, s, vh = circulant_svd(aif, dt)
    along = u.T @ padded(curve)  # U^T c
    mu = s.max() * STRENGTHS[chosen(s, along, selection)]
    return np.asarray((s / (s**2 + mu**2) * along) @ vh)
