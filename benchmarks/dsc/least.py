"""The least mean square error that any estimator can have on simulated tissue: posterior means under its own laws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import simulate
from bolus_kernels.jit import kernel

Array = NDArray[Any]

NAMES = ("cbf", "mtt", "cbv", "tmax")
FLOWS, TRANSITS, DELAYS = (15.0, 100.0), (2.0, 12.0), (-2.0, 5.0)
"""Ends of the uniform laws of CBF (ml/100g/min), MTT (s) and delay (s) in `bayes.family_of`."""
NEGLIGIBLE, REACH = 14.0, 6.0
"""Templates so far below the best in ln density are left out; SDs of 1/CBF integrated over, either side of the best."""
NODES = np.polynomial.legendre.leggauss(24)
CHUNK = 50
STARTS, ROUNDS, SHARPEST, SETTLED = 16, 200, 3.0, 1e-4
"""Of the search for the best estimator of a mixture: starts, steps, SD of the first ln weights, change of the last."""


class Templates(NamedTuple):
    """Curves of 1 ml/100g/min less their means, (k, t) 1/s, their peaks before, (k,) 1/s; MTT and delay (k,) s; ln of
    what is believed of each, (k,), up to a constant that all families share."""

    curves: Array
    peak: Array
    mtt: Array
    delay: Array
    belief: Array


class Flow(NamedTuple):
    """Law of CBF within its ends, ml/100g/min: uniform with precision 0, else ln CBF ~ N(ln median, 1/precision)."""

    least: float = FLOWS[0]
    most: float = FLOWS[1]
    median: float = 1.0
    precision: float = 0.0


UNIFORM = Flow()


class Found(NamedTuple):
    """Of each voxel: ln p(curve) up to a constant, (n,); posterior means and variances of NAMES, (n, 4)."""

    evidence: Array
    mean: Array
    variance: Array


def templates(family: str, times: Array, mtts: int, delays: int) -> Templates:
    """Tissue of one residue at the middles of so many equal parts of TRANSITS and DELAYS; times : (t,) s.

    By the simulation's own convolution at 5 ms; delays are rounded to 5 ms.
    """
    mtt, delay = _middles(TRANSITS, mtts), _middles(DELAYS, delays)
    shift = np.rint(delay / simulate.FINE).astype(int)
    index = np.rint(times / simulate.FINE).astype(int)[None] - shift[:, None]
    fine = simulate.FINE * np.arange(index.max() + 1)
    made = np.empty((mtts, delays, times.size))
    for row, m in zip(made, mtt.tolist(), strict=True):
        row[:] = np.where(index < 0, 0.0, simulate.tissue(fine, 1.0, m, 0.0, family)[np.maximum(index, 0)])
    curves = made.reshape(-1, times.size)
    peak, mean = curves.max(axis=1), curves.mean(axis=1, keepdims=True)
    late = np.tile(simulate.FINE * shift.astype(float), mtts)
    return Templates(curves - mean, peak, np.repeat(mtt, delays), late, np.zeros(late.size))


def _middles(ends: tuple[float, float], parts: int) -> Array:
    return ends[0] + (ends[1] - ends[0]) * (np.arange(parts) + 0.5) / parts


def posterior(curves: Array, made: Templates, cnr: float, flow: Flow = UNIFORM) -> Found:
    """Exact posterior of noisy curves (n, t) under one family, the noise told to be the curve's own peak over cnr.

    c = b + CBF (g + (max g/cnr) noise): subtracting the mean of the baseline makes b unknown, so it is integrated
    out (the means of curve and template are taken off, one degree of freedom less); CBF by Gauss-Legendre in
    u = 1/CBF, MTT and delay by the sum over `made`.
    """
    left = np.asarray(curves, np.float64) - np.mean(curves, axis=1, keepdims=True, dtype=np.float64)
    square = np.einsum("nt,nt->n", left, left)
    norm = np.einsum("kt,kt->k", made.curves, made.curves)
    found = np.empty((len(left), 9))
    for begin in range(0, len(left), CHUNK):
        part = slice(begin, begin + CHUNK)
        along = left[part] @ made.curves.T
        _sums(along, square[part], norm, made, cnr, left.shape[1] - 1.0, *NODES, flow, found[part])
    return Found(found[:, 0], found[:, 1:5], found[:, 5:] - found[:, 1:5] ** 2)


@kernel
def _sums(
    along: Any,
    square: Any,
    norm: Any,
    made: Any,
    cnr: float,
    freedom: float,
    at: Any,
    share: Any,
    flow: Any,
    found: Any,
) -> None:
    """found : (n, 9), ln of the evidence, means and mean squares of CBF, MTT, CBV and delay."""
    templates = norm.size
    limit, best, width = np.empty(templates), np.empty(templates), np.empty(templates)
    least, most, away, half_precision = (
        1 / flow.most,
        1 / flow.least,
        np.log(flow.median),
        0.5 * flow.precision,
    )
    power = freedom - 2 + (1.0 if flow.precision > 0 else 0.0)  # dCBF = -du/u^2, d ln CBF = -du/u
    for v in range(along.shape[0]):
        top = -np.inf
        for k in range(templates):
            sharp = 0.5 * (cnr / made.peak[k]) ** 2
            a, b = sharp * square[v], sharp * along[v, k]
            free = (b + np.sqrt(b * b + 2 * a * power)) / (2 * a)
            u = min(max(free, least), most)
            best[k], width[k] = u, 1 / np.sqrt(2 * a + power / (u * u))
            constant = made.belief[k] - sharp * norm[k] - freedom * np.log(made.peak[k])
            limit[k] = (
                constant
                + power * np.log(u)
                - a * u * u
                + 2 * b * u
                - half_precision * (np.log(u) + away) ** 2
            )
            top = max(top, limit[k])
        sums = np.zeros(9)
        for k in range(templates):
            if limit[k] > top - NEGLIGIBLE:
                sharp = 0.5 * (cnr / made.peak[k]) ** 2
                a, b = sharp * square[v], sharp * along[v, k]
                first, last = max(best[k] - REACH * width[k], least), min(best[k] + REACH * width[k], most)
                middle, half = 0.5 * (first + last), 0.5 * (last - first)
                constant = made.belief[k] - sharp * norm[k] - freedom * np.log(made.peak[k]) - top
                w0, w1, w2 = 0.0, 0.0, 0.0
                for j in range(at.size):
                    u = middle + half * at[j]
                    log_u = np.log(u)
                    misfit = a * u * u - 2 * b * u + half_precision * (log_u + away) ** 2
                    w = half * share[j] * np.exp(constant + power * log_u - misfit)
                    w0 += w
                    w1 += w / u
                    w2 += w / (u * u)
                m, d = made.mtt[k], made.delay[k]
                sums[0] += w0
                sums[1] += w1
                sums[2] += w0 * m
                sums[3] += w1 * m / 60
                sums[4] += w0 * d
                sums[5] += w2
                sums[6] += w0 * m * m
                sums[7] += w2 * m * m / 3600
                sums[8] += w0 * d * d
        found[v, 0] = top + np.log(sums[0])
        for i in range(1, 9):
            found[v, i] = sums[i] / sums[0]


def mixed(evidence: Array, mean: Array, weight: Array) -> Array:
    """Posterior mean under a mixture of families; evidence : (n, f), ln; mean : (n, f); weight : (f,). Gives (n,)."""
    share = np.exp(evidence - evidence.max(axis=1, keepdims=True)) * weight
    return np.asarray(np.sum(share * mean, axis=1) / np.sum(share, axis=1))


def best_of_mixture(
    evidence: Array, mean: Array, truth: Array, family: Array, centred: bool = False
) -> Array:
    """Errors (n,) of the estimator with the least product of mean square errors over families, which are not told.

    evidence, mean : (n, f), ln p(curve | family) and the posterior mean under it. truth, family : (n,), family the
    index of the true one. centred : an error counts from the mean of its family. Whatever the weights w of the
    families, the mixture's posterior mean has the least sum of w_i MSE_i, and the least product of MSE_i is the least
    over w of that sum to the power of f, for weights of product 1: w_i = 1/MSE_i is a step of majorisation and
    minimisation, from several starts, for the product may have several minima (Hunter and Lange 2004, Am Stat 58:30).
    """
    families, rng = evidence.shape[1], np.random.default_rng(0)
    best, least = np.empty(0), np.inf
    for start in range(STARTS):
        log_weight, shift = rng.normal(0, SHARPEST, families) * (start > 0), np.zeros(families)
        for _ in range(ROUNDS):
            error = mixed(evidence, mean + shift, np.exp(log_weight)) - truth
            parts = [error[family == i] for i in range(families)]
            shift = np.array([part.mean() for part in parts]) if centred else shift
            size = np.log([np.mean((part - level) ** 2) for part, level in zip(parts, shift, strict=True)])
            before, log_weight = log_weight, size.mean() - size
            if np.abs(before - log_weight).max() < SETTLED:
                break
        if size.sum() < least:
            best, least = error - shift[family], size.sum()
    return best
