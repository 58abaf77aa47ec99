"""Arrival, peak, signal recovery and contrast to noise on a GPU: one voxel as `summary` and `arrival` have tiles."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.jit import part
from bolus_kernels.scalar import exp
from bolus_kernels.state import State

FEWEST_RECOVERED = 5
_f, _d = np.float32, np.float64
ZERO, ONE, TWO, HALF, HUGE, PERCENT = _f(0), _f(1), _f(2), _f(0.5), _f(3e38), _f(100)
NAN = _f(np.nan)
MOST_EXPONENT, LEAST_NOISE = _f(87), _f(1e-6)
NOTHING, SINGLE, DOUBLE, THREEFOLD, HALVED = _d(0), _d(1), _d(2), _d(3), _d(0.5)
NOT_FINITE, NO_SOLUTION, NO_RECOVERY = int(State.NOT_FINITE), int(State.NO_SOLUTION), int(State.NO_RECOVERY)


def summary(
    curves: NDArray[Any],
    echo: NDArray[Any],
    steady: NDArray[np.float32],
    numbers: Sequence[Any],
    maps: Sequence[NDArray[Any]],
    device: Device,
) -> None:
    """Fill bat, ttp, psr, peakheight, cnr and state, (n,) each.

    curves, echo : (n, t), steady : (n,) float32. numbers : first and stop of the baseline, the repetition and echo
    times in s, the volumes after the peak from and to which recovery is told, and whether the rise is linear.
    """
    over_voxels(_summary, (curves, echo, steady), tuple(numbers), maps, device)


def _summary(
    curves: Any, echo: Any, steady: Any, first: int, stop: int, step: Any, echo_time: Any, after: int, until: int,
    linear: int, bat: Any, ttp: Any, psr: Any, height: Any, cnr: Any, state: Any,
) -> None:  # fmt: skip
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    times = curves.shape[0]
    high, at = -HUGE, 0
    for t in range(first, times):
        if curves[t, voxel] > high:
            high, at = curves[t, voxel], t
    top = _f(at)
    if 0 < at < times - 1:
        bend = curves[at - 1, voxel] - TWO * high + curves[at + 1, voxel]
        if bend < ZERO:
            top += HALF * (curves[at - 1, voxel] - curves[at + 1, voxel]) / bend
    noise = spread(curves, voxel, first, stop)
    begun = arrival(curves, voxel, first, at, linear)
    start, end = at + after, at + until
    enough = min(end, times - 1) - start + 1 >= FEWEST_RECOVERED
    lowest, recovered, count = HUGE, ZERO, ZERO
    for t in range(times):
        s = exp(min(-echo_time * echo[t, voxel], MOST_EXPONENT))
        if _f(t) >= begun:
            lowest = min(lowest, s)
        if start <= t <= end:
            recovered, count = recovered + s, count + ONE
    drop, s0 = ONE - lowest, steady[voxel]
    good = at > first and high > ZERO and noise >= ZERO and drop > ZERO and s0 > ZERO
    recovery, peak = (PERCENT * (recovered / count - lowest) / drop if enough else ZERO), s0 * drop
    contrast = high / max(noise, LEAST_NOISE * high) if good else HUGE
    if not (good and abs(recovery) <= HUGE and peak <= HUGE and contrast <= HUGE):
        state[voxel] = NO_SOLUTION
        return
    bat[voxel], ttp[voxel] = step * begun, step * (top - begun)
    height[voxel], cnr[voxel] = peak, contrast
    if enough:
        psr[voxel] = recovery
    else:
        state[voxel] = NO_RECOVERY


@part
def spread(curves: Any, voxel: int, first: int, stop: int) -> Any:
    """The standard deviation of the baseline; NaN where there are not two volumes of it."""
    if stop - first < 2:
        return NAN
    mean, squares = ZERO, ZERO
    for t in range(first, stop):
        mean += curves[t, voxel]
    mean /= _f(stop - first)
    for t in range(first, stop):
        apart = curves[t, voxel] - mean
        squares += apart * apart
    return _f(sqrt(squares / _f(stop - first - 1)))


@part
def arrival(curves: Any, voxel: int, first: int, at: int, linear: int) -> Any:
    """The sample at which a flat baseline best breaks into a rise towards the peak, in double precision as on the CPU.

    From one candidate to the one before it every x grows by 1: the sums of x^q C follow from those of lower powers.
    """
    reach = at - first
    share, total, squares = SINGLE / _d(reach + 1), NOTHING, NOTHING
    for i in range(reach + 1):
        c = _d(curves[at - i, voxel])
        total += c
        squares += c * c
    share_of_total = total * share
    squares -= total * share_of_total
    s0, s1, s2, s3 = NOTHING, NOTHING, NOTHING, NOTHING
    p1, p2, p3, p4, p5, p6 = NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING
    best, least, before, later, earlier = 0, NOTHING, NOTHING, NOTHING, NOTHING
    for i in range(1, reach + 1):
        x = _d(i)
        xx = x * x
        p1, p2, p3 = p1 + x, p2 + xx, p3 + xx * x
        p4, p5, p6 = p4 + xx * xx, p5 + xx * xx * x, p6 + xx * xx * xx
        t0 = s0 + _d(curves[at - i + 1, voxel])
        s0, s1, s2, s3 = t0, s1 + t0, s2 + DOUBLE * s1 + t0, s3 + THREEFOLD * s2 + THREEFOLD * s1 + t0
        a1, a2, u1, u2 = (p1, p2, s1, s2) if linear else (p2, p3, s2, s3)
        g11, g12, g22 = (p2, p3, p4) if linear else (p4, p5, p6)
        r1, r2 = u1 - a1 * share_of_total, u2 - a2 * share_of_total
        h11, h12, h22 = g11 - a1 * a1 * share, g12 - a1 * a2 * share, g22 - a2 * a2 * share
        rise = h22 * r1 - h12 * r2
        misfit = squares - r2 * r2 / h22
        if i > 1 and rise > NOTHING:
            misfit = squares - (rise * r1 + (h11 * r2 - h12 * r1) * r2) / (h11 * h22 - h12 * h12)
        if i == best + 1:
            earlier = misfit
        if best == 0 or misfit <= least:
            best, least, later = i, misfit, before
        before = misfit
    begun = _f(at - best)
    bend = later - DOUBLE * least + earlier
    if 1 < best < reach and bend > NOTHING:
        begun += _f(max(-HALVED, min(HALVED, HALVED * (earlier - later) / bend)))
    return begun
