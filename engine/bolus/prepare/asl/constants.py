"""Numbers that no image gives: labelling efficiency with all that costs of it, delays of slices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.prepare.asl.relaxation import ALSOP, Told
from bolus.recipe import AUTO, NONE, Recipe
from bolus.series import ASL
from bolus.voxels import constant

EFFICIENCY = {"PCASL": 0.85, "CASL": 0.68, "PASL": 0.98}
PER_PULSE = 0.95
T2_OF_BLOOD = 0.15
QIN = "Qin et al., Magn Reson Med 88:1528 (2022)"


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
