"""Quality numbers of a flow map by their formulas: QEI, spatial coefficient of variation, negative grey matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[Any]

FWHM_TO_SD = 1 / (2 * np.sqrt(2 * np.log(2)))


def smoothed(cbf: Array, voxel_size: tuple[float, float, float], width: float = 5e-3) -> Array:
    """The map under a Gaussian of full width at half maximum 5 mm; voxel_size, width : m."""
    return np.asarray(
        gaussian_filter(cbf, [width * FWHM_TO_SD / size for size in voxel_size], mode="constant")
    )


def negative_share(cbf: Array, tissue: Array) -> float:
    """Share of a tissue's voxels whose flow is negative; tissue : bool, of the map's shape."""
    return float(np.mean(cbf[tissue] < 0))


def quality_evaluation_index(
    cbf: Array, gm: Array, wm: Array, csf: Array, brain: Array, threshold: float = 0.7
) -> float:
    """QEI = [(1 - e^{-3.0126 rho^2.4419}) e^{-(0.054 DI^0.9272 + 2.8478 negGM^0.5196)}]^{1/3}, in 0...1.

    cbf : ml/100g/min, smoothed to 5 mm. gm, wm, csf : probabilities. brain : bool. rho is the correlation with
    2.5 GM + WM (0 where it is negative), DI the pooled variance of the three tissues over |mean GM CBF|, negGM
    the share of GM voxels below zero. Source: Dolui et al. 2017, ISMRM 25:682; 2024, J Magn Reson Imaging 60:2497.
    """
    rho = max(float(np.corrcoef(cbf[brain], (2.5 * gm + wm)[brain])[0, 1]), 0.0)
    tissues = [cbf[brain & (p > threshold)] for p in (gm, wm, csf)]
    squares = sum(np.sum((values - values.mean()) ** 2) for values in tissues if len(values))
    pooled = squares / sum(len(values) - 1 for values in tissues if len(values))
    dispersion = pooled / abs(tissues[0].mean())
    negative = negative_share(cbf, brain & (gm > threshold))
    structure = 1 - np.exp(-3.0126 * rho**2.4419)
    return float((structure * np.exp(-(0.054 * dispersion**0.9272 + 2.8478 * negative**0.5196))) ** (1 / 3))


def spatial_variation(cbf: Array, tissue: Array) -> float:
    """SD over mean of CBF in grey matter. Source: Mutsaerts et al. 2017, J Cereb Blood Flow Metab 37:3184."""
    return float(cbf[tissue].std(ddof=1) / cbf[tissue].mean())


def temporal_snr(series: Array) -> float:
    """Mean over SD of one voxel's repeats; (r,)."""
    return float(np.mean(series) / np.std(series, ddof=1))
