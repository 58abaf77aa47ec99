"""A brain for ASL whose flow is known: folded cortex, a tumour with a rim, late territory, true partial volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Fields = Mapping[str, Array]


class Tissue(NamedTuple):
    """Flow (ml/100g/min), transit time, T1 (s), magnetisation, partition coefficient (ml/g) of a pure tissue."""

    cbf: float
    att: float
    t1: float
    magnetisation: float
    partition_coefficient: float


TISSUES = {
    "gm": Tissue(60.0, 0.9, 1.3, 850.0, 0.9),
    "wm": Tissue(22.0, 1.25, 1.1, 720.0, 0.9),
    "csf": Tissue(0.0, 1.0, 4.0, 1000.0, 0.9),
    "rim": Tissue(100.0, 0.7, 1.6, 900.0, 0.9),
    "core": Tissue(6.0, 1.6, 2.2, 950.0, 0.9),
}
"""As voxelwise calibration sees them: one partition coefficient, blood in proportion to the tissue's own M0."""
PHYSICAL = {
    name: tissue._replace(magnetisation=900 * partition, partition_coefficient=partition)
    for (name, tissue), partition in zip(TISSUES.items(), (0.98, 0.82, 1.15, 0.95, 0.95), strict=True)
}
"""One blood for all tissues, each with its own partition coefficient: what partial volume correction assumes."""
LATE = 0.7
"""By how much blood is late in the delayed territory, s."""
VOXEL = (3.4, 3.4, 4.0)
SHAPE = (64, 64, 20)


class Brain(NamedTuple):
    """A phantom on the grid of its scan; every field (x, y, z).

    fractions : tissue -> share of the voxel, 0...1, from a finer grid. cbf : tissue -> ml/100g/min and att :
    tissue -> s, of that tissue in that voxel. sensitivity : of the coil, 1. abv : arterial blood volume, ml/ml,
    arriving at arrival, s. late : bool. lesions : labels 1..n, 0 elsewhere. voxel : mm.
    """

    tissues: Mapping[str, Tissue]
    fractions: Fields
    cbf: Fields
    att: Fields
    sensitivity: Array
    abv: Array
    arrival: Array
    late: Array
    lesions: Array
    voxel: tuple[float, float, float]


def coordinates(shape: tuple[int, int, int], voxel: tuple[float, float, float]) -> tuple[Array, Array, Array]:
    """Distances of voxel centres from the middle of the grid, mm, each ready to broadcast to (x, y, z)."""
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, voxel, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x, y, z


def ball(
    at: tuple[Array, Array, Array], centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Array:
    """Distance from the centre of an ellipsoid in units of its radii; all mm."""
    return np.asarray(np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip(at, centre, radii, strict=True))))


def labels(at: tuple[Array, Array, Array]) -> Array:
    """Tissue of each point: 0 outside, else 1 + its place in TISSUES; at : mm."""
    x, y, z = at
    outer = ball(at, (0, 0, -6), (66, 82, 58))
    folds = 8 * (np.sin(x / 7) * np.cos(y / 8) + np.sin(y / 7.5) * np.cos(z / 9))
    depth = (1 - outer) * 66 + folds
    found = np.select([outer > 1, depth < 3, depth < 13], [0, 3, 1], 2)
    for side in (-1, 1):
        found[ball(at, (side * 20, -4, -2), (11, 17, 12)) < 1] = 1  # deep grey matter
        found[ball(at, (side * 9, 6, 8), (5, 26, 9)) < 1] = 3  # ventricles
    tumour = ball(at, (32, 30, 10), (19, 19, 19))
    found[(tumour < 1) & (found > 0)] = 4
    found[(tumour < 10 / 19) & (found > 0)] = 5
    return found


def brain(
    shape: tuple[int, int, int] = SHAPE,
    voxel: tuple[float, float, float] = VOXEL,
    tissues: Mapping[str, Tissue] = TISSUES,
    finer: int = 4,
) -> Brain:
    """The phantom, its tissues drawn on a grid `finer` times finer along each axis and averaged down; voxel : mm.

    Transit times rise from front to back by 0.2 s and jump by 0.7 s in the late territory, left and behind.
    """
    fine = labels(
        coordinates(
            (shape[0] * finer, shape[1] * finer, shape[2] * finer),
            (voxel[0] / finer, voxel[1] / finer, voxel[2] / finer),
        )
    )
    blocks = fine.reshape(shape[0], finer, shape[1], finer, shape[2], finer)
    x, y, z = coordinates(shape, voxel)
    late = np.broadcast_to((x < -8) & (y < -12) & np.isfinite(z), shape)
    drift = np.broadcast_to(-0.1 * y / 82 + 0 * x * z, shape)
    still = np.zeros(shape)
    return Brain(
        tissues,
        {name: (blocks == k).mean(axis=(1, 3, 5)) for k, name in enumerate(tissues, 1)},
        {name: np.full(shape, tissue.cbf) for name, tissue in tissues.items()},
        {name: tissue.att + drift + LATE * late for name, tissue in tissues.items()},
        np.ones(shape),
        still,
        still,
        late,
        np.zeros(shape, np.uint8),
        voxel,
    )


def with_arteries(whole: Brain, abv: float = 0.03, lead: float = 0.3) -> Brain:
    """The same with arteries: two from side to side and one from front to back, 4 mm in radius.

    abv : ml/ml in the axis of the vessel, falling to 0 at its wall. lead : s before the tissue's blood.
    """
    shape = whole.late.shape
    x, y, z = coordinates((shape[0], shape[1], shape[2]), whole.voxel)
    axes = (((y - 12, z + 14), x), ((y + 30, z + 2), x), ((x - 3, z - 4), y))
    profile = np.zeros(shape)
    for (one, two), along in axes:
        profile = np.maximum(profile, 1 - (one**2 + two**2 + 0 * along) / 6.0**2)
    return whole._replace(
        abv=abv * np.where(mask(whole), profile, 0.0), arrival=np.maximum(whole.att["gm"] - lead, 0.1)
    )


def mask(whole: Brain) -> Array:
    """Voxels that are brain by more than half; bool (x, y, z)."""
    return np.asarray(np.sum(list(whole.fractions.values()), axis=0) > 0.5)


def pure(whole: Brain, tissue: str, least: float = 0.98) -> Array:
    """Voxels of one tissue alone, no lesion in them; bool (x, y, z)."""
    return np.asarray((whole.fractions[tissue] >= least) & (whole.lesions == 0))


def mixed(whole: Brain, fields: Fields) -> Array:
    """What a voxel as a whole has: the mean of its tissues by their shares; (x, y, z)."""
    return np.asarray(sum(share * fields[name] for name, share in whole.fractions.items()))


def mixed_t1(whole: Brain) -> Array:
    """T1 map, s: the mean of the tissues' by their shares, 0 outside the head; (x, y, z)."""
    share = np.sum(list(whole.fractions.values()), axis=0)
    total = sum(p * whole.tissues[name].t1 for name, p in whole.fractions.items())
    return np.asarray(np.divide(total, share, out=np.zeros(share.shape), where=share > 0))
