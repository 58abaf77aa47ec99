"""Deconvolution on a GPU: by one matrix, or damped as much as each voxel asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Any, Literal

import numpy as np
from numba import cuda, float32, uint32
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import Scratch, U, finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.between_cuda import TERMS, rise
from bolus_kernels.dsc.deconvolution.series import weights
from bolus_kernels.dsc.deconvolution.tensor_cuda import by_tensor_cores
from bolus_kernels.jit import part
from bolus_kernels.method import VoxelMaps
from bolus_kernels.state import State

ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-3e38)
NOTHING, TWICE, MOST = np.float64(0), np.float64(2), np.float64(np.inf)
ONCE, TWO, FOUR = U(1), U(2), U(4)
SIDE, TALL = 4, 12
"""Voxels and rows of a matrix that a thread multiplies at a time."""
Product = Literal["float32", "tf32x3"]
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


def by_matrix(
    curves: NDArray[Any],
    matrix: NDArray[np.float64],
    turn: int,
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
    product: Product = "float32",
) -> None:
    """Fill cbf with max f, f = matrix @ curve, tmax with its place, and the state of each voxel.

    curves : (n, t) float32. matrix : (L, t). turn : the sample from which f stands before zero. maps : cbf, tmax
    (n,) float32, state (n,) uint8. written : (L, n or 0) float32 takes f itself, where n is not zero. product : by
    float32, or by tensor cores in three products of TF32; which is faster has to be measured on the GPU.
    """
    if product == "tf32x3":
        by_tensor_cores(curves, matrix, turn, filled(maps, written), device)
        return
    length, times = matrix.shape
    padded = np.zeros((times, length + -length % TALL), np.float32)
    padded[:, :length] = matrix.T
    over_voxels(_by_matrix, (curves,), (padded, length, turn), filled(maps, written), device)


def by_pairs(
    curves: NDArray[Any],
    analysis: NDArray[np.float64],
    synthesis: NDArray[np.float64],
    frequency: NDArray[np.int64],
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
) -> None:
    """The same by f = synthesis @ analysis @ curve, whose peak may lie between samples.

    analysis : (2k, t), synthesis : (L, 2k), cosine and sine of each frequency : (k,) in turn.
    """
    times = analysis.shape[1]
    shared = analysis.astype(np.float32), synthesis.T.astype(np.float32), weights(times, frequency, TERMS)
    over_voxels(_by_pairs, (curves,), shared, filled(maps, written), device, (Scratch((len(analysis),)),))


def by_strength(
    curves: NDArray[Any],
    inverse: NDArray[np.complex128],
    square: NDArray[np.float64],
    table: NDArray[np.float64],
    strengths: NDArray[np.float64],
    cornered: bool,
    between: bool,
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
) -> None:
    """The same with every frequency, damped as much as the table's score of each voxel asks for.

    inverse, square : (k,), of frequency 0 ... t, as `tikhonov` has them. table : (m, >= k), scores, or (4m, >= k)
    where `cornered`, what the curvature of the L-curve is told from. strengths : (m,) (mu/s_max)^2. between : whether
    the peak may lie between samples.
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
        weights(count - 1, np.arange(count), TERMS),
    )
    room = (Scratch((2 * count,), np.float64),)
    over_voxels(strengthwise(between), (curves,), shared, filled(maps, written), device, room)


def filled(maps: VoxelMaps, written: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """What a kernel fills, in its order."""
    return maps["cbf"], maps["tmax"], maps["state"], written.T


@part
def find_peak(
    waves: Any, work: Any, rows: Any, turn: int, voxel: Any, top: Any, at: Any, state: Any, written: Any
) -> None:
    """The peak of f_j = sum over i < rows of waves[i, j] work[i, voxel], and where it stands."""
    length = waves.shape[1]
    best, place = LOWEST, U(0)
    for j in range(U(length)):
        f = ZERO
        for i in range(U(rows)):
            f += waves[i, j] * np.float32(work[i, voxel])
        if written.shape[1] > 0:
            written[j, voxel] = f
        if f > best:
            best, place = f, j
    tell_peak(best, place, length, turn, voxel, top, at, state)


@part
def tell_peak(
    best: Any, place: Any, length: int, turn: int, voxel: Any, top: Any, at: Any, state: Any
) -> None:
    """Note a peak and where it stands, from sample `turn` on before zero; or that there is none."""
    if best > ZERO:
        top[voxel], at[voxel] = best, np.float32(place) - np.float32(length if place >= turn else 0)
    else:
        state[voxel] = NO_SOLUTION


def _by_matrix(
    curves: Any, matrix: Any, length: int, turn: int, top: Any, at: Any, state: Any, written: Any
) -> None:
    """matrix : (t, length and more, a multiple of TALL) float32, zero from `length` on.

    A thread multiplies TALL rows with SIDE voxels at a time, for a sample and a weight that it has read are then used
    often; the threads that are left over have nothing to do.
    """
    count, times = U(curves.shape[1]), U(matrix.shape[0])
    threads = (count + U(SIDE - 1)) // U(SIDE)
    first = U(cuda.grid(1))
    if first >= threads:
        return
    sums = cuda.local.array((TALL, SIDE), float32)
    best, place = cuda.local.array(SIDE, float32), cuda.local.array(SIDE, uint32)
    own = cuda.local.array(SIDE, uint32)
    for v in range(SIDE):
        own[v] = min(first + U(v) * threads, count - U(1))
        best[v], place[v] = LOWEST, U(0)
    for j in range(U(0), U(length), U(TALL)):
        for k in range(TALL):
            for v in range(SIDE):
                sums[k, v] = ZERO
        for i in range(times):
            for k in range(TALL):
                weight = matrix[i, j + U(k)]
                for v in range(SIDE):
                    sums[k, v] += weight * curves[i, own[v]]
        for k in range(TALL):
            for v in range(SIDE):
                if sums[k, v] > best[v]:
                    best[v], place[v] = sums[k, v], j + U(k)
                if written.shape[1] > 0 and j + U(k) < U(length):
                    written[j + U(k), own[v]] = sums[k, v]
    for v in range(SIDE):
        if finite(curves, own[v]):
            tell_peak(best[v], place[v], length, turn, own[v], top, at, state)
        else:
            state[own[v]] = NOT_FINITE


def _by_pairs(
    curves: Any,
    analysis: Any,
    waves: Any,
    weight: Any,
    work: Any,
    top: Any,
    at: Any,
    state: Any,
    written: Any,
) -> None:
    """analysis : (2k, t), waves : (2k, L) float32. work : (2k, n), the coefficients."""
    voxel = U(cuda.grid(1))
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    rows, turn = U(waves.shape[0]), U(waves.shape[1] // 2)
    for i in range(U(rows)):
        total = ZERO
        for t in range(U(curves.shape[0])):
            total += analysis[i, t] * curves[t, voxel]
        work[i, voxel] = total
    find_peak(waves, work, rows, turn, voxel, top, at, state, written)
    if top[voxel] > ZERO:
        series = cuda.local.array(TERMS, float32)
        rise(waves, weight, work, rows, turn, voxel, top, at, series)


@cache
def strengthwise(between: bool) -> Callable[..., None]:
    """The kernel body that leaves the peak at its sample, or moves it to where it stands between samples."""

    def _by_strength(
        curves: Any, forth: Any, waves: Any, inverse: Any, square: Any, table: Any, strengths: Any, cornered: int,
        weight: Any, work: Any, top: Any, at: Any, state: Any, written: Any,
    ) -> None:  # fmt: skip
        """Score every strength in double precision, as on the CPU, where neighbours differ by little; damp by the best.

        forth : (2k, L) float64. inverse : (k, 2), real and imaginary part. weight : of `rise`. work : (2k, n) float64,
        the sums of the curve with the waves, then the coefficients.
        """
        voxel = U(cuda.grid(1))
        if voxel >= curves.shape[1]:
            return
        if not finite(curves, voxel):
            state[voxel] = NOT_FINITE
            return
        count = U(square.size)
        for i in range(TWO * count):
            total = NOTHING
            for t in range(U(curves.shape[0])):
                total += forth[i, t] * curves[t, voxel]
            work[i, voxel] = total
        least, chosen = MOST, strengths[0]
        for r in range(U(strengths.size)):
            score = weighted_power(table, FOUR * r if cornered else r, work, voxel)
            if cornered:
                eta = weighted_power(table, FOUR * r + ONCE, work, voxel)
                slope = weighted_power(table, FOUR * r + TWO, work, voxel)
                score = corner(score, eta, slope, strengths[r])
            if score < least:
                least, chosen = score, strengths[r]
        for i in range(count):
            share = ONE / (square[i] + np.float32(chosen))
            a, b, re, im = work[TWO * i, voxel], work[TWO * i + ONCE, voxel], inverse[i, 0], inverse[i, 1]
            work[TWO * i, voxel] = share * np.float32(re * a + im * b)
            work[TWO * i + ONCE, voxel] = share * np.float32(re * b - im * a)
        find_peak(waves, work, TWO * count, square.size - 1, voxel, top, at, state, written)
        if between and top[voxel] > ZERO:
            series = cuda.local.array(TERMS, float32)
            rise(waves, weight, work, TWO * count, square.size - 1, voxel, top, at, series)

    return _by_strength


@part
def weighted_power(table: Any, row: Any, work: Any, voxel: Any) -> Any:
    """sum over k of table[row, k] |C_k|^2; work : (2k, n), real and imaginary part in turn."""
    total = NOTHING
    for i in range(U(work.shape[0] // 2)):
        a, b = work[TWO * i, voxel], work[TWO * i + ONCE, voxel]
        total += table[row, i] * (a * a + b * b)
    return total


@part
def corner(rho: Any, eta: Any, slope: Any, square: Any) -> Any:
    """Minus the curvature of the L-curve, as `tikhonov` has it; square : (mu/s_max)^2."""
    mu = sqrt(square)
    bend = square * slope * rho + TWICE * mu * eta * rho + square * square * eta * slope
    length = square * square * eta * eta + rho * rho
    return TWICE * (eta * rho / slope) * (bend / (length * sqrt(length)))
