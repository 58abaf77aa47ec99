"""Weighted sums over time: one pass over the curves for every quantity that is linear in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device, cpu
from bolus_kernels.jit import kernel
from bolus_kernels.tiles import TILE, time_major

HERE = cpu()
_d = np.float64


def weighted_sums(
    curves: NDArray[Any], weights: NDArray[np.float64], device: Device = HERE
) -> NDArray[np.float64]:
    """sum over t of weights[i, t] curves[n, t], summed in double precision, four samples at a time.

    curves : (n, t) float32. weights : (m, t), any unit. Gives (m, n) float64; NaN where a curve holds NaN.
    """
    return sums_and_energy(curves, weights, device)[0]


def sums_and_energy(
    curves: NDArray[Any], weights: NDArray[np.float64], device: Device
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums of `weighted_sums`, (m, n), and sum over t of curves[n, t] squared, (n,) float64, in one pass."""
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        return on_cuda.weighted_sums(curves, weights, device), on_cuda.energy(curves, device)
    count, n = weights.shape[0], curves.shape[0]
    even = np.zeros((count + count % 2, curves.shape[1]))
    even[:count] = weights
    sums, energy = np.zeros((len(even), n)), np.zeros(n)
    _weighted_sums(time_major(curves), even, sums, energy)
    return sums[:count], energy


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
def _weighted_sums(curves: Any, weights: Any, sums: Any, energy: Any) -> None:
    """Two weights at a time share what is read; weights : (even, t), sums : (even, n), energy : (n,), all zero."""
    times, n = curves.shape
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        squares = energy[begin : begin + width]
        for t in range(0, times - 3, 4):
            c0, c1 = curves[t, begin : begin + width], curves[t + 1, begin : begin + width]
            c2, c3 = curves[t + 2, begin : begin + width], curves[t + 3, begin : begin + width]
            for v in range(width):
                x0, x1, x2, x3 = _d(c0[v]), _d(c1[v]), _d(c2[v]), _d(c3[v])
                squares[v] += x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3
            for i in range(0, weights.shape[0], 2):
                a0, a1, a2, a3 = weights[i, t], weights[i, t + 1], weights[i, t + 2], weights[i, t + 3]
                b0, b1, b2, b3 = (
                    weights[i + 1, t], weights[i + 1, t + 1], weights[i + 1, t + 2], weights[i + 1, t + 3],
                )  # fmt: skip
                first, second = sums[i, begin : begin + width], sums[i + 1, begin : begin + width]
                for v in range(width):
                    x0, x1, x2, x3 = _d(c0[v]), _d(c1[v]), _d(c2[v]), _d(c3[v])
                    first[v] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                    second[v] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        for t in range(times - times % 4, times):
            last = curves[t, begin : begin + width]
            for v in range(width):
                squares[v] += _d(last[v]) * _d(last[v])
            for i in range(weights.shape[0]):
                made = sums[i, begin : begin + width]
                for v in range(width):
                    made[v] += weights[i, t] * last[v]


@kernel
def _chosen_sums(curves: Any, weights: Any, choice: Any, sums: Any) -> None:
    for begin in range(0, curves.shape[1], TILE):
        end = min(begin + TILE, curves.shape[1])
        for t in range(curves.shape[0]):
            for v in range(begin, end):
                sums[v] += weights[t, choice[v]] * curves[t, v]
