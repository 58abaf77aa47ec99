"""Files -> Series: images, metadata, tables, masks and maps of one scan; every bad file is found here."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from bolus import nifti
from bolus.errors import BolusError, Code
from bolus.read.asl import asl_fields
from bolus.read.calibration import calibration_doubts
from bolus.read.checks import (
    check_echoes,
    check_map,
    check_mask,
    check_same_grid,
    check_series,
    check_signal,
    header_doubts,
    lies_elsewhere,
)
from bolus.read.dsc import dsc_fields
from bolus.read.echoes import shortest_echo
from bolus.read.resample import resampled
from bolus.read.sidecar import Sidecar
from bolus.read.sidecar import load as load_sidecar
from bolus.read.tables import read_aif, read_context
from bolus.series import Scan, Series, Volume

LEAST_VOLUMES = 10
log = logging.getLogger(__name__)


def read(scan: Scan, bolus_duration: float | None = None) -> Series:
    """Everything that is known of a scan, validated; the series itself stays in its stored dtype.

    Images are (x, y, z, t); given masks and maps (x, y, z) lie on their grid; times in s. bolus_duration : s, of a
    pulsed bolus that was not cut off, where a user says it: no file does.
    Raises BolusError; which code says what is wrong is in the contract.
    """
    sources: dict[str, str] = {}
    sidecars = []
    for path, own in zip(scan.images, scan.echo_sidecars or (scan.sidecars,), strict=True):
        sidecar, hashes = load_sidecar(own, path)
        sidecars.append(sidecar)
        sources |= hashes
    paths, set_aside = scan.images, list[str]()
    if scan.contrast == "asl":
        chosen, set_aside = shortest_echo(scan, sidecars)
        paths, sidecars = (paths[chosen],), [sidecars[chosen]]
    images = tuple(_series(path, scan, sources) for path in paths)
    if scan.contrast == "dsc":
        for image in images:
            _check_dsc_volumes(image)
        warnings = check_echoes(images)
        acquisition, doubts = dsc_fields(sidecars, images)
        warnings += doubts
        series = Series(scan, images, acquisition, {}, None, sources)
    else:
        series, doubts = _asl(scan, sidecars[0], images[0], sources, bolus_duration)
        warnings = set_aside + doubts
    for image in images:
        warnings += check_series(image)
        if scan.contrast == "dsc":
            check_signal(image)
    given = {}
    for name, path in scan.derivatives.items():
        if name != "aif":
            given[name], doubts = _given(name, path, images[0], sources)
            warnings += doubts
    aif = None
    if table := scan.derivatives.get("aif"):
        aif, sources[str(table)] = read_aif(table)
    first = images[0].data
    log.info("read %s: %s %s, %d warnings", scan.key, first.shape, first.dtype, len(warnings))
    return replace(series, given=given, aif=aif, warnings=tuple(warnings))


def _series(path: Path, scan: Scan, sources: dict[str, str]) -> Volume:
    image, sources[str(path)] = nifti.load(path)
    if image.data.ndim == 3 and scan.contrast == "dsc":
        mend = "Give the whole series in one file, not one of its volumes."
        raise BolusError(Code.SHAPE, path, f"one volume of {image.data.shape}", "a series (x, y, z, t)", mend)
    if image.data.ndim == 3:  # a single deltam volume is a series of one
        image = replace(image, data=image.data[..., np.newaxis])
    return image


def _check_dsc_volumes(image: Volume) -> None:
    if (volumes := image.data.shape[3]) < LEAST_VOLUMES:
        mend = "Check that the conversion kept every volume of the bolus."
        seen = f"{volumes} volume{'s' * (volumes > 1)}"
        raise BolusError(Code.TOO_FEW, image.path, seen, f"at least {LEAST_VOLUMES}", mend)


def _asl(
    scan: Scan, sidecar: Sidecar, image: Volume, sources: dict[str, str], bolus_duration: float | None
) -> tuple[Series, list[str]]:
    if scan.context is None:
        mend = "Write one: a line volume_type, then control, label, m0scan or deltam for each volume."
        raise BolusError(Code.META, scan.images[0], "no *_aslcontext.tsv", "one beside the series", mend)
    context, sources[str(scan.context)] = read_context(scan.context, image.data.shape[3])
    m0, m0_sidecar = None, None
    warnings: list[str] = []
    if scan.m0:
        m0_sidecar, hashes = load_sidecar(scan.m0_sidecars, scan.m0[0])
        sources |= hashes
        m0, warnings = _m0(scan.m0[0], image, sources)
        warnings += calibration_doubts(scan, sidecar, m0_sidecar)
    acquisition, doubts = asl_fields(sidecar, context, image.grid.shape, m0, m0_sidecar, bolus_duration)
    return Series(scan, (image,), acquisition, {}, None, sources), doubts + warnings


def _m0(path: Path, series: Volume, sources: dict[str, str]) -> tuple[Volume, list[str]]:
    """The calibration image (x, y, z) or (x, y, z, k) float32, on the grid of the series."""
    image, sources[str(path)] = nifti.load(path)
    doubts = header_doubts(image)
    if lies_elsewhere(image, series):
        image, said = resampled(image, series)
    else:
        said = check_same_grid(image, series)
    values = image.scaled()
    if not (values[np.isfinite(values)] > 0).any():
        mend = "Give the calibration scan itself, or another M0Type."
        raise BolusError(Code.DATA, path, "no voxel above 0", "a calibration image", mend)
    return replace(image, data=values, slope=1.0, inter=0.0), said + doubts


def _given(name: str, path: Path, series: Volume, sources: dict[str, str]) -> tuple[Volume, list[str]]:
    """A mask or map (x, y, z) on the grid of the series."""
    image, sources[str(path)] = nifti.load(path)
    if image.data.ndim == 4:
        seen = f"{image.data.shape[3]} volumes, {image.data.shape}"
        raise BolusError(Code.SHAPE, path, seen, "one volume (x, y, z)", "Choose the volume that is meant.")
    doubts = check_same_grid(image, series)
    if name.endswith("_mask"):
        check_mask(name, image)
    else:
        check_map(name, image)
    return image, doubts
