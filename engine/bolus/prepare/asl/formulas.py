"""Which labelling's formulas hold for a series, and whether the recipe's wishes suit it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bolus.errors import Code
from bolus.prepare.asl.columns import Columns
from bolus.recipe import AUTO, NONE, Recipe
from bolus.series import ASL, Series
from bolus.voxels import constant, refuse
from bolus_kernels.asl.protocol import Labeling, LookLocker

GUNTHER = "Gunther et al., Magn Reson Med 46:974 (2001), readout by readout"


def labeling_of(series: Series, acquisition: ASL, recipe: Recipe, columns: Columns) -> Labeling:
    """The labelling whose formulas hold, once the recipe's wishes are known to suit the series.

    A velocity-selective bolus decays from one moment on, as a pulsed one does.
    """
    delays = sorted(set(columns.delay.tolist()))
    several = len(delays) > 1 or np.ptp(columns.duration) > 0
    wish, selective = recipe["asl.quantification"], recipe["asl.velocity_selective"]
    if recipe["asl.transit_time"] == "given":
        wish = "multi_delay"
    if acquisition.bolus_cut_off == "QUIPSS" and wish not in (AUTO, "single_delay"):
        seen = f"BolusCutOffTechnique QUIPSS, and asl.quantification = {wish} or a transit time that is given"
        mend = "QUIPSS saturates the tissue itself: set asl.quantification to auto and asl.transit_time to fitted."
        raise refuse(series, Code.RECIPE, seen, "the single-delay formula", mend)
    if wish == "single_delay" and several:
        raise refuse(
            series, Code.RECIPE, f"asl.quantification = single_delay, and delays {delays} s",
            "one delay and one label duration", "Set asl.quantification to auto or multi_delay.",
        )  # fmt: skip
    if acquisition.labeling == "VSASL" and selective == NONE:
        mend = "Set asl.velocity_selective to saturation or inversion."
        raise refuse(
            series, Code.META, "ArterialSpinLabelingType VSASL", "what its pulses do to the blood", mend
        )
    if acquisition.labeling == "VSASL" or (selective != NONE and acquisition.labeling == "PASL"):
        if several or wish not in (AUTO, "single_delay"):
            seen = f"asl.velocity_selective = {selective}, delays {delays} s, asl.quantification = {wish}"
            if recipe["asl.transit_time"] == "given":
                seen = f"asl.velocity_selective = {selective}, delays {delays} s, asl.transit_time = given"
            mend = "Give the volumes of one delay, set asl.quantification to auto and asl.transit_time to fitted."
            raise refuse(series, Code.RECIPE, seen, "one delay, for its single-delay formula", mend)
        return "PASL"
    if selective != NONE:
        seen = f"asl.velocity_selective = {selective}, and ArterialSpinLabelingType {acquisition.labeling}"
        mend = "Set asl.velocity_selective to none, or correct the sidecar."
        raise refuse(series, Code.RECIPE, seen, "VSASL, or PASL with the key", mend)
    return acquisition.labeling


def excitation(series: Series, acquisition: ASL, warnings: list[str]) -> float:
    """How much less signal a Look-Locker readout excites than the calibration did: sin a / sin a_M0.

    Of readouts of several angles it is that of the largest; raises BolusError E_META where the calibration's is unknown
    then.
    """
    if acquisition.look_locker_interval is None or acquisition.flip_angle is None:
        return 1.0
    angles = set(acquisition.flip_angle) - {0.0}
    if acquisition.m0_flip_angle is None and len(angles) > 1:
        seen = f"no FlipAngle of the calibration, and readouts of {_degrees(angles)}"
        mend = "Give FlipAngle of the calibration image in its sidecar."
        raise refuse(series, Code.META, seen, "the angle that M0 was read out by", mend)
    if acquisition.m0_flip_angle is None:
        warnings.append(
            "FlipAngle of the calibration is missing: it was taken as that of the Look-Locker readouts"
        )
        return 1.0
    ours, its = (math.sin(math.radians(angle)) for angle in (max(angles), acquisition.m0_flip_angle))
    return ours / its


def readouts_of(acquisition: ASL, columns: Columns) -> tuple[LookLocker | None, Mapping[str, Any]]:
    """The pulses that Look-Locker readouts give to the label in tissue, and how a sidecar tells them."""
    interval = acquisition.look_locker_interval
    if interval is None or acquisition.flip_angle is None:
        return None, {}
    told = {"Interval": interval, "FirstReadout": float(columns.first.min()), "Source": GUNTHER}
    angles = set(acquisition.flip_angle) - {0.0}
    if len(angles) == 1:
        (angle,) = angles
        pulses = LookLocker(columns.first, interval, math.radians(angle))
        return pulses, {"LookLocker": {"FlipAngle": angle, **told}}
    trains = np.unique(columns.pulses, axis=0).tolist()
    told |= {
        "Trains": "flip angles of the readouts of each label, in their order",
        "SignalScaledTo": constant(max(angles), "degrees", "sine of the flip angle, readout by readout"),
    }
    pulses = LookLocker(columns.first, interval, np.deg2rad(columns.pulses), math.radians(max(angles)))
    return pulses, {"LookLocker": {"FlipAngle": trains, **told}}


def _degrees(angles: Iterable[float]) -> str:
    return f"{', '.join(f'{angle:g}' for angle in sorted(angles))} degrees"
