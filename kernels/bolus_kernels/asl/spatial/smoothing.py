"""Adaptive-weights smoothing: means over neighbours that look alike and whose perfusion does not differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.spatial.belief import CERTAIN, FOUR, KINETIC, LOOK, LOOKS, ROWS, TESTED, VALID
from bolus_kernels.asl.spatial.lattice import LANES, Lattice, Window, spread, window
from bolus_kernels.device import Device
from bolus_kernels.jit import finite_part, kernel

STRETCHES = 64
"""Of the lattice, that a thread takes at a time."""
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)
TINY = np.float32(1e-20)


class Tolerance(NamedTuple):
    """How unlike neighbours may be: looks in SDs of the images, kinetics in variances of the estimate."""

    looks: float
    kinetics: float


def grown(
    grid: Lattice,
    looks: NDArray[np.float32],
    kinetics: NDArray[np.float32],
    tolerance: Tolerance,
    radii: Sequence[float],
    device: Device,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Smoothed kinetics (n, FOUR) and the field (ROWS, size) they make, for one radius (mm) after the other.

    looks : (n, LOOKS), in SDs. kinetics : (n, FOUR), in SDs of their noise; the first TESTED are compared. In the
    first window looks alone decide; then each estimate is compared with what the last window gave.
    Source: Polzehl and Spokoiny, Probab Theory Relat Fields 135:335 (2006), propagation-separation.
    """
    field = np.zeros((ROWS, grid.size), np.float32)
    field[VALID, grid.place] = 1
    field[LOOK : LOOK + LOOKS] = spread(grid, looks / np.float32(tolerance.looks))
    values = spread(grid, kinetics)
    for radius in radii:
        smoothed, count = average(grid, window(grid, radius), field, values, device)
        field[KINETIC : KINETIC + TESTED, grid.place] = smoothed[:, :TESTED].T
        field[CERTAIN, grid.place] = count / np.float32(tolerance.kinetics)
        yield smoothed, field


def average(
    grid: Lattice, around: Window, field: NDArray[np.float32], values: NDArray[np.float32], device: Device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Means (n, FOUR) of values (FOUR, size) over each voxel's window, and how many voxels each is worth, (n,).

    A neighbour weighs near (1 - |difference of looks|^2) K(|difference of kinetics|^2 certainty), none below 0,
    with K(u) = 2 - u between 0 and 1. Where no neighbour weighs anything the mean and the number are 0.
    """
    if device.kind == "cuda":
        from bolus_kernels.asl.spatial.cuda import average as on_gpu

        return on_gpu(grid, around, field, values, device)
    mean, count = np.zeros((FOUR, grid.size), np.float32), np.zeros(grid.size, np.float32)

    def work(begin: int) -> None:
        some = slice(begin, begin + STRETCHES)
        _average(grid.base[some], grid.width[some], *around, field, values, mean, count)

    begins = range(0, grid.base.size, STRETCHES)
    if device.threads == 1:
        for begin in begins:
            work(begin)
    else:
        with ThreadPoolExecutor(device.threads) as pool:
            list(pool.map(work, begins))
    return np.ascontiguousarray(mean[:, grid.place].T), count[grid.place]


@kernel
def _average(
    base: Any, width: Any, jump: Any, near: Any, field: Any, values: Any, mean: Any, count: Any
) -> None:
    sums, own = np.empty((FOUR + 2, LANES), np.float32), np.empty((ROWS, LANES), np.float32)
    for m in range(base.size):
        b = base[m]
        own[:, :] = field[:, b : b + LANES]
        sums[:] = ZERO
        for w in range(jump.size):
            _add(b + jump[w], near[w], field, values, own, sums)
        for x in range(width[m]):
            if own[VALID, x] > ZERO:
                total = max(sums[FOUR, x], TINY)
                count[b + x] = sums[FOUR, x] * sums[FOUR, x] / max(sums[FOUR + 1, x], TINY)
                for k in range(FOUR):
                    mean[k, b + x] = sums[k, x] / total


@finite_part
def _add(j: int, near: Any, field: Any, values: Any, own: Any, sums: Any) -> None:
    """Add the neighbours of LANES voxels that lie in the same direction; rows one by one, or nothing vectorises."""
    valid, certain = field[VALID, j : j + LANES], own[CERTAIN]
    look0, look1, look2 = field[1, j : j + LANES], field[2, j : j + LANES], field[3, j : j + LANES]
    kind0, kind1, kind2 = field[4, j : j + LANES], field[5, j : j + LANES], field[6, j : j + LANES]
    value0, value1 = values[0, j : j + LANES], values[1, j : j + LANES]
    value2, value3 = values[2, j : j + LANES], values[3, j : j + LANES]
    for x in range(LANES):
        a0, a1, a2 = own[1, x] - look0[x], own[2, x] - look1[x], own[3, x] - look2[x]
        b0, b1, b2 = own[4, x] - kind0[x], own[5, x] - kind1[x], own[6, x] - kind2[x]
        alike = max(ZERO, ONE - (a0 * a0 + a1 * a1 + a2 * a2))
        same = max(ZERO, min(ONE, TWO - (b0 * b0 + b1 * b1 + b2 * b2) * certain[x]))
        weight = near * valid[x] * alike * same
        sums[0, x] += weight * value0[x]
        sums[1, x] += weight * value1[x]
        sums[2, x] += weight * value2[x]
        sums[3, x] += weight * value3[x]
        sums[4, x] += weight
        sums[5, x] += weight * weight
