"""The head: which tissue lies at which point of space, on any matrix, a little different in every subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.phantom.tissue import LABEL, Tissue, classes
from bolus.phantom.vessels import arteries, sinus
from bolus.series import Grid

FIELD_OF_VIEW = (224.0, 224.0, 144.0)
THICKEST_SLICE = 8.0
# Half axes (mm) from left to right, back to front, bottom to top.
SCALP, SKULL, BRAIN = (81.0, 101.0, 94.0), (76.0, 96.0, 89.0), (70.0, 90.0, 83.0)

Points = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Subject:
    """What is personal about one head: its flow, its tumour (centre and radius, mm), its late territory.

    tumour_side : -1 left, 1 right; the territory that blood reaches `delay_of_territory` s late is opposite.
    fold : where the folds of the cortex begin, rad. shift : mm, of the vessels.
    """

    cbf_factor: float
    delay_of_territory: float
    tumour_side: int
    tumour_centre: tuple[float, float, float]
    tumour_radius: float
    fold: float
    shift: tuple[float, float, float]


@dataclass(frozen=True)
class Head:
    """A head on a grid: label of every voxel (x, y, z) uint8, inside of the skull (x, y, z) bool, tissues."""

    grid: Grid
    labels: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    tissues: tuple[Tissue, ...]


def subject_of(seed: int, subject: int) -> Subject:
    """The head of one subject of a cohort: the same for the same two numbers, whatever the matrix."""
    random = np.random.default_rng([seed, subject])
    cbf_factor = float(random.uniform(0.85, 1.15))
    side = 1 if (seed + subject) % 2 else -1  # in turn, so that a small cohort has both
    right, front, up = random.uniform(-2, 2, 3)
    x, y, z = random.uniform((28, -20, -6), (36, 22, 8))
    return Subject(
        cbf_factor=cbf_factor,
        delay_of_territory=float(random.uniform(1.5, 2.0)),
        tumour_side=side,
        tumour_centre=(float(side * x), float(y), float(z)),
        tumour_radius=float(random.uniform(16, 21)),
        fold=float(random.uniform(0, 2 * np.pi)),
        shift=(float(right), float(front), float(up)),
    )


def grid_of(shape: tuple[int, int, int]) -> Grid:
    """The grid of so many voxels over the head: the whole of it in plane, its middle where slices are few."""
    sizes = [length / n for length, n in zip(FIELD_OF_VIEW, shape, strict=True)]
    zooms = (sizes[0], sizes[1], min(sizes[2], THICKEST_SLICE))
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = [-size * (n - 1) / 2 for size, n in zip(zooms, shape, strict=True)]
    return Grid(shape, affine, zooms, affine, 1, affine, 1)


def head_of(shape: tuple[int, int, int], subject: Subject) -> Head:
    """The head of a subject on a matrix of that shape; a voxel is all of the tissue at its centre."""
    grid = grid_of(shape)
    at = _points(grid)
    brain = np.asfortranarray(_radius(at, BRAIN) < 1)
    labels = np.zeros(grid.shape, np.uint8, order="F")
    labels[_radius(at, SCALP) < 1] = LABEL["scalp"]
    labels[_radius(at, SKULL) < 1] = LABEL["skull"]
    labels[brain] = LABEL["csf"]
    _brain(labels, at, subject)
    _territory(labels, at, subject)
    _tumour(labels, at, subject)
    _ventricles(labels, at)
    labels[sinus(grid) & brain] = LABEL["vein"]
    labels[arteries(grid, subject.shift) & brain] = LABEL["artery"]
    tissues = classes(subject.cbf_factor, subject.delay_of_territory)
    return Head(grid, labels, brain, tissues)


def _points(grid: Grid) -> Points:
    axes = [grid.affine[i, 3] + grid.affine[i, i] * np.arange(n) for i, n in enumerate(grid.shape)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x, y, z


def _radius(
    at: Points, half_axes: tuple[float, float, float], centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> NDArray[Any]:
    """Distance from a centre in units of an ellipsoid's half axes: 1 on its surface."""
    parts = (((p - c) / a) ** 2 for p, a, c in zip(at, half_axes, centre, strict=True))
    return np.asarray(np.sqrt(sum(parts)))


def _brain(labels: NDArray[np.uint8], at: Points, subject: Subject) -> None:
    x, y, z = at
    radius = _radius(at, BRAIN)
    around, up = np.arctan2(y / BRAIN[1], x / BRAIN[0]), z / BRAIN[2]
    # Two waves that bend each other, so that no two folds look alike.
    bent = 17 * around + subject.fold + 1.6 * np.sin(3 * around + 6 * up)
    fold = np.sin(bent) * np.cos(5 * up + 2 * np.sin(4 * around))
    cleft = (np.abs(x) < 2.5) & ((np.abs(y + 4) > 44) | (z > 34))
    labels[(radius < 0.965 + 0.02 * fold) & ~cleft] = LABEL["grey_matter"]
    beside_cleft = (np.abs(x) < 7) & ((np.abs(y + 4) > 38) | (z > 28))
    labels[(radius < 0.79 + 0.10 * fold) & ~beside_cleft] = LABEL["white_matter"]
    for side in (-1, 1):
        labels[_radius(at, (9, 13, 10), (side * 14, -9, 0)) < 1] = LABEL["grey_matter"]  # thalamus
        labels[_radius(at, (6, 16, 11), (side * 26, 8, 0)) < 1] = LABEL["grey_matter"]  # putamen


def _territory(labels: NDArray[np.uint8], at: Points, subject: Subject) -> None:
    x, y, z = at
    lateral = -subject.tumour_side * x
    wedge = (lateral > 18) & (np.abs(y + 8) < 0.75 * lateral + 2) & (z > -36)
    for name in ("grey_matter", "white_matter"):
        labels[wedge & (labels == LABEL[name])] = LABEL[f"{name}_delayed"]


def _tumour(labels: NDArray[np.uint8], at: Points, subject: Subject) -> None:
    x, y, z = at
    cx, cy, cz = subject.tumour_centre
    distance = _radius(at, (subject.tumour_radius,) * 3, subject.tumour_centre)
    around = np.arctan2(y - cy, x - cx) + 0.05 * (z - cz)
    rough = 1 + 0.08 * np.sin(3 * around + subject.fold) + 0.05 * np.sin(5 * around)
    brain = labels >= LABEL["grey_matter"]
    white = labels == LABEL["white_matter"]  # water spreads along white matter and spares the cortex
    labels[white & (distance < 1.55 * rough + 0.15 * np.sin(2 * around))] = LABEL["oedema"]
    labels[brain & (distance < rough)] = LABEL["tumour_rim"]
    labels[brain & (distance < 0.6 * rough)] = LABEL["tumour_necrosis"]


def _ventricles(labels: NDArray[np.uint8], at: Points) -> None:
    x, y, z = at
    brain = (labels == LABEL["white_matter"]) | (labels == LABEL["grey_matter"])
    apart = 5 + 0.006 * (y - 2) ** 2  # horns that part to the front and to the back
    for side in (-1, 1):
        horn = ((side * x - apart) / 5.5) ** 2 + ((y - 2) / 34) ** 2 + ((z - 11 + 0.1 * (y - 2)) / 12) ** 2
        labels[brain & (horn < 1)] = LABEL["csf"]
    labels[brain & (_radius(at, (2.4, 13, 12), (0, -4, -10)) < 1)] = LABEL["csf"]
