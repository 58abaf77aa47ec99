"""By how much arrivals scatter in the region around a voxel, by the evidence of its voxels, one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from benchmarks.reference.asl import Posterior, latest_arrival, log_arrival, own_noise
from benchmarks.reference.kinetics import apparent_t1, kinetic, times
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]

GRID = 400
TYPICAL = 60.0
"""ml/100g/min, the flow inside T1'."""


def log_evidence(
    curve: Array, protocol: AslProtocol, voxel: int, flow: tuple[float, float], att: float, variances: Array,
    tail: float,
) -> Array:  # fmt: skip
    """log p(y | ATT ~ about att with each of the variances (s^2)), less a constant; curve : (t,), flow : mean, SD, 1/s.

    y given ATT is normal with mean m g and covariance s2 I + sd^2 g g'; its determinant is s2^t (1 + sd^2 g.g/s2).
    """
    y, (m, sd), s2 = np.asarray(curve, np.float64), flow, own_noise(protocol, voxel)
    duration = np.asarray(protocol.labeling_duration, np.float64)
    late = float(protocol.slice_delay[voxel])
    time = times(protocol.labeling, protocol.post_labeling_delay, duration, late)
    grid = np.linspace(0.0, latest_arrival(time, duration), GRID)
    relaxation = protocol.t1_blood
    if protocol.tissue_relaxation:
        relaxation = apparent_t1(
            float(protocol.t1_tissue[voxel]), TYPICAL / 6000, protocol.partition_coefficient
        )
    g = kinetic(
        protocol.labeling,
        time,
        grid[:, None],
        duration,
        efficiency=protocol.labeling_efficiency,
        t1_blood=protocol.t1_blood,
        t1_apparent=relaxation,
        partition_coefficient=protocol.partition_coefficient,
    )
    power, rest = np.sum(g * g, axis=1), y - m * g
    along = np.sum(rest * g, axis=1)
    misfit = (np.sum(rest * rest, axis=1) - along**2 / (s2 / sd**2 + power)) / s2
    likelihood = -0.5 * (misfit + np.log1p(sd**2 * power / s2))
    best, found = likelihood.max(), []
    for variance in variances:
        prior = np.exp(log_arrival(grid, att, float(np.sqrt(variance)), tail))
        found.append(
            best + np.log(trapezoid(prior * np.exp(likelihood - best), grid) / trapezoid(prior, grid))
        )
    return np.array(found)


def scattered(
    curves: Array, protocol: AslProtocol, asked: Array, regions: list[tuple[Array, Posterior]], att: Array,
    unknown: Array, widths: Array, tail: float, rounds: int, step: int,
) -> list[float]:  # fmt: skip
    """Variance of arrivals in each region, s^2: the mean of the widths' squares, weighed by evidence and frequency.

    regions : how near each voxel is, (n,), and what the mean curve says. asked : bool (n,), one in `step`. att,
    unknown : (n,), s and s^2, mean of the arrival that a voxel expects and the variance of that mean. Of region r and
    width k the evidence is E_rk = prod_v p(y_v | width_k)^(step nearness); p_k, how common widths are, starts equal and
    is the mean over regions of p_k E_rk / sum_j p_j E_rj, `rounds` times.
    """
    near = np.array([weight for weight, _ in regions])
    mean = near.T @ np.array([max(found.cbf, 0.0) / 6000 for _, found in regions])
    spread = np.sqrt(near.T @ np.array([(found.cbf**2 + found.sd_cbf**2) / 6000**2 for _, found in regions]))
    own = np.zeros((len(curves), len(widths)))
    for v in np.flatnonzero(asked):
        flow = float(mean[v]), float(spread[v])
        own[v] = log_evidence(curves[v], protocol, v, flow, att[v], widths**2 + unknown[v], tail)
    evidence = step * (near @ own)
    likely = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    heard, common = near @ asked > 0, np.full(len(widths), 1 / len(widths))
    for _ in range(rounds):
        common = (common * likely / (likely @ common)[:, None])[heard].mean(axis=0)
    weight = common * likely / (likely @ common)[:, None]
    return [float(one) for one in weight @ widths**2]
