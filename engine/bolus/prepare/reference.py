"""The curve of non-enhancing brain, which tells leakage from blood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TAIL, VESSEL = 10, 4.0


def reference_curve(
    values: NDArray[Any], baseline: tuple[int, int], allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], int]:
    """The mean curve (t,) of non-enhancing tissue, 1/s, and over how many voxels.

    values : (n, t) float32, 1/s. A voxel enhances when its mean over the last 10 volumes lies more than one
    baseline standard deviation below zero. Vessels are left out: their peak is over 4 times the median, and with
    their early, narrow curves in the mean, normal brain would seem to leak. Zeros and 0 where nothing is left.
    Source: Boxerman et al., AJNR 27:859 (2006), methods.
    """
    spread = values[:, slice(*baseline)].std(axis=1)
    calm = values[:, -TAIL:].mean(axis=1) >= -spread
    calm &= np.isfinite(spread)
    if allowed is not None:
        calm &= allowed
    if calm.any():
        peak = values.max(axis=1)
        calm &= peak <= VESSEL * np.median(peak[calm])
    if not calm.any():
        return np.zeros(values.shape[1]), 0
    return values[calm].mean(axis=0, dtype=np.float64), int(calm.sum())
