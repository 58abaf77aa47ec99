"""Numbers that no image gives: relaxation of blood and tissue, labelling efficiency, delays of slices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.recipe import AUTO, NONE, Recipe
from bolus.series import ASL, Series
from bolus.voxels import constant, refuse

T1_OF_BLOOD = {1.5: 1.35, 3.0: 1.65, 7.0: 2.1}
T1_OF_TISSUE = {1.5: 1.2, 3.0: 1.3, 7.0: 1.9}
SAME_FIELD = 0.2
EFFICIENCY = {"PCASL": 0.85, "CASL": 0.68, "PASL": 0.98}
PER_PULSE = 0.95
T2_OF_BLOOD = 0.15
ALSOP = "Alsop et al., Magn Reson Med 73:102 (2015)"
QIN = "Qin et al., Magn Reson Med 88:1528 (2022)"
WRIGHT = "grey matter; Wright et al., MAGMA 21:121 (2008) at 1.5 and 7 T"


class Told(NamedTuple):
    """A number and how a sidecar tells it."""

    value: float
    told: Mapping[str, Any]


def t1_of_blood(series: Series, acquisition: ASL, recipe: Recipe) -> Told:
    """T1 of arterial blood (s): the recipe's, else by field strength; E_META where it is known for no such field."""
    value = recipe["asl.t1_blood"]
    if value != AUTO:
        return Told(float(value), constant(value, "s", "recipe"))
    field = _nearest_field(acquisition, T1_OF_BLOOD)
    if abs(field - acquisition.magnetic_field_strength) > SAME_FIELD:
        seen = f"MagneticFieldStrength {acquisition.magnetic_field_strength:g}"
        expected = f"one of {sorted(T1_OF_BLOOD)} T, for which T1 of blood is known"
        raise refuse(series, Code.META, seen, expected, "Set asl.t1_blood in the recipe.")
    return Told(T1_OF_BLOOD[field], constant(T1_OF_BLOOD[field], "s", f"{ALSOP}, by field strength"))


def t1_of_tissue(
    series: Series, acquisition: ASL, recipe: Recipe, rows: NDArray[Any], warnings: list[str]
) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
    """T1 (n,) s of every voxel of the brain, from the T1 map where one is given, and how a sidecar tells it."""
    nominal, source = recipe["asl.t1_tissue"], "recipe"
    given = series.given.get("T1map")
    if nominal == AUTO:
        field = _nearest_field(acquisition, T1_OF_TISSUE)
        nominal, source = T1_OF_TISSUE[field], f"{WRIGHT}, by field strength"
        if given is None and abs(field - acquisition.magnetic_field_strength) > SAME_FIELD:
            warnings.append(f"T1 of tissue was taken as at {field:g} T, {nominal} s: set asl.t1_tissue")
    t1 = np.full(rows.size, nominal, np.float32)
    if given is None:
        return t1, constant(nominal, "s", source)
    read = given.scaled().reshape(-1, order="F")[rows]
    sensible = np.isfinite(read) & (read > 0.1) & (read < 10)
    if not sensible.all():
        warnings.append(
            f"T1map: {int((~sensible).sum())} brain voxels outside 0.1-10 s took T1 = {nominal} s"
        )
    return np.where(sensible, read, t1), {"Source": given.path.name}


def efficiency_of(acquisition: ASL, recipe: Recipe, warnings: list[str]) -> Told:
    """The labelling efficiency with background suppression, as the formulas take it.

    What a velocity-selective saturation leaves of the blood differs by half as much as an inversion does, so it
    enters the formulas as an inversion of half the efficiency.
    """
    value, source = recipe["asl.labeling_efficiency"], "recipe"
    if value == AUTO:
        value, source = acquisition.labeling_efficiency, "sidecar"
    selective = recipe["asl.velocity_selective"]
    if value is None and selective == NONE:
        value, source = EFFICIENCY[acquisition.labeling], f"{ALSOP}, by labelling type"
    elif value is None:
        value, source = 1.0, "ideal"
        warnings.append(f"no LabelingEfficiency of the velocity-selective {selective} is known: 1 was taken")
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
    if selective != NONE:
        share, echo = (
            {"saturation": 0.5, "inversion": 1.0}[selective],
            recipe["asl.velocity_selective_echo_time"],
        )
        value, source = (
            value * share * math.exp(-echo / T2_OF_BLOOD),
            f"{source}, times {share} for {selective} and exp(-{echo:g}/{T2_OF_BLOOD}), {QIN}",
        )
    return Told(float(value), constant(float(value), "1", source))


def slice_delay(acquisition: ASL, shape: tuple[int, ...], rows: NDArray[Any]) -> NDArray[np.float32]:
    """How much later than the first slice each voxel (n,) was read out, s."""
    if acquisition.slice_timing is None:
        return np.zeros(rows.size, np.float32)
    index = np.unravel_index(rows, shape, order="F")[acquisition.slice_axis]
    return np.asarray(acquisition.slice_timing, np.float32)[index]


def _nearest_field(acquisition: ASL, known: Mapping[float, float]) -> float:
    return min(known, key=lambda each: abs(each - acquisition.magnetic_field_strength))
