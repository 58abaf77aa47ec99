"""From a scan to what is believed of each voxel before its own curve: the neighbours' mean and spread."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.kinetics import ZERO, depleted, pasl, pcasl
from bolus_kernels.asl.nodes import AGO, LEFT, SHOWN, Labels
from bolus_kernels.asl.spatial.belief import FOUR, ROWS, VALID, Beliefs
from bolus_kernels.asl.spatial.fit import fit
from bolus_kernels.asl.spatial.lattice import Lattice, spread, window
from bolus_kernels.asl.spatial.smoothing import average
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel
from bolus_kernels.scalar import exp

ARRIVALS, FLOW = 64, np.float32(0.01)
"""Curves of the bank at one relaxation rate, and the flow (1/s) inside their 1/T1'."""
RATES = (0.05, 0.5, 0.95)
"""Quantiles of the relaxation rates of tissue that the bank covers."""
NEXT = 1.5
"""Voxels; nearer ones lie next to each other."""
LEAST_SD = np.float32(1e-6)
"""1/s and s: no SD is less."""


class Scan(NamedTuple):
    """What does not change while settings are chosen.

    grid : where voxels lie. looks : (n, 3) float32, structural images in their SDs. rate : (n,) 1/s, of tissue T1;
    slice_delay : (n,) s. labels, latest : delays, and the last arrival (s). first : the beliefs before any data.
    """

    grid: Lattice
    looks: NDArray[np.float32]
    rate: NDArray[np.float32]
    slice_delay: NDArray[np.float32]
    labels: Labels
    latest: np.float32
    first: Beliefs
    device: Device


class Pairs(NamedTuple):
    """Some repeats. means : (n, delays) float32. noise : (n,), variance of one pair. labels : with their number."""

    means: NDArray[np.float32]
    noise: NDArray[np.float32]
    labels: Labels


class Neighbourhood(NamedTuple):
    """What the neighbours say: mean of flow and arrival with the SD of that mean, their variances, and the noise.

    flow_relief : (n,), variance of flow among those next to a voxel, alike or not: high at an edge.
    """

    mean: Beliefs
    flow_spread: NDArray[np.float32]
    flow_relief: NDArray[np.float32]
    arrival_spread: NDArray[np.float32]
    noise: NDArray[np.float32]


def components(scan: Scan, pairs: NDArray[np.float32]) -> NDArray[np.float64]:
    """The directions in which kinetic curves differ most, (delays, FOUR), for means weighed by the root of `pairs`.

    Principal components, not centred, of curves of all arrivals: orthonormal, so that noise stays what it is.
    """
    arrivals = np.linspace(0, scan.latest, ARRIVALS, dtype=np.float32)
    bank = np.empty((len(RATES), ARRIVALS, scan.labels.time.size), np.float32)
    rates = np.quantile(scan.rate, RATES).astype(np.float32)
    late = np.float32(np.median(scan.slice_delay))
    _bank(arrivals, rates, late, scan.labels, bank)
    weighted = bank.reshape(-1, pairs.size).astype(np.float64) * np.sqrt(pairs)
    _, vectors = np.linalg.eigh(weighted.T @ weighted)
    return np.asarray(vectors[:, : -FOUR - 1 : -1])


@kernel
def _bank(arrivals: Any, rates: Any, late: Any, labels: Any, bank: Any) -> None:
    for r in range(rates.size):
        rate = labels.rate_blood
        if labels.tissue_relaxation:
            rate = rates[r] + FLOW / labels.partition
        for a in range(arrivals.size):
            full, left = ZERO, ZERO
            for i in range(labels.time.size):
                time, duration = labels.time[i] + late, labels.duration[i]
                before = full
                if labels.pulsed:
                    full = pasl(time, arrivals[a], duration, labels.rate_blood, rate)
                else:
                    full = pcasl(time, arrivals[a], duration, labels.rate_blood, rate)
                fade = exp(-labels.pulses[AGO, i] * rate)
                left = depleted(full, before, left, fade, labels.pulses[LEFT, i])
                bank[r, a, i] = labels.pulses[SHOWN, i] * left


def neighbourhood(scan: Scan, data: Pairs, field: NDArray[np.float32], radius: float) -> Neighbourhood:
    """What the neighbours of each voxel say of it, weighed as `field` says.

    The series is averaged with these weights, and with it the relaxation rate, the slice's delay and the noise of
    what is averaged; its posterior is each voxel's smoothed estimate. The mean and the variance of these over a
    voxel's neighbours, itself left out, are what is believed of it.
    """
    around = window(scan.grid, radius)
    delays = data.means.shape[1]
    given = np.column_stack([data.means, scan.rate, scan.slice_delay, data.noise])
    smoothed, count = _all_averages(scan, field, given, radius)
    noise = smoothed[:, delays + 2]
    estimate = fit(
        np.ascontiguousarray(smoothed[:, :delays]), noise / count, smoothed[:, delays].copy(),
        smoothed[:, delays + 1].copy(), scan.first, data.labels, scan.latest, scan.device,
    )  # fmt: skip
    values = np.column_stack([estimate.flow, estimate.arrival, estimate.flow**2, estimate.arrival**2])
    found, many = average(scan.grid, around.without_centre(), field, spread(scan.grid, values), scan.device)
    alone = many == 0
    found[alone] = values[alone]
    spreads = np.maximum(found[:, 2:] - found[:, :2] ** 2, LEAST_SD**2)
    firm = np.column_stack([scan.first.flow_sd, scan.first.arrival_sd])
    spreads[alone] = firm[alone] ** 2
    mean = Beliefs(found[:, 0].copy(), estimate.flow_sd, found[:, 1].copy(), estimate.arrival_sd)
    return Neighbourhood(
        mean, spreads[:, 0].copy(), _relief(scan, values), spreads[:, 1].copy(), noise.copy()
    )


def _relief(scan: Scan, values: NDArray[np.float32]) -> NDArray[np.float32]:
    alike = np.zeros((ROWS, scan.grid.size), np.float32)
    alike[VALID, scan.grid.place] = 1
    nearest = window(scan.grid, NEXT * float(scan.grid.voxel_size.max()))
    found, _ = average(scan.grid, nearest, alike, spread(scan.grid, values), scan.device)
    return np.asarray(np.maximum(found[:, 2] - found[:, 0] ** 2, np.float32(0)))


def _all_averages(
    scan: Scan, field: NDArray[np.float32], values: NDArray[np.float32], radius: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Averages of any number of values (n, k), FOUR at a time, and how many voxels each is worth."""
    around, k = window(scan.grid, radius), values.shape[1]
    padded = np.pad(values, ((0, 0), (0, -k % FOUR)))
    parts = [
        average(scan.grid, around, field, spread(scan.grid, padded[:, i : i + FOUR]), scan.device)
        for i in range(0, padded.shape[1], FOUR)
    ]
    return np.concatenate([mean for mean, _ in parts], axis=1)[:, :k], parts[0][1]
