"""Settings from the data alone: how unlike neighbours may be, how far they may lie, how much they are believed."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.spatial.belief import FOUR, Beliefs
from bolus_kernels.asl.spatial.fit import fit
from bolus_kernels.asl.spatial.neighbours import LEAST_SD, Neighbourhood, Pairs, Scan, components
from bolus_kernels.asl.spatial.smoothing import Tolerance, grown

LOOKS, KINETICS = (0.1, 0.2, 0.4, 0.8), (16.0, 32.0, 64.0)
"""Tolerances to choose from, strict before generous."""
SPENT = 1 / 16
"""Share of the variance of a voxel's noise that may be added to the least error of prediction, to keep edges."""
TEXTURES = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4])
RELIEFS = np.array([0.0, 0.03, 0.1, 0.3, 1.0])
SPREADS = np.array([0.5, 1.0, 2.0])
"""Widths to choose from: SD of flow that no neighbour knows, over its mean; factors on the variance of flow next to
a voxel, and on that of its neighbours."""


class Setting(NamedTuple):
    """Tolerances, and the radii (mm) of the windows up to the one chosen."""

    tolerance: Tolerance
    radii: tuple[float, ...]


class Widths(NamedTuple):
    """How much neighbours are believed: square of the texture, factors on the relief and on their variance."""

    texture: float
    relief: float
    spread: float


def standardised(
    scan: Scan, means: NDArray[np.float32], pairs: NDArray[np.float32], noise: float
) -> NDArray[np.float32]:
    """Means (n, delays) as kinetic components (n, FOUR), in SDs of the noise that so many pairs leave."""
    weights = np.sqrt(pairs.astype(np.float64))
    standard = (means * weights) @ components(scan, pairs) / np.sqrt(noise)
    return np.asarray(standard, np.float32)


def choose_setting(
    scan: Scan, seen: NDArray[np.float32], held_out: NDArray[np.float32], radii: tuple[float, ...]
) -> Setting:
    """The strictest setting that predicts what was held out nearly as well as the best.

    seen, held_out : (n, FOUR), kinetic components of repeats apart. Looks are more precise than kinetics and come
    first. The error of prediction is unbiased, for the noise of the two is independent; SPENT of a voxel's noise
    is paid for edges, which few voxels have and the mean error over all voxels hardly feels. The last window costs
    twice all others and ranks tolerances as they do: it is tried with those chosen only.
    """

    def lost(tolerance: Tolerance, radii: tuple[float, ...]) -> list[float]:
        steps = grown(scan.grid, scan.looks, seen, tolerance, radii, scan.device)
        return [float(np.mean(np.sum((held_out - smoothed) ** 2, axis=1))) for smoothed, _ in steps]

    def strictest(tolerances: list[Tolerance]) -> Tolerance:
        errors = [min(lost(one, radii[:-1])) for one in tolerances]
        enough = min(errors) + SPENT * FOUR
        return next(one for one, error in zip(tolerances, errors, strict=True) if error <= enough)

    looks = strictest([Tolerance(one, KINETICS[-1]) for one in LOOKS]).looks
    chosen = strictest([Tolerance(looks, one) for one in KINETICS])
    return Setting(chosen, radii[: int(np.argmin(lost(chosen, radii))) + 1])


def choose_widths(scan: Scan, around: Neighbourhood, held_out: Pairs) -> Widths:
    """How wide the prior is, by the evidence of repeats that it has not seen: the mean over a grid of widths.

    Each voxel's flow is measured in the pairs held out, with the neighbours' arrival; what the measurements stray
    from the neighbours' mean beyond their noise is what the neighbours do not know.
    """
    open_flow = around.mean._replace(flow_sd=np.broadcast_to(scan.first.flow_sd, around.mean.flow.shape))
    certain = np.sqrt(around.arrival_spread + around.mean.arrival_sd**2)
    measured = fit(
        held_out.means, around.noise, scan.rate, scan.slice_delay, open_flow._replace(arrival_sd=certain),
        held_out.labels, scan.latest, scan.device,
    )  # fmt: skip
    strayed = np.square(measured.flow - around.mean.flow, dtype=np.float64)
    noise = measured.flow_sd.astype(np.float64) ** 2
    grid = [Widths(t**2, r, s) for t, r, s in product(TEXTURES, RELIEFS, SPREADS)]
    evidence = np.empty(len(grid))
    for i, widths in enumerate(grid):
        variance = noise + _variance(around, widths)
        evidence[i] = -0.5 * np.sum(np.log(variance) + strayed / variance)
    weight = np.exp(evidence - evidence.max())
    return Widths(*(weight @ np.array(grid) / weight.sum()).tolist())


def _variance(around: Neighbourhood, widths: Widths) -> NDArray[np.float32]:
    """Of flow, beside its mean: what neighbours do not agree on, an edge that is near, what they cannot know."""
    mean = around.mean
    texture, relief, spread = (np.float32(width) for width in widths)
    known = mean.flow_sd**2 + spread * around.flow_spread
    return np.asarray(known + relief * around.flow_relief + texture * mean.flow**2)


def beliefs(around: Neighbourhood, widths: Widths) -> Beliefs:
    """The prior of each voxel: the neighbours' mean, as wide as they disagree and as it strays from them."""
    mean = around.mean
    arrival = np.float32(widths.spread) * around.arrival_spread + mean.arrival_sd**2
    flow_sd = np.sqrt(np.maximum(_variance(around, widths), LEAST_SD**2))
    return Beliefs(mean.flow, flow_sd, mean.arrival, np.sqrt(arrival))
