"""What a careful user would write without bolus: a voxel at a time, or a threshold at a time, in NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

Array = NDArray[Any]


def csvd_loop(series: Array, inverse: Array, echo_time: float, step: float, aif_area: float) -> Array:
    """Signal to CBF, CBV, MTT and Tmax, voxel by voxel; series : (t, n) int16, inverse : (2t, t), gives (n, 4)."""
    maps = np.empty((series.shape[1], 4))
    for voxel in range(series.shape[1]):
        signal = series[:, voxel].astype(np.float64)
        curve = -np.log(signal / signal[:7].mean()) / echo_time
        residue = inverse @ curve
        at = int(np.argmax(residue))
        flow = 6000 * residue[at]
        volume = 100 * step * (curve.sum() - 0.5 * (curve[0] + curve[-1])) / aif_area
        late = at - residue.size if at >= residue.size // 2 else at
        maps[voxel] = flow, volume, 60 * volume / flow, late * step
    return maps


def osvd_by_threshold(curves: Array, aif: Array, step: float, limit: float) -> Array:
    """oSVD recomputed for every threshold by FFT, all voxels of a block at once; curves : (n, t), gives max f (n,)."""
    length = 2 * curves.shape[1]
    transfer = step * np.fft.rfft(aif, length)
    spectrum = np.fft.rfft(curves, length, axis=1) / transfer
    best = np.full(curves.shape[0], np.nan)
    for threshold in np.sort(np.abs(transfer))[::-1]:
        residue = np.fft.irfft(np.where(np.abs(transfer) >= threshold, spectrum, 0), length, axis=1)
        top = residue.max(axis=1)
        rough = np.abs(np.diff(residue, 2, axis=1)).sum(axis=1) / length
        best = np.where((top > 0) & (rough <= limit * top), top, best)
    return best


def osvd_loop(curves: Array, inverses: Array, limit: float) -> Array:
    """oSVD as published tools do it: per voxel, one inverse per threshold; inverses : (k, 2t, t), gives (n,)."""
    best = np.full(curves.shape[0], np.nan)
    for voxel, curve in enumerate(curves.astype(np.float64)):
        for inverse in inverses:
            residue = inverse @ curve
            top = residue.max()
            if top > 0 and np.abs(np.diff(residue, 2)).sum() / residue.size <= limit * top:
                best[voxel] = top
    return best


def curve_fit_loop(
    curves: Array, delays: Array, duration: float, t1_tissue: float, *, arterial: bool = False
) -> Array:
    """CBF and ATT by least squares, voxel by voxel; curves : (n, t) of a PCASL series, gives (n, 2).

    Levenberg-Marquardt; with blood in arteries too, (n, 4), and bounds that keep volumes and arrivals positive.
    """
    efficiency, partition, t1_blood = 0.85, 0.9, 1.65
    times = delays + duration

    def tissue(flow: float, arrival: float) -> Array:
        rate = 1 / t1_tissue + flow / partition
        gain = 2 * efficiency * flow / partition / rate * np.exp(-arrival / t1_blood)
        rising = 1 - np.exp(-(times - arrival) * rate)
        falling = np.exp(-(times - duration - arrival) * rate) * (1 - np.exp(-duration * rate))
        return gain * np.where(times < arrival, 0, np.where(times < arrival + duration, rising, falling))

    def alone(_: Array, flow: float, arrival: float) -> Array:
        return tissue(flow, arrival)

    def with_artery(_: Array, flow: float, arrival: float, volume: float, filled: float) -> Array:
        passing = (times > filled) & (times < filled + duration)
        return tissue(flow, arrival) + 2 * efficiency / partition * volume * passing * np.exp(
            -filled / t1_blood
        )

    fits = np.full((curves.shape[0], 4 if arterial else 2), np.nan)
    for voxel, curve in enumerate(curves):
        try:
            if arterial:
                bounds = ([0, 0, 0, 0], [0.05, 4, 0.1, 4])
                fits[voxel], _ = curve_fit(
                    with_artery, times, curve, p0=(0.01, 1.0, 0.005, 0.7), bounds=bounds
                )
            else:
                fits[voxel], _ = curve_fit(alone, times, curve, p0=(0.01, 1.0))
        except RuntimeError:  # no convergence: what a peer would leave at zero
            continue
    return fits
