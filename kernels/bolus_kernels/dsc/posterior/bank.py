"""The bank of templates: what one arterial input becomes behind every residue function, transit time and delay."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.special import gammainc, gammaincc

from bolus_kernels.jit import kernel

ALPHAS = (0.6, 1.0, 1.8, 3.2, 6.0, 12.0)
"""Shapes of gamma-distributed transit times; beside them one single transit time, and a residue that is a line."""
BOX, LINE = len(ALPHAS), len(ALPHAS) + 1
SHAPES = len(ALPHAS) + 2
LANES = 24
"""Delays side by side in a row: three registers of eight."""
MTTS, DELAYS = 15, LANES
"""Nodes of the coarse grid: transit times evenly spaced in their logarithm, and delays."""
MORE_MTTS, MORE_DELAYS = 8, 4
"""How much denser the fine grid is."""
FINE_MTTS, FINE_DELAYS = MORE_MTTS * (MTTS - 1) + 1, MORE_DELAYS * DELAYS
"""The last MORE_DELAYS - 1 fine delays lie beyond the range and have no prior weight."""
BLOCKS = FINE_DELAYS // LANES
"""Rows of the fine grid for one transit time."""
COMPONENTS = 24
"""Orthogonal curves that the templates are told in: a template is in them to better than a hundredth of its norm."""
SPREAD = np.array([*(1 / np.sqrt(ALPHAS)), 0.0, 1 / np.sqrt(3.0)])
"""Standard deviation of the transit times of each shape, in mean transit times."""
NODES, LAST = 256, 32
"""Nodes per mean transit time of the tabulated integrals, and the mean transit times after which they are lines."""
UNSEEN = 1e-6
"""A template this much smaller than the largest leaves no trace in the series, whichever its flow."""


class Grid(NamedTuple):
    """Templates of unit norm, what is not told from them taken out, in rows of LANES delays.

    parts : (rows, COMPONENTS x LANES) float32, the templates in orthogonal components. inverse : (rows, LANES)
    float32, 100 g min s/ml: one over the norm of the curve of 1 ml/100g/min. shape : (rows,) uint32. mtt, spread :
    (rows,) s, mean and SD of the transit times. delay : (rows, LANES) s, from `ends` to `ends`.
    """

    parts: NDArray[np.float32]
    inverse: NDArray[np.float32]
    shape: NDArray[np.uint32]
    mtt: NDArray[np.float64]
    spread: NDArray[np.float64]
    delay: NDArray[np.float64]


class Bank(NamedTuple):
    """The grids of one arterial input: the coarse one, and the one that refines it.

    components : (COMPONENTS, t) float32, orthonormal. nuisance : (k, t) float32, orthonormal: what is not told.
    """

    coarse: Grid
    fine: Grid
    components: NDArray[np.float32]
    nuisance: NDArray[np.float32]


def residue(shape: int, time: NDArray[Any]) -> NDArray[np.float64]:
    """R of a shape of ALPHAS, BOX or LINE; time : in mean transit times, any shape; 0 before time 0."""
    u = np.maximum(time, 0.0)
    if shape == BOX:
        values = (u < 1).astype(np.float64)
    elif shape == LINE:
        values = np.maximum(1 - u / 2, 0.0)
    else:
        values = gammaincc(ALPHAS[shape], ALPHAS[shape] * u)
    return np.where(np.asarray(time) < 0, 0.0, values)


@cache
def integrals() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """R, its integral from 0 and the integral of that, (SHAPES, nodes), in mean transit times, in closed form."""
    u = np.arange(LAST * NODES + 1) / NODES
    once, twice = np.empty((SHAPES, u.size)), np.empty((SHAPES, u.size))
    r = np.stack([residue(shape, u) for shape in range(SHAPES)])
    for shape, alpha in enumerate(ALPHAS):  # by parts: the integrals of s f(s) and s^2 f(s) are gammas again
        x, second = alpha * u, (alpha + 1) / alpha
        once[shape] = u * r[shape] + gammainc(alpha + 1, x)
        twice[shape] = u * once[shape] - (u * u * r[shape] + second * gammainc(alpha + 2, x)) / 2
    once[BOX], short = np.minimum(u, 1), np.minimum(u, 2)
    twice[BOX] = np.where(u < 1, u * u / 2, u - 0.5)
    once[LINE] = short - short**2 / 4
    twice[LINE] = short**2 / 2 - short**3 / 12 + (u - short)
    return r, once, twice


def bank(
    aif: NDArray[Any],
    step: float,
    density_factor: float,
    leaked: NDArray[Any] | None,
    mtt: tuple[float, float],
    delay: tuple[float, float],
) -> Bank:
    """The bank of an arterial input, kept for the next block of the same scan.

    aif : (t,) 1/s, linear between samples, 0 before the first and constant after the last. step : s.
    leaked : (t,) 1/s, whose integral is taken out of templates and curves, or None. mtt, delay : s, the ends.
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
    nuisance = [np.ones(aif.size)]
    if leaked is not None:
        nuisance.append(cumulative_trapezoid(np.frombuffer(leaked), dx=step, initial=0.0))
    taken = np.ascontiguousarray(np.linalg.qr(np.stack(nuisance, 1))[0].T)
    mtts = np.tile(np.geomspace(*mtt, FINE_MTTS), SHAPES)
    spacing = (delay[1] - delay[0]) / (FINE_DELAYS - MORE_DELAYS)
    delays = delay[0] + spacing * np.arange(FINE_DELAYS)
    _, once, twice = integrals()
    curves = np.empty((mtts.size, FINE_DELAYS, aif.size))
    _convolve(aif, step, mtts, delays, once, twice, curves)
    for curve in taken:
        curves -= np.einsum("rdt,t->rd", curves, curve)[..., None] * curve
    norm = np.sqrt(np.einsum("rdt,rdt->rd", curves, curves))
    seen = norm > UNSEEN * norm.max()
    curves *= np.where(seen, 1 / np.where(seen, norm, 1), 0)[..., None]
    inverse = 6000 * density_factor / np.maximum(norm, UNSEEN * norm.max())
    rows = (FINE_MTTS * np.arange(SHAPES)[:, None] + np.arange(0, FINE_MTTS, MORE_MTTS)).ravel()
    components = _components(curves[rows, ::MORE_DELAYS].reshape(-1, aif.size))
    parts = np.einsum("rdt,kt->rkd", curves, components)
    fine = _grid(parts, inverse, mtts, delays)
    coarse = _grid(
        parts[rows, :, ::MORE_DELAYS], inverse[rows, ::MORE_DELAYS], mtts[rows], delays[::MORE_DELAYS]
    )
    return Bank(coarse, fine, components.astype(np.float32), taken.astype(np.float32))


def _grid(parts: NDArray[Any], inverse: NDArray[Any], mtts: NDArray[Any], delays: NDArray[Any]) -> Grid:
    """Cut templates (n, COMPONENTS, delays) into rows of LANES delays."""
    blocks, shape = delays.size // LANES, np.repeat(np.arange(SHAPES), mtts.size // SHAPES)
    cut = parts.reshape(mtts.size, COMPONENTS, blocks, LANES).transpose(0, 2, 1, 3)
    return Grid(
        np.ascontiguousarray(cut, np.float32).reshape(-1, COMPONENTS * LANES),
        np.ascontiguousarray(inverse, np.float32).reshape(-1, LANES),
        np.repeat(shape, blocks).astype(np.uint32),
        np.repeat(mtts, blocks),
        np.repeat(mtts * SPREAD[shape], blocks),
        np.tile(delays.reshape(blocks, LANES), (mtts.size, 1)),
    )


def _components(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal curves, each what is left of the template that the ones before tell worst; curves : (n, t)."""
    left = curves.copy()
    components = np.zeros((COMPONENTS, curves.shape[1]))
    for component in components[: curves.shape[1]]:
        size = (left * left).sum(axis=1)
        worst = np.argmax(size)
        if not size[worst] > UNSEEN**2:
            break
        component[:] = left[worst] / np.sqrt(size[worst])
        left -= (left * component).sum(axis=1)[:, None] * component
    return components


@kernel
def _convolve(aif: Any, step: float, mtts: Any, delays: Any, once: Any, twice: Any, curves: Any) -> None:
    """An arterial input of straight lines is a sum of ramps, one from each sample: so are the curves behind it."""
    times, early = aif.size, 0
    ramps = np.zeros(times)
    for t in range(times):
        after = aif[t + 1] - aif[t] if t + 1 < times else 0.0
        ramps[t] = (after - (aif[t] - aif[t - 1] if t > 0 else 0.0)) / step
    early = max(0, int(np.ceil(-delays[0] / step)))  # samples after a curve's own that it has seen
    answer, jump = np.empty(times + early), np.empty(times)
    for r in range(mtts.size):
        mtt, shape = mtts[r], r // FINE_MTTS
        for d in range(delays.size):
            for k in range(times + early):
                u = max((step * (k - early) - delays[d]) / mtt, 0.0)
                answer[k] = mtt * mtt * _between(u, twice[shape], once[shape])
                if k >= early:
                    jump[k - early] = mtt * _along(u, once[shape])
            for t in range(times):
                total = aif[0] * jump[t]
                for k in range(min(times, t + early + 1)):
                    total += ramps[k] * answer[t + early - k]
                curves[r, d, t] = total


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
