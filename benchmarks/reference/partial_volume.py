"""Partial volume by linear regression in a kernel, one voxel at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference.calibration import quantified

Array = NDArray[Any]

LEAST_TISSUE = 1e-6
"""Sum of squares of a tissue's fractions in the kernel below which nothing can be said of it."""


def tissue_signals(
    image: Array,
    fractions: Sequence[Array],
    voxel: tuple[int, int, int],
    reach: int = 2,
    mask: Array | None = None,
) -> Array:
    """Signal of each pure tissue at a voxel, (k,): y = sum_k p_k m_k over (2 reach + 1)^2 voxels of its slice.

    image : (x, y, z). fractions : GM and WM for a difference, GM, WM and CSF for M0, (x, y, z) each. mask : bool,
    voxels outside take no part. A tissue that the kernel lacks gives NaN; where those that are there cannot be
    told apart, all do. Source: Asllani, Borogovac and Brown 2008, Magn Reson Med 60:1362, eqs. 6-7.
    """
    x, y, z = voxel
    kernel = (slice(max(x - reach, 0), x + reach + 1), slice(max(y - reach, 0), y + reach + 1), z)
    used = np.ones(image[kernel].shape, bool) if mask is None else mask[kernel]
    shares = np.stack([tissue[kernel][used] for tissue in fractions], axis=1).astype(np.float64)
    measured = np.asarray(image[kernel][used], np.float64)
    present = np.sum(shares**2, axis=0) > LEAST_TISSUE
    signals = np.full(len(fractions), np.nan)
    if present.any():
        solved, _, rank, _ = np.linalg.lstsq(shares[:, present], measured, rcond=1e-6)
        signals[present] = solved if rank == present.sum() else np.nan
    return signals


class Tissue(NamedTuple):
    """Partition coefficient (ml/g) and T1 (s) of a pure tissue."""

    partition_coefficient: float
    t1: float


GREY, WHITE = Tissue(0.98, 1.3), Tissue(0.82, 1.1)
"""At 3 T. Source: Herscovitch and Raichle 1985, J Cereb Blood Flow Metab 5:65; Chappell et al. 2011."""


def tissue_flows(
    labeling: str,
    differences: Array,
    m0: Array,
    delay: float,
    duration: float,
    *,
    efficiency: float,
    t1_blood: float,
    m0_repetition_time: float,
) -> tuple[float, float]:
    """CBF of pure GM and of pure WM, ml/100g/min, each from its own signals, M0 and constants.

    differences, m0 : GM and WM first, regressed apart by `tissue_signals`. delay, duration, m0_repetition_time : s.
    Source: Asllani et al. 2008, eq. 8, with the formula of Alsop et al. 2015.
    """
    grey, white = (
        quantified(
            labeling,
            float(difference),
            float(calibration),
            delay,
            duration,
            efficiency=efficiency,
            t1_blood=t1_blood,
            partition_coefficient=tissue.partition_coefficient,
            m0_repetition_time=m0_repetition_time,
            t1_tissue=tissue.t1,
        )
        for tissue, difference, calibration in zip((GREY, WHITE), differences[:2], m0[:2], strict=True)
    )
    return grey, white
