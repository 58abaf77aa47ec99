"""ASL by the book, one voxel at a time: the posterior of flow and transit time on a dense grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from benchmarks.reference.kinetics import apparent_t1, kinetic, single_delay, times
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]

STEP = 1e-3
POINTS = 4001
NEGLIGIBLE = 40.0
"""A log density this far below its maximum carries no mass."""


class Prior(NamedTuple):
    """Known before the data: of ATT (s), SD of CBF in ml/100g/min, weight nu0 of s2.

    att_tail : 0 for ATT ~ N(att_mean, att_sd); else the log density falls as -z^2/2 near the mean and never below
    -1/(2 att_tail) far from it.
    """

    att_mean: float
    att_sd: float
    cbf_sd: float
    noise_weight: float
    att_tail: float = 0.0


def log_arrival(att: Array, mean: float, sd: float, tail: float) -> Array:
    """Log prior density of arrivals (s), less a constant: a normal's where tail is 0.

    With tail c: -q/(1 + 2 c q), q = (att - mean)^2/(2 sd^2), which is -q for small q and -1/(2c) for large.
    """
    q = (np.asarray(att, np.float64) - mean) ** 2 / (2 * sd**2)
    return np.asarray(-q / (1 + 2 * tail * q))


def own_noise(protocol: AslProtocol, voxel: int) -> float:
    """s2 of one voxel: the pooled variance of a pair times what the voxel has more or less of it."""
    if protocol.relative_noise is None:
        return float(protocol.noise_variance)
    return float(protocol.noise_variance * protocol.relative_noise[voxel])


class Posterior(NamedTuple):
    """Means and standard deviations: CBF in ml/100g/min, ATT in s."""

    cbf: float
    att: float
    sd_cbf: float
    sd_att: float


def latest_arrival(time: Array, duration: Array) -> float:
    """att_max = t - tau/4 of the last readout, s: a later bolus cannot be told from none; both (t,) s."""
    last = int(np.argmax(time))
    return float(time[last] - 0.25 * duration[last])


def _densities(y: Array, g: Array, att: Array, s2: float, prior: Prior) -> tuple[Array, Array, Array]:
    """Log posterior of ATT, mean and variance of f given ATT; g : (grid, t)."""
    n, nu0 = len(y), prior.noise_weight
    kappa = s2 / (prior.cbf_sd / 6000) ** 2
    precision = kappa + np.sum(g * g, axis=1)  # of f, in units of 1/sigma2
    f = g @ y / precision  # E[f | ATT, y]
    residual = np.sum((y - f[:, None] * g) ** 2, axis=1) + kappa * f * f  # = y.y - (g.y)^2/(kappa + g.g)
    scatter = nu0 * s2 + residual
    log_evidence = -0.5 * np.log(precision) - 0.5 * (nu0 + n) * np.log(scatter)  # Student t, less a constant
    log_prior = log_arrival(att, prior.att_mean, prior.att_sd, prior.att_tail)
    variance = scatter / (nu0 + n - 2) / precision  # Var[f | ATT, y], sigma2 integrated
    return log_evidence + log_prior, f, variance


def _moments(shape: Callable[[Array], Array], y: Array, att_max: float, s2: float, prior: Prior) -> Posterior:
    """Sum over a grid of ATT, drawn again on the interval holding the mass until it fills a good part."""
    att = np.linspace(0.0, att_max, int(np.ceil(att_max / STEP)) + 1)
    while True:
        log_density, f, variance = _densities(y, shape(att), att, s2, prior)
        holds = np.flatnonzero(log_density > log_density.max() - NEGLIGIBLE)
        low, high = att[max(holds[0] - 1, 0)], att[min(holds[-1] + 1, len(att) - 1)]
        if high - low > 0.25 * (att[-1] - att[0]):
            break
        att = np.linspace(low, high, POINTS)
    density = np.exp(log_density - log_density.max())
    density /= trapezoid(density, att)
    mean_f, mean_att = trapezoid(density * f, att), trapezoid(density * att, att)
    variance_f = trapezoid(density * (variance + (f - mean_f) ** 2), att)  # law of total variance
    variance_att = trapezoid(density * (att - mean_att) ** 2, att)
    return Posterior(6000 * mean_f, mean_att, 6000 * float(np.sqrt(variance_f)), float(np.sqrt(variance_att)))


def multi_delay(curve: Array, protocol: AslProtocol, voxel: int, prior: Prior) -> Posterior:
    """Posterior mean and SD of CBF and ATT in one voxel, flow and noise integrated analytically.

    curve : (t,), y = (control - label)/M0 of tissue, one per pair. The model:
        y = f g(ATT; T1') + noise,   noise ~ N(0, sigma2)            f in 1/s, CBF = 6000 f
        f | sigma2 ~ N(0, sigma2/kappa),   kappa = s2/(cbf_sd/6000)^2
        sigma2 ~ InverseGamma(nu0/2, nu0 s2/2)                        s2 of this voxel (`own_noise`)
        ATT as `log_arrival` says, on [0, att_max]
        1/T1' = 1/T1 + f/lambda, f the posterior mean, iterated (T1' = T1b without tissue relaxation)
    f and sigma2 given ATT are Normal-inverse-gamma, so y given ATT is Student t (Gelman, Bayesian Data
    Analysis, 3rd ed., ch. 14); g is Buxton's integral (`kinetic`). Raises ValueError where the Student t
    of f has no variance: nu0 + t <= 2.
    """
    y = np.asarray(curve, np.float64)
    if prior.noise_weight + len(y) <= 2:
        raise ValueError(f"{prior.noise_weight} + {len(y)} degrees of freedom have no variance")
    duration = np.asarray(protocol.labeling_duration, np.float64)
    time = times(
        protocol.labeling, protocol.post_labeling_delay, duration, float(protocol.slice_delay[voxel])
    )
    att_max = latest_arrival(time, duration)

    def posterior(t1_apparent: float) -> Posterior:
        def shape(att: Array) -> Array:
            return kinetic(
                protocol.labeling,
                time,
                att[:, None],
                duration,
                efficiency=protocol.labeling_efficiency,
                t1_blood=protocol.t1_blood,
                t1_apparent=t1_apparent,
                partition_coefficient=protocol.partition_coefficient,
            )

        return _moments(shape, y, att_max, own_noise(protocol, voxel), prior)

    if not protocol.tissue_relaxation:
        return posterior(protocol.t1_blood)
    t1, flow, found = float(protocol.t1_tissue[voxel]), 0.0, None
    for _ in range(20):
        found = posterior(apparent_t1(t1, flow, protocol.partition_coefficient))
        if abs(found.cbf / 6000 - flow) <= 1e-9:
            return found
        flow = found.cbf / 6000
    raise ArithmeticError("the relaxation time T1' did not settle in 20 passes")


def one_delay(curve: Array, protocol: AslProtocol, voxel: int) -> float:
    """CBF in ml/100g/min from the mean over pairs of one delay; curve : (t,), (control - label)/M0 of tissue.

    Source: Alsop et al. 2015, eqs. 1-2. Raises ValueError for more than one delay.
    """
    delays, durations = set(protocol.post_labeling_delay.tolist()), set(protocol.labeling_duration.tolist())
    if len(delays) != 1 or len(durations) != 1:
        raise ValueError(
            f"one delay and one duration expected, seen {sorted(delays)} and {sorted(durations)}"
        )
    return single_delay(
        protocol.labeling,
        float(np.asarray(curve, np.float64).mean()),
        delays.pop() + float(protocol.slice_delay[voxel]),
        durations.pop(),
        efficiency=protocol.labeling_efficiency,
        t1_blood=protocol.t1_blood,
        partition_coefficient=protocol.partition_coefficient,
    )
