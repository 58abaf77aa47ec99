"""Weighted sums over time, for every quantity that is linear in the curves, and their sum of squares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device, cpu
from bolus_kernels.jit import kernel, part
from bolus_kernels.tiles import TILE, time_major

HERE = cpu()
STRIP = 1024
"""Voxels side by side: a page of each volume, which the processor fetches ahead, and sums that stay in the cache."""
TOGETHER = 3
"""Rows of weights that a sample is multiplied by at once, beside itself: those of a leakage fit with one shape."""
_d = np.float64


def weighted_sums(
    curves: NDArray[Any], weights: NDArray[np.float64], device: Device = HERE
) -> NDArray[np.float64]:
    """sum over t of weights[i, t] curves[n, t], summed in double precision, four samples at a time.

    curves : (n, t) float32. weights : (m, t), any unit. Gives (m, n) float64; NaN where a curve holds NaN.
    """
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        return on_cuda.weighted_sums(curves, weights, device)
    sums = np.zeros((weights.shape[0], curves.shape[0]))
    _weighted_sums(time_major(curves), np.ascontiguousarray(weights, np.float64), sums)
    return sums


def sums_and_energy(
    curves: NDArray[Any], weights: NDArray[np.float64], device: Device
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums of `weighted_sums`, (m, n), and sum over t of curves[n, t] squared, (n,) float64."""
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        return weighted_sums(curves, weights, device), on_cuda.energy(curves, device)
    rows = np.zeros((max(TOGETHER, weights.shape[0]), curves.shape[1]))
    rows[: weights.shape[0]] = weights
    sums, energy = np.zeros((len(rows), curves.shape[0])), np.zeros(curves.shape[0])
    _sums_and_energy(time_major(curves), rows, sums, energy)
    return sums[: weights.shape[0]], energy


def chosen_sums(
    curves: NDArray[Any], weights: NDArray[np.float64], choice: NDArray[np.int32], device: Device
) -> NDArray[np.float64]:
    """sum over t of weights[choice[n], t] curves[n, t] in double precision, (n,): one row of weights a voxel.

    curves : (n, t) float32. weights : (m, t), any unit. choice : (n,) int32, 0..m-1.
    """
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        return on_cuda.chosen_sums(curves, weights, choice, device)
    sums = np.zeros(curves.shape[0])
    _chosen_sums(time_major(curves), np.ascontiguousarray(weights.T), choice, sums)
    return sums


@kernel
def _weighted_sums(curves: Any, weights: Any, sums: Any) -> None:
    """weights : (m, t), sums : (m, n), zero."""
    n = curves.shape[1]
    for begin in range(0, n, STRIP):
        end = min(begin + STRIP, n)
        for i in range(weights.shape[0]):
            _add_row(curves, begin, end, weights[i], sums[i, begin:end])


@kernel
def _sums_and_energy(curves: Any, weights: Any, sums: Any, energy: Any) -> None:
    """weights : (m, t), m >= 3. sums : (m, n) and energy : (n,), zero.

    The first three rows and the energy take each sample once: memory, and making it double, cost more than the sums.
    """
    times, n = curves.shape
    first, second, third = weights[0], weights[1], weights[2]
    for begin in range(0, n, STRIP):
        end = min(begin + STRIP, n)
        squares, one = energy[begin:end], sums[0, begin:end]
        two, three = sums[1, begin:end], sums[2, begin:end]
        for t in range(0, times - 3, 4):
            a0, a1, a2, a3 = first[t], first[t + 1], first[t + 2], first[t + 3]
            b0, b1, b2, b3 = second[t], second[t + 1], second[t + 2], second[t + 3]
            d0, d1, d2, d3 = third[t], third[t + 1], third[t + 2], third[t + 3]
            c0, c1 = curves[t, begin:end], curves[t + 1, begin:end]
            c2, c3 = curves[t + 2, begin:end], curves[t + 3, begin:end]
            for v in range(end - begin):
                x0, x1, x2, x3 = _d(c0[v]), _d(c1[v]), _d(c2[v]), _d(c3[v])
                squares[v] += x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3
                one[v] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                two[v] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                three[v] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
        for t in range(times - times % 4, times):
            last = curves[t, begin:end]
            for v in range(end - begin):
                x = _d(last[v])
                squares[v] += x * x
                one[v] += first[t] * x
                two[v] += second[t] * x
                three[v] += third[t] * x
        for i in range(TOGETHER, weights.shape[0]):
            _add_row(curves, begin, end, weights[i], sums[i, begin:end])


@part
def _add_row(curves: Any, begin: int, end: int, a: Any, made: Any) -> None:
    """Add the sums of one row of weights to `made`, for a strip of voxels."""
    times = curves.shape[0]
    for t in range(0, times - 3, 4):
        a0, a1, a2, a3 = a[t], a[t + 1], a[t + 2], a[t + 3]
        c0, c1 = curves[t, begin:end], curves[t + 1, begin:end]
        c2, c3 = curves[t + 2, begin:end], curves[t + 3, begin:end]
        for v in range(end - begin):
            made[v] += a0 * _d(c0[v]) + a1 * _d(c1[v]) + a2 * _d(c2[v]) + a3 * _d(c3[v])
    for t in range(times - times % 4, times):
        last = curves[t, begin:end]
        for v in range(end - begin):
            made[v] += a[t] * _d(last[v])


@kernel
def _chosen_sums(curves: Any, weights: Any, choice: Any, sums: Any) -> None:
    for begin in range(0, curves.shape[1], TILE):
        end = min(begin + TILE, curves.shape[1])
        for t in range(curves.shape[0]):
            for v in range(begin, end):
                sums[v] += weights[t, choice[v]] * curves[t, v]
