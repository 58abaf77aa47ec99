"""(control - label)/M0 of every voxel of the brain, with all that the kernels need beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.prepare.asl.calibration import Measured, calibrate, mean_of, measured_m0
from bolus.prepare.asl.columns import Columns, columns_of, differences
from bolus.prepare.asl.constants import efficiency_of, slice_delay
from bolus.prepare.asl.formulas import excitation, labeling_of, readouts_of
from bolus.prepare.asl.noise import noise_of, noise_of_lone
from bolus.prepare.asl.outliers import without_outliers
from bolus.prepare.asl.partial_volume import pure_tissues
from bolus.prepare.asl.relaxation import ALSOP, t1_of_blood, t1_of_tissue
from bolus.prepare.asl.tissues import tissues_of
from bolus.prepare.asl.transit import transit_time
from bolus.recipe import NONE, Recipe
from bolus.series import ASL, Curves, Map, Series, Volume
from bolus.voxels import brain_of, constant, refuse, rows_of, volume_of
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.state import State


def asl_curves(series: Series, acquisition: ASL, recipe: Recipe) -> Curves:
    """(control - label)/M0 of every voxel of the brain, one column a pair or part of the label.

    Raises BolusError E_SHAPE for unmatched volumes, E_META for unknown constants, E_RECIPE for what the series
    cannot be computed by, E_DATA where M0 is nowhere positive.
    """
    image = series.images[0]
    warnings = list(series.warnings)
    columns = columns_of(series, acquisition, recipe, warnings)
    labeling = labeling_of(series, acquisition, recipe, columns)
    measured = measured_m0(series, acquisition)
    bright = measured[0].image if measured else mean_of(image, columns.bright())
    if "control" in acquisition.context and not np.isfinite(bright).all():  # M0 does not reach everywhere
        bright = mean_of(image, columns.bright())
    mask = brain_of(series, bright)
    rows = rows_of(mask)
    tissues = tissues_of(series, rows)
    t1, told_t1 = t1_of_tissue(series, acquisition, recipe, rows, tissues, warnings)
    m0, told_m0 = calibrate(series, acquisition, recipe, measured, mask, t1, warnings)
    excited = excitation(series, acquisition, warnings)
    m0 = m0 * np.float32(excited)
    calibrated = np.isfinite(m0) & (m0 > 0)
    if not calibrated.any():
        seen = "an M0 that is nowhere positive in the brain"
        raise refuse(series, Code.DATA, seen, "a calibration image", "Check it.")
    late = slice_delay(acquisition, mask.shape, rows)
    difference = differences(image, columns, rows)
    mean_difference = difference.mean(0)
    scale = 1 / np.where(calibrated, m0, np.float32(np.nan))
    if acquisition.bolus_cut_off == "QUIPSS":  # label arrives until the readout: more of it in a later slice
        duration = np.float32(columns.duration[0])
        scale *= duration / (duration + late)
    difference *= scale
    pure = pure_tissues(series, acquisition, recipe, measured, m0, rows, tissues, excited, warnings)
    pairs = len(difference)
    difference, columns, told_outliers = without_outliers(
        series, recipe, columns, difference, m0, tissues, warnings
    )
    if len(difference) < pairs:
        mean_difference = differences(image, columns, rows).mean(0)
    if len(difference) > 1:
        noise = noise_of(difference.T, scale, *columns.alike)
    else:
        noise = noise_of_lone(difference.T, scale, rows, mask.shape)
    t1_blood = t1_of_blood(series, acquisition, recipe)
    efficiency = efficiency_of(acquisition, recipe, warnings)
    arrival, told_arrival = transit_time(series, acquisition, recipe, columns, rows, warnings)
    readouts, told_readouts = readouts_of(acquisition, columns)
    protocol = AslProtocol(
        labeling, columns.delay, columns.duration, efficiency.value, t1_blood.value, t1,
        recipe["asl.partition_coefficient"], late, noise.variance, recipe["asl.t1_relaxation"] == "tissue",
        arterial_transit_time=arrival, look_locker=readouts, relative_noise=noise.relative,
    )  # fmt: skip
    constants = {
        **_constants(acquisition, recipe, columns),
        "LabelingEfficiency": efficiency.told,
        "T1Blood": t1_blood.told,
        "T1Tissue": told_t1,
        **told_arrival,
        **told_readouts,
        **told_m0,
        **told_outliers,
        "NoiseVariance": constant(
            noise.variance,
            "1",
            f"scatter of {'pairs' if len(difference) > 1 else 'neighbours'} in the signal, pooled over the brain, "
            "over the median M0^2",
        ),
    }
    kept = "all pairs" if len(difference) == pairs else f"the {len(difference)} pairs kept of {pairs}"
    extra = (
        _signal("deltam", f"control - label, mean of {kept}", mean_difference, rows, mask),
        _signal(
            "m0",
            _calibration_said(told_m0, excited),
            np.where(calibrated, m0, np.nan),
            rows,
            mask,
        ),
    )
    state = np.where(calibrated, State.GOOD, State.NO_CALIBRATION).astype(np.uint8)
    if arrival is not None:
        state[calibrated & np.isnan(arrival)] = State.NO_ARRIVAL
    return Curves(
        difference.T, rows, state, mask, protocol, image.grid, series.scan, constants, series.sources, None,
        extra, tuple(warnings), tissues=tissues, pure=pure,
        structure=_structure(image, columns, measured, rows) if recipe["asl.spatial"] else None,
    )  # fmt: skip


def _constants(acquisition: ASL, recipe: Recipe, columns: Columns) -> dict[str, Any]:
    """What the sidecars of all maps say of the acquisition and of what the recipe wishes."""
    told = {
        "ArterialSpinLabelingType": acquisition.labeling,
        "PostLabelingDelay": sorted(set(columns.delay.tolist())),
        "LabelingDuration": sorted(set(columns.duration.tolist())),
        "Pairs": len(columns.delay),
        "VolumesUsed": columns.volumes(),
        "BackgroundSuppression": recipe["asl.background_suppression"]
        if acquisition.background_suppression
        else NONE,
        "T1Relaxation": recipe["asl.t1_relaxation"],
        "PartitionCoefficient": constant(recipe["asl.partition_coefficient"], "ml/g", "recipe"),
        "M0Type": acquisition.m0_type,
        "BolusDuration": constant(recipe["asl.bolus_duration"], "s", "recipe; the bolus was not cut off")
        if acquisition.bolus_stated
        else None,
        "SliceTimingApplied": acquisition.slice_timing is not None,
        "BolusCutOffTechnique": acquisition.bolus_cut_off,
        "Encoding": recipe["asl.encoding"],
        "VelocitySelective": recipe["asl.velocity_selective"],
    }
    rare = ("BolusDuration", "BolusCutOffTechnique", "Encoding", "VelocitySelective")
    return {key: value for key, value in told.items() if key not in rare or value not in (None, NONE)}


def _structure(
    image: Volume, columns: Columns, measured: Sequence[Measured], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """What shows the anatomy (n, k): the mean of control and label, which the difference leaves out, and M0.

    Never control alone: its noise is that of the difference.
    """
    used = (columns.weights != 0).any(0)
    plain = (columns.weights < 0).any()
    images = [mean_of(image, np.flatnonzero(used).tolist())] if plain else []
    images += [one.image for one in measured[:1]]
    if not images:
        return np.zeros((rows.size, 1), np.float32)
    return np.stack([one.reshape(-1, order="F")[rows] for one in images], axis=1)


def _calibration_said(told: Mapping[str, Any], excited: float) -> str:
    """What the map of M0 shows."""
    if "M0Blood" in told:
        return "M0 of arterial blood times the partition coefficient, one for all voxels"
    said = "calibration image, corrected for its repetition time"
    return said if excited == 1 else f"{said}, as the readouts' flip angle excites it"


def _signal(
    ending: str,
    description: str,
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    mask: NDArray[np.bool_],
) -> Map:
    volume = volume_of(values.astype(np.float32), rows, mask.shape)
    return Map(ending, volume, "arbitrary", description, "average", "", ALSOP)
