"""M0 of tissue in every voxel: as measured, from a region of one tissue, or one number; recovered, smoothed, eroded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.prepare.asl.constants import T2_OF_BLOOD
from bolus.prepare.asl.relaxation import SAME_FIELD
from bolus.recipe import Recipe
from bolus.series import ASL, Array, Series, Volume
from bolus.voxels import constant, given_mask, refuse, rows_of, volume_of

CHAPPELL = "Chappell, MacIntosh, Okell, Introduction to Perfusion Quantification using ASL (2018)"
T2_STAR_OF_BLOOD = 0.05
SURE = 0.9
"""Probability from which a voxel counts as the reference tissue alone."""
FWHM = 2 * math.sqrt(2 * math.log(2))


class Tissue(NamedTuple):
    """A reference tissue at 3 T: T1, T2, T2* (s), and its water per water of blood (1)."""

    t1: float
    t2: float
    t2_star: float
    density: float


REFERENCE = {"csf": Tissue(4.3, 0.75, 0.4, 1.15), "wm": Tissue(1.0, 0.05, 0.05, 0.82)}


class Measured(NamedTuple):
    """An image (x, y, z) that shows M0 after one repetition time (s), the mean of `count` volumes."""

    image: NDArray[np.float32]
    repetition_time: float
    volumes: int


class Calibration(NamedTuple):
    """M0 of tissue (n,) float32 in the brain's voxels, and how a sidecar tells it."""

    m0: NDArray[np.float32]
    told: Mapping[str, Any]


def measured_m0(series: Series, acquisition: ASL) -> list[Measured]:
    """The images that show M0, one for each repetition time; none where M0 is only a number."""
    if acquisition.m0_type == "Estimate":
        return []
    if acquisition.m0_type == "Separate" and isinstance(acquisition.m0, Volume):
        m0 = acquisition.m0
        volumes = list(range(m0.data.shape[3])) if m0.data.ndim == 4 else [0]
        return list(_by_repetition_time(m0, volumes, acquisition.m0_repetition_time))
    kind = "m0scan" if acquisition.m0_type == "Included" else "control"
    volumes = [volume for volume, each in enumerate(acquisition.context) if each == kind]
    return list(_by_repetition_time(series.images[0], volumes, acquisition.m0_repetition_time))


def calibrate(
    series: Series,
    acquisition: ASL,
    recipe: Recipe,
    measured: list[Measured],
    mask: NDArray[np.bool_],
    t1: NDArray[np.float32],
    warnings: list[str],
) -> Calibration:
    """M0 of tissue for every voxel of the brain, the way that the recipe and the series say.

    t1 : (n,) s, of the voxels of `mask`. A number, of a region or given, is M0 of arterial blood and enters times
    the partition coefficient; an image is M0 of tissue. Raises BolusError E_RECIPE, E_META or E_DATA where the
    wished calibration cannot be had.
    """
    way, blood = recipe["asl.calibration"], None
    if way == "value":
        blood, source = recipe["asl.m0_value"], "recipe"
        if blood <= 0:
            seen = f"asl.calibration = value with asl.m0_value = {blood:g}"
            raise refuse(series, Code.RECIPE, seen, "a positive M0 of arterial blood", "Set asl.m0_value.")
    elif way == "reference":
        blood, source = _of_region(series, acquisition, recipe, measured, warnings)
    elif not measured:
        blood, source = float(acquisition.m0), "M0Estimate"  # type: ignore[arg-type]
    if blood is not None:
        m0 = np.full(t1.size, recipe["asl.partition_coefficient"] * blood, np.float32)
        told = {
            "M0Blood": constant(blood, "signal", source),
            "CoilSensitivity": "not corrected: one M0 for all voxels",
        }
        return Calibration(m0, {"Calibration": way if measured else "value", **told})
    rows = rows_of(mask)
    flat = [each._replace(image=each.image.reshape(-1, order="F")[rows]) for each in measured]
    m0 = recovered(flat, t1)
    erosion, width = recipe["asl.m0_erosion"], recipe["asl.m0_smoothing"]
    if erosion:
        m0 = _from_within(series, m0, mask, erosion)
    if width:
        m0 = _smoothed(m0, mask, [width / FWHM / zoom for zoom in series.images[0].grid.zooms])
    told = {"M0Erosion": erosion, "M0Smoothing": constant(width, "mm", "recipe, FWHM")}
    return Calibration(m0, {"Calibration": way, **told, "CoilSensitivity": "cancels voxel by voxel"})


def _by_repetition_time(
    volume: Volume, volumes: list[int], times: float | tuple[float, ...] | None
) -> Iterator[Measured]:
    each = times if isinstance(times, tuple) else (math.inf if times is None else times,) * len(volumes)
    for time in dict.fromkeys(each):
        alike = [index for index, its in zip(volumes, each, strict=True) if its == time]
        yield Measured(mean_of(volume, alike), time, len(alike))


def mean_of(image: Volume, volumes: list[int]) -> NDArray[np.float32]:
    """The mean (x, y, z) of some volumes of an image, in its unit."""
    if image.data.ndim == 3:
        return image.scaled()
    total = np.zeros(image.grid.shape, np.float32, order="F")
    for volume in volumes:
        total += image.data[..., volume]
    total *= np.float32(image.slope / len(volumes))
    total += np.float32(image.inter)
    return total


def recovered(measured: list[Measured], t1: Array | np.float32) -> NDArray[np.float32]:
    """M0 from images S = M0 (1 - e^(-TR/T1)), by least squares; always, for a threshold in TR would make a jump."""
    share = [-np.expm1(-np.float32(each.repetition_time) / t1) for each in measured]
    if len(measured) == 1:
        return np.asarray(measured[0].image / share[0], np.float32)
    above = sum(each.volumes * g * each.image for each, g in zip(measured, share, strict=True))
    below = sum(each.volumes * g * g for each, g in zip(measured, share, strict=True))
    return np.asarray(above / below, np.float32)


def _of_region(
    series: Series, acquisition: ASL, recipe: Recipe, measured: list[Measured], warnings: list[str]
) -> tuple[float, str]:
    """M0 of arterial blood from the mean of a region of one tissue, and its source.

    M0b = M0_ref / density * exp(TE (1/T2_ref - 1/T2_b)), with T2* for the gradient echoes of a 2D readout and T2 for
    the spin echoes of a 3D one (Chappell 2018, chapter 6; Cavusoglu et al., Magn Reson Imaging 27:1039, 2009).
    """
    name = recipe["asl.calibration_tissue"]
    if not measured:
        seen = f"asl.calibration = reference with M0Type {acquisition.m0_type}"
        raise refuse(
            series, Code.RECIPE, seen, "a calibration image", "Set asl.calibration to voxelwise or value."
        )
    echo_time = acquisition.m0_echo_time
    if echo_time is None:
        mend = "Give EchoTime of the calibration image, or set asl.calibration to voxelwise."
        raise refuse(series, Code.META, "no EchoTime", "EchoTime (s) for a reference region", mend)
    region = _region(series, name)
    tissue = REFERENCE[name]
    flat = [each._replace(image=each.image[region]) for each in measured]
    m0 = recovered(flat, np.float32(tissue.t1))
    m0 = m0[np.isfinite(m0) & (m0 > 0)]
    if m0.size == 0:
        seen = f"an M0 that is nowhere positive in the {name} region"
        raise refuse(series, Code.DATA, seen, "a calibration image there", "Check the mask.")
    if abs(acquisition.magnetic_field_strength - 3) > SAME_FIELD:
        warnings.append(f"the constants of the reference tissue {name} are those at 3 T")
    echoes = "T2" if acquisition.slice_timing is None else "T2*"
    its, of_blood = (tissue.t2, T2_OF_BLOOD) if echoes == "T2" else (tissue.t2_star, T2_STAR_OF_BLOOD)
    blood = float(m0.mean(dtype=np.float64)) / tissue.density * math.exp(echo_time * (1 / its - 1 / of_blood))
    source = (
        f"{name} of {m0.size} voxels, T1 {tissue.t1} s, density {tissue.density}, "
        f"{echoes} {its} s and of blood {of_blood} s, TE {echo_time:g} s; {CHAPPELL}"
    )
    return blood, source


def _region(series: Series, name: str) -> NDArray[np.bool_]:
    label = name.upper()
    region = given_mask(series, f"label-{label}_mask")
    if region is None and (probability := series.given.get(f"label-{label}_probseg")):
        region = np.asarray(probability.scaled() > SURE)
    if region is None or not region.any():
        seen = (
            f"no voxel of {label}"
            if region is not None
            else f"neither label-{label}_mask nor label-{label}_probseg"
        )
        mend = "Give one in --derivatives, in the grid of the series, or set asl.calibration to voxelwise."
        raise refuse(series, Code.META, seen, f"a region of {label}, for asl.calibration = reference", mend)
    return region


def _from_within(
    series: Series, m0: NDArray[np.float32], mask: NDArray[np.bool_], voxels: int
) -> NDArray[np.float32]:
    """M0 whose voxels near the brain's edge, part of them air or skull, take the nearest value from within."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(
        mask, iterations=voxels, border_value=1
    )  # the image's own border is no edge
    if not inner.any():
        seen = f"asl.m0_erosion = {voxels}, which leaves no voxel of the brain"
        raise refuse(series, Code.RECIPE, seen, "a smaller number", "Set asl.m0_erosion to 1 or 0.")
    nearest = ndimage.distance_transform_edt(
        ~inner, sampling=series.images[0].grid.zooms, return_distances=False, return_indices=True
    )
    rows = rows_of(mask)
    found = volume_of(m0, rows, mask.shape)[tuple(nearest)]
    return np.asarray(found.reshape(-1, order="F")[rows], np.float32)


def _smoothed(m0: NDArray[np.float32], mask: NDArray[np.bool_], sigma: list[float]) -> NDArray[np.float32]:
    """M0 smoothed among those voxels of the brain that have one: nothing from outside leaks in."""
    from scipy import ndimage

    rows = rows_of(mask)
    good = np.isfinite(m0) & (m0 > 0)
    values = volume_of(np.where(good, m0, 0).astype(np.float32), rows, mask.shape)
    weights = volume_of(good.astype(np.float32), rows, mask.shape)
    above, below = (ndimage.gaussian_filter(image, sigma, mode="constant") for image in (values, weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = np.where(below > 0, above / below, 0)
    return np.asarray(smooth.reshape(-1, order="F")[rows], np.float32)
