"""The first pass on a GPU: one thread a voxel, the arithmetic of `search` taken in as it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float64
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import Scratch, finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.dsc.first_pass.gamma_fit import ROWS
from bolus_kernels.dsc.first_pass.search import Search, Window, first_pass
from bolus_kernels.state import State

NOT_FINITE = int(State.NOT_FINITE)


def areas(
    curves: NDArray[Any],
    window: Window,
    search: Search,
    area: NDArray[np.float64],
    state: NDArray[np.uint8],
    device: Device,
) -> None:
    """Fill area : (n,) of the gamma variate of each curve of (n, t) where it is good, and state : (n,)."""
    times = curves.shape[1]
    scratch = (
        Scratch((times,), np.float64),
        Scratch((search.shape.shape[1],), np.float64),
        Scratch((2 * times,), np.float64),
        Scratch((2 * times,), np.int64),
        Scratch((times,), np.bool_),
    )
    over_voxels(_areas, (curves,), (*window, *search), (area, state), device, scratch)


def _areas(
    curves: Any, begin: int, until: int, step: float, cutoff: float, beyond: float,
    shape: Any, known: Any, squares: Any, values: Any, sums: Any, gains: Any, choices: Any, passed: Any,
    area: Any, state: Any,
) -> None:  # fmt: skip
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    curve = values[:, voxel]
    for t in range(curves.shape[0]):
        curve[t] = curves[t, voxel]
    value, state[voxel] = first_pass(
        curve,
        Window(begin, until, step, cutoff, beyond),
        Search(shape, known, squares),
        sums[:, voxel],
        gains[:, voxel],
        choices[:, voxel],
        passed[:, voxel],
        cuda.local.array((ROWS, 3), float64),
        cuda.local.array(2, float64),
    )
    if state[voxel] == 0:
        area[voxel] = value
