"""The posterior of flow and arrival with neighbours, everything it needs chosen from the scan itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import arrival_prior_of, labels_of, prior_of
from bolus_kernels.asl.posterior import FLOW_UNIT
from bolus_kernels.asl.protocol import LEAST_NOISE, AslProtocol
from bolus_kernels.asl.spatial.belief import LOOKS, Beliefs
from bolus_kernels.asl.spatial.choice import (
    Setting,
    Widths,
    beliefs,
    choose_setting,
    choose_widths,
    standardised,
)
from bolus_kernels.asl.spatial.fit import fit
from bolus_kernels.asl.spatial.lattice import lattice
from bolus_kernels.asl.spatial.neighbours import Neighbourhood, Pairs, Scan, neighbourhood
from bolus_kernels.asl.spatial.smoothing import grown
from bolus_kernels.device import Device
from bolus_kernels.method import VoxelMaps, refuse_infinite
from bolus_kernels.state import State

LEAST_RADIUS, REACH, GROWTH = 4.5, 28.0, 1.44
"""mm, mm, 1: the first window, the last, and how much the next is wider."""
SMOOTHED_NOISE = 10.0
"""Degrees of freedom of the neighbours' noise beside the voxel's own."""
FEW, HALF = 0.25, 0.5
"""Shares of the repeats held out: to choose tolerances, nearly as much is seen as in the end; to tell what neighbours
do not know, both need to be precise."""
MAPS = ("cbf", "att", "sd_cbf", "sd_att")
TAILS = (0.05, 0.95)
TWO_TAILS = 3.29
"""Quantiles of an image, and the SDs between them if it were normal."""


class Spatial(NamedTuple):
    """Maps as those of `multi_delay`, and what was chosen: name -> number, with the unit in the name's end."""

    maps: VoxelMaps
    chosen: Mapping[str, float]


def spatial(
    curves: NDArray[Any],
    protocol: AslProtocol,
    voxels: NDArray[Any],
    voxel_size: NDArray[Any],
    structure: NDArray[Any],
    parameters: Mapping[str, Any],
    device: Device,
) -> Spatial:
    """Blood flow and arterial transit time of all voxels of a scan, each under a prior that its neighbours make.

    curves : (n, t) float32, (control - label)/M0 of tissue. voxels : (n, 3), places of the voxels in whole
    numbers; voxel_size : (3,) mm. structure : (n, k) float32, k <= 2, images that show the anatomy with noise
    of their own, such as (control + label)/2 and M0; the T1 map is looked at beside them. parameters : those of
    `multi_delay`. Gives maps cbf, sd_cbf : ml/100g/min, att, sd_att : s, each (n,) float32, and state : (n,)
    uint8. A voxel that cannot be computed is NaN with a state and no one's neighbour. Raises ValueError for
    more than two images.

    Steps: smooth the series' kinetic components by adaptive weights in growing windows (Polzehl and Spokoiny,
    Probab Theory Relat Fields 135:335 (2006)); choose tolerances and window by the prediction of repeats held
    out, and widths by their evidence; let the neighbours' mean and spread, the voxel itself left out, be the
    prior of the exact posterior (`multi_delay`).
    """
    images = np.asarray(structure, np.float32)
    if images.shape[1] >= LOOKS:
        raise ValueError(f"at most {LOOKS - 1} structural images are compared, not {images.shape[1]}")
    maps: VoxelMaps = {name: np.full(len(curves), np.nan, np.float32) for name in MAPS}
    maps["state"] = _states(curves, protocol, images)
    good = maps["state"] == State.GOOD
    if not good.any():
        return Spatial(maps, {})
    rows = np.flatnonzero(good)
    values = np.ascontiguousarray(curves[rows], np.float32)
    scan = _scan(protocol, rows, np.asarray(voxels)[rows], voxel_size, images[rows], parameters, device)
    whole, noise = _pairs(values, protocol, np.ones(values.shape[1], np.bool_)), _noise(protocol)
    seen, held_out = _apart(values, protocol, whole, FEW)
    kinetics = standardised(scan, seen.means, seen.labels.pairs, noise)
    told = standardised(scan, held_out.means, seen.labels.pairs, noise)
    setting = choose_setting(scan, kinetics, told, _radii(float(np.min(voxel_size))))
    seen, held_out = _apart(values, protocol, whole, HALF)
    widths = choose_widths(scan, _around(scan, seen, setting, noise), held_out)
    around = _around(scan, whole, setting, noise)
    freedom = np.float32(values.shape[1] - np.count_nonzero(whole.labels.pairs))
    pooled = np.float32(SMOOTHED_NOISE)
    own = np.asarray((freedom * whole.noise + pooled * around.noise) / (freedom + pooled), np.float32)
    found = fit(
        whole.means,
        own,
        scan.rate,
        scan.slice_delay,
        beliefs(around, widths),
        scan.labels,
        scan.latest,
        device,
    )
    maps["cbf"][rows], maps["sd_cbf"][rows] = FLOW_UNIT * found.flow, FLOW_UNIT * found.flow_sd
    maps["att"][rows], maps["sd_att"][rows] = found.arrival, found.arrival_sd
    return Spatial(refuse_infinite(maps), _told(setting, widths))


def _around(scan: Scan, data: Pairs, setting: Setting, noise: float) -> Neighbourhood:
    """What the neighbours say in one setting, after all its windows."""
    kinetics = standardised(scan, data.means, data.labels.pairs, noise)
    *_, (_, field) = grown(scan.grid, scan.looks, kinetics, setting.tolerance, setting.radii, scan.device)
    return neighbourhood(scan, data, field, setting.radii[-1])


def _states(curves: NDArray[Any], protocol: AslProtocol, images: NDArray[np.float32]) -> NDArray[np.uint8]:
    t1, late = np.asarray(protocol.t1_tissue), np.asarray(protocol.slice_delay)
    finite = np.isfinite(curves).all(1) & np.isfinite(images).all(1)
    solvable = np.isfinite(t1) & (t1 > 0) & np.isfinite(late)
    return np.where(finite, np.where(solvable, State.GOOD, State.NO_SOLUTION), State.NOT_FINITE).astype(
        np.uint8
    )


def _scan(
    protocol: AslProtocol, rows: NDArray[Any], voxels: NDArray[Any], voxel_size: NDArray[Any],
    images: NDArray[np.float32], parameters: Mapping[str, Any], device: Device,
) -> Scan:  # fmt: skip
    labels, _ = labels_of(protocol)
    prior, arrival = prior_of(protocol, labels, parameters), arrival_prior_of(protocol, parameters).rows(rows)
    first = (0.0, parameters["cbf_sd"] / float(FLOW_UNIT), arrival.mean, arrival.sd)
    t1 = np.asarray(protocol.t1_tissue, np.float32)[rows]
    return Scan(
        lattice(voxels, voxel_size, REACH),
        _looks(np.column_stack([images, t1])),
        1 / t1,
        np.asarray(protocol.slice_delay, np.float32)[rows],
        labels,
        prior.arrival_most,
        Beliefs(*(np.full(rows.size, value, np.float32) for value in first)),
        device,
    )


def _looks(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, k) in their SDs, (n, LOOKS); the SD is of their middle 90 %, and an image that is flat is left out."""
    looks = np.zeros((len(images), LOOKS), np.float32)
    low, high = np.quantile(images, TAILS, axis=0)
    varied = high > low
    looks[:, : images.shape[1]][:, varied] = images[:, varied] * (TWO_TAILS / (high - low)[varied])
    return looks


def _noise(protocol: AslProtocol) -> float:
    return max(protocol.noise_variance, LEAST_NOISE)


def _pairs(values: NDArray[np.float32], protocol: AslProtocol, columns: NDArray[np.bool_]) -> Pairs:
    """Means and noise of some of the pairs; the noise is the protocol's where no delay is repeated."""
    labels, kind = labels_of(protocol.pairs(columns))
    means = np.zeros((len(values), labels.time.size), np.float32)
    within, taken = np.zeros(len(values), np.float32), values[:, columns]
    shown = np.unique(kind)
    for i in shown:
        group = taken[:, kind == i]
        means[:, i] = group.mean(1)
        within += np.sum((group - means[:, i : i + 1]) ** 2, axis=1)
    freedom = kind.size - shown.size
    noise = within / np.float32(freedom) if freedom else np.full(len(values), _noise(protocol), np.float32)
    return Pairs(means, np.maximum(noise, np.float32(LEAST_NOISE)), labels)


def _apart(
    values: NDArray[np.float32], protocol: AslProtocol, whole: Pairs, share: float
) -> tuple[Pairs, Pairs]:
    """The scan as two whose noise is independent: what is seen, and the last pairs of each delay, held out.

    Where a delay has one pair only, noise of the known variance is added to one copy of the means and taken from
    another, so that the two are as repeats apart (Neufeld et al., J Mach Learn Res 25:1 (2024), data thinning).
    """
    _, kind = labels_of(protocol)
    counts = np.bincount(kind)
    shown = np.flatnonzero(counts)
    if counts[shown].min() > 1:
        last = np.zeros(kind.size, np.bool_)
        for i in shown:
            last[np.flatnonzero(kind == i)[-max(1, int(share * counts[i])) :]] = True
        return _pairs(values, protocol, ~last), _pairs(values, protocol, last)
    spread = np.sqrt(_noise(protocol) / np.maximum(whole.labels.pairs, 1))
    added = (np.random.default_rng(0).standard_normal(whole.means.shape) * spread).astype(np.float32)
    odds = float(np.sqrt(share / (1 - share)))
    return _shifted(whole, odds * added, 1 - share), _shifted(whole, -added / np.float32(odds), share)


def _shifted(whole: Pairs, by: NDArray[np.float32], share: float) -> Pairs:
    pairs = np.float32(share) * whole.labels.pairs
    return whole._replace(means=whole.means + by, labels=whole.labels._replace(pairs=pairs))


def _radii(smallest: float) -> tuple[float, ...]:
    """Radii of the windows, mm: from the nearest neighbours on, each holds three times as many as the last."""
    radii = [min(max(LEAST_RADIUS, GROWTH * smallest), REACH / GROWTH)]
    while radii[-1] * GROWTH < REACH - 0.5:
        radii.append(radii[-1] * GROWTH)
    return (*radii, REACH)


def _told(setting: Setting, widths: Widths) -> Mapping[str, float]:
    return {
        "LooksTolerance": setting.tolerance.looks,
        "KineticsTolerance": setting.tolerance.kinetics,
        "WindowRadius": setting.radii[-1],
        "Texture": float(np.sqrt(widths.texture)),
        "ReliefFactor": widths.relief,
        "SpreadFactor": widths.spread,
    }
