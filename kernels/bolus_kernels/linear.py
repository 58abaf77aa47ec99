"""Weighted sums over time: one pass over the curves for every quantity that is linear in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device, cpu
from bolus_kernels.jit import kernel
from bolus_kernels.tiles import TILE, time_major

HERE = cpu()


def weighted_sums(
    curves: NDArray[Any], weights: NDArray[np.float64], device: Device = HERE
) -> NDArray[np.float64]:
    """sum over t of weights[i, t] curves[n, t], summed in double precision, four samples at a time.

    curves : (n, t) float32. weights : (m, t), any unit. Gives (m, n) float64; NaN where a curve holds NaN.
    """
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        return on_cuda.weighted_sums(curves, weights, device)
    sums = np.empty((weights.shape[0], curves.shape[0]))
    _weighted_sums(time_major(curves), np.ascontiguousarray(weights), sums)
    return sums


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


def energy(curves: NDArray[Any], device: Device) -> NDArray[np.float64]:
    """sum over t of curves[n, t] squared in double precision, (n,); curves : (n, t) float32."""
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        return on_cuda.energy(curves, device)
    sums = np.zeros(curves.shape[0])
    _energy(time_major(curves), sums)
    return sums


@kernel
def _weighted_sums(curves: Any, weights: Any, sums: Any) -> None:
    times, n = curves.shape
    for begin in range(0, n, TILE):
        end = min(begin + TILE, n)
        sums[:, begin:end] = 0.0
        for t in range(0, times - 3, 4):
            c0, c1, c2, c3 = curves[t], curves[t + 1], curves[t + 2], curves[t + 3]
            for i in range(weights.shape[0]):
                w0, w1, w2, w3 = weights[i, t], weights[i, t + 1], weights[i, t + 2], weights[i, t + 3]
                for v in range(begin, end):
                    sums[i, v] += w0 * c0[v] + w1 * c1[v] + w2 * c2[v] + w3 * c3[v]
        for t in range(times - times % 4, times):
            for i in range(weights.shape[0]):
                for v in range(begin, end):
                    sums[i, v] += weights[i, t] * curves[t, v]


@kernel
def _chosen_sums(curves: Any, weights: Any, choice: Any, sums: Any) -> None:
    for begin in range(0, curves.shape[1], TILE):
        end = min(begin + TILE, curves.shape[1])
        for t in range(curves.shape[0]):
            for v in range(begin, end):
                sums[v] += weights[t, choice[v]] * curves[t, v]


@kernel
def _energy(curves: Any, sums: Any) -> None:
    for begin in range(0, curves.shape[1], TILE):
        end = min(begin + TILE, curves.shape[1])
        for t in range(curves.shape[0]):
            for v in range(begin, end):
                sums[v] += np.float64(curves[t, v]) * np.float64(curves[t, v])
