"""Numbers that say how good an ASL scan is: QEI, spatial variation, temporal SNR, negative flow, tissue means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.series import Array, Curves, Map
from bolus.voxels import volume_of
from bolus_kernels.asl.pairs import scatter
from bolus_kernels.asl.protocol import AslProtocol

GREY = 0.8
"""Probability of grey matter from which a voxel counts as such in means and shares."""
PURE = 0.7
"""Probability from which QEI takes a voxel for one tissue, as published."""
SMOOTHED = 5.0
"""FWHM of the Gaussian that QEI smooths with, mm."""
ROUNDING = 1e-12
"""Share of a voxel's squares below which its scatter is that of single precision: it has none."""
FWHM = 2 * np.sqrt(2 * np.log(2))


def quality_of(items: list[Map], curves: Curves, protocol: AslProtocol) -> dict[str, float]:
    """The quality numbers of one ASL scan, by the names that scans.tsv has for them; what cannot be told is absent.

    `volumes_used` always; of grey matter (probability above 0.8) `spatial_cov` (SD over mean of CBF), `tsnr`,
    `negative_gm` (share of voxels), `mean_gm_cbf` (ml/100g/min) and `mean_gm_att` (s), and `qei`, 0...1, where
    white matter is known too. Where no voxel is known to be grey the brain's as a whole, called so:
    `spatial_cov_brain`, `tsnr_brain`, `negative_brain`, `mean_brain_cbf`, `mean_brain_att`.
    """
    flat = {
        item.ending: item.data.reshape(-1, order="F")[curves.voxels]
        for item in items
        if item.ending in ("cbf", "att")
    }
    cbf = flat["cbf"].astype(np.float64)
    finite = np.isfinite(cbf)
    grey = curves.tissues.get("GM", np.zeros(cbf.size, np.float32)) > GREY
    known = bool((grey & finite).any())
    where, part, ending = (grey & finite, "gm", "") if known else (finite, "brain", "_brain")
    numbers = {"volumes_used": float(curves.constants["VolumesUsed"])}
    if where.any():
        numbers[f"mean_{part}_cbf"] = float(cbf[where].mean())
        numbers[f"negative_{part}"] = float((cbf[where] < 0).mean())
        numbers[f"spatial_cov{ending}"] = spatial_variation(cbf[where])
        numbers[f"tsnr{ending}"] = temporal_snr(
            curves.values, protocol.post_labeling_delay, protocol.labeling_duration, where
        )
        if "att" in flat:
            numbers[f"mean_{part}_att"] = float(np.nanmean(flat["att"][where], dtype=np.float64))
    if {"GM", "WM", "CSF"} <= curves.tissues.keys():
        numbers["qei"] = evaluation_index(smoothed(cbf, curves), curves.tissues, finite)
    return {name: value for name, value in numbers.items() if np.isfinite(value)}


def with_quality(items: list[Map], numbers: Mapping[str, float]) -> list[Map]:
    """The same maps, the sidecar of the blood flow telling the scan's quality numbers too."""
    return [
        replace(item, parameters={**item.parameters, "Quality": dict(numbers)})
        if item.ending == "cbf"
        else item
        for item in items
    ]


def spatial_variation(cbf: Array) -> float:
    """SD over mean of the flow in some voxels (n,). Mutsaerts et al., J Cereb Blood Flow Metab 37:3184 (2017)."""
    if cbf.size < 2 or cbf.mean() == 0:
        return float("nan")
    return float(cbf.std(ddof=1) / cbf.mean())


def temporal_snr(values: Array, delay: Array, duration: Array, where: NDArray[np.bool_]) -> float:
    """Mean over voxels of each voxel's mean difference over the SD of its repeats, NaN without repeats.

    values : (n, t), one column a pair. delay, duration : (t,) s; of several delays the SD is the one within them,
    pooled. where : (n,) bool. Voxels without scatter or with a gap do not count.
    """
    kinds, kind = np.unique(np.stack([delay, duration], axis=1), axis=0, return_inverse=True)
    freedom = len(delay) - len(kinds)
    if freedom == 0:
        return float("nan")
    found = scatter(values, kind.reshape(-1))
    scatters = where & (found.within > ROUNDING * found.power)  # never where there is NaN
    if not scatters.any():
        return float("nan")
    return float((found.mean[scatters] / np.sqrt(found.within[scatters] / freedom)).mean())


def smoothed(cbf: Array, curves: Curves) -> Array:
    """The flow (n,) of a map smoothed to 5 mm; outside the brain, and where it could not be computed, it is 0."""
    from scipy.ndimage import gaussian_filter

    volume = volume_of(np.nan_to_num(cbf, nan=0.0), curves.voxels, curves.mask.shape)
    sigma = [SMOOTHED / FWHM / zoom for zoom in curves.grid.zooms]
    return np.asarray(gaussian_filter(volume, sigma, mode="constant").reshape(-1, order="F")[curves.voxels])


def evaluation_index(cbf: Array, tissues: Mapping[str, Array], where: NDArray[np.bool_]) -> float:
    """QEI of a smoothed flow (n,), 0...1; NaN where structure or flow is the same everywhere.

    tissues : GM, WM, CSF -> (n,). where : (n,) bool. The likeness to 2.5 GM + WM, less for the variance within
    tissues over the flow of grey matter and for its share of negative voxels.
    Source: Dolui et al., J Magn Reson Imaging 60:2497 (2024).
    """
    structure = 2.5 * tissues["GM"].astype(np.float64) + tissues["WM"]
    parts = [cbf[where & (tissues[name] > PURE)] for name in ("GM", "WM", "CSF")]
    grey, freedom = parts[0], sum(max(part.size - 1, 0) for part in parts)
    if grey.size == 0 or freedom == 0 or np.ptp(structure[where]) == 0 or np.ptp(cbf[where]) == 0:
        return float("nan")
    likeness = max(0.0, float(np.corrcoef(cbf[where], structure[where])[0, 1]))
    squares: Any = sum(((part - part.mean()) ** 2).sum() for part in parts if part.size)
    dispersion = squares / freedom / abs(grey.mean())
    loss = 0.054 * dispersion**0.9272 + 2.8478 * float((grey < 0).mean()) ** 0.5196
    return float(np.cbrt(-np.expm1(-3.0126 * likeness**2.4419) * np.exp(-loss)))
