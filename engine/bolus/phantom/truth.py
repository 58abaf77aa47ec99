"""The truth of one session as derivatives: maps, labels and masks on the grid of each series, and the AIF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus import nifti
from bolus.phantom.anatomy import Head
from bolus.phantom.files import beside, write_json, write_table
from bolus.phantom.scanner import paint
from bolus.phantom.tissue import LABEL, Tissue

LESION = ("tumour_rim", "tumour_necrosis")
Described = tuple[str, Callable[[Tissue], float], str, str]
"""What a map's file ends with, its value in a tissue, its unit and what it is."""

DSC_MAPS: tuple[Described, ...] = (
    ("cbf", lambda tissue: tissue.cbf, "ml/100g/min", "Blood flow; NaN in an artery"),
    ("cbv", lambda tissue: tissue.cbv, "ml/100g", "Blood volume"),
    ("mtt", lambda tissue: tissue.mtt or np.nan, "s", "Mean transit time; NaN without flow and in an artery"),
    ("delay", lambda tissue: tissue.delay, "s", "Arrival after the arterial input; NaN without flow"),
    ("k2", lambda tissue: tissue.k2, "1/s", "Leakage of contrast agent: K2 of Boxerman et al. (2006)"),
)
ASL_MAPS: tuple[Described, ...] = (
    # Arteries and veins are crushed: they hold no labelled blood when the image is taken.
    (
        "cbf",
        lambda tissue: 0.0 if np.isnan(tissue.att) else tissue.cbf,
        "ml/100g/min",
        "Blood flow of tissue",
    ),
    ("att", lambda tissue: tissue.att, "s", "Arterial transit time; NaN without flow"),
    ("T1map", lambda tissue: tissue.t1, "s", "Longitudinal relaxation time"),
)


def write_dsc_truth(prefix: Path, head: Head, time: NDArray[Any], aif: NDArray[Any]) -> None:
    """Write what is true of a DSC series: maps, labels, masks; time (t,) s and arterial input (t,) 1/s.

    Raises OSError.
    """
    _write_images(prefix, "dsc", head, DSC_MAPS)
    artery = head.labels == LABEL["artery"]
    _write_mask(prefix, "label-AIF_desc-dsc_mask", artery, head, "Voxels whose curve is the arterial input")
    vein = head.labels == LABEL["vein"]
    if vein.any():  # the sinus lies outside a few slices
        _write_mask(prefix, "label-VOF_desc-dsc_mask", vein, head, "Voxels of the venous sinus: blood only")
    rows = [(f"{at:.3f}", f"{value:.9g}") for at, value in zip(time, aif, strict=True)]
    write_table(beside(prefix, "desc-dsc_aif.tsv"), ("time", "delta_r2star"), rows)
    columns = {
        "time": {"Description": "Time from the start of the series", "Units": "s"},
        "delta_r2star": {"Description": "The true arterial input, without noise", "Units": "1/s"},
    }
    write_json(beside(prefix, "desc-dsc_aif.json"), columns)


def write_asl_truth(prefix: Path, head: Head) -> None:
    """Write what is true of an ASL series: maps, labels, masks. Raises OSError."""
    _write_images(prefix, "asl", head, ASL_MAPS)


def _write_images(prefix: Path, contrast: str, head: Head, maps: tuple[Described, ...]) -> None:
    for name, value, unit, description in maps:
        painted = paint(head.labels, [value(tissue) for tissue in head.tissues])
        data = np.where(head.brain, painted, np.float32(0))
        _write(prefix, f"desc-{contrast}_{name}", data, head, f"{description}; 0 outside the brain", unit)
    _write(prefix, f"desc-{contrast}_dseg", head.labels, head, "Tissue classes, named in dseg.tsv", "1")
    tumour = np.isin(head.labels, [LABEL[name] for name in LESION])
    _write_mask(prefix, f"label-brain_desc-{contrast}_mask", head.brain, head, "All that is inside the skull")
    _write_mask(prefix, f"label-lesion_desc-{contrast}_mask", tumour, head, "The tumour without its oedema")


def _write_mask(prefix: Path, ending: str, mask: NDArray[Any], head: Head, description: str) -> None:
    _write(prefix, ending, mask.astype(np.uint8), head, description, "1")


def _write(prefix: Path, ending: str, data: NDArray[Any], head: Head, description: str, unit: str) -> None:
    nifti.save(beside(prefix, f"{ending}.nii.gz"), data, head.grid)
    write_json(beside(prefix, f"{ending}.json"), {"Description": description, "Units": unit})
