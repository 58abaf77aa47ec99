"""The first pass on a GPU: a gamma variate fitted to one curve, in double precision, as `gamma_variate` has blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log
from typing import Any

import numpy as np
from numba import boolean, cuda, float64
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import Scratch, finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.dsc.first_pass.gamma_fit import (
    ENOUGH,
    NEAR,
    NEARER,
    SHORTEST,
    STARTS,
    STEPS,
    UNKNOWNS,
    scan,
    solve,
)
from bolus_kernels.jit import part
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE

NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


def areas(
    curves: NDArray[Any],
    step: float,
    cutoff: float,
    tables: Sequence[NDArray[np.float64]],
    bounds: NDArray[np.float64],
    area: NDArray[np.float64],
    state: NDArray[np.uint8],
    device: Device,
) -> None:
    """Fill area : (n,) of the gamma variate of each curve of (n, t), and state : (n,).

    step : s. cutoff : share of the peak. tables : every alpha and beta of the search, their curves and sums of
    squares. bounds : (2, 2), the least and the most alpha and beta.
    """
    times, shapes = curves.shape[1], tables[0].shape[1]
    scratch = (
        Scratch((times,), np.float64),
        Scratch((shapes,), np.float64),
        Scratch((2 * times,), np.float64),
        Scratch((2 * times,), np.int64),
        Scratch((times,), np.bool_),
    )
    over_voxels(_areas, (curves,), (step, cutoff, *tables, bounds), (area, state), device, scratch)


def _areas(
    curves: Any, step: float, cutoff: float, shape: Any, known: Any, squares: Any, bounds: Any,
    values: Any, sums: Any, gains: Any, choices: Any, passed: Any, area: Any, state: Any,
) -> None:  # fmt: skip
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    times, peak = curves.shape[0], 0
    curve, along = values[:, voxel], sums[:, voxel]
    gain, which, seen = gains[:, voxel], choices[:, voxel], passed[:, voxel]
    place, found = cuda.local.array(3, float64), cuda.local.array(2, float64)
    low, high = cuda.local.array(3, float64), cuda.local.array(3, float64)
    for i in range(2):
        low[i], high[i] = log(bounds[i, 0]), log(bounds[i, 1])
    for t in range(times):
        curve[t], seen[t] = curves[t, voxel], False
        peak = t if curve[t] > curve[peak] else peak
    stop = peak + 1
    while stop < times and curve[stop] >= cutoff * curve[peak]:
        stop += 1
    scan(curve[:stop], 2 * peak + 1, known, squares, along, gain, which)
    best, answer, counted = 0.0, np.nan, 0
    for _ in range(STARTS):
        start = 0
        for k in range(2 * peak + 1):
            start = k if gain[k] > gain[start] else start
        if not gain[start] > 0:
            break
        place[0], place[1] = log(shape[0, which[start]]), log(shape[1, which[start]])
        place[2], pair, told = step / 2 * start, start // 2, -1.0
        while 0 <= pair <= peak and not seen[pair]:
            low[2], high[2] = step * pair, step * min(pair + 1, peak)
            _refine(curve[:stop], step, low, high, place, found)
            gain[2 * pair], gain[2 * pair + 1], seen[pair] = 0.0, 0.0, True
            if not found[0] > told:
                break
            told = found[0]
            if told > best:
                best, alpha = told, exp(place[0])
                answer = found[1] * exp(place[1] + alpha - alpha * place[0] + lgamma(alpha + 1))
                counted = stop - 1 - int(place[2] / step)
            if place[2] <= low[2]:
                pair -= 1
            elif high[2] - place[2] < NEAR * step:
                pair, place[2] = pair + 1, high[2]
            else:
                break
    if counted >= UNKNOWNS and answer < FINITE:
        area[voxel] = answer
    else:
        state[voxel] = NO_SOLUTION


@part
def _refine(curve: Any, step: float, low: Any, high: Any, place: Any, found: Any) -> None:
    """Move place (ln alpha, ln beta, t0) within its bounds to the least residual sum (Levenberg and Marquardt).

    Fills found with what the fit tells of the curve's sum of squares, and its height.
    """
    total = 0.0
    for t in range(curve.size):
        total += curve[t] * curve[t]
    normal, gradient = cuda.local.array((3, 3), float64), cuda.local.array(3, float64)
    tried, leaning = cuda.local.array((3, 3), float64), cuda.local.array(3, float64)
    factor, move = cuda.local.array((3, 3), float64), cuda.local.array(3, float64)
    trial, again, free = (
        cuda.local.array(3, float64),
        cuda.local.array(2, float64),
        cuda.local.array(3, boolean),
    )
    for i in range(3):
        trial[i] = place[i]
    damping = 1e-2
    found[0] = -1.0
    for _ in range(STEPS):
        _told(curve, step, trial, again, tried, leaning)
        if again[0] > found[0]:
            found[0], found[1] = again[0], again[1]
            for i in range(3):
                place[i], gradient[i] = trial[i], leaning[i]
                for j in range(3):
                    normal[i, j] = tried[i, j]
            damping = max(damping / 10, 1e-12)
        else:
            damping *= 10
        for i in range(3):
            outwards = (place[i] <= low[i] and gradient[i] < 0) or (place[i] >= high[i] and gradient[i] > 0)
            free[i] = not outwards
        promised = solve(normal, gradient, damping, free, factor, move)
        leaving = gradient[2] > 0 and low[2] < place[2] and high[2] - place[2] < NEAR * step
        if promised <= ENOUGH * total or damping > 1e12 or leaving:
            break
        for i in range(3):
            trial[i] = min(max(place[i] + move[i], low[i]), high[i])
        trial[2] = min(
            trial[2], place[2] + NEARER * (high[2] - place[2])
        )  # the slope at the sample is infinite


@part
def _told(curve: Any, step: float, place: Any, found: Any, normal: Any, gradient: Any) -> None:
    """Gain and height of the gamma variate at place, with Kaufman's normal matrix and half the gradient."""
    alpha, beta, onset = exp(place[0]), exp(place[1]), place[2]
    top = alpha * beta
    square, along = 0.0, 0.0
    sides, d = cuda.local.array(3, float64), cuda.local.array(3, float64)
    for i in range(3):
        gradient[i], sides[i] = 0.0, 0.0
        for j in range(3):
            normal[i, j] = 0.0
    for t in range(curve.size):
        x = step * t - onset
        if x > SHORTEST:
            g = exp(alpha * (log(x / top) + 1 - x / top))
            square += g * g
            along += g * curve[t]
    height = along / square if square > 0 else 0.0
    found[0], found[1] = (height * along if height > 0 else 0.0), height
    if not square > 0:
        return
    for t in range(curve.size):
        x = step * t - onset
        if x > SHORTEST:
            g = exp(alpha * (log(x / top) + 1 - x / top))
            d[0], d[1], d[2] = g * alpha * log(x / top), g * (x / beta - alpha), g * (1 / beta - alpha / x)
            left = curve[t] - height * g
            for i in range(3):
                sides[i] += d[i] * g
                gradient[i] += height * d[i] * left
                for j in range(i + 1):
                    normal[i, j] += height * height * d[i] * d[j]
    for i in range(3):  # what the height can take over is projected out
        for j in range(i + 1):
            normal[i, j] -= height * height * sides[i] * sides[j] / square
            normal[j, i] = normal[i, j]
