"""Arteries and a venous sinus as tubes along centrelines: a voxel that a tube touches is all blood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.series import Grid

Line = tuple[tuple[float, float, float], ...]

ARTERY_RADIUS, SINUS_RADIUS = 1.6, 3.0
SPACING = 0.7
# Centrelines (mm) of the right side; the left is its mirror image.
CAROTID: Line = ((15, 12, -62), (14, 16, -40), (11, 18, -24))
MIDDLE_CEREBRAL: Line = ((11, 18, -24), (30, 14, -16), (47, 6, -8), (51, -6, 8), (54, -18, 30), (50, -28, 48))
ANTERIOR_CEREBRAL: Line = ((11, 18, -24), (4, 32, -16), (4, 52, 4), (4, 44, 30), (4, 10, 50))
BASILAR: Line = ((0, -16, -62), (0, -14, -36), (0, -10, -26))


def arteries(grid: Grid, shift: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The voxels that an artery touches, all of them moved by `shift` (mm): (x, y, z) bool."""
    sides = [np.asarray(line, float) for line in (CAROTID, MIDDLE_CEREBRAL, ANTERIOR_CEREBRAL)]
    lines = [line * (side, 1, 1) for line in sides for side in (-1, 1)]
    lines.append(np.asarray(BASILAR, float))
    return touched(grid, [line + np.asarray(shift) for line in lines], ARTERY_RADIUS)


def sinus(grid: Grid) -> NDArray[np.bool_]:
    """The voxels that the superior sagittal sinus touches, under the vault from front to back: bool."""
    angle = np.radians(np.arange(35, 206, 5))
    vault = np.stack([0 * angle, 86 * np.cos(angle), 79 * np.sin(angle)], axis=1)
    return touched(grid, [vault], SINUS_RADIUS)


def touched(grid: Grid, lines: list[NDArray[Any]], radius: float) -> NDArray[np.bool_]:
    """The voxels that hold a point of a tube around one of the lines, each (points, 3) mm: (x, y, z) bool."""
    steps = np.arange(-radius, radius + SPACING / 2, SPACING)
    ball = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= radius]
    points = (np.concatenate([_walk(line) for line in lines])[:, None] + ball).reshape(-1, 3)
    index = np.rint((points - grid.affine[:3, 3]) / grid.zooms).astype(int)
    index = index[((index >= 0) & (index < grid.shape)).all(axis=1)]
    voxels = np.zeros(grid.shape, bool, order="F")
    voxels[tuple(index.T)] = True
    return voxels


def _walk(line: NDArray[Any]) -> NDArray[Any]:
    """Points along a line at no more than SPACING (mm) from one to the next."""
    legs = np.linalg.norm(np.diff(line, axis=0), axis=1)
    walked = np.concatenate([[0.0], np.cumsum(legs)])
    along = np.linspace(0, walked[-1], int(np.ceil(walked[-1] / SPACING)) + 1)
    return np.stack([np.interp(along, walked, line[:, axis]) for axis in range(3)], axis=1)
