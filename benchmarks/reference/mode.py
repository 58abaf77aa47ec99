"""The mode of one voxel's joint posterior of flow and arrival, and the misfit of any pair of them, on dense grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference.asl import Prior, latest_arrival, log_arrival, own_noise
from benchmarks.reference.kinetics import apparent_t1, kinetic, times
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]
Curve = Callable[[Array, float], Array]

STEP, FINER = 1e-3, 1e-5
"""s, between arrivals everywhere, and around the best of these."""


def unit_curve(protocol: AslProtocol, voxel: int) -> tuple[Curve, float]:
    """g(ATT (grid,), flow in T1') : (grid, t), the signal of a unit flow (1/s); and the last ATT, s."""
    duration = np.asarray(protocol.labeling_duration, np.float64)
    time = times(
        protocol.labeling, protocol.post_labeling_delay, duration, float(protocol.slice_delay[voxel])
    )

    def curve(att: Array, flow: float) -> Array:
        t1 = protocol.t1_blood
        if protocol.tissue_relaxation:
            t1 = apparent_t1(float(protocol.t1_tissue[voxel]), flow, protocol.partition_coefficient)
        return kinetic(
            protocol.labeling,
            time,
            np.asarray(att)[:, None],
            duration,
            efficiency=protocol.labeling_efficiency,
            t1_blood=protocol.t1_blood,
            t1_apparent=t1,
            partition_coefficient=protocol.partition_coefficient,
        )

    return curve, latest_arrival(time, duration)


def mode(curve: Array, protocol: AslProtocol, voxel: int, prior: Prior) -> tuple[float, float, float]:
    """CBF (ml/100g/min), ATT (s) and the log density there, less a constant; curve : (t,), fraction of M0.

    p(f, ATT | y) = p(ATT) [nu0 s2 + |y - f g|^2 + kappa f^2]^(-(nu0 + t + 1)/2), the priors those of
    `benchmarks.reference.asl.multi_delay`, sigma2 integrated (Gelman, Bayesian Data Analysis, 3rd ed., ch. 3). At a
    given ATT it is highest at f = g.y/(kappa + g.g). T1' is that of the flow at the mode, iterated.
    """
    y, s2 = np.asarray(curve, np.float64), own_noise(protocol, voxel)
    unit, last = unit_curve(protocol, voxel)
    kappa = s2 / (prior.cbf_sd / 6000) ** 2

    def highest(att: Array, flow: float) -> tuple[float, float, float]:
        g = unit(att, flow)
        f = g @ y / (kappa + np.sum(g * g, axis=1))
        scatter = prior.noise_weight * s2 + np.sum((y - f[:, None] * g) ** 2, axis=1) + kappa * f * f
        log_density = log_arrival(att, prior.att_mean, prior.att_sd, prior.att_tail)
        log_density = log_density - 0.5 * (prior.noise_weight + len(y) + 1) * np.log(scatter)
        k = int(np.argmax(log_density))
        return float(f[k]), float(att[k]), float(log_density[k])

    flow, before = 0.0, np.inf
    for _ in range(20):
        _, att, _ = highest(np.arange(0.0, last + STEP / 2, STEP).clip(max=last), flow)
        near = np.arange(max(0.0, att - STEP), min(last, att + STEP) + FINER / 2, FINER)
        flow, att, density = highest(near, flow)
        if abs(flow - before) <= 1e-9:
            break
        before = flow
    return 6000 * flow, att, density


def misfit(curve: Array, protocol: AslProtocol, voxel: int, cbf: float, att: float) -> float:
    """Sum of squares that a flow (ml/100g/min) and an arrival (s) leave, T1' its own."""
    unit, _ = unit_curve(protocol, voxel)
    f = cbf / 6000
    return float(np.sum((np.asarray(curve, np.float64) - f * unit(np.array([att]), f)[0]) ** 2))
