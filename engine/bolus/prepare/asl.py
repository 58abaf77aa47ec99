"""ASL: pairs of control and label, calibration, delays, noise and constants of one series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.recipe import AUTO, Recipe
from bolus.series import ASL, Curves, Map, Series, Volume
from bolus.voxels import brain_of, by_time, constant, refuse, rows_of, volume_of
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.state import State

T1_OF_BLOOD = {1.5: 1.35, 3.0: 1.65, 7.0: 2.1}
EFFICIENCY = {"PCASL": 0.85, "CASL": 0.68, "PASL": 0.98}
PER_PULSE = 0.95
SUBSPACE = 3
ALSOP = "Alsop et al., Magn Reson Med 73:102 (2015)"


def asl_curves(series: Series, acquisition: ASL, recipe: Recipe) -> Curves:
    """(control - label)/M0 of every voxel of the brain, one column a pair, with all that the kernels need.

    Raises BolusError E_META for unmatched pairs or unknown constants, E_DATA where M0 is nowhere positive.
    """
    image = series.images[0]
    raw = by_time(image)
    warnings = list(series.warnings)
    plus, minus = pairs_of(series, acquisition)
    delay = np.array([acquisition.post_labeling_delay[up] for up in plus])
    duration = np.array([acquisition.labeling_duration[up] for up in plus])
    if recipe["asl.quantification"] == "single_delay" and (np.ptp(delay) > 0 or np.ptp(duration) > 0):
        raise refuse(
            series, Code.RECIPE, f"asl.quantification = single_delay, and delays {sorted(set(delay.tolist()))} s",
            "one delay and one label duration", "Set asl.quantification to auto or multi_delay.",
        )  # fmt: skip
    calibration = _calibration(series, acquisition)
    mask = brain_of(series, calibration if np.ndim(calibration) else _mean(image, plus))
    rows = rows_of(mask)
    t1 = _t1_tissue(series, recipe, rows, warnings)
    m0 = np.broadcast_to(calibration, mask.shape).reshape(-1, order="F")[rows].astype(np.float32)
    if acquisition.m0_repetition_time is not None:  # always: a threshold would make a jump
        m0 /= -np.expm1(-np.float32(acquisition.m0_repetition_time) / t1)
    calibrated = np.isfinite(m0) & (m0 > 0)
    if not calibrated.any():
        raise refuse(
            series,
            Code.DATA,
            "an M0 that is nowhere positive in the brain",
            "a calibration image",
            "Check it.",
        )
    slope = np.float32(image.slope)
    difference = np.empty((len(plus), rows.size), np.float32)
    for row, (up, down) in enumerate(zip(plus, minus, strict=True)):
        difference[row] = slope * raw[up][rows].astype(np.float32)
        difference[row] += (
            np.float32(image.inter) if down is None else -slope * raw[down][rows].astype(np.float32)
        )
    mean_difference = difference.mean(0)
    difference /= np.where(calibrated, m0, np.float32(np.nan))
    state = np.where(calibrated, State.GOOD, State.NO_CALIBRATION).astype(np.uint8)
    noise = noise_variance(difference.T[np.isfinite(difference).all(0)], delay, duration)
    t1_blood = _t1_blood(series, acquisition, recipe)
    efficiency, told = _efficiency(acquisition, recipe, warnings)
    from_map = series.given.get("T1map")
    protocol = AslProtocol(
        acquisition.labeling, delay, duration, efficiency, t1_blood, t1, recipe["asl.partition_coefficient"],
        _slice_delay(acquisition, mask, rows), noise, recipe["asl.t1_relaxation"] == "tissue",
    )  # fmt: skip
    constants = {
        "ArterialSpinLabelingType": acquisition.labeling,
        "PostLabelingDelay": sorted(set(delay.tolist())),
        "LabelingDuration": sorted(set(duration.tolist())),
        "Pairs": len(plus),
        "LabelingEfficiency": told,
        "BackgroundSuppression": recipe["asl.background_suppression"]
        if acquisition.background_suppression
        else "none",
        "T1Blood": constant(
            t1_blood, "s", "recipe" if recipe["asl.t1_blood"] != AUTO else f"{ALSOP}, by field strength"
        ),
        "T1Tissue": constant(recipe["asl.t1_tissue"], "s", "recipe")
        if from_map is None
        else {"Source": from_map.path.name},
        "T1Relaxation": recipe["asl.t1_relaxation"],
        "PartitionCoefficient": constant(recipe["asl.partition_coefficient"], "ml/g", "recipe"),
        "M0Type": acquisition.m0_type,
        "NoiseVariance": constant(noise, "1", "scatter of pairs in units of M0, pooled over the brain"),
        "SliceTimingApplied": acquisition.slice_timing is not None,
    }
    extra = (
        _signal("deltam", "control - label, mean of all pairs", mean_difference, rows, mask),
        _signal(
            "m0",
            "calibration image, corrected for its repetition time",
            np.where(calibrated, m0, np.nan),
            rows,
            mask,
        ),
    )
    return Curves(
        difference.T, rows, state, mask, protocol, image.grid, series.scan, constants, series.sources, None,
        extra, tuple(warnings),
    )  # fmt: skip


def pairs_of(series: Series, acquisition: ASL) -> tuple[list[int], list[int | None]]:
    """Volumes (control, label) in their order, per delay; a `deltam` volume is a pair by itself (label None).

    Raises BolusError E_META when a delay has more of one than of the other, or there is no pair at all.
    """
    kinds: dict[tuple[float, float], dict[str, list[int]]] = {}
    for volume, kind in enumerate(acquisition.context):
        if kind in ("control", "label", "deltam"):
            key = (acquisition.post_labeling_delay[volume], acquisition.labeling_duration[volume])
            kinds.setdefault(key, {"control": [], "label": [], "deltam": []})[kind].append(volume)
    pairs: list[tuple[int, int | None]] = []
    for (delay, _), found in kinds.items():
        if len(found["control"]) != len(found["label"]):
            seen = f"{len(found['control'])} control and {len(found['label'])} label volumes at a delay of {delay:g} s"
            mend = "Check *_aslcontext.tsv and PostLabelingDelay."
            raise refuse(series, Code.META, seen, "as many of the one as of the other", mend)
        pairs += zip(found["control"], found["label"], strict=True)
        pairs += [(volume, None) for volume in found["deltam"]]
    if not pairs:
        seen = f"volume types {sorted(set(acquisition.context))}"
        raise refuse(series, Code.META, seen, "control and label, or deltam", "Check *_aslcontext.tsv.")
    pairs.sort(key=lambda pair: pair[0])
    return [up for up, _ in pairs], [down for _, down in pairs]


def noise_variance(values: NDArray[Any], delay: NDArray[Any], duration: NDArray[Any]) -> float:
    """The variance of one pair around the mean of its delay, pooled over voxels.

    values : (n, t) float32. With repeats: the median over voxels of the variance within delays, divided by the
    median of chi-square over its degrees of freedom. Without: what is left of the curves' second-moment matrix
    beyond its three largest components, for a kinetic curve lies close to three of them.
    """
    if values.shape[0] == 0:
        return 0.0
    _, kind, counts = np.unique(
        np.stack([delay, duration], 1), axis=0, return_inverse=True, return_counts=True
    )
    freedom = int(counts.sum() - counts.size)
    if freedom > 0:
        within = np.zeros(values.shape[0])
        for which in range(counts.size):
            group = values[:, kind.reshape(-1) == which].astype(np.float64)
            within += ((group - group.mean(1, keepdims=True)) ** 2).sum(1)
        return float(np.median(within) / (freedom * (1 - 2 / (9 * freedom)) ** 3))
    matrix = values.astype(np.float64)
    power = np.linalg.eigvalsh(matrix.T @ matrix / matrix.shape[0])
    return float(max(0.0, power[: max(1, power.size - SUBSPACE)].mean()))


def _calibration(series: Series, acquisition: ASL) -> Any:
    """The signal that stands for M0, (x, y, z) float32 or one number, as it was measured."""
    image = series.images[0]
    if acquisition.m0_type == "Separate" and isinstance(acquisition.m0, Volume):
        return acquisition.m0.scaled()
    if acquisition.m0_type == "Estimate":
        return acquisition.m0
    wanted = "m0scan" if acquisition.m0_type == "Included" else "control"
    return _mean(image, [volume for volume, kind in enumerate(acquisition.context) if kind == wanted])


def _t1_tissue(
    series: Series, recipe: Recipe, rows: NDArray[Any], warnings: list[str]
) -> NDArray[np.float32]:
    """T1 (n,) s of every voxel of the brain, from the T1 map where one is given."""
    nominal = recipe["asl.t1_tissue"]
    t1 = np.full(rows.size, nominal, np.float32)
    if "T1map" not in series.given:
        return t1
    read = series.given["T1map"].scaled().reshape(-1, order="F")[rows]
    sensible = np.isfinite(read) & (read > 0.1) & (read < 10)
    if not sensible.all():
        warnings.append(
            f"T1map: {int((~sensible).sum())} brain voxels outside 0.1-10 s took T1 = {nominal} s"
        )
    return np.where(sensible, read, t1)


def _mean(image: Volume, volumes: list[int]) -> NDArray[np.float32]:
    total = np.zeros(image.grid.shape, np.float32, order="F")
    for volume in volumes:
        total += image.data[..., volume]
    total *= np.float32(image.slope / len(volumes))
    total += np.float32(image.inter)
    return total


def _t1_blood(series: Series, acquisition: ASL, recipe: Recipe) -> float:
    if recipe["asl.t1_blood"] != AUTO:
        return float(recipe["asl.t1_blood"])
    field = acquisition.magnetic_field_strength
    nearest = min(T1_OF_BLOOD, key=lambda known: abs(known - field))
    if abs(nearest - field) > 0.2:
        expected = f"one of {sorted(T1_OF_BLOOD)} T, for which T1 of blood is known"
        raise refuse(
            series, Code.META, f"MagneticFieldStrength {field:g}", expected, "Set asl.t1_blood in the recipe."
        )
    return T1_OF_BLOOD[nearest]


def _efficiency(acquisition: ASL, recipe: Recipe, warnings: list[str]) -> tuple[float, Mapping[str, Any]]:
    """The labelling efficiency with background suppression, and how a sidecar tells where it comes from."""
    value, source = recipe["asl.labeling_efficiency"], "recipe"
    if value == AUTO:
        value, source = acquisition.labeling_efficiency, "sidecar"
    if value is None:
        value, source = EFFICIENCY[acquisition.labeling], f"{ALSOP}, by labelling type"
    if acquisition.background_suppression and recipe["asl.background_suppression"] == "multiply":
        pulses = acquisition.background_suppression_pulses
        if pulses is None:
            warnings.append(
                "BackgroundSuppressionNumberPulses is missing: the efficiency was not reduced for the pulses"
            )
        else:
            value, source = (
                value * PER_PULSE**pulses,
                f"{source}, times {PER_PULSE} for each of {pulses} pulses",
            )
    return float(value), constant(float(value), "1", source)


def _slice_delay(acquisition: ASL, mask: NDArray[np.bool_], rows: NDArray[Any]) -> NDArray[np.float32]:
    if acquisition.slice_timing is None:
        return np.zeros(rows.size, np.float32)
    late = np.zeros(rows.size, np.float32)
    late += np.take(acquisition.slice_timing, rows // (mask.shape[0] * mask.shape[1]))
    return late


def _signal(
    ending: str, description: str, values: NDArray[Any], rows: NDArray[Any], mask: NDArray[np.bool_]
) -> Map:
    volume = volume_of(values.astype(np.float32), rows, mask.shape)
    return Map(ending, volume, "arbitrary", description, "average", "", ALSOP)
