"""DSC: steady state, relaxation, arterial input and reference tissue of one series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.prepare.arterial_input import ArterialInput, Brain, arterial_input
from bolus.prepare.reference import TAIL, reference_curve
from bolus.prepare.relaxed import clipped, echoes_of
from bolus.prepare.steady import FEWEST_AFTER, FEWEST_BASELINE, Steady, mean_signal, steady_state
from bolus.recipe import Recipe
from bolus.series import DSC, Curves, Map, Series
from bolus.voxels import brain_of, constant, given_mask, refuse, rows_of, volume_of
from bolus_kernels.dsc.concentration import Relaxation, relaxation, relaxation_and_traits
from bolus_kernels.dsc.echo import usual_echo
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.dsc.traits import Level
from bolus_kernels.state import State

LORENZ = "Lorenz et al., J Magn Reson Imaging 24:1133 (2006)"
LESION, NORMAL = "label-lesion_mask", "label-NAWM_mask"


def dsc_curves(series: Series, acquisition: DSC, recipe: Recipe) -> Curves:
    """Delta R2* of every voxel of the brain, with the arterial input and the curve of non-enhancing tissue.

    Raises BolusError E_DATA without a bolus, E_TOO_FEW without a baseline, E_AIF without an arterial input.
    """
    dummies = recipe["dsc.dummy_scans"]
    echoes = echoes_of(series, acquisition, dummies)
    usual = usual_echo(acquisition.echo_time)
    volumes = len(echoes[usual].series)
    if volumes < FEWEST_BASELINE + FEWEST_AFTER:
        raise refuse(
            series, Code.TOO_FEW, f"{volumes} volumes after dsc.dummy_scans = {dummies}",
            f"at least {FEWEST_BASELINE + FEWEST_AFTER}", "Lower dsc.dummy_scans.",
        )  # fmt: skip
    bright = series.images[0]  # the first echo, in which the least is lost
    mask = brain_of(series, bright.slope * bright.data[..., dummies : dummies + 5].mean(3, dtype=np.float32))
    rows = rows_of(mask)
    steady = steady_state(series, mean_signal(series.images[usual], echoes[usual].series, rows), dummies)
    echoes, doubts = clipped(echoes, rows, steady.baseline[0])

    def relaxed(rows: NDArray[np.int64]) -> Relaxation:
        return relaxation(echoes, rows, steady.baseline)

    made, shape, level = relaxation_and_traits(echoes, rows, steady.baseline, TAIL)
    if not (made.state == State.GOOD).any():
        raise refuse(
            series, Code.DATA, "no voxel with a usable curve", "a positive signal", "Look at the series."
        )
    time = acquisition.repetition_time * np.arange(dummies, dummies + volumes)
    echo_time = acquisition.echo_time[usual]
    brain = Brain(
        series, made.values, rows, time, steady.baseline, echoes, relaxed, echo_time, shape,
        made.baseline_signal if len(echoes) == 1 else None,
    )  # fmt: skip
    found = arterial_input(brain, recipe["dsc.aif"], recipe["dsc.vof"])
    aif = found.aif
    if found.regions:
        aif = replace(aif, how=f"{aif.how}; most regions have a local input of the same area")
    reference, count = _reference(series, recipe, made.values, level, rows, steady)
    factor = density_factor(recipe)
    protocol = DscProtocol(
        acquisition.repetition_time, aif.concentration, factor, reference, baseline=steady.baseline,
        echo_time=echo_time, baseline_signal=made.baseline_signal, single_echo=made.single_echo,
    )  # fmt: skip
    constants = {
        "EchoTime": constant(acquisition.echo_time if len(echoes) > 1 else echo_time, "s", "sidecar"),
        "RepetitionTime": constant(acquisition.repetition_time, "s", "sidecar"),
        "BaselineVolumes": {
            "First": dummies + steady.baseline[0],
            "Count": steady.baseline[1] - steady.baseline[0],
            "Source": "mean curve of the brain",
        },
        "DensityFactor": constant(factor, "ml/g", "kappa/rho of the recipe's haematocrits and density"),
        "ArterialInput": {"How": aif.how, **aif.quality, **_told_locally(found)},
        "ReferenceVoxels": constant(count, "voxels", "brain without T1 enhancement at the end"),
    }
    warnings = (*series.warnings, *steady.doubts, *doubts, *aif.warnings)
    return Curves(
        made.values, rows, made.state, mask, protocol, bright.grid, series.scan, constants, series.sources, aif,
        (*_vessel_map("label-VOF_mask", "venous output function", found.vein, mask),
         *_vessel_map("label-localAIF_mask", "arterial input functions of regions", found.local, mask)), warnings,
        found.regions,
    )  # fmt: skip


def _reference(
    series: Series,
    recipe: Recipe,
    values: NDArray[np.float32],
    level: Level,
    rows: NDArray[np.int64],
    steady: Steady,
) -> tuple[NDArray[np.float64], int]:
    """The mean curve (t,) 1/s of non-enhancing brain outside the lesion, of the given tissue only where so wished."""
    allowed = np.ones(rows.size, bool)
    if recipe["dsc.reference"] == "mask":
        normal = given_mask(series, NORMAL)
        if normal is None:
            raise refuse(
                series, Code.DATA, f"dsc.reference = mask and no *_{NORMAL}.nii.gz for this scan",
                "one in a --derivatives folder", "Add it, or set dsc.reference to auto.",
            )  # fmt: skip
        allowed &= normal.reshape(-1, order="F")[rows]
    if (lesion := given_mask(series, LESION)) is not None:
        allowed &= ~lesion.reshape(-1, order="F")[rows]
    reference, count = reference_curve(values, steady.baseline, allowed, level)
    if recipe["dsc.leakage"] and count == 0:
        raise refuse(
            series, Code.DATA, "no brain voxel without enhancement outside the lesion", "some normal brain",
            "Check the masks, or set dsc.leakage to nothing and dsc.cbv to uncorrected.",
        )  # fmt: skip
    return reference, count


def _vessel_map(
    ending: str, what: str, voxels: NDArray[np.int64], mask: NDArray[np.bool_]
) -> tuple[Map, ...]:
    if voxels.size == 0:
        return ()
    marked = volume_of(np.ones(voxels.size, np.uint8), voxels, mask.shape)
    return (Map(ending, marked, "0/1", f"voxels of the {what}", "", "", ""),)


def _told_locally(found: ArterialInput) -> dict[str, Any]:
    """What sidecars say where each region is deconvolved by an input of its own, and `aif.tsv` is only its area."""
    if not found.regions:
        return {}
    own = [region.aif.quality for region in found.regions if region.aif is not found.aif]
    spread = {
        name: [float(f"{edge(quality[name] for quality in own):.4g}") for edge in (min, max)]
        for name in ("PeakHeight", "TimeToPeak", "FullWidthHalfMaximum")
        if own
    }
    told = {"Regions": len(found.regions), "OfTheirOwn": len(own), "Voxels": int(found.local.size), **spread}
    return {"Local": {**told, "Area": "that of the brain's input", "Source": LORENZ}}


def density_factor(recipe: Recipe) -> float:
    """kappa/rho, ml/g: kappa = (1 - Hct_large)/(1 - Hct_small); 1 for relative maps (Calamante 1999, eq. 3)."""
    if recipe["dsc.relative"]:
        return 1.0
    kappa = (1 - recipe["dsc.hematocrit_large"]) / (1 - recipe["dsc.hematocrit_small"])
    return float(kappa / recipe["dsc.density"])
