"""Deconvolution on a GPU by as many singular pairs as the oscillation of a voxel allows, in its thread's registers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32, float64
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import Scratch, U, finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.between_cuda import TERMS, rise
from bolus_kernels.dsc.deconvolution.cuda import (
    LOWEST,
    NOT_FINITE,
    NOTHING,
    ZERO,
    filled,
    find_peak,
    tell_peak,
)
from bolus_kernels.dsc.deconvolution.series import weights
from bolus_kernels.jit import part
from bolus_kernels.method import VoxelMaps

ROWS = 4
"""Coefficients that a thread sums at a time, for a sample that it has read."""


def by_oscillation(
    curves: NDArray[Any],
    analysis: NDArray[np.float64],
    synthesis: NDArray[np.float64],
    limit: np.float32,
    frequency: NDArray[np.int64],
    between: bool,
    maps: VoxelMaps,
    written: NDArray[np.float32],
    device: Device,
) -> None:
    """As `cuda.by_matrix`, with as many conjugate pairs as the oscillation index of each voxel allows.

    analysis : (2k, t), synthesis : (L, 2k), cosine and sine of each pair in turn. limit : float32, L times that
    of the index. frequency : (k,) of the pairs. between : whether the peak may lie between samples.
    """
    length, rows = synthesis.shape
    more = (0, -rows % ROWS), (0, 0)
    waves, told = np.pad(synthesis.T.astype(np.float32), more), np.pad(analysis, more)
    room = (Scratch((len(waves),)),)
    shared = told, waves, limit, weights(length // 2, frequency, TERMS)
    over_voxels(pairwise(length, between), (curves,), shared, filled(maps, written), device, room)


@cache
def pairwise(length: int, between: bool) -> Callable[..., None]:
    """The kernel body for a number of samples, which sizes a thread's own memory: registers, as far as they go.

    between : whether it moves the peak to where it stands between samples.
    """
    half = length // 2

    def by_oscillation(
        curves: Any,
        analysis: Any,
        waves: Any,
        limit: Any,
        weight: Any,
        work: Any,
        top: Any,
        at: Any,
        state: Any,
        written: Any,
    ) -> None:
        """Add conjugate pairs one at a time and keep the last number of them that obeyed the limit.

        analysis : (2k and more, a multiple of ROWS, t), waves : likewise (2k, L), zero from 2k on. work : (2k, n), the
        coefficients, which are summed in double precision: small singular values magnify their rounding, if no more
        than that of the curve itself.
        """
        voxel = U(cuda.grid(1))
        if voxel >= curves.shape[1]:
            return
        if not finite(curves, voxel):
            state[voxel] = NOT_FINITE
            return
        near, far = cuda.local.array(half, float32), cuda.local.array(half, float32)
        sums = cuda.local.array(ROWS, float64)
        for i in range(U(0), U(waves.shape[0]), U(ROWS)):
            for k in range(ROWS):
                sums[k] = NOTHING
            for t in range(U(curves.shape[0])):
                c = np.float64(curves[t, voxel])
                for k in range(ROWS):
                    sums[k] += analysis[i + U(k), t] * c
            for k in range(ROWS):
                work[i + U(k), voxel] = sums[k]
        for j in range(half):
            near[j], far[j] = ZERO, ZERO
        kept, best, place = U(0), ZERO, 0
        for i in range(U(0), U(waves.shape[0]), U(2)):
            a, b, told = work[i, voxel], work[i + U(1), voxel], (LOWEST, ZERO, ZERO, ZERO)
            for j in range(half):
                near[j] = near[j] + waves[i, j] * a + waves[i + U(1), j] * b
                told = follow(near[j], j > 1, told)
            for j in range(half):
                far[j] = far[j] + waves[i, half + j] * a + waves[i + U(1), half + j] * b
                told = follow(far[j], half + j > 1, told)
            most, rough = told[0], told[1]
            if most > ZERO and rough <= limit * most:
                kept, best = i + U(2), most
                for j in range(half):
                    place = 2 * half - 1 - j if far[half - 1 - j] == most else place
                for j in range(half):
                    place = half - 1 - j if near[half - 1 - j] == most else place
        tell_peak(best, place, length, half, voxel, top, at, state)
        if written.shape[1] > 0:
            find_peak(waves, work, kept, half, voxel, top, at, state, written)
        if between and kept > U(0):
            series = cuda.local.array(TERMS, float32)
            rise(waves, weight, work, kept, half, voxel, top, at, series)

    return by_oscillation


@part
def follow(f: Any, bends: bool, told: Any) -> Any:
    """Take the next sample into the maximum and the sum of second differences, where it `bends` from two before."""
    most, rough, before, slope = told
    if bends:
        rough += abs((f - before) - slope)
    return max(most, f), rough, f, f - before
