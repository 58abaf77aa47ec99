"""The first pass of one curve, for CPU and GPU alike: where it is, which gamma variate fits it best, and its area."""

from __future__ import annotations

from math import exp, lgamma, log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.first_pass.gamma_fit import HIGH, LOW, NEAR, ON_IT, PLACE, refine
from bolus_kernels.jit import part
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE

ALPHA, BETA = (0.5, 10.0), (0.2, 20.0)
"""Within these the shape (1) and the time scale (s) are looked for."""
STARTS = 8
"""Between how many pairs of samples the onset is refined at most."""
GAINED = 0.02
"""No refinement tells this share of the curve's sum of squares more than the search did where it starts."""
UNKNOWNS, CONSTANT = 4, 1
"""How many numbers a fit has, and how many a constant; fewer samples after t0 do not determine the fit."""
ROUNDING = 1e-12
"""Share of a curve's sum of squares below which what a fit leaves is rounding."""
PRECISE, TERMS = 1e-9, 1000
LOWEST = -3e38
NO_SOLUTION = int(State.NO_SOLUTION)


class Window(NamedTuple):
    """Where the first pass is sought, samples begin ... until - 1, `step` s apart; and what a fit of it must obey.

    cutoff : share of the peak down to which samples are fitted. beyond : the most of the area after the last of them.
    """

    begin: int
    until: int
    step: float
    cutoff: float
    beyond: float


class Search(NamedTuple):
    """Every alpha and beta of the search, (2, k); their curves of height 1 at half steps after t0, (2 t, k); and the
    sums of squares of every other one up to there, (2 t, k)."""

    shape: NDArray[np.float64]
    known: NDArray[np.float64]
    squares: NDArray[np.float64]


@part
def first_pass(
    curve: Any, window: Any, search: Any, along: Any, gain: Any, which: Any, seen: Any, work: Any, found: Any
) -> Any:
    """The area of the gamma variate of a curve (t,), and its state; the rest is room to work in.

    along : (k,), gain, which : (2 t,), seen : (t,), work : (ROWS, 3), found : (2,).
    """
    step, begin, peak, top = window.step, window.begin, window.begin, LOWEST
    for t in range(window.begin, window.until):
        value = smoothed(curve, t)
        peak, top = (t, value) if value > top else (peak, top)
    stop = peak + 1
    while stop < curve.size and smoothed(curve, stop) >= window.cutoff * top:
        stop += 1
    total, level = 0.0, 0.0
    for t in range(stop):
        total += curve[t] * curve[t]
        level += curve[t]
    some, peak = curve[begin:stop], peak - begin
    scan(some, 2 * peak + 1, search, along, gain, which)
    work[LOW, 0], work[HIGH, 0] = log(ALPHA[0]), log(ALPHA[1])
    work[LOW, 1], work[HIGH, 1] = log(BETA[0]), log(BETA[1])
    for pair in range(peak + 1):
        seen[pair] = False
    best, alpha, beta, onset, height = 0.0, 1.0, 1.0, 0.0, 0.0
    for _ in range(STARTS):
        start = 0
        for k in range(2 * peak + 1):
            start = k if gain[k] > gain[start] else start
        if not gain[start] > max(0.0, best - GAINED * total):
            break
        work[PLACE, 0], work[PLACE, 1] = (
            log(search.shape[0, which[start]]),
            log(search.shape[1, which[start]]),
        )
        work[PLACE, 2], pair, told = step / 2 * start, start // 2, -1.0
        # A sample that begins to count makes a cusp: only between two samples is the fit smooth.
        while 0 <= pair <= peak and not seen[pair]:
            work[LOW, 2], work[HIGH, 2] = step * pair, step * min(pair + 1, peak)
            refine(some, total, step, best, work, found)
            gain[2 * pair], gain[2 * pair + 1], seen[pair] = 0.0, 0.0, True
            if not found[0] > told:
                break
            told = found[0]
            if told > best:
                best, height = told, found[1]
                alpha, beta, onset = exp(work[PLACE, 0]), exp(work[PLACE, 1]), work[PLACE, 2]
            if work[PLACE, 2] <= work[LOW, 2]:
                pair -= 1
            elif work[HIGH, 2] - work[PLACE, 2] < NEAR * step:
                pair, work[PLACE, 2] = pair + 1, work[HIGH, 2]
            else:
                break
    last = step * (some.size - 1) - onset
    area = height * beta * exp(alpha - alpha * log(alpha) + lgamma(alpha + 1))
    after = some.size - 1 - int(onset / step + ON_IT)
    if not (best > 0 and after >= UNKNOWNS and area < FINITE):
        return area, NO_SOLUTION
    good = beats_constant(total, best, level, stop) and share_after(alpha + 1, last / beta) <= window.beyond
    return area, 0 if good else NO_SOLUTION


@part
def smoothed(curve: Any, t: int) -> Any:
    """One sample of a curve after a running (1, 2, 1)/4, its ends repeated."""
    return 0.25 * (curve[max(t - 1, 0)] + 2.0 * curve[t] + curve[min(t + 1, curve.size - 1)])


@part
def scan(curve: Any, onsets: int, search: Any, along: Any, gain: Any, which: Any) -> None:
    """For each onset, a half step apart: the shape that tells most of the curve's sum of squares, and how much."""
    stop = curve.size
    for onset in range(onsets):
        along[:] = 0.0
        for t in range(onset // 2 + 1, stop):
            row, value = search.known[2 * t - onset], curve[t]
            for k in range(along.size):
                along[k] += value * row[k]
        gain[onset], which[onset] = 0.0, 0
        last = 2 * (stop - 1) - onset
        if last <= 0:
            continue
        squares = search.squares[last]
        for k in range(along.size):
            if along[k] > 0 and along[k] * along[k] > gain[onset] * squares[k]:
                gain[onset], which[onset] = along[k] * along[k] / squares[k], k


@part
def beats_constant(total: float, told: float, level: float, count: int) -> bool:
    """Whether a fit is better than a constant by Akaike's criterion, corrected for few samples; noise is a number too.

    Source: Hurvich and Tsai, Biometrika 76:297 (1989).
    """
    if count <= UNKNOWNS + 2:
        return False
    left, flat = max(total - told, ROUNDING * total), max(total - level * level / count, ROUNDING * total)
    price = 2.0 * count * ((UNKNOWNS + 1) / (count - UNKNOWNS - 2) - (CONSTANT + 1) / (count - CONSTANT - 2))
    return count * log(left / flat) + price < 0


@part
def share_after(a: float, x: float) -> float:
    """The share of a gamma distribution of shape `a` and scale 1 that lies beyond x: 1 less the rest's power series."""
    term, share = exp(a * log(x) - x - lgamma(a + 1)) if x > 0 else 0.0, 0.0
    for k in range(1, TERMS):
        share += term
        term *= x / (a + k)
        if term <= PRECISE * share:
            break
    return 1.0 - share
