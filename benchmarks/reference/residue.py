"""The posterior of flow, transit time and delay by the book, one voxel at a time, on a dense grid of residues."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import CubicHermiteSpline
from scipy.signal import fftconvolve

from benchmarks.reference.retention import retained
from benchmarks.reference.shapes import BELIEVED, SHAPES, Shape

Array = NDArray[Any]

BETWEEN = 0.01
"""SD within what one shape stands for, of ln CBF, of ln MTT, and of the SD of transit times in mean ones."""
SPREADS = np.array([shape.spread for shape in SHAPES])
"""SD of the transit times of each shape, mean ones."""
TRANSIT_TIMES, DELAYS = 161, 141
FINE = 0.01
"""Step of the convolution, s."""
NEGLIGIBLE = 14.0
"""A template whose best log density lies this far below the best of all carries no mass."""
LIKELY, CHUNK = 256, 4096
REACH = 6.0
"""How many prior SDs of ln CBF the amplitude is integrated over, to either side of its prior."""
RETURNS = 0.01 * np.arange(21)
"""kep of leakage that may come back, 1/s."""
ALONG = 1e-3
"""Least share of g.g that is taken to be left of a template without what comes back, where the noise is told."""


class Prior(NamedTuple):
    """Known before the data: medians and logarithmic SDs of CBF and MTT, mean and SD of the delay, and limits.

    cbf : ml/100g/min. mtt, delay and its spread, both limits : s. floor : the share of a curve's height that no
    model explains. k2_spread : SD of K2, 1/s, by which leakage that comes back is expected.
    """

    cbf: float
    cbf_spread: float
    mtt: float
    mtt_spread: float
    mtt_within: tuple[float, float]
    delay: float
    delay_spread: float
    delay_within: tuple[float, float]
    floor: float
    k2_spread: float = 0.01


class Posterior(NamedTuple):
    """exp E ln CBF, exp E ln MTT, E CBV, E delay, E of the transit times' SD, and the standard deviation of each."""

    cbf: float
    mtt: float
    cbv: float
    tmax: float
    cth: float
    sd_cbf: float
    sd_mtt: float
    sd_cbv: float
    sd_tmax: float
    sd_cth: float


class Bank(NamedTuple):
    """Unit curves a (*) R, (k, t) s/s; of each its place in SHAPES, MTT (s), delay (s) and quadrature weight, (k,)."""

    curves: Array
    shape: Array
    mtt: Array
    delay: Array
    weight: Array


def _ends_halved(n: int) -> Array:
    weight = np.ones(n)
    weight[[0, -1]] = 0.5
    return weight


def arterial(t: Array, aif: Array, dt: float) -> Array:
    """The arterial input at times t (s), any shape: cubics through its samples aif (t,), 0 before and constant after.

    Their slopes at the samples are (8 (a_1 - a_-1) - (a_2 - a_-2)) / 12 dt, as if the ends went on for ever.
    """
    a = np.pad(aif, 2, mode="edge")
    slope = (8 * (a[3:-1] - a[1:-3]) - (a[4:] - a[:-4])) / (12 * dt)
    times = dt * np.arange(len(aif))
    return np.where(t < 0, 0.0, CubicHermiteSpline(times, aif, slope)(np.clip(t, 0.0, times[-1])))


def behind(aif: Array, dt: float, shape: Shape, mtt: Array, delay: Array) -> Array:
    """(a (*) R)(t - delay), a as `arterial` says between its samples.

    aif : (t,) 1/s. dt : s. mtt, delay : (m,), (d,) s. Gives (m, d, t), 1.
    By parts: a (*) R = a(0) S(t) + integral a'(s) S(t - s) ds with S = integral R, which has no step where R has
    one; the trapezoid rule at 10 ms.
    """
    n = len(aif)
    fine = np.arange(0.0, dt * (n - 1) - min(delay.min(), 0) + 2 * FINE, FINE)
    slope = np.gradient(arterial(fine, aif, dt), FINE)
    ages = fine[-1] / mtt.min() * np.linspace(0, 1, 20001) ** 2
    known = shape.passed(ages)
    whole = mtt[:, None] * np.interp(fine / mtt[:, None], ages, known)  # S(t; MTT) = MTT S(t/MTT; 1)
    weighted = FINE * slope * np.append(0.5, np.ones(len(fine) - 1))
    smooth = aif[0] * whole + fftconvolve(weighted[None], whole, axes=1)[:, : len(fine)]
    at = np.maximum(dt * np.arange(n) - delay[:, None], 0.0) / FINE  # what comes before the first sample is 0
    below = at.astype(int)
    part = at - below
    return np.stack([(1 - part) * row[below] + part * row[below + 1] for row in smooth])


@lru_cache(maxsize=2)
def bank(
    aif: tuple[float, ...], dt: float, mtt_within: tuple[float, float], delay_within: tuple[float, float]
) -> Bank:
    """The curve behind every shape, MTT (even in its logarithm) and delay; aif : (t,) 1/s, dt : s."""
    mtt = np.geomspace(*mtt_within, TRANSIT_TIMES)
    delay = np.linspace(*delay_within, DELAYS)
    curves = np.stack([behind(np.array(aif), dt, shape, mtt, delay) for shape in SHAPES])
    weight = np.outer(_ends_halved(TRANSIT_TIMES), _ends_halved(DELAYS)).ravel()
    where = np.meshgrid(np.arange(len(SHAPES)), mtt, delay, indexing="ij")
    shape_, mtt_, delay_ = (axis.ravel() for axis in where)
    return Bank(curves.reshape(-1, len(aif)), shape_, mtt_, delay_, np.kron(BELIEVED, weight))


class Projected(NamedTuple):
    """The bank after what is projected out, and the direction in which leakage that comes back differs.

    out : (t, 1 or 2), orthonormal columns of what is projected out. norm : (k,), g.g of each curve after it.
    back : (t,), unit and orthogonal to out, 0 without leakage. size : mean of (h_kep.back)^2 over RETURNS.
    """

    bank: Bank
    out: Array
    norm: Array
    back: Array
    size: float


@lru_cache(maxsize=2)
def _projected(
    aif: tuple[float, ...],
    dt: float,
    mtt_within: tuple[float, float],
    delay_within: tuple[float, float],
    reference: tuple[float, ...] | None,
) -> Projected:
    made, columns = bank(aif, dt, mtt_within, delay_within), [np.ones(len(aif))]
    held = np.zeros((1, len(aif)))
    if reference is not None:
        m = np.array(reference)
        columns.append(cumulative_trapezoid(m, dx=dt, initial=0.0))  # integral_0^t m
        held = retained(m, dt, RETURNS)  # h_kep
    out = np.linalg.qr(np.column_stack(columns))[0]
    norm = np.einsum("kt,kt->k", made.curves, made.curves) - np.sum((made.curves @ out) ** 2, axis=1)
    held = held - (held @ out) @ out.T
    back = np.zeros(len(aif)) if reference is None else np.linalg.svd(held, full_matrices=False)[2][0]
    return Projected(made, out, norm, back, float(np.mean((held @ back) ** 2)))


def bayes(
    curve: Array,
    aif: Array,
    dt: float,
    density_factor: float,
    baseline: slice,
    prior: Prior,
    reference: Array | None = None,
) -> Posterior:
    """Posterior means and SDs in one voxel; flow, offset and leakage integrated, shape, MTT and delay summed.

    curve, aif : (t,) 1/s. dt : s. density_factor : kappa/rho, ml/g. baseline : volumes before the bolus, from whose
    mean the height of the curve counts. reference : m, (t,) 1/s, of which leakage is made, None for no leakage.
        c = b + (rho/kappa) CBF/6000 (a (*) R)(t - delay) [- K2 integral m + x u] + noise,   noise ~ N(0, sigma2)
        sigma2 = sqrt((S_min/(N - 6 [- 1]))^2 + (floor height)^4),   S_min the least residual sum on the grid with
        CBF >= 0 [and x free]
        ln CBF ~ N(ln cbf, cbf_spread),  ln MTT ~ N(ln mtt, mtt_spread),  delay ~ N(delay, delay_spread), b and K2 flat
        [x ~ N(0, v),  v = k2_spread^2 mean_kep (h_kep.u)^2,  h_kep = integral_0^t m(s) e^{-kep (t-s)} ds,
        u the first right singular vector of all h_kep without what b and K2 take; with x integrated out
        <p, q> = p.q - v/(sigma2 + v) (p.u)(q.u) stands for p.q]
    Six degrees of freedom: b, CBF, MTT, delay and two for the shape. What no model explains is part of S_min already,
    so the floor is not added to it in full.
    Source: Mouridsen et al. 2006, NeuroImage 33:570; Boutelier et al. 2012, IEEE Trans Med Imaging 31:1381.
    """
    c = np.asarray(curve, np.float64)
    told = None if reference is None else tuple(np.asarray(reference, np.float64).tolist())
    key = tuple(np.asarray(aif, np.float64).tolist()), dt, prior.mtt_within, prior.delay_within
    made, out, whole, back, size = _projected(*key, told)
    left = c - out @ (out.T @ c)
    product = made.curves @ left  # g.c
    returned, shared = left @ back, made.curves @ back  # c.u, g.u
    without = np.maximum(whole - shared**2, ALONG * whole)
    explained = np.maximum(product - shared * returned, 0.0) ** 2 / without
    height = c.max() - c[baseline].mean()
    freedom = len(c) - (6 if reference is None else 7)
    measured = (left @ left - returned**2 - explained.max()) / freedom
    variance = float(np.hypot(measured, (prior.floor * height) ** 2))
    expected = prior.k2_spread**2 * size
    beta = expected / (variance + expected)
    along, norm = product - beta * shared * returned, whole - beta * shared**2  # <g, c>, <g, g>
    explained = np.maximum(along, 0.0) ** 2 / norm
    log_prior = (
        np.log(made.weight)
        - 0.5 * (np.log(made.mtt / prior.mtt) / prior.mtt_spread) ** 2
        - 0.5 * ((made.delay - prior.delay) / prior.delay_spread) ** 2
    )

    def log_density(k: Array, log_cbf: Array) -> Array:
        """ln p(c, CBF, template k) less a constant, for CBF around the prior's: log_cbf = ln CBF/cbf."""
        a = prior.cbf * np.exp(log_cbf) / (6000 * density_factor)
        misfit = (a * a * norm[k, None] - 2 * a * along[k, None]) / (2 * variance)
        return np.asarray(log_prior[k, None] - 0.5 * (log_cbf / prior.cbf_spread) ** 2 - misfit)

    limit = (
        explained / (2 * variance) + log_prior
    )  # the density at the amplitude that fits best, less its prior
    likely = np.argsort(-limit)[:LIKELY]
    step = (
        min(float(np.sqrt(variance / explained.max())), 0.2 * prior.cbf_spread)
        if explained.max() > 0
        else 0.05
    )
    log_cbf = np.arange(-REACH * prior.cbf_spread, REACH * prior.cbf_spread, step)
    best = log_density(likely, log_cbf).max()
    kept = np.flatnonzero(limit > best - NEGLIGIBLE)
    powers = np.stack([np.ones_like(log_cbf), log_cbf, log_cbf**2, np.exp(log_cbf), np.exp(2 * log_cbf)], 1)
    pieces = [
        np.exp(log_density(k, log_cbf) - best) @ powers for k in np.array_split(kept, 1 + len(kept) // CHUNK)
    ]
    return _moments(np.concatenate(pieces), made.shape[kept], made.mtt[kept], made.delay[kept], prior.cbf)


def _moments(mass: Array, shape: Array, mtt: Array, delay: Array, cbf: float) -> Posterior:
    """Sum over templates; mass : (k, 5), the integrals of 1, x, x^2, e^x, e^2x with x = ln CBF/cbf.

    Each shape stands for those around it: sum p^2 of BETWEEN^2 is added to the variances, p the mass of a shape.
    """
    mass = mass / mass[:, 0].sum()
    weight, x, square, factor, factor_square = mass.T
    volume = cbf * mtt / 60

    def moments(values: Array) -> tuple[float, float]:
        mean = float(weight @ values)
        return mean, float(np.sqrt(weight @ (values - mean) ** 2))

    log_cbf, sd_log_cbf = float(x.sum()), float(np.sqrt(square.sum() - x.sum() ** 2))
    cbv = float(volume @ factor)
    sd_cbv = float(np.sqrt(volume**2 @ factor_square - cbv**2))
    (log_mtt, sd_log_mtt), (late, sd_late) = moments(np.log(mtt)), moments(delay)
    cth, sd_cth = moments(SPREADS[shape] * mtt)
    flow, time = cbf * float(np.exp(log_cbf)), float(np.exp(log_mtt))
    between = BETWEEN * float(np.linalg.norm(np.bincount(shape, weight)))
    sd_flow, sd_time = flow * np.hypot(sd_log_cbf, between), time * np.hypot(sd_log_mtt, between)
    return Posterior(
        flow, time, cbv, late, cth, sd_flow, sd_time, sd_cbv, sd_late, np.hypot(sd_cth, time * between)
    )
