"""What both machines share of the fit of a gamma variate: its limits, the search, the step of a refinement."""

from __future__ import annotations

from math import sqrt
from typing import Any

from bolus_kernels.jit import part

STARTS, STEPS = 4, 100
"""Between how many pairs of samples the onset is refined, and the most steps of a refinement."""
ENOUGH = 1e-13
"""A refinement ends when a step promises less than this share of the curve's sum of squares."""
UNKNOWNS = 4
"""Fewer samples after t0 do not determine the fit."""
SHORTEST = 1e-9
NEAR, NEARER = 1e-3, 0.9
"""How near the next sample (volumes) the onset passes it, and how much of the way there one step may go."""


@part
def scan(curve: Any, onsets: int, known: Any, squares: Any, along: Any, gain: Any, which: Any) -> None:
    """For each onset, a half step apart: the shape that tells most of the curve's sum of squares, and how much."""
    stop = curve.size
    for onset in range(onsets):
        along[:] = 0.0
        for t in range(onset // 2 + 1, stop):
            row, value = known[2 * t - onset], curve[t]
            for k in range(along.size):
                along[k] += value * row[k]
        gain[onset], which[onset] = 0.0, 0
        last = 2 * (stop - 1) - onset
        if last <= 0:
            continue
        for k in range(along.size):
            if along[k] > 0 and along[k] * along[k] > gain[onset] * squares[last, k]:
                gain[onset], which[onset] = along[k] * along[k] / squares[last, k], k


@part
def solve(normal: Any, gradient: Any, damping: float, free: Any, factor: Any, move: Any) -> float:
    """Move = (normal + damping diag)^-1 gradient over the free unknowns, by Cholesky; gives the gain it promises."""
    for i in range(3):
        for j in range(i + 1):
            value = normal[i, j] if free[i] and free[j] else 0.0
            if i == j:
                value = value * (1 + damping) + 1e-300 if free[i] else 1.0
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            factor[i, j] = sqrt(max(value, 1e-300)) if i == j else value / factor[j, j]
    for i in range(3):
        value = gradient[i] if free[i] else 0.0
        for k in range(i):
            value -= factor[i, k] * move[k]
        move[i] = value / factor[i, i]
    for i in range(2, -1, -1):
        value = move[i]
        for k in range(i + 1, 3):
            value -= factor[k, i] * move[k]
        move[i] = value / factor[i, i]
    promised = 0.0
    for i in range(3):
        promised += move[i] * gradient[i] if free[i] else 0.0
    return promised
