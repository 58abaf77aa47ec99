"""How likely a scan's curves are under a prior of arrivals: Student t of each voxel with flow or without."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.optimize import minimize
from scipy.stats import multivariate_t

from benchmarks.reference.asl import Prior, latest_arrival, log_arrival, own_noise
from benchmarks.reference.kinetics import apparent_t1, kinetic, times
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]

STEP = 1e-2
TYPICAL = 0.01
"""1/s, the flow inside T1': its error there is a hundredth of the signal, nothing to a whole scan's arrivals."""


class Likelihoods(NamedTuple):
    """Log densities of curves. flowing : (n, grid), arrived at att : (grid,) s; still : (n,), without flow."""

    att: Array
    flowing: Array
    still: Array


def likelihoods(curves: Array, protocol: AslProtocol, prior: Prior) -> Likelihoods:
    """Log p(y | ATT) and log p(y | no flow); curves : (n, t), (control - label)/M0 of tissue.

    y = f g(ATT) + noise with f | sigma2 ~ N(0, sigma2/kappa), sigma2 ~ InverseGamma(nu0/2, nu0 s2/2), so that
    y | ATT is Student t of nu0 degrees, of location 0 and shape s2 (I + g g'/kappa); without flow, s2 I.
    Source: Gelman, Bayesian Data Analysis, 3rd ed., app. A.
    """
    duration = np.asarray(protocol.labeling_duration, np.float64)
    t, identity = len(duration), np.eye(len(duration))
    late = float(np.max(protocol.slice_delay))
    first = times(protocol.labeling, protocol.post_labeling_delay, duration, 0.0)
    att = np.arange(0.0, latest_arrival(first, duration) + late, STEP)
    flowing, still = np.full((len(curves), att.size), -np.inf), np.empty(len(curves))
    for voxel, y in enumerate(np.asarray(curves, np.float64)):
        s2 = own_noise(protocol, voxel)
        shift = float(protocol.slice_delay[voxel])
        t1 = protocol.t1_blood
        if protocol.tissue_relaxation:
            t1 = apparent_t1(float(protocol.t1_tissue[voxel]), TYPICAL, protocol.partition_coefficient)
        g = kinetic(
            protocol.labeling,
            first + shift,
            att[:, None],
            duration,
            efficiency=protocol.labeling_efficiency,
            t1_blood=protocol.t1_blood,
            t1_apparent=t1,
            partition_coefficient=protocol.partition_coefficient,
        )
        kappa = s2 / (prior.cbf_sd / 6000) ** 2
        still[voxel] = multivariate_t.logpdf(y, np.zeros(t), s2 * identity, prior.noise_weight)
        for i in np.flatnonzero(att <= latest_arrival(first + shift, duration)):
            shape = s2 * (identity + np.outer(g[i], g[i]) / kappa)
            flowing[voxel, i] = multivariate_t.logpdf(y, np.zeros(t), shape, prior.noise_weight)
    return Likelihoods(att, flowing, still)


def log_evidence(
    given: Likelihoods,
    mean: float,
    sd: float,
    tail: float,
    share: float,
    expected: tuple[float, float],
    worth: float,
) -> float:
    """Log evidence of all voxels, a share of them without flow, and of `worth` voxels that are as expected (mean, SD).

    Those expected contribute worth x E[log N(ATT; mean, sd)]; the share has the prior Beta(2, 2).
    """
    density = np.exp(log_arrival(given.att, mean, sd, tail))
    density /= trapezoid(density, given.att)
    top = np.maximum(given.flowing.max(axis=1), given.still)
    flow = trapezoid(np.exp(given.flowing - top[:, None]) * density, given.att)
    voxels = top + np.log((1 - share) * flow + share * np.exp(given.still - top))
    seen = -np.log(sd) - (expected[1] ** 2 + (mean - expected[0]) ** 2) / (2 * sd**2)
    return float(voxels.sum() + worth * seen + np.log(share * (1 - share)))


def likeliest(
    given: Likelihoods, tail: float, least_sd: float, expected: tuple[float, float], worth: float
) -> tuple[float, float, float]:
    """Mean, SD (s, at least least_sd) and share of voxels without flow that maximise the log evidence."""
    starts = [(mean, sd, share) for mean in (0.7, 1.3) for sd in (0.7, 1.0) for share in (0.1, 0.5)]
    found = [
        minimize(
            lambda x: -log_evidence(given, x[0], x[1], tail, x[2], expected, worth),
            start,
            bounds=((0.0, given.att[-1]), (least_sd, 2.0), (0.01, 0.99)),
        )
        for start in starts
    ]
    mean, sd, share = min(found, key=lambda one: one.fun).x
    return float(mean), float(sd), float(share)
