"""DSC: steady state, bolus arrival, relaxation, arterial input and reference tissue of one series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus import arterial
from bolus.errors import Code
from bolus.recipe import AUTO, Recipe
from bolus.series import AIF, DSC, Curves, Series
from bolus.voxels import brain_of, by_time, constant, given_mask, refuse, rows_of
from bolus_kernels.concentration import relaxation
from bolus_kernels.dsc import DscProtocol
from bolus_kernels.state import State

FEWEST_BASELINE, FEWEST_AFTER = 3, 5
LEAST_DROP = 0.01
TAIL = 10
AIF_MASK, LESION = "label-AIF_mask", "label-lesion_mask"


def dsc_curves(series: Series, acquisition: DSC, recipe: Recipe) -> Curves:
    """Delta R2* of every voxel of the brain, with the arterial input and the curve of non-enhancing tissue.

    Raises BolusError E_DATA without a bolus, E_TOO_FEW without a baseline, E_AIF without an arterial input.
    """
    image = series.images[0]
    dummies = recipe["dsc.dummy_scans"]
    raw = by_time(image)[dummies:]
    mask = brain_of(series, np.asarray(image.data[..., dummies : dummies + 5].mean(3)))
    rows = rows_of(mask)
    mean = image.slope * np.array([frame[rows].mean(dtype=np.float64) for frame in raw]) + image.inter
    baseline = baseline_of(series, mean)
    echo_time = acquisition.echo_time[0]
    values, state = relaxation(raw, rows, image.slope, image.inter, baseline, echo_time)
    if not (state == State.GOOD).any():
        raise refuse(
            series, Code.DATA, "no voxel with a usable curve", "a positive signal", "Look at the series."
        )
    time = acquisition.repetition_time * np.arange(raw.shape[0])
    aif = _aif(series, recipe, values, rows, time, baseline, echo_time)
    lesion = given_mask(series, LESION)
    outside = None if lesion is None else ~lesion.reshape(-1, order="F")[rows]
    reference, count = reference_curve(values, baseline, outside)
    factor = density_factor(recipe)
    protocol = DscProtocol(acquisition.repetition_time, aif.concentration, factor, reference)
    constants = {
        "EchoTime": constant(echo_time, "s", "sidecar"),
        "RepetitionTime": constant(acquisition.repetition_time, "s", "sidecar"),
        "BaselineVolumes": {
            "First": dummies + baseline[0],
            "Count": baseline[1],
            "Source": "mean curve of the brain",
        },
        "DensityFactor": constant(factor, "ml/g", "kappa/rho of the recipe's haematocrits and density"),
        "ArterialInput": {"How": aif.how, **aif.quality},
        "ReferenceVoxels": constant(count, "voxels", "brain without T1 enhancement at the end"),
    }
    scan, grid = series.scan, image.grid
    return Curves(
        values, rows, state, mask, protocol, grid, scan, constants, series.sources, aif, (), series.warnings
    )


def baseline_of(series: Series, mean: NDArray[np.float64]) -> tuple[int, int]:
    """The volumes (first, stop) before the bolus, from the mean signal (t,) of the brain.

    The bolus is the deepest dip; going back from it, the first volume that lies within three baseline standard
    deviations (at least 5 % of the dip) is before arrival, and one more is left out. Raises BolusError E_DATA
    when the dip is no deeper than noise, E_TOO_FEW when fewer than 3 volumes are left or fewer than 5 follow.
    """
    lowest = int(np.argmin(mean))
    early = mean[: max(FEWEST_BASELINE, lowest // 2)]
    level, spread = float(np.median(early)), float(np.std(early))
    drop = level - float(mean[lowest])
    if not drop > max(LEAST_DROP * level, 5 * spread):
        seen = f"a mean signal that falls by at most {100 * drop / level:.2g} % of its start ({level:.4g})"
        raise refuse(
            series, Code.DATA, seen, "a bolus of contrast agent: a fall of 1 % and more",
            "Check that this is the DSC series, and that contrast agent was given during it.",
        )  # fmt: skip
    arrival = lowest
    while arrival > 0 and mean[arrival - 1] < level - max(3 * spread, 0.05 * drop):
        arrival -= 1
    stop = arrival - 1 if arrival > FEWEST_BASELINE else arrival
    if stop < FEWEST_BASELINE or mean.size - arrival < FEWEST_AFTER:
        seen = f"the bolus at volume {arrival + 1} of {mean.size} (dummy scans dropped)"
        raise refuse(
            series, Code.TOO_FEW, seen, f"{FEWEST_BASELINE} volumes before it and {FEWEST_AFTER} after",
            "Check the order of volumes and dsc.dummy_scans.",
        )  # fmt: skip
    return 0, stop


def reference_curve(
    values: NDArray[Any], baseline: tuple[int, int], allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], int]:
    """The mean curve (t,) of non-enhancing tissue, 1/s, and over how many voxels.

    values : (n, t) float32, 1/s. A voxel enhances when its mean over the last 10 volumes lies more than one
    baseline standard deviation below zero. Source: Boxerman et al., AJNR 27:859 (2006), methods.
    """
    spread = values[:, slice(*baseline)].std(axis=1)
    calm = values[:, -TAIL:].mean(axis=1) >= -spread
    calm &= np.isfinite(spread)
    if allowed is not None:
        calm &= allowed
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
    baseline: tuple[int, int], echo_time: float,
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
        found = arterial.from_mask(
            values, mask.reshape(-1, order="F")[rows], time, str(series.given[AIF_MASK].path)
        )
    else:
        found = arterial.by_clustering(values, time, str(series.scan.images[0]))
    return replace(found, voxels=rows[found.voxels])
