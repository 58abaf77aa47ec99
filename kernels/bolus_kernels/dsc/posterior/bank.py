"""The bank of templates: what one arterial input becomes behind every residue function, transit time and delay."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.posterior.shapes import LAST, NODES, SHAPES, SPREAD, integrals
from bolus_kernels.dsc.retention import retained
from bolus_kernels.jit import finite_part, kernel

LANES = 16
"""Delays side by side in a window: of fewer, loops are not compiled to vectors where they store."""
MTTS, DELAYS = 15, LANES
"""Nodes of the coarse grid: transit times evenly spaced in their logarithm, and delays."""
MORE_MTTS, MORE_DELAYS, HALF_MORE = 8, 6, 3
"""How much denser the fine grid is, and how much denser in delay the middle one."""
FINE_MTTS, FINE_DELAYS = MORE_MTTS * (MTTS - 1) + 1, MORE_DELAYS * DELAYS
"""The last MORE_DELAYS - 1 fine delays lie beyond the range and have no prior weight."""
COMPONENTS = 20
"""Principal components that the templates are told in: to better than a fiftieth of the norm, most to a thousandth."""
FINER = 3
"""Straight pieces of the arterial input to one sampling step: what is left of its curvature is a ninth."""
KEPS = np.linspace(0, 0.2, 21)
"""Rates, 1/s, at which agent that has leaked may come back."""
UNSEEN = 1e-6
"""A template this much smaller than the largest leaves no trace in the series, whichever its flow."""


class Grid(NamedTuple):
    """Templates of unit norm, what is not told from them taken out; a row is one transit time of one shape.

    parts : (rows, COMPONENTS, d) float32, the templates in orthogonal components. inverse : (rows, d) float32,
    100 g min s/ml: one over the norm of the curve of 1 ml/100g/min. log_inverse : (rows, d) float32, ln of it.
    shape : (rows,) uint32. mtt, spread : (rows,) s, mean and SD of the transit times. delay : (d,) s. along : (rows, d)
    float32, their scalar products with what returns.
    """

    parts: NDArray[np.float32]
    inverse: NDArray[np.float32]
    log_inverse: NDArray[np.float32]
    shape: NDArray[np.uint32]
    mtt: NDArray[np.float64]
    spread: NDArray[np.float64]
    delay: NDArray[np.float64]
    along: NDArray[np.float32]


class Bank(NamedTuple):
    """The grids of one arterial input: the coarse one, and two that refine it, the first at every second delay.

    components : (COMPONENTS, t) float32, orthonormal. nuisance : (k, t) float32, orthonormal: what is not told.
    returns : (t,) float32 of norm 1, orthogonal to it, or zeros: what agent that comes back from tissue adds to it.
    returning : 1, the root mean square of what it adds along that, over K2, every kep alike.
    """

    coarse: Grid
    middle: Grid
    fine: Grid
    components: NDArray[np.float32]
    nuisance: NDArray[np.float32]
    returns: NDArray[np.float32]
    returning: float


def bank(
    aif: NDArray[Any],
    step: float,
    density_factor: float,
    leaked: NDArray[Any] | None,
    mtt: tuple[float, float],
    delay: tuple[float, float],
) -> Bank:
    """The bank of an arterial input, kept for the next block of the same scan.

    aif : (t,) 1/s, smooth between samples (`between`), 0 before the first and constant after the last. step : s.
    leaked : (t,) 1/s, whose integral is taken out of templates and curves, or None. mtt, delay : s, the ends.
    What leaks and returns, integral m(s) e^{-kep (t - s)} ds, differs from that integral by little more than one curve.
    Raises ValueError for an arterial input that is all zero or not finite, or a range without extent.
    """
    aif = np.ascontiguousarray(aif, np.float64)
    if not (np.isfinite(aif).all() and np.abs(aif).max() > 0):
        raise ValueError("the arterial input function is zero or not finite")
    if not (mtt[0] < mtt[1] and delay[0] < delay[1]):
        raise ValueError("the least transit time or delay is not below the most")
    also = None if leaked is None else np.ascontiguousarray(leaked, np.float64).tobytes()
    return _bank(aif.tobytes(), step, density_factor, also, mtt, delay)


@lru_cache(maxsize=4)
def _bank(
    aif_bytes: bytes,
    step: float,
    density_factor: float,
    leaked: bytes | None,
    mtt: tuple[float, float],
    delay: tuple[float, float],
) -> Bank:
    aif = np.frombuffer(aif_bytes)
    taken, returns, returning = _leak(None if leaked is None else np.frombuffer(leaked), step, aif.size)
    mtts = np.tile(np.geomspace(*mtt, FINE_MTTS), SHAPES)
    spacing = (delay[1] - delay[0]) / (FINE_DELAYS - MORE_DELAYS)
    delays = delay[0] + spacing * np.arange(FINE_DELAYS)
    once, twice = integrals()
    curves = np.empty((mtts.size, FINE_DELAYS, aif.size))
    _convolve(between(aif), step / FINER, mtts, delays, once, twice, curves)
    for curve in taken:
        curves -= np.einsum("rdt,t->rd", curves, curve)[..., None] * curve
    norm = np.sqrt(np.einsum("rdt,rdt->rd", curves, curves))
    seen = norm > UNSEEN * norm.max()
    curves *= np.where(seen, 1 / np.where(seen, norm, 1), 0)[..., None]
    inverse = 6000 * density_factor / np.maximum(norm, UNSEEN * norm.max())
    rows = (FINE_MTTS * np.arange(SHAPES)[:, None] + np.arange(0, FINE_MTTS, MORE_MTTS)).ravel()
    components = _components(curves[rows, ::MORE_DELAYS].reshape(-1, aif.size))
    parts, along = np.einsum("rdt,kt->rkd", curves, components), np.einsum("rdt,t->rd", curves, returns)
    fine = _grid(parts, inverse, mtts, delays, along)
    middle = _grid(parts[..., ::2], inverse[:, ::2], mtts, delays[::2], along[:, ::2])
    few = slice(None, None, MORE_DELAYS)
    coarse = _grid(parts[rows, :, few], inverse[rows, few], mtts[rows], delays[few], along[rows, few])
    single = components.astype(np.float32), taken.astype(np.float32), returns.astype(np.float32)
    return Bank(coarse, middle, fine, *single, returning)


def _leak(
    reference: NDArray[Any] | None, step: float, times: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """What is taken out, orthonormal; then `returns` and `returning` of a bank. reference : (t,) 1/s."""
    constant = np.full((1, times), times**-0.5)
    if reference is None:
        return constant, np.zeros(times), 0.0
    kept = retained(reference, step, KEPS)
    taken = np.ascontiguousarray(np.linalg.qr(np.stack([constant[0], kept[0]], 1))[0].T)
    kept -= kept @ taken.T @ taken
    returns = np.linalg.svd(kept, full_matrices=False)[2][0]
    return taken, returns, float(np.sqrt(np.mean((kept @ returns) ** 2)))


def between(aif: NDArray[Any]) -> NDArray[np.float64]:
    """FINER points to each sampling step, (FINER (t - 1) + 1,) of aif (t,); through its samples, and smooth.

    By cubics whose slopes at the samples are the difference quotients of fourth order. Straight lines from sample to
    sample would be an input that is spread over a sampling step, and tissue would look faster than it is.
    """
    wide = np.pad(aif, 2, mode="edge")
    slope = (8 * (wide[3:-1] - wide[1:-3]) - (wide[4:] - wide[:-4])) / 12
    x = np.arange(FINER) / FINER
    rise, left, right = np.diff(aif)[:, None], slope[:-1, None], slope[1:, None]
    inner = aif[:-1, None] + x * (left + x * (3 * rise - 2 * left - right + x * (left + right - 2 * rise)))
    return np.append(inner.ravel(), aif[-1])


def _grid(
    parts: NDArray[Any], inverse: NDArray[Any], mtts: NDArray[Any], delays: NDArray[Any], along: NDArray[Any]
) -> Grid:
    shape = np.repeat(np.arange(SHAPES), mtts.size // SHAPES)
    return Grid(
        np.ascontiguousarray(parts, np.float32),
        np.ascontiguousarray(inverse, np.float32),
        np.log(inverse).astype(np.float32),
        shape.astype(np.uint32),
        mtts,
        mtts * SPREAD[shape],
        delays,
        np.ascontiguousarray(along, np.float32),
    )


def _components(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal components, orthonormal, zeros where there are no more; curves : (n, t)."""
    size, vectors = np.linalg.eigh(np.einsum("ni,nj->ij", curves, curves))
    components = np.zeros((COMPONENTS, curves.shape[1]))
    kept = np.flatnonzero(size > UNSEEN**2 * size[-1])[-COMPONENTS:]
    components[: kept.size] = vectors[:, kept].T
    return components


@kernel
def _convolve(aif: Any, step: float, mtts: Any, delays: Any, once: Any, twice: Any, curves: Any) -> None:
    """An arterial input of straight lines is a sum of ramps, one from each knot: so are the curves behind it.

    step : from knot to knot, of which FINER make one of the curves' samples.
    """
    knots, early = aif.size, 0
    ramps = np.zeros(knots)
    for k in range(knots):
        after = aif[k + 1] - aif[k] if k + 1 < knots else 0.0
        ramps[k] = (after - (aif[k] - aif[k - 1] if k > 0 else 0.0)) / step
    early = max(0, int(np.ceil(-delays[0] / step)))  # knots after a curve's own that it has seen
    last = knots + early - 1
    answer = np.empty(last + 1)  # the latest first: sums over it run forwards, and are compiled to vectors
    for r in range(mtts.size):
        mtt, shape = mtts[r], r // FINE_MTTS
        for d in range(delays.size):
            for k in range(knots + early):
                u = max((step * (last - k - early) - delays[d]) / mtt, 0.0)
                answer[k] = mtt * mtt * _between(u, twice[shape], once[shape])
            for t in range(curves.shape[2]):
                now = FINER * t
                u = max((step * now - delays[d]) / mtt, 0.0)
                before = min(knots, now + early + 1)
                total = weighted(ramps[:before], answer[last - now - early :])
                curves[r, d, t] = total + aif[0] * mtt * _along(u, once[shape])


@finite_part
def weighted(weights: Any, values: Any) -> Any:
    """Sum of the values, as many as there are weights, each times its own."""
    total = 0.0
    for k in range(weights.size):
        total += weights[k] * values[k]
    return total


@kernel
def _between(u: float, value: Any, slope: Any) -> float:
    """A tabulated function by the cubic through two nodes' values and slopes; a line after the last node."""
    place = u * NODES
    i = int(place)
    if i >= value.size - 1:
        return float(value[-1] + slope[-1] * (u - LAST))
    x, h = place - i, 1.0 / NODES
    left, right = h * slope[i], h * slope[i + 1]
    rise = value[i + 1] - value[i]
    return float(value[i] + x * (left + x * (3 * rise - 2 * left - right + x * (left + right - 2 * rise))))


@kernel
def _along(u: float, value: Any) -> float:
    """A tabulated function by straight lines; constant after the last node."""
    place = min(u * NODES, value.size - 1.000001)
    i = int(place)
    return float(value[i] + (place - i) * (value[i + 1] - value[i]))
