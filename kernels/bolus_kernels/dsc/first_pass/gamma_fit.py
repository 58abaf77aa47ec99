"""One gamma variate, for CPU and GPU alike: what it tells of a curve, and the nearest one that tells most."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

from bolus_kernels.dsc.first_pass.double import exponential, logarithm
from bolus_kernels.jit import part

STEPS = 100
ENOUGH = 1e-10
"""A refinement ends when a step promises less than this share of the curve's sum of squares."""
HOPE = 30.0
"""How many times what its next step promises a refinement may still gain."""
NEAR, NEARER = 1e-3, 0.9
"""How near the next sample (volumes) the onset passes it, and how much of the way there one step may go."""
ON_IT = 1e-9
"""An onset that is this near the next sample (volumes) is on it."""
GRADIENT, MOVE, PLACE, TRIAL, LEANING, LOW, HIGH, FREE = range(8)
NORMAL, TRIED, FACTOR, ROWS = 8, 11, 14, 17
"""Rows of the three numbers each, or three by three, that a refinement works with."""


@part
def refine(curve: Any, total: float, step: float, bar: float, work: Any, found: Any) -> None:
    """Move place (ln alpha, ln beta, t0) within its bounds to the least residual sum (Levenberg and Marquardt).

    total : the curve's sum of squares. Fills found with what the fit tells of it, and its height; with -1 once HOPE
    times what the next step promises would not bring it to `bar`, what another fit tells.
    """
    for i in range(3):
        work[TRIAL, i] = work[PLACE, i]
    damping, best, size = 1e-2, -1.0, 0.0
    for _ in range(STEPS):
        told, height = probe(curve, step, work)
        if told > best:
            best, size = told, height
            for i in range(3):
                work[PLACE, i], work[GRADIENT, i] = work[TRIAL, i], work[LEANING, i]
                for j in range(3):
                    work[NORMAL + i, j] = work[TRIED + i, j]
            damping = max(damping / 10, 1e-12)
        else:
            damping *= 10
        for i in range(3):
            held = work[PLACE, i] <= work[LOW, i] and work[GRADIENT, i] < 0
            held = held or (work[PLACE, i] >= work[HIGH, i] and work[GRADIENT, i] > 0)
            work[FREE, i] = 0.0 if held else 1.0
        promised, left = solve(work, damping), work[HIGH, 2] - work[PLACE, 2]
        leaving = work[GRADIENT, 2] > 0 and work[LOW, 2] < work[PLACE, 2] and left < NEAR * step
        if best + HOPE * promised < bar:
            best = -1.0
            break
        if promised <= ENOUGH * total or damping > 1e12 or leaving:
            break
        for i in range(3):
            work[TRIAL, i] = min(max(work[PLACE, i] + work[MOVE, i], work[LOW, i]), work[HIGH, i])
        # the slope at the sample is infinite
        work[TRIAL, 2] = min(work[TRIAL, 2], work[PLACE, 2] + NEARER * left)
    found[0], found[1] = best, size


@part
def probe(curve: Any, step: float, work: Any) -> Any:
    """Gain and height of the gamma variate at trial, with Kaufman's normal matrix and half the gradient."""
    alpha, beta, onset = exp(work[TRIAL, 0]), exp(work[TRIAL, 1]), work[TRIAL, 2]
    top, first = alpha * beta, int(onset / step + ON_IT) + 1
    some, begin = curve[first:], step * first - onset
    gg, gc, g0, g1, g2, c0, c1, c2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    d00, d01, d11, d02, d12, d22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(some.size):
        x = begin + step * t
        lag = logarithm(x / top)
        g, c = exponential(alpha * (lag + 1.0 - x / top)), some[t]
        e0, e1, e2 = g * alpha * lag, g * (x / beta - alpha), g * (1.0 / beta - alpha / x)
        gg += g * g
        gc += g * c
        g0 += g * e0
        g1 += g * e1
        g2 += g * e2
        c0 += c * e0
        c1 += c * e1
        c2 += c * e2
        d00 += e0 * e0
        d01 += e0 * e1
        d11 += e1 * e1
        d02 += e0 * e2
        d12 += e1 * e2
        d22 += e2 * e2
    height = gc / gg if gg > 0 else 0.0
    square = height * height
    work[LEANING, 0], work[LEANING, 1] = height * (c0 - height * g0), height * (c1 - height * g1)
    work[LEANING, 2] = height * (c2 - height * g2)
    if gg > 0:  # what the height can take over is projected out
        work[TRIED, 0], work[TRIED + 1, 1] = square * (d00 - g0 * g0 / gg), square * (d11 - g1 * g1 / gg)
        work[TRIED + 2, 2], work[TRIED + 1, 0] = square * (d22 - g2 * g2 / gg), square * (d01 - g0 * g1 / gg)
        work[TRIED + 2, 0], work[TRIED + 2, 1] = square * (d02 - g0 * g2 / gg), square * (d12 - g1 * g2 / gg)
    return (height * gc if height > 0 else 0.0), height


@part
def solve(work: Any, damping: float) -> float:
    """Move = (normal + damping diag)^-1 gradient over the free unknowns, by Cholesky; gives the gain it promises."""
    for i in range(3):
        for j in range(i + 1):
            value = work[NORMAL + i, j] * work[FREE, i] * work[FREE, j]
            if i == j:
                value = value * (1 + damping) + 1e-300 if work[FREE, i] > 0 else 1.0
            for k in range(j):
                value -= work[FACTOR + i, k] * work[FACTOR + j, k]
            work[FACTOR + i, j] = sqrt(max(value, 1e-300)) if i == j else value / work[FACTOR + j, j]
    for i in range(3):
        value = work[GRADIENT, i] * work[FREE, i]
        for k in range(i):
            value -= work[FACTOR + i, k] * work[MOVE, k]
        work[MOVE, i] = value / work[FACTOR + i, i]
    for i in range(2, -1, -1):
        value = work[MOVE, i]
        for k in range(i + 1, 3):
            value -= work[FACTOR + k, i] * work[MOVE, k]
        work[MOVE, i] = value / work[FACTOR + i, i]
    promised = 0.0
    for i in range(3):
        promised += work[MOVE, i] * work[GRADIENT, i] * work[FREE, i]
    return promised
