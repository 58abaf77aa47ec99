"""What voxels can tell of a bad image, looked at one volume at a time so that a series is never copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bolus.errors import BolusError, Code
from bolus.nifti import MOST_DISAGREEMENT, disagreement
from bolus.series import Array, Grid, Volume

SATURATED_SHARE = 0.01
# Masks come from other tools, which round; beyond a quarter of a voxel they lie on another grid.
SHARE_OF_VOXEL = 0.25
ZOOM_TOLERANCE = 0.05
TIMES = {"T1map": "T1", "att": "transit time"}
LONGEST = 20.0
"""s; no median of these maps is longer."""
RECONVERT = "Convert the scan again from its source; leave it out if it was never measured."


def check_series(image: Volume) -> list[str]:
    """What is doubtful in a series (x, y, z, t); raises E_DATA for what cannot be a measurement.

    Refused are volumes without any finite voxel or all zero, and a series that never changes.
    """
    data = image.data
    volumes = [data[..., index] for index in range(data.shape[3])]
    broken = 0
    if data.dtype.kind == "f":
        finite = [int(np.count_nonzero(np.isfinite(volume))) for volume in volumes]
        _refuse(image, [n for n, count in enumerate(finite) if count == 0], "without a finite voxel")
        broken = data.size - sum(finite)
    tops = data.max(axis=(0, 1, 2))  # where it is not 0 a volume holds something, and is not looked at again
    empty = [int(n) for n in np.flatnonzero(tops == 0) if not volumes[n].any()]
    _refuse(image, empty, "with nothing but zeros")
    if len(volumes) > 1 and all(_same(volume, volumes[0]) for volume in volumes[1:]):
        seen = f"{len(volumes)} volumes that are all equal"
        raise BolusError(Code.DATA, image.path, seen, "a signal that changes over time", RECONVERT)
    doubts = [f"{broken} samples of {image.path.name} are NaN or infinite"] if broken else []
    return doubts + _saturation(image, tops) + header_doubts(image)


def check_signal(image: Volume) -> None:
    """Raises E_DATA for a series (x, y, z, t) whose first volume nowhere is above 0: no scanner shows such a signal."""
    first = image.data[..., 0] * np.float32(image.slope) + np.float32(image.inter)
    if not (highest := float(np.nanmax(first))) > 0:
        seen = f"a first volume without a value above 0 (the highest is {highest:g})"
        mend = "Give the magnitude series as the scanner made it: no difference, no series without its mean."
        raise BolusError(Code.DATA, image.path, seen, "the signal of the scanner, which is positive", mend)


def check_echoes(images: Sequence[Volume]) -> list[str]:
    """What is doubtful about the echoes of one series; raises E_SHAPE or E_GEOM if they are not of one acquisition."""
    first, *others = images
    doubts = []
    for image in others:
        if image.data.shape != first.data.shape:
            expected = f"{first.data.shape}, as {first.path.name} has"
            mend = "Give all echoes of one acquisition, each with every volume."
            raise BolusError(Code.SHAPE, image.path, f"an echo of {image.data.shape}", expected, mend)
        doubts += check_same_grid(image, first)
    return doubts


def check_mask(name: str, mask: Volume) -> None:
    """Raises E_DATA for a mask (x, y, z) that is empty, not finite, or (but for lesions) has several values."""
    values = np.unique(mask.data)
    if not np.isfinite(values).all():
        raise BolusError(Code.DATA, mask.path, "NaN or infinity in a mask", "0 and 1", "Make the mask again.")
    inside = values[values != 0]
    if inside.size == 0:
        mend = "Draw it again on the perfusion series, or remove the file."
        raise BolusError(Code.DATA, mask.path, "an empty mask: every voxel is 0", "at least one voxel", mend)
    listed = ", ".join(f"{value:g}" for value in inside[:5])
    if name == "label-lesion_mask":
        if not all(float(value).is_integer() and value > 0 for value in inside):
            mend = "Resample label images with nearest-neighbour interpolation."
            raise BolusError(Code.DATA, mask.path, f"labels {listed}", "whole numbers 1..n", mend)
    elif inside.size > 1:
        mend = "Cut it at a threshold of your choice, or resample with nearest-neighbour interpolation."
        raise BolusError(Code.DATA, mask.path, f"values {listed} in a mask", "0 and one other value", mend)


def check_map(name: str, image: Volume) -> None:
    """Raises E_DATA for a map (x, y, z) with no finite positive voxel, or outside what its name allows.

    A probability lies in 0...1; maps of T1 and of the arterial transit time are in seconds.
    """
    values = image.scaled()
    values = values[np.isfinite(values)]
    if not (values > 0).any():
        seen = "a map without a positive voxel"
        raise BolusError(
            Code.DATA, image.path, seen, "at least one", "Make the map again or remove the file."
        )
    low, high = float(values.min()), float(values.max())
    if name.endswith("_probseg") and not (low >= 0 and high <= 1.001):
        seen = f"probabilities from {low:g} to {high:g}"
        raise BolusError(Code.DATA, image.path, seen, "0 to 1", "Divide by the largest possible value.")
    if (time := TIMES.get(name)) and (middle := float(np.median(values[values > 0]))) > LONGEST:
        mend = f"It looks like milliseconds: divide by 1000 ({middle / 1000:g} s)."
        raise BolusError(Code.DATA, image.path, f"a median {time} of {middle:g}", f"{time} in seconds", mend)


def check_same_grid(image: Volume, series: Volume) -> list[str]:
    """What is doubtful about an image on the grid of a series; raises E_SHAPE or E_GEOM if it is not on it."""
    ours, theirs = series.grid, image.grid
    mend = (
        "Resample it to the perfusion series; a desc-dsc or desc-asl in its name restricts it to one of them."
    )
    if theirs.shape != ours.shape:
        expected = f"{ours.shape}, as {series.path.name} has"
        raise BolusError(Code.SHAPE, image.path, f"a grid of {theirs.shape}", expected, mend)
    if not (_is_placed(ours) and _is_placed(theirs)):
        if any(abs(a - b) > ZOOM_TOLERANCE * b for a, b in zip(theirs.zooms, ours.zooms, strict=True)):
            expected = f"{ours.zooms}, as {series.path.name} has"
            raise BolusError(Code.GEOM, image.path, f"voxels of {theirs.zooms} mm", expected, mend)
        return [f"{image.path.name} or the series says nothing about its place in space: same grid assumed"]
    apart = disagreement(ours.shape, theirs.affine, ours.affine)
    if apart > SHARE_OF_VOXEL * min(ours.zooms):
        seen = f"an affine {_rows(theirs)}, which puts voxels up to {apart:.3g} mm away"
        raise BolusError(Code.GEOM, image.path, seen, f"{_rows(ours)}, as {series.path.name} has", mend)
    return []


def lies_elsewhere(image: Volume, series: Volume) -> bool:
    """Whether an image says that it lies on another grid than a series that says where it lies."""
    ours, theirs = series.grid, image.grid
    if not (_is_placed(ours) and _is_placed(theirs)):
        return False
    apart = disagreement(ours.shape, theirs.affine, ours.affine)
    return theirs.shape != ours.shape or apart > SHARE_OF_VOXEL * min(ours.zooms)


def header_doubts(image: Volume) -> list[str]:
    """What two ways of saying where an image lies leave open; their contradiction is refused on loading."""
    grid = image.grid
    if not _is_placed(grid):
        return [f"{image.path.name} has neither qform nor sform: its place in space is unknown"]
    if grid.qform is None or grid.sform is None:
        return []
    apart = disagreement(grid.shape, grid.qform, grid.sform)
    if apart <= MOST_DISAGREEMENT:
        return []
    codes = f"qform (code {grid.qform_code}) and sform (code {grid.sform_code})"
    return [f"{codes} of {image.path.name} are up to {apart:.3g} mm apart; the sform was used"]


def _is_placed(grid: Grid) -> bool:
    return grid.qform is not None or grid.sform is not None


def _rows(grid: Grid) -> list[list[float]]:
    return [[round(float(value), 3) + 0.0 for value in row] for row in grid.affine[:3]]


def _same(volume: Array, first: Array) -> bool:
    return bool(np.array_equal(volume, first, equal_nan=True))


def _refuse(image: Volume, numbers: Sequence[int], what: str) -> None:
    if numbers:
        listed = ", ".join(str(number) for number in numbers[:8]) + (", ..." if len(numbers) > 8 else "")
        seen = f"{len(numbers)} of {image.data.shape[3]} volumes {what} (number {listed}, counted from 0)"
        raise BolusError(Code.DATA, image.path, seen, "measured values in every volume", RECONVERT)


def _saturation(image: Volume, tops: Array) -> list[str]:
    """tops : (t,), the largest stored value of each volume."""
    data = image.data
    if data.dtype.kind not in "iu":
        return []
    top = tops.max()
    share = sum(int(np.count_nonzero(data[..., n] == top)) for n in np.flatnonzero(tops == top)) / data.size
    if share < SATURATED_SHARE:
        return []
    return [
        f"{share:.0%} of {image.path.name} has its largest value, {int(top)}: the receiver may be saturated"
    ]
