"""The largest value of a residue between its samples on a GPU: a longer series around each sample it may be near."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.cuda.launch import U
from bolus_kernels.dsc.deconvolution.between import INSIDE
from bolus_kernels.jit import part

TERMS = 16
"""Of the power series around a sample: within half a sample the rest is below 1e-10 of its waves."""
TRIALS, NEWTON = 4, 4
ZERO, ONE, HALF, TWO = np.float32(0), np.float32(1), np.float32(0.5), U(2)
LEAST, STEP = np.float32(1e-37), np.float32(0.125)


@part
def rise(
    waves: Any, weight: Any, work: Any, rows: Any, turn: Any, voxel: Any, top: Any, at: Any, series: Any
) -> None:
    """Move the sampled peak of a voxel to the largest value of f anywhere, as `between` does on the CPU.

    waves : (2k, L), cosine and sine of each frequency in turn. weight : (k, TERMS + 2) of `series.weights`. work :
    (2k, n), of which the first `rows` are the voxel's coefficients. turn : the sample from which f stands before zero.
    series : (TERMS,) float32, for work.
    """
    length = waves.shape[1]
    place = int(at[voxel])
    place += length if place < 0 else 0
    climb(waves, weight, work, rows, U(place), voxel, series)
    value, shift, bend = best_of(series)
    value, shift = (value, shift) if value > top[voxel] else (top[voxel], ZERO)
    slack, cubic = ZERO, LEAST
    for i in range(U(0), U(rows), TWO):
        a, b = np.float32(work[i, voxel]), np.float32(work[i + U(1), voxel])
        size = sqrt(a * a + b * b)
        slack += weight[i // TWO, TERMS] * size
        cubic += weight[i // TWO, TERMS + 1] * size
    clear = max(bend / cubic - HALF - abs(shift), ZERO) if abs(shift) < INSIDE else ZERO
    found, stand = value, np.float32(at[voxel]) + shift
    for j in range(U(length)):
        away = abs(int(j) - place)
        if np.float32(min(away, length - away)) > clear:
            f = ZERO
            for i in range(U(rows)):
                f += waves[i, j] * np.float32(work[i, voxel])
            if f > value - slack:
                climb(waves, weight, work, rows, j, voxel, series)
                high, aside, bend = best_of(series)
                if high > found:
                    found = high
                    stand = np.float32(j) - np.float32(length if j >= turn else 0) + aside
    top[voxel], at[voxel] = found, stand


@part
def climb(waves: Any, weight: Any, work: Any, rows: Any, j: Any, voxel: Any, series: Any) -> None:
    """The power series of f around sample j."""
    for m in range(TERMS):
        series[m] = ZERO
    for i in range(U(0), U(rows), TWO):
        a, b = np.float32(work[i, voxel]), np.float32(work[i + U(1), voxel])
        c, s, k = waves[i, j], waves[i + U(1), j], i // TWO
        along, across = a * c + b * s, b * c - a * s
        for m in range(0, TERMS, 2):
            series[m] += weight[k, m] * along
            series[m + 1] += weight[k, m + 1] * across


@part
def best_of(series: Any) -> Any:
    """The largest value of the series for |s| <= 1/2, its s, and minus the second derivative there."""
    best, at = series[0], ZERO
    for trial in range(2 * TRIALS + 1):
        s = STEP * np.float32(trial - TRIALS)
        f, _, _ = told(series, s)
        best, at = (f, s) if f > best else (best, at)
    s = at
    for _ in range(NEWTON):
        _, slope, bend = told(series, s)
        move = slope / bend if bend < ZERO else ZERO
        s -= min(max(move, -STEP), STEP)
        s = min(max(s, -HALF), HALF)
    f, _, bend = told(series, s)
    return (f, s, -bend) if f >= best else (best, at, ZERO)


@part
def told(series: Any, s: Any) -> Any:
    """The series at s, with its first and second derivative."""
    f, slope, half = ZERO, ZERO, ZERO
    for m in range(TERMS):
        half = half * s + slope
        slope = slope * s + f
        f = f * s + series[TERMS - 1 - m]
    return f, slope, half + half
