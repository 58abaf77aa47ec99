"""The least SD of a flow that is unbiased wherever blood arrives, not only at the truth: the bound of Barankin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ARRIVALS = np.round(np.arange(0.3, 2.25, 0.1), 2)
"""s, at which the flow is to be unbiased."""
FLOWS = np.arange(0.25, 4.01, 0.125)
"""Of the tissue's own, at which it is to be unbiased."""
NEAR = 12.0
"""Square of the distance from the truth in SDs of the noise, beyond which a point has nothing to say: e to this."""
SOUND = 1e-6
"""Of the largest eigenvalue, the smallest that is used: rounding changes the bound by a billionth."""


def anywhere(signal: Callable[[float, float], Array], flow: float, arrival: float, noise: float) -> float:
    """Least SD of a flow at the truth, 1/s, where its estimate is unbiased at ARRIVALS and FLOWS too.

    signal : of a flow (1/s) and an arrival (s), the mean of each readout. noise : SD of each.
    """
    truth = signal(flow, arrival)
    points = [(share * flow, late) for late in ARRIVALS for share in FLOWS]
    shifts = np.array([signal(*point) - truth for point in points]) / noise
    steps = np.array([its - flow for its, _ in points])
    away = np.sum(shifts**2, axis=1)
    told = (away > 0) & (away < NEAR)
    return barankin(shifts[told], steps[told])


def barankin(shifts: Array, steps: Array) -> float:
    """Least SD of an estimate of a parameter from normal data of unit variance, unbiased at the truth and at n points.

    shifts : (n, t), what a point's mean of the data is beyond the truth's. steps : (n,), its parameter beyond the
    truth's. For every a, (a.steps)^2 / a'Qa bounds the variance, Q_ij = exp(shifts_i.shifts_j) - 1 the covariances of
    the points' likelihood ratios (McAulay and Seidman, IEEE Trans Inf Theory 15:273 (1969); one point: Hammersley,
    Chapman and Robbins). The best a makes it steps'Q^-1 steps; here it is the best of those that double precision can
    tell, the eigenvectors of Q (its diagonal made 1) above SOUND.
    """
    ratios = np.expm1(shifts @ shifts.T)
    unit = 1 / np.sqrt(np.diag(ratios))
    size, direction = np.linalg.eigh(ratios * unit[:, None] * unit)
    kept = size > SOUND * size[-1]
    along = direction[:, kept].T @ (steps * unit)
    return float(np.sqrt(np.sum(along**2 / size[kept])))
