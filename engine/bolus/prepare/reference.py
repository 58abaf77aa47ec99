"""The curve of non-enhancing brain, which tells leakage from blood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.traits import Level, level_of, marked_mean
from bolus_kernels.order import median

TAIL, VESSEL = 10, 4.0


def reference_curve(
    values: NDArray[Any],
    baseline: tuple[int, int],
    allowed: NDArray[np.bool_] | None = None,
    level: Level | None = None,
) -> tuple[NDArray[np.float64], int]:
    """The mean curve (t,) of non-enhancing tissue, 1/s, and over how many voxels.

    values : (n, t) float32, 1/s. level : theirs, where it is known already. A voxel enhances when its mean over the
    last 10 volumes lies more than one baseline standard deviation below zero. Vessels are left out: their peak is
    over 4 times the median, and with their early, narrow curves in the mean, normal brain would seem to leak. Zeros
    and 0 where nothing is left. Source: Boxerman et al., AJNR 27:859 (2006), methods.
    """
    level = level_of(values, baseline, TAIL) if level is None else level
    calm = level.late >= -level.spread
    calm &= np.isfinite(level.spread)
    if allowed is not None:
        calm &= allowed
    if calm.any():
        calm &= level.peak <= VESSEL * median(level.peak[calm])
    count = int(np.count_nonzero(calm))
    return (marked_mean(values, calm) if count else np.zeros(values.shape[1])), count
