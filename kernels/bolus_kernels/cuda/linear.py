"""Sums over time on a GPU, in double precision as on the CPU, and the choice among candidates by their projections."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import U, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.tiles import FINITE

ZERO, NOTHING = np.float32(0), np.float64(0)
MOST_COMPONENTS = 24


def weighted_sums(curves: NDArray[Any], weights: NDArray[np.float64], device: Device) -> NDArray[np.float64]:
    """sum over t of weights[i, t] curves[n, t]; curves : (n, t) float32, weights : (m, t). Gives (m, n) float64."""
    sums = np.empty((weights.shape[0], curves.shape[0]))
    over_voxels(_weighted_sums, (curves,), (np.ascontiguousarray(weights),), (sums.T,), device)
    return sums


def chosen_sums(
    curves: NDArray[Any], weights: NDArray[np.float64], choice: NDArray[np.int32], device: Device
) -> NDArray[np.float64]:
    """sum over t of weights[choice[n], t] curves[n, t]; choice : (n,). Gives (n,) float64."""
    sums = np.empty(curves.shape[0])
    over_voxels(_chosen_sums, (curves, choice), (np.ascontiguousarray(weights),), (sums,), device)
    return sums


def energy(curves: NDArray[Any], device: Device) -> NDArray[np.float64]:
    """sum over t of curves[n, t] squared, (n,) float64."""
    sums = np.empty(curves.shape[0])
    over_voxels(_energy, (curves,), (), (sums,), device)
    return sums


def least_residual(
    curves: NDArray[Any],
    basis: NDArray[np.float32],
    parts: NDArray[np.float32],
    left: NDArray[np.float32],
    floor: NDArray[np.float32],
    factor: NDArray[np.float32],
    choice: NDArray[np.int32],
    device: Device,
) -> None:
    """Fill choice : (n,) with g b + i of the least factor[i] max(left[g] - (parts[g, i] . basis . curve)^2, floor).

    basis : (MOST_COMPONENTS, t), parts : (g, b, MOST_COMPONENTS), left : (g, n), floor : (n,), factor : (b,).
    """
    over_voxels(_least_residual, (curves, left.T, floor), (basis, parts, factor), (choice,), device)


def _weighted_sums(curves: Any, weights: Any, sums: Any) -> None:
    voxel = U(cuda.grid(1))
    if voxel >= curves.shape[1]:
        return
    for i in range(U(weights.shape[0])):
        total = NOTHING
        for t in range(U(weights.shape[1])):
            total += weights[i, t] * curves[t, voxel]
        sums[i, voxel] = total


def _chosen_sums(curves: Any, choice: Any, weights: Any, sums: Any) -> None:
    voxel = U(cuda.grid(1))
    if voxel >= curves.shape[1]:
        return
    total = NOTHING
    for t in range(U(weights.shape[1])):
        total += weights[U(choice[voxel]), t] * curves[t, voxel]
    sums[voxel] = total


def _energy(curves: Any, sums: Any) -> None:
    voxel = U(cuda.grid(1))
    if voxel >= curves.shape[1]:
        return
    total = NOTHING
    for t in range(U(curves.shape[0])):
        c = np.float64(curves[t, voxel])
        total += c * c
    sums[voxel] = total


def _least_residual(
    curves: Any, left: Any, floor: Any, basis: Any, parts: Any, factor: Any, choice: Any
) -> None:
    voxel = U(cuda.grid(1))
    if voxel >= curves.shape[1]:
        return
    told = cuda.local.array(MOST_COMPONENTS, float32)
    for j in range(MOST_COMPONENTS):
        told[j] = ZERO
        for t in range(U(basis.shape[1])):
            told[j] += basis[j, t] * curves[t, voxel]
    least, best = FINITE, U(0)
    for g in range(U(parts.shape[0])):
        for b in range(U(parts.shape[1])):
            total = ZERO
            for j in range(MOST_COMPONENTS):
                total += parts[g, b, j] * told[j]
            price = factor[b] * max(left[g, voxel] - total * total, floor[voxel])
            if price < least:
                least, best = price, g * U(parts.shape[1]) + b
    choice[voxel] = best
