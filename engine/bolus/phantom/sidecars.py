"""What the sidecars of the phantom's series say of how they were acquired, in the words of BIDS."""

from __future__ import annotations

from typing import Any

from bolus.phantom import asl_truth, dsc_truth
from bolus.phantom.design import Labeling
from bolus.series import Grid

Sidecar = dict[str, Any]

SCANNER: Sidecar = {
    "MagneticFieldStrength": 3,
    "Manufacturer": "bolus",
    "ManufacturersModelName": "phantom",
    "PulseSequenceType": "simulated",
}


def dsc_sidecar(echo_time: float) -> Sidecar:
    """The sidecar of one echo (s) of a DSC series."""
    return {
        **SCANNER,
        "MRAcquisitionType": "2D",
        "EchoTime": echo_time,
        "RepetitionTime": dsc_truth.REPETITION_TIME,
        "FlipAngle": dsc_truth.FLIP_ANGLE,
        "ContrastBolusIngredient": "GADOLINIUM",
    }


def asl_sidecar(grid: Grid, labeling: Labeling, delays: list[float]) -> Sidecar:
    """The sidecar of an ASL series with its delay (s) at each volume."""
    duration = asl_truth.LABELING_DURATION[labeling]
    bolus: Sidecar = {"LabelingDuration": duration}
    if labeling == "PASL":
        bolus = {
            "BolusCutOffFlag": True,
            "BolusCutOffDelayTime": duration,
            "BolusCutOffTechnique": "QUIPSSII",
        }
    return {
        **_readout(grid, asl_truth.REPETITION_TIME),
        "ArterialSpinLabelingType": labeling,
        "PostLabelingDelay": delays,
        **bolus,
        "LabelingEfficiency": asl_truth.LABELING_EFFICIENCY[labeling],
        "BackgroundSuppression": False,
        "VascularCrushing": True,
        "VascularCrushingVENC": 4,
        "M0Type": "Separate",
        "TotalAcquiredPairs": len(delays) // 2,
    }


def m0_sidecar(grid: Grid, series: str) -> Sidecar:
    """The sidecar of the calibration image of a series, named from the top of the data set."""
    return {**_readout(grid, asl_truth.M0_REPETITION_TIME), "IntendedFor": f"bids::{series}"}


def _readout(grid: Grid, repetition_time: float) -> Sidecar:
    return {
        **SCANNER,
        "MRAcquisitionType": "3D",
        "AcquisitionVoxelSize": list(grid.zooms),
        "EchoTime": asl_truth.ECHO_TIME,
        "FlipAngle": 90,
        "RepetitionTimePreparation": repetition_time,
    }
