"""Leakage that washes back, on a GPU: the best kep of one voxel, as `bidirectional` finds it for tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import over_voxels
from bolus_kernels.device import Device
from bolus_kernels.jit import part

ZERO, ONE, TWO, HALF, EIGHTH = (np.float64(x) for x in (0, 1, 2, 0.5, 0.125))
REFINEMENTS = 4


def best_washout(
    moments: NDArray[np.float64],
    told: NDArray[np.float64],
    shape: NDArray[np.int32],
    tables: Sequence[NDArray[np.float64]],
    best: NDArray[np.float64],
    device: Device,
) -> None:
    """Fill best : (5, n) with the place of kep, -K2, I . s, the area of I, and how much the leakage explains.

    moments : (terms, n). told, shape : (n,). tables : mixed, across, area, waves, weights, as in `Retention`.
    """
    over_voxels(_best, (moments.T, told, shape), tuple(tables), (best.T,), device)


def _best(
    moments: Any,
    told: Any,
    shape: Any,
    mixed: Any,
    across: Any,
    area: Any,
    waves: Any,
    weights: Any,
    best: Any,
) -> None:
    """In double precision, as on the CPU: the gain is flat around the best kep."""
    voxel = cuda.grid(1)
    if voxel >= moments.shape[1]:
        return
    own, b, share = moments[:, voxel], shape[voxel], told[voxel]
    top, at, step = -ONE, ZERO, TWO / (waves.shape[0] - 1)
    for g in range(waves.shape[0]):
        total = ZERO
        for k in range(waves.shape[1]):
            total += waves[g, k] * (own[k] - mixed[b, k] * share)
        explained = total * total * weights[b, g]
        if explained > top:
            top, at = explained, step * g - ONE
    for _ in range(REFINEMENTS):
        middle = min(max(at, step - ONE), ONE - step)
        left = gain(own, share, mixed[b], across[b], middle - step)
        centre = gain(own, share, mixed[b], across[b], middle)
        right = gain(own, share, mixed[b], across[b], middle + step)
        slope, bend = HALF * (right - left), left - TWO * centre + right
        shift = ONE if slope > ZERO else -ONE
        if bend < -abs(slope):
            shift = -slope / bend
        at = middle + step * shift
        step *= EIGHTH
    blood = series(mixed[b], at)
    numerator = series(own, at) - share * blood
    leaked = numerator / series(across[b], at)
    best[0, voxel], best[1, voxel], best[2, voxel] = at, leaked, blood
    best[3, voxel], best[4, voxel] = series(area, at), leaked * numerator


@part
def gain(own: Any, share: Any, mixed: Any, across: Any, x: Any) -> Any:
    """How much leakage with kep at x explains of the curve's sum of squares."""
    numerator = series(own, x) - share * series(mixed, x)
    return numerator * numerator / series(across, x)


@part
def series(row: Any, x: Any) -> Any:
    """A Chebyshev series at x (Clenshaw, Math Tables Aids Comput 9:118 (1955))."""
    following, after = ZERO, ZERO
    for k in range(row.size - 1, 0, -1):
        following, after = row[k] + TWO * x * following - after, following
    return row[0] + x * following - after
