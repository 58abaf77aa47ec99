"""Blood volume of the first pass alone: a gamma variate for the tissue and one for the arterial input."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import kernel, part
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE, time_major

ALPHA, BETA = (0.5, 10.0), (0.2, 20.0)
"""Within these the shape (1) and the time scale (s) are looked for."""
ALPHAS, BETAS = np.geomspace(*ALPHA, 10), np.geomspace(*BETA, 16)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


@method(
    "gamma_variate",
    label="gammaVariate",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g"},
    parameters={"cutoff": (0.5, "1", 0.1, 0.9)},
    cuda=True,
    paper="Thompson et al., Circ Res 14:502 (1964)",
    equation="CBV = 100 (kappa/rho) A_c/A_a, A the area of c(t) = A' (t - t0)^alpha e^(-(t - t0)/beta)",
)
def gamma_variate(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume from the first pass, as a gamma variate continues it without recirculation.

    curves : (n, t) float32, 1/s. Gives cbv : (n,) float32, ml/100g, and state : (n,) uint8, NO_SOLUTION where no
    gamma variate of positive area fits, or fewer than 4 samples lie on it. Least squares over the samples up to the
    last one of the unbroken run after the peak that is at least cutoff times the peak (parameter), best over alpha,
    beta and t0 up to the peak; the arterial input in the same way, and where it has no such fit no voxel has.
    Source: Thompson 1964; variable projection after Kaufman, BIT 15:49 (1975).
    """
    search, cutoff = _search(len(protocol.aif), protocol.repetition_time), parameters["cutoff"]
    arterial, state = np.full(1, np.nan), np.zeros(1, np.uint8)
    _areas(time_major(protocol.aif[None]), protocol.repetition_time, cutoff, *search, arterial, state)
    maps = empty_maps(METHODS["gamma_variate"], curves.shape[0])
    area = np.full(curves.shape[0], np.nan)
    if device.kind == "cuda":
        from bolus_kernels.dsc.first_pass.cuda import areas

        step, bounds = protocol.repetition_time, np.array([ALPHA, BETA])
        areas(curves, step, cutoff, search, bounds, area, maps["state"], device)
    else:
        _areas(time_major(curves), protocol.repetition_time, cutoff, *search, area, maps["state"])
    maps["cbv"] = (100 * protocol.density_factor / arterial * area).astype(np.float32)
    maps["state"][(maps["state"] == State.GOOD) & (state[0] != State.GOOD)] = State.NO_SOLUTION
    return maps


@lru_cache(maxsize=4)
def _search(times: int, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Every alpha and beta of the search, (2, k); their curves of height 1 at half steps after t0, (2 t, k); and the
    sums of squares of every other one up to there, (2 t, k)."""
    shape = np.stack(np.meshgrid(ALPHAS, BETAS, indexing="ij")).reshape(2, -1)
    x = step / 2 * np.arange(1, 2 * times)[:, None] / (shape[0] * shape[1])
    curves = np.concatenate([np.zeros((1, shape.shape[1])), np.exp(shape[0] * (np.log(x) + 1 - x))])
    squares = curves**2
    for k in range(2, 2 * times):
        squares[k] += squares[k - 2]
    return shape, curves, squares


@kernel
def _areas(
    curves: Any, step: float, cutoff: float, shape: Any, known: Any, squares: Any, area: Any, state: Any
) -> None:
    """Fill area : (n,), in 1, of the gamma variate of each curve of (t, n), and state : (n,)."""
    times, n = curves.shape
    curve, along = np.empty(times), np.empty(shape.shape[1])
    gain, which = np.empty(2 * times), np.empty(2 * times, np.int64)
    seen = np.empty(times, np.bool_)
    place, found = np.empty(3), np.empty(2)
    high = np.array([np.log(ALPHA[1]), np.log(BETA[1]), 0.0])
    low = np.array([np.log(ALPHA[0]), np.log(BETA[0]), 0.0])
    for v in range(n):
        total, peak = 0.0, 0
        for t in range(times):
            curve[t] = curves[t, v]
            total += curve[t]
            peak = t if curve[t] > curve[peak] else peak
        if not abs(total) <= FINITE:
            state[v] = NOT_FINITE
            continue
        stop = peak + 1
        while stop < times and curve[stop] >= cutoff * curve[peak]:
            stop += 1
        scan(curve[:stop], 2 * peak + 1, known, squares, along, gain, which)
        best, answer, counted = 0.0, np.nan, 0
        seen[:] = False
        for _ in range(STARTS):
            start = 0
            for k in range(2 * peak + 1):
                start = k if gain[k] > gain[start] else start
            if not gain[start] > 0:
                break
            place[0], place[1] = np.log(shape[0, which[start]]), np.log(shape[1, which[start]])
            place[2], pair, told = step / 2 * start, start // 2, -1.0
            # A sample that begins to count makes a cusp: only between two samples is the fit smooth.
            while 0 <= pair <= peak and not seen[pair]:
                low[2], high[2] = step * pair, step * min(pair + 1, peak)
                _refine(curve[:stop], step, low, high, place, found)
                gain[2 * pair], gain[2 * pair + 1], seen[pair] = 0.0, 0.0, True
                if not found[0] > told:
                    break
                told = found[0]
                if told > best:
                    best, alpha = told, np.exp(place[0])
                    answer = found[1] * np.exp(place[1] + alpha - alpha * place[0] + lgamma(alpha + 1))
                    counted = stop - 1 - int(place[2] / step)
                if place[2] <= low[2]:
                    pair -= 1
                elif high[2] - place[2] < NEAR * step:
                    pair, place[2] = pair + 1, high[2]
                else:
                    break
        if counted >= UNKNOWNS and answer < FINITE:
            area[v] = answer
        else:
            state[v] = NO_SOLUTION


@part
def _refine(curve: Any, step: float, low: Any, high: Any, place: Any, found: Any) -> None:
    """Move place (ln alpha, ln beta, t0) within its bounds to the least residual sum (Levenberg and Marquardt).

    Fills found with what the fit tells of the curve's sum of squares, and its height.
    """
    total = 0.0
    for t in range(curve.size):
        total += curve[t] * curve[t]
    normal, gradient, trial = np.empty((3, 3)), np.empty(3), place.copy()
    tried, leaning, again = np.empty((3, 3)), np.empty(3), np.empty(2)
    factor, move, free = np.empty((3, 3)), np.empty(3), np.empty(3, np.bool_)
    damping = 1e-2
    found[0] = -1.0
    for _ in range(STEPS):
        _told(curve, step, trial, again, tried, leaning)
        if again[0] > found[0]:
            place[:], found[:], normal[:], gradient[:] = trial, again, tried, leaning
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
    alpha, beta, onset = np.exp(place[0]), np.exp(place[1]), place[2]
    top = alpha * beta
    square, along = 0.0, 0.0
    normal[:], gradient[:] = 0.0, 0.0
    sides = np.zeros(3)
    for t in range(curve.size):
        x = step * t - onset
        if x > SHORTEST:
            g = np.exp(alpha * (np.log(x / top) + 1 - x / top))
            square += g * g
            along += g * curve[t]
    height = along / square if square > 0 else 0.0
    found[0], found[1] = (height * along if height > 0 else 0.0), height
    if not square > 0:
        return
    d = np.empty(3)
    for t in range(curve.size):
        x = step * t - onset
        if x > SHORTEST:
            g = np.exp(alpha * (np.log(x / top) + 1 - x / top))
            d[0], d[1], d[2] = g * alpha * np.log(x / top), g * (x / beta - alpha), g * (1 / beta - alpha / x)
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
