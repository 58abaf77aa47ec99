"""A bolus as a gamma variate that recirculates, fitted to one curve: how well it fits is a curve's quality."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.quality import arrival

Array = NDArray[Any]

FINE = 4
"""Points of the convolution between two volumes."""
# onset after the measured arrival (s), alpha, beta (s), return after (s), its decay (s)
LOWEST = (-6.0, 0.5, 0.3, 3.0, 1.0)
HIGHEST = (2.0, 10.0, 8.0, 20.0, 100.0)
STARTS = ((-1.5, 3.0, 1.5, 8.0, 20.0), (-1.0, 1.5, 3.0, 12.0, 5.0))


class Fit(NamedTuple):
    """How a fit came out: root mean square residual over the peak, first pass's area, what comes back over it."""

    residual: float
    area: float
    recirculation: float


def fit(values: Array, time: Array) -> Fit:
    """A gamma variate A (t-t0)^alpha e^{-(t-t0)/beta}, and its return after a time, spread by an exponential.

    values : (t,) 1/s. time : (t,) s. The two heights are solved for inside, by non-negative least squares; the best
    of two fixed starts is taken. Source: Peruzzo et al., Comput Methods Programs Biomed 104:e148 (2011).
    """
    from scipy.optimize import least_squares, nnls
    from scipy.signal import lfilter

    step = (time[1] - time[0]) / FINE
    fine = time[0] + step * np.arange(FINE * (len(time) - 1) + 1)
    peak = float(values.max())
    start = arrival(values, time)

    def parts(shape: Array) -> NDArray[np.float64]:
        onset, alpha, beta, after, decay = shape
        first = _gamma_variate(fine - start - onset, alpha, beta)
        kept = np.exp(-step / decay)
        late = _gamma_variate(fine - start - onset - after, alpha, beta)
        again = lfilter([1 - kept], [1, -kept], late)
        return np.stack([first[::FINE], again[::FINE]], axis=1)

    def misfit(shape: Array) -> NDArray[np.float64]:
        basis = parts(shape)
        return np.asarray(basis @ nnls(basis, values)[0] - values)

    found = [least_squares(misfit, begin, bounds=(LOWEST, HIGHEST), max_nfev=60) for begin in STARTS]
    best = min(found, key=lambda each: each.cost)
    _, alpha, beta, *_ = best.x
    basis = parts(best.x)
    first, again = nnls(basis, values)[0]
    dense = _gamma_variate(step * np.arange(FINE * 1000), alpha, beta)
    return Fit(
        residual=float(np.sqrt(np.mean(misfit(best.x) ** 2))) / peak,
        area=float(first * step * dense.sum()),
        recirculation=float(again / first) if first > 0 else np.inf,
    )


def _gamma_variate(since: Array, alpha: float, beta: float) -> NDArray[np.float64]:
    """A gamma variate of height 1, `since` its onset (s)."""
    x = np.maximum(since, 0) / (alpha * beta)
    return np.asarray(x**alpha * np.exp(alpha * (1 - x)))
