"""The first pass of the bolus by the book: a gamma variate by global least squares, and its area."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import gamma, gammaincc

Array = NDArray[Any]

ALPHA, BETA = (0.5, 10.0), (0.2, 20.0)
"""Within these the shape (1) and the time scale (s) are looked for."""
ALPHAS, BETAS, ONSETS_PER_VOLUME = 16, 24, 4
STARTS = 6
"""How many of the best points of the search are refined, no two of them with t0 between the same samples."""


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


class Limits(NamedTuple):
    """What the definition leaves open: cutoff, share of the peak; beyond, share of the area; earlier, later, s."""

    cutoff: float
    beyond: float
    earlier: float
    later: float


def sought(aif: Array, dt: float, limits: Limits) -> slice:
    """The samples among which a first pass may have its peak: around that of the arterial input, aif : (t,) 1/s.

    It arrives with the last sample before its peak that is below a tenth of the peak.
    """
    peak = int(np.argmax(aif))
    arrival = max((t for t in range(peak) if aif[t] < 0.1 * aif[peak]), default=0)
    return slice(
        max(0, arrival - round(limits.earlier / dt)), min(len(aif), peak + round(limits.later / dt) + 1)
    )


def window(curve: Array, within: slice, cutoff: float) -> tuple[int, int]:
    """The peak of a curve smoothed by (1, 2, 1)/4, and where the unbroken run after it with c >= cutoff peak ends."""
    ends = np.concatenate([curve[:1], curve, curve[-1:]])
    c = np.convolve(ends, [0.25, 0.5, 0.25], "valid")
    peak = within.start + int(np.argmax(c[within]))
    below = np.flatnonzero(c[peak + 1 :] < cutoff * c[peak])
    return peak, peak + 1 + int(below[0]) if len(below) else len(c)


@lru_cache(maxsize=4)
def _searched(n: int, dt: float) -> tuple[Array, Array]:
    """Every (alpha, beta, t0) of the search, (k, 3), and its curve, (k, n)."""
    onsets = dt / ONSETS_PER_VOLUME * np.arange(ONSETS_PER_VOLUME * (n - 1) + 1)
    grid = np.meshgrid(np.geomspace(*ALPHA, ALPHAS), np.geomspace(*BETA, BETAS), onsets, indexing="ij")
    points = np.column_stack([axis.ravel() for axis in grid])
    points = points[points[:, 0] * points[:, 1] <= n * dt]  # the peak comes at alpha beta after t0
    return points, shape(dt * np.arange(n), *(points[:, [k]] for k in range(3)))


def gamma_variate(curve: Array, dt: float, within: slice, cutoff: float) -> tuple[GammaVariate, int]:
    """The least-squares gamma variate of the first pass, best over all alpha, beta and t0 <= time of the peak, and
    how many samples it was fitted to.

    curve : (t,) 1/s. dt : s. A by projection: for each (alpha, beta, t0) the best A is g.c / g.g. The best points
    of a dense search are refined with alpha, beta and t0 free, and the best of these is taken; t0 stays between the
    two samples where it starts, as the residual sum has a cusp at every sample that begins to count, which a
    refinement across it gets stuck at or jumps. t0 is not before the first of the samples `within`. Source: Thompson
    et al. 1964, Circ Res 14:502; the projection after Golub and Pereyra 1973.
    """
    c = np.asarray(curve, np.float64)
    peak, stop = window(c, within, cutoff)
    earliest, latest = dt * within.start, dt * peak
    times, c = dt * np.arange(stop), c[:stop]
    points, shapes = _searched(len(curve), dt)
    possible = (points[:, 2] >= earliest) & (points[:, 2] <= latest)
    points, shapes = points[possible], shapes[possible, :stop]
    along, norm = shapes @ c, np.einsum("kt,kt->k", shapes, shapes)
    gain = np.where(along > 0, along**2 / np.maximum(norm, 1e-300), 0.0)  # |c|^2 less the residual sum
    low, high = (np.array([np.log(ALPHA[end]), np.log(BETA[end]), 0.0]) for end in (0, 1))

    def best(x: Array) -> GammaVariate:
        alpha, beta, onset = float(np.exp(x[0])), float(np.exp(x[1])), float(x[2])
        g = shape(times, alpha, beta, onset)
        return GammaVariate(float(g @ c / max(float(g @ g), 1e-300)), alpha, beta, onset)

    def left(x: Array) -> Array:
        return np.asarray(best(x).at(times) - c)

    fits = []
    for start in points[_apart(points, gain, dt)]:
        low[2] = dt * _between(start[2], dt)
        high[2] = max(min(low[2] + dt, latest), low[2] + 1e-9)
        inside = np.clip([np.log(start[0]), np.log(start[1]), start[2]], low + 1e-10, high - 1e-10)
        fits.append(
            least_squares(left, inside, bounds=(low, high), x_scale=(1, 1, 2), xtol=1e-12, ftol=1e-14)
        )
    return best(min(fits, key=lambda fit: float(fit.cost)).x), stop


def _between(onset: float, dt: float) -> int:
    """The sample that t0 is on or after."""
    return int(onset / dt + 1e-9)


def _apart(points: Array, gain: Array, dt: float) -> list[int]:
    """The best points of the search, one for each t0 between two samples."""
    found: dict[int, int] = {}
    for at in np.argsort(-gain, kind="stable"):
        found.setdefault(_between(points[at, 2], dt), int(at))
        if len(found) == STARTS:
            break
    return list(found.values())


def area(curve: Array, dt: float, within: slice, limits: Limits) -> float:
    """The area of the fitted first pass, 1; NaN where there is none to speak of.

    That is where it is not positive, where t0 leaves fewer than 4 samples, where a constant has the lower AICc, and
    where a larger share than limits.beyond of the area lies after the last sample.
    AICc = n ln(RSS/n) + 2 k n/(n - k - 1), k counting the noise. Source: Hurvich and Tsai 1989, Biometrika 76:297.
    """
    fit, n = gamma_variate(curve, dt, within, limits.cutoff)
    times, c = dt * np.arange(n), np.asarray(curve[:n], np.float64)
    if not fit.area > 0 or np.count_nonzero(times > fit.onset) < 4 or n < 7:
        return float("nan")
    left = max(float(np.sum((c - fit.at(times)) ** 2)), 1e-12 * float(c @ c))
    flat = max(float(np.sum((c - c.mean()) ** 2)), 1e-12 * float(c @ c))
    ours, theirs = (n * np.log(rss / n) + 2 * k * n / (n - k - 1) for rss, k in ((left, 5), (flat, 2)))
    beyond = gammaincc(fit.alpha + 1, (times[-1] - fit.onset) / fit.beta)
    return fit.area if ours < theirs and beyond <= limits.beyond else float("nan")


def blood_volume(curve: Array, aif: Array, dt: float, density_factor: float, limits: Limits) -> float:
    """CBV = 100 (kappa/rho) area_c / area_a in ml/100g, both areas those of fitted first passes.

    curve, aif : (t,) 1/s. dt : s. density_factor : kappa/rho, ml/g. NaN where either has no such area.
    """
    within = sought(aif, dt, limits)
    return 100 * density_factor * area(curve, dt, within, limits) / _arterial(tuple(aif.tolist()), dt, limits)


@lru_cache(maxsize=8)
def _arterial(aif: tuple[float, ...], dt: float, limits: Limits) -> float:
    return area(np.array(aif), dt, sought(np.array(aif), dt, limits), limits)
