"""DSC signal to relaxation on a GPU: the series goes over as it is stored, the curves stay there for the methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import U, over_voxels
from bolus_kernels.device import Device, empty_on_device, from_device, on_device
from bolus_kernels.dsc.echo import GOOD, Share, judge
from bolus_kernels.scalar import log
from bolus_kernels.tiles import FINITE

ZERO, ONE, NAN = np.float32(0), np.float32(1), np.float32(np.nan)


def relaxed(
    shares: Sequence[Share], rows: NDArray[np.int64], baseline: tuple[int, int], device: Device
) -> tuple[Any, NDArray[np.uint8], NDArray[np.float32], Any]:
    """As `concentration.relaxation`: the curves (n, t) on the GPU, state and baseline signal (n,) here, and the curves
    of the usual echo alone, (n, t) on the GPU, or None."""
    times, several = len(shares[0].echo.series), len(shares) > 1
    values = empty_on_device((times, rows.size), np.float32)
    single = empty_on_device((times if several else 0, rows.size), np.float32)
    state, signal = empty_on_device((rows.size,), np.uint8), empty_on_device((rows.size,), np.float32)
    there = on_device(rows)
    for index, (echo, weight, alone, usual) in enumerate(shares):
        scale = np.float32(echo.slope), np.float32(echo.inter), *baseline, np.float32(echo.saturation)
        told = (on_device(echo.series), *scale, weight, alone, index > 0, usual)
        over_voxels(_relaxed, (there,), told, (values.T, single.T, state, signal), device)
    return values.T, from_device(state), from_device(signal), single.T if several else None


def _relaxed(
    rows: Any, series: Any, slope: Any, inter: Any, first: int, stop: int, saturation: Any, weight: Any, alone: Any,
    later: bool, usual: bool, values: Any, single: Any, state: Any, signal: Any,
) -> None:  # fmt: skip
    """One echo, with its weight, into the curves (t, n), or added to those before where it is a `later` one.

    rows : (n,) positions in series : (t, N).
    """
    voxel = U(cuda.grid(1))
    if voxel >= rows.size:
        return
    row, times = U(rows[voxel]), U(series.shape[0])
    low, high, total, base = FINITE, -FINITE, ZERO, ZERO
    for t in range(times):
        x = np.float32(series[t, row])
        low, high, total = min(low, x), max(high, x), total + x
    for t in range(U(first), U(stop)):
        base += np.float32(series[t, row])
    mean = slope * (base / np.float32(stop - first)) + inter
    lowest = slope * (low if slope > ZERO else high) + inter
    finite: Any = abs(total) <= FINITE
    found = judge(finite, low == high, mean, lowest, high >= saturation)
    if not later or state[voxel] == GOOD:
        state[voxel] = found
    if usual:
        signal[voxel] = mean
    share = ONE / mean
    gain, own = (weight, alone) if found == GOOD else (NAN, NAN)
    for t in range(times):
        x = slope * np.float32(series[t, row]) + inter
        fall = log(x * share)
        values[t, voxel] = gain * fall + (values[t, voxel] if later else ZERO)
        if alone != ZERO:
            single[t, voxel] = own * fall
