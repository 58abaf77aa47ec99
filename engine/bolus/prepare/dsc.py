"""DSC: steady state, bolus arrival, relaxation, arterial input and reference tissue of one series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus import arterial
from bolus.errors import Code
from bolus.recipe import AUTO, Recipe
from bolus.series import AIF, DSC, Curves, Series, Volume
from bolus.voxels import brain_of, by_time, constant, given_mask, refuse, rows_of
from bolus_kernels.concentration import relaxation
from bolus_kernels.dsc import DscProtocol
from bolus_kernels.state import State

FEWEST_BASELINE, FEWEST_AFTER = 3, 5
LEAST_DROP = 0.01
TAIL, VESSEL = 10, 4.0
NORMAL_DIFFERENCE = 1.4826 / np.sqrt(2)
"""From the median size of a difference between neighbours in time to a standard deviation of normal noise."""
Relaxed = Callable[[NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.uint8]]]
AIF_MASK, LESION = "label-AIF_mask", "label-lesion_mask"


def dsc_curves(series: Series, acquisition: DSC, recipe: Recipe) -> Curves:
    """Delta R2* of every voxel of the brain, with the arterial input and the curve of non-enhancing tissue.

    Raises BolusError E_DATA without a bolus, E_TOO_FEW without a baseline, E_AIF without an arterial input.
    """
    image = series.images[0]
    dummies = recipe["dsc.dummy_scans"]
    warnings = list(series.warnings)
    raw = by_time(image)[dummies:]
    if len(raw) < FEWEST_BASELINE + FEWEST_AFTER:
        raise refuse(
            series, Code.TOO_FEW, f"{len(raw)} volumes after dsc.dummy_scans = {dummies}",
            f"at least {FEWEST_BASELINE + FEWEST_AFTER}", "Lower dsc.dummy_scans.",
        )  # fmt: skip
    mask = brain_of(series, image.slope * image.data[..., dummies : dummies + 5].mean(3))
    rows = rows_of(mask)
    baseline = baseline_of(series, mean_signal(image, raw, rows))
    if baseline[0]:
        warnings.append(
            f"the first {baseline[0]} volumes are brighter than the steady state; they are not in the baseline, "
            f"but they are in the curves: drop them with dsc.dummy_scans = {dummies + baseline[0]}"
        )
    echo_time = acquisition.echo_time[0]

    def relaxed(rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        return relaxation(raw, rows, image.slope, image.inter, baseline, echo_time, _saturation(raw))

    values, state = relaxed(rows)
    if not (state == State.GOOD).any():
        raise refuse(
            series, Code.DATA, "no voxel with a usable curve", "a positive signal", "Look at the series."
        )
    time = acquisition.repetition_time * np.arange(dummies, dummies + len(raw))
    aif = _aif(series, recipe, values, rows, time, baseline, echo_time, relaxed)
    lesion = given_mask(series, LESION)
    outside = None if lesion is None else ~lesion.reshape(-1, order="F")[rows]
    reference, count = reference_curve(values, baseline, outside)
    if recipe["dsc.leakage"] and count == 0:
        raise refuse(
            series, Code.DATA, "no brain voxel without enhancement outside the lesion", "some normal brain",
            "Check the masks, or set dsc.leakage to nothing and dsc.cbv to uncorrected.",
        )  # fmt: skip
    factor = density_factor(recipe)
    protocol = DscProtocol(acquisition.repetition_time, aif.concentration, factor, reference)
    constants = {
        "EchoTime": constant(echo_time, "s", "sidecar"),
        "RepetitionTime": constant(acquisition.repetition_time, "s", "sidecar"),
        "BaselineVolumes": {
            "First": dummies + baseline[0],
            "Count": baseline[1] - baseline[0],
            "Source": "mean curve of the brain",
        },
        "DensityFactor": constant(factor, "ml/g", "kappa/rho of the recipe's haematocrits and density"),
        "ArterialInput": {"How": aif.how, **aif.quality},
        "ReferenceVoxels": constant(count, "voxels", "brain without T1 enhancement at the end"),
    }
    scan, grid = series.scan, image.grid
    return Curves(
        values, rows, state, mask, protocol, grid, scan, constants, series.sources, aif, (), tuple(warnings)
    )


def mean_signal(image: Volume, raw: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean signal (t,) of the voxels `rows` of a series (t, N) in its stored dtype; NaN voxels are passed over."""
    if raw.dtype.kind == "f":
        rows = rows[np.isfinite(raw[:, rows]).all(axis=0)]
    if rows.size == 0:
        return np.zeros(len(raw))
    return image.slope * np.array([frame[rows].mean(dtype=np.float64) for frame in raw]) + image.inter


def baseline_of(series: Series, mean: NDArray[np.float64]) -> tuple[int, int]:
    """The volumes (first, stop) before the bolus, from the mean signal (t,) of the brain.

    The bolus is the deepest dip; going back from it, the first volume that lies within three standard deviations
    of the noise (at least 5 % of the dip) is before arrival, and one more is left out, as are the first volumes
    where they are brighter than the rest. Raises BolusError E_DATA when the dip is no deeper than noise,
    E_TOO_FEW when fewer than 3 volumes are left before arrival or fewer than 5 from the dip on.
    """
    lowest = int(np.argmin(mean))
    level = float(np.median(mean[: max(FEWEST_BASELINE, lowest // 2)]))
    # From neighbours in time, because a bright first volume or a rising bolus would widen a standard deviation.
    spread = NORMAL_DIFFERENCE * float(np.median(np.abs(np.diff(mean))))
    drop = level - float(mean[lowest])
    if not drop > max(LEAST_DROP * level, 5 * spread):
        seen = f"a mean signal that falls from {level:.4g} to {mean[lowest]:.4g} (noise {spread:.2g})"
        raise refuse(
            series, Code.DATA, seen, "a bolus of contrast agent: a fall of 1 % and more, clear of noise",
            "Check that this is the DSC series, and that contrast agent was given during it.",
        )  # fmt: skip
    arrival = lowest
    tolerance = max(3 * spread, 0.05 * drop)
    while arrival > 0 and mean[arrival - 1] < level - tolerance:
        arrival -= 1
    first = 0
    while first < arrival and mean[first] > level + 2 * tolerance:
        first += 1
    stop = arrival - 1 if arrival - first > FEWEST_BASELINE else arrival
    if stop - first < FEWEST_BASELINE or mean.size - lowest < FEWEST_AFTER:
        seen = f"the bolus from volume {arrival + 1} to {lowest + 1} of {mean.size} (dummy scans dropped)"
        raise refuse(
            series, Code.TOO_FEW, seen, f"{FEWEST_BASELINE} volumes before it and {FEWEST_AFTER} after",
            "Check the order of volumes and dsc.dummy_scans.",
        )  # fmt: skip
    return first, stop


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


def density_factor(recipe: Recipe) -> float:
    """kappa/rho, ml/g: kappa = (1 - Hct_large)/(1 - Hct_small); 1 for relative maps (Calamante 1999, eq. 3)."""
    if recipe["dsc.relative"]:
        return 1.0
    kappa = (1 - recipe["dsc.hematocrit_large"]) / (1 - recipe["dsc.hematocrit_small"])
    return float(kappa / recipe["dsc.density"])


def _aif(
    series: Series, recipe: Recipe, values: NDArray[Any], rows: NDArray[Any], time: NDArray[Any],
    baseline: tuple[int, int], echo_time: float, relaxed: Relaxed,
) -> AIF:  # fmt: skip
    wish = recipe["dsc.aif"]
    mask = given_mask(series, AIF_MASK)
    if (wish == "tsv" and series.aif is None) or (wish == "mask" and mask is None):
        missing = "*_aif.tsv" if wish == "tsv" else "*_label-AIF_mask.nii.gz"
        raise refuse(
            series, Code.AIF, f"dsc.aif = {wish} and no {missing} for this scan", "one in a --derivatives folder",
            "Add it, or set dsc.aif to auto or kmeans.",
        )  # fmt: skip
    if series.aif is not None and wish in (AUTO, "tsv"):
        return arterial.from_table(series.aif, time, baseline, echo_time)
    if mask is not None and wish in (AUTO, "mask"):
        rows = rows_of(mask)  # an artery may lie outside the brain mask
        found = arterial.from_mask(relaxed(rows)[0], time, str(series.given[AIF_MASK].path))
    else:
        found = arterial.by_clustering(values, time, str(series.scan.images[0]))
    return replace(found, voxels=rows[found.voxels])


def _saturation(raw: NDArray[Any]) -> float:
    """The stored value at which a sample was clipped: the largest one of whole numbers."""
    return float(np.iinfo(raw.dtype).max) if raw.dtype.kind in "iu" else np.inf
