"""A calibration image that was acquired on another grid, on that of its series: by what the two affines say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bolus.errors import BolusError, Code
from bolus.series import Array, Grid, Volume

LEAST_COVERED = 0.5
"""Share of the series' voxels that an image must reach to be one of the same head."""
SLACK = 1e-3
"""Voxels; affines round, and a point so far beyond a border lies on it."""


def resampled(image: Volume, series: Volume) -> tuple[Volume, list[str]]:
    """The image (x, y, z) or (x, y, z, k) float32 between its voxels (trilinear), NaN where it does not reach.

    A voxel reaches half its width beyond its centre. Raises E_GEOM for an image that covers less than half of the
    series.
    """
    from scipy import ndimage

    ours, theirs = series.grid, image.grid
    to_image = np.linalg.inv(theirs.affine) @ ours.affine
    inside = _reached(to_image, ours, theirs)
    covered = float(inside.mean())
    if covered < LEAST_COVERED:
        seen = f"an image that covers {100 * covered:.0f} % of the series, by the two affines"
        mend = "Check which series it belongs to, or register it and resample it to the series."
        raise BolusError(Code.GEOM, image.path, seen, f"at least {100 * LEAST_COVERED:.0f} %", mend)
    values = image.scaled()
    volumes = values[..., np.newaxis] if values.ndim == 3 else values
    found = np.empty((*ours.shape, volumes.shape[3]), np.float32, order="F")
    for k in range(volumes.shape[3]):
        found[..., k] = ndimage.affine_transform(
            volumes[..., k], to_image[:3, :3], to_image[:3, 3], ours.shape, order=1, mode="nearest"
        )
    found[~inside] = np.nan
    said = (
        f"{image.path.name} lies on another grid, {_words(theirs)}: it was resampled to that of the series, "
        f"{_words(ours)}, as the affines say"
    )
    if covered < 1:
        said += f"; {100 * (1 - covered):.1f} % of the series' voxels lie outside it and have no M0"
    return replace(
        image, data=found.reshape(ours.shape + values.shape[3:], order="F"), slope=1.0, inter=0.0, grid=ours
    ), [said]


def _reached(to_image: Array, ours: Grid, theirs: Grid) -> Array:
    """Which voxels of a grid (x, y, z) have their centre inside a voxel of another."""
    place = np.ogrid[tuple(slice(0, n) for n in ours.shape)]
    inside = np.ones(ours.shape, np.bool_)
    for axis, count in enumerate(theirs.shape):
        along = to_image[axis, 3] + sum(to_image[axis, k] * place[k] for k in range(3))
        inside &= (along >= -0.5 - SLACK) & (along <= count - 0.5 + SLACK)
    return inside


def _words(grid: Grid) -> str:
    size, zooms = (" x ".join(f"{value:.4g}" for value in values) for values in (grid.shape, grid.zooms))
    return f"{size} voxels of {zooms} mm"
