"""Deconvolution on a GPU: by one matrix, by as many singular pairs as a voxel allows, or damped as it asks for."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import Scratch, finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.jit import part
from bolus_kernels.method import VoxelMaps
from bolus_kernels.state import State

ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-3e38)
NOTHING, TWICE, MOST = np.float64(0), np.float64(2), np.float64(np.inf)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


def by_matrix(
    curves: NDArray[Any],
    matrix: NDArray[np.float64],
    turn: int,
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
) -> None:
    """Fill cbf with max f, f = matrix @ curve, tmax with its place, and the state of each voxel.

    curves : (n, t) float32. matrix : (L, t). turn : the sample from which f stands before zero. maps : cbf, tmax
    (n,) float32, state (n,) uint8. written : (L, n or 0) float32 takes f itself, where n is not zero.
    """
    over_voxels(
        _by_matrix,
        (curves,),
        (np.ascontiguousarray(matrix.T, np.float32), turn),
        _filled(maps, written),
        device,
    )


def by_oscillation(
    curves: NDArray[Any],
    analysis: NDArray[np.float64],
    synthesis: NDArray[np.float64],
    limit: np.float32,
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
) -> None:
    """The same with as many conjugate pairs as the oscillation index of each voxel allows.

    analysis : (2k, t), synthesis : (L, 2k), cosine and sine of each pair in turn. limit : float32, L times that
    of the index.
    """
    waves = np.ascontiguousarray(synthesis.T, np.float32)
    rows, length = waves.shape
    shared = (analysis, waves, limit)
    room = Scratch((rows,)), Scratch((length,))
    over_voxels(_by_oscillation, (curves,), shared, _filled(maps, written), device, room)


def by_strength(
    curves: NDArray[Any],
    inverse: NDArray[np.complex128],
    square: NDArray[np.float64],
    table: NDArray[np.float64],
    strengths: NDArray[np.float64],
    cornered: bool,
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
) -> None:
    """The same with every frequency, damped as much as the table's score of each voxel asks for.

    inverse, square : (k,), of frequency 0 ... t, as `tikhonov` has them. table : (m, >= k), scores, or (4m, >= k)
    where `cornered`, what the curvature of the L-curve is told from. strengths : (m,) (mu/s_max)^2.
    """
    count = inverse.size
    angle = np.pi / (count - 1) * np.outer(np.arange(count), np.arange(2 * count - 2))
    waves = np.stack([np.cos(angle), np.sin(angle)], 1).reshape(2 * count, -1)
    turned = np.stack([inverse.real, inverse.imag], 1)
    shared = (
        waves,
        waves.astype(np.float32),
        turned,
        square.astype(np.float32),
        table,
        strengths,
        int(cornered),
    )
    room = (Scratch((2 * count,), np.float64),)
    over_voxels(_by_strength, (curves,), shared, _filled(maps, written), device, room)


def _filled(maps: VoxelMaps, written: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    return maps["cbf"], maps["tmax"], maps["state"], written.T


@part
def find_peak(
    waves: Any, work: Any, rows: int, turn: int, voxel: int, top: Any, at: Any, state: Any, written: Any
) -> None:
    """The peak of f_j = sum over i < rows of waves[i, j] work[i, voxel], and where it stands."""
    length = waves.shape[1]
    best, place = LOWEST, 0
    for j in range(length):
        f = ZERO
        for i in range(rows):
            f += waves[i, j] * np.float32(work[i, voxel])
        if written.shape[1] > 0:
            written[j, voxel] = f
        if f > best:
            best, place = f, j
    if best > ZERO:
        top[voxel], at[voxel] = best, np.float32(place - length if place >= turn else place)
    else:
        state[voxel] = NO_SOLUTION


def _by_matrix(curves: Any, matrix: Any, turn: int, top: Any, at: Any, state: Any, written: Any) -> None:
    """matrix : (t, L) float32."""
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if finite(curves, voxel):
        find_peak(matrix, curves, curves.shape[0], turn, voxel, top, at, state, written)
    else:
        state[voxel] = NOT_FINITE


def _by_oscillation(
    curves: Any, analysis: Any, waves: Any, limit: Any, work: Any, residue: Any,
    top: Any, at: Any, state: Any, written: Any,
) -> None:  # fmt: skip
    """Add conjugate pairs one at a time and keep the last number of them that obeyed the limit.

    work : (2k, n), the coefficients. residue : (L, n), the sum so far. The coefficients are summed in double precision:
    small singular values magnify their rounding, if no more than that of the curve itself.
    """
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    rows, length = waves.shape
    for i in range(rows):
        total = NOTHING
        for t in range(analysis.shape[1]):
            total += analysis[i, t] * curves[t, voxel]
        work[i, voxel] = total
    for j in range(length):
        residue[j, voxel] = ZERO
    kept = 0
    for i in range(0, rows, 2):
        a, b = work[i, voxel], work[i + 1, voxel]
        most, rough, before, slope = LOWEST, ZERO, ZERO, ZERO
        for j in range(length):
            f = residue[j, voxel] + waves[i, j] * a + waves[i + 1, j] * b
            residue[j, voxel] = f
            most = max(most, f)
            if j > 1:
                rough += abs((f - before) - slope)
            slope, before = f - before, f
        if most > ZERO and rough <= limit * most:
            kept = i + 2
    find_peak(waves, work, kept, length // 2, voxel, top, at, state, written)


def _by_strength(
    curves: Any, forth: Any, waves: Any, inverse: Any, square: Any, table: Any, strengths: Any, cornered: int,
    work: Any, top: Any, at: Any, state: Any, written: Any,
) -> None:  # fmt: skip
    """Score every strength in double precision, as on the CPU, where neighbours differ by little; damp by the best.

    forth : (2k, L) float64. inverse : (k, 2), real and imaginary part. work : (2k, n) float64, the sums of the curve
    with the waves, then the coefficients.
    """
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    count = square.size
    for i in range(2 * count):
        total = NOTHING
        for t in range(curves.shape[0]):
            total += forth[i, t] * curves[t, voxel]
        work[i, voxel] = total
    least, chosen = MOST, strengths[0]
    for r in range(strengths.size):
        score = weighted_power(table, 4 * r if cornered else r, work, voxel)
        if cornered:
            eta = weighted_power(table, 4 * r + 1, work, voxel)
            slope = weighted_power(table, 4 * r + 2, work, voxel)
            score = corner(score, eta, slope, strengths[r])
        if score < least:
            least, chosen = score, strengths[r]
    for i in range(count):
        share = ONE / (square[i] + np.float32(chosen))
        a, b, re, im = work[2 * i, voxel], work[2 * i + 1, voxel], inverse[i, 0], inverse[i, 1]
        work[2 * i, voxel] = share * np.float32(re * a + im * b)
        work[2 * i + 1, voxel] = share * np.float32(re * b - im * a)
    find_peak(waves, work, 2 * count, count - 1, voxel, top, at, state, written)


@part
def weighted_power(table: Any, row: int, work: Any, voxel: int) -> Any:
    """sum over k of table[row, k] |C_k|^2; work : (2k, n), real and imaginary part in turn."""
    total = NOTHING
    for i in range(work.shape[0] // 2):
        a, b = work[2 * i, voxel], work[2 * i + 1, voxel]
        total += table[row, i] * (a * a + b * b)
    return total


@part
def corner(rho: Any, eta: Any, slope: Any, square: Any) -> Any:
    """Minus the curvature of the L-curve, as `tikhonov` has it; square : (mu/s_max)^2."""
    mu = sqrt(square)
    bend = square * slope * rho + TWICE * mu * eta * rho + square * square * eta * slope
    length = square * square * eta * eta + rho * rho
    return TWICE * (eta * rho / slope) * (bend / (length * sqrt(length)))
