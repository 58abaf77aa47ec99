"""Partial volume on a GPU: one thread a voxel, the same orthogonalisation over its own neighbours."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32, int64
from numpy.typing import NDArray

from bolus_kernels.asl.partial_volume.layout import (
    ALIKE,
    LEAST_SEEN,
    LEAST_SHARE,
    LEAST_SQUARES,
    ONE,
    ZERO,
    Layout,
)
from bolus_kernels.cuda.launch import over_voxels
from bolus_kernels.device import Device
from bolus_kernels.jit import part


def launch(
    signals: NDArray[np.float32],
    shares: NDArray[np.float32],
    laid: Layout,
    found: NDArray[np.float32],
    variance: NDArray[np.float32],
    device: Device,
) -> None:
    """Fill found : (k, t, n) and variance : (k, n); signals : (t, n), shares : (k, n), which all threads read."""
    kinds, times, count = found.shape
    shared = (signals, shares, laid.row.reshape(-1), laid.jumps, laid.margin)
    maps = (found.reshape(kinds * times, count).T, variance.T)
    over_voxels(kernel(kinds, laid.jumps.size), (laid.place,), shared, maps, device)


@cache
def kernel(kinds: int, near: int) -> Callable[..., None]:
    """The kernel body for a number of tissues and of neighbours, which size a thread's own memory."""

    def regress(
        place: Any, signals: Any, shares: Any, row: Any, jumps: Any, margin: int, found: Any, variance: Any
    ) -> None:
        voxel = cuda.grid(1)
        if voxel >= place.size or row[place[voxel]] < 0:
            return
        which = cuda.local.array(near, int64)
        around = cuda.local.array((kinds, near), float32)
        apart = cuda.local.array((kinds, near), float32)
        squares = cuda.local.array(kinds, float32)
        for w in range(near):
            which[w] = row[place[voxel] - margin + jumps[w]]
            for k in range(kinds):
                around[k, w] = shares[k, which[w]] if which[w] >= 0 else ZERO
        times = signals.shape[0]
        for k in range(kinds):
            orthogonalise(around, k, apart, squares)
            if around[k, near // 2] >= LEAST_SHARE and squares[kinds - 1] >= LEAST_SQUARES:
                variance[k, voxel] = ONE / squares[kinds - 1]
                for t in range(times):
                    total = ZERO
                    for w in range(near):
                        if which[w] >= 0:
                            total += apart[kinds - 1, w] * signals[t, which[w]]
                    found[k * times + t, voxel] = total / squares[kinds - 1]

    return regress


@part
def orthogonalise(around: Any, k: int, apart: Any, squares: Any) -> None:
    """As the CPU's: the shares of every tissue, k last, less what those before explain, and their sums of squares."""
    kinds, near = around.shape
    for made in range(kinds):
        which = k if made == kinds - 1 else (made if made < k else made + 1)
        whole = ZERO
        for w in range(near):
            apart[made, w] = around[which, w]
            whole += around[which, w] * around[which, w]
        for m in range(made):
            dot = ZERO
            for w in range(near):
                dot += apart[made, w] * apart[m, w]
            dot = dot / squares[m] if squares[m] > ZERO else ZERO
            for w in range(near):
                apart[made, w] -= dot * apart[m, w]
        left = ZERO
        for w in range(near):
            left += apart[made, w] * apart[made, w]
        squares[made] = left if whole > LEAST_SEEN and left > ALIKE * whole else ZERO
