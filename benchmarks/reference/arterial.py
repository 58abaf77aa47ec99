"""ASL with an artery in the voxel: the posterior over two models, without and with an arterial component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid, trapezoid

from benchmarks.reference.amplitudes import ArterialPrior, Given, with_artery, without
from benchmarks.reference.asl import latest_arrival, log_arrival, own_noise
from benchmarks.reference.delivery import artery
from benchmarks.reference.kinetics import apparent_t1, times
from benchmarks.reference.transport import SHARP, Transport, response
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]
Design = Callable[[Array], Array]

STEP = 2e-2
POINTS = 241
NEGLIGIBLE = 36.0
"""A log density this far below its maximum carries no mass."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)
NODES, WEIGHTS = (1 + NODES) / 2, WEIGHTS / 2
"""Gauss-Legendre on (0, 1), for the arterial arrival between two readouts, where its signal is smooth."""


class ArterialPosterior(NamedTuple):
    """Both models averaged: CBF in ml/100g/min, ATT and arrival in s, aBV in ml/ml; P(artery | data).

    arrival and its SD are those of the model with an artery: without one there is nothing that arrives.
    """

    cbf: float
    att: float
    abv: float
    arrival: float
    sd_cbf: float
    sd_att: float
    sd_abv: float
    sd_arrival: float
    probability: float


def _log_tissue(att: Array, prior: ArterialPrior) -> Array:
    return log_arrival(att, prior.att_mean, prior.att_sd, prior.att_tail)


def _log_artery(arrival: Array, prior: ArterialPrior) -> Array:
    return log_arrival(arrival, prior.att_mean - prior.arterial_lead, prior.att_sd, prior.att_tail)


def _arrivals(att: Array, edges: Array) -> tuple[Array, Array]:
    """Nodes and weights of the arterial arrival on 0...ATT, readout edge by readout edge; (m, nodes)."""
    low = np.minimum(edges[:-1], att[:, None])
    length = np.minimum(edges[1:], att[:, None]) - low
    nodes, weights = low[..., None] + length[..., None] * NODES, length[..., None] * WEIGHTS
    return nodes.reshape(len(att), -1), weights.reshape(len(att), -1)


def _over_arrival(
    y: Array, tissue: Design, blood: Design, att: Array, edges: Array, s2: float, prior: ArterialPrior
) -> Given:
    """The model with an artery as a function of ATT alone: the arrival integrated between readout edges."""
    parts = []
    for some in np.array_split(att, max(1, len(att) // 50)):
        arrival, weight = _arrivals(some, edges)
        given = with_artery(y, tissue(some)[:, None, :], blood(arrival), s2, prior)
        log_prior = _log_artery(arrival, prior)
        log_density = given.log_density + log_prior
        top = log_density.max(axis=1, keepdims=True)
        mass = weight * np.exp(log_density - top)
        total = mass.sum(axis=1)
        powers = np.array([arrival, arrival**2])[:, None]
        moments = np.sum(np.concatenate([given.moments, powers], axis=1) * mass, axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):  # no arrival fits before an ATT of 0
            density = np.where(total > 0, top[:, 0] + np.log(total), -np.inf)
            parts.append(Given(density, np.where(total > 0, moments / total, 0.0)))
    return Given(
        np.concatenate([p.log_density for p in parts]), np.concatenate([p.moments for p in parts], 2)
    )


def _integrated(
    given_att: Callable[[Array], Given], last: float, prior: ArterialPrior
) -> tuple[float, Array]:
    """Log mass over ATT and moments (2, 4) of (f, aBV, arrival, ATT); the grid is drawn again where the mass is."""
    att = np.linspace(0.0, last, int(np.ceil(last / STEP)) + 1)
    while True:
        given = given_att(att)
        log_density = given.log_density + _log_tissue(att, prior)
        holds = np.flatnonzero(log_density > log_density.max() - NEGLIGIBLE)
        low, high = att[max(holds[0] - 1, 0)], att[min(holds[-1] + 1, len(att) - 1)]
        if high - low > 0.25 * (att[-1] - att[0]):
            break
        att = np.linspace(low, high, POINTS)
    density = np.exp(log_density - log_density.max())
    mass = trapezoid(density, att)
    moments = np.concatenate([given.moments, np.array([att, att**2])[:, None]], axis=1)
    return float(log_density.max() + np.log(mass)), trapezoid(moments * density, att) / mass


def _prior_masses(last: float, prior: ArterialPrior) -> tuple[float, float]:
    """Mass of the untruncated, unnormalised priors on 0 <= ATT <= last, and on 0 <= arrival <= ATT <= last."""
    att = np.linspace(0.0, last, 20001)
    density = np.exp(_log_tissue(att, prior))
    earlier = cumulative_trapezoid(np.exp(_log_artery(att, prior)), att, initial=0.0)
    return trapezoid(density, att), trapezoid(density * earlier, att)


def averaged(
    y: Array, tissue: Design, blood: Design, edges: Array, last: float, s2: float, prior: ArterialPrior
) -> ArterialPosterior:
    """Both models, each integrated over its arrivals; tissue, blood : arrival (...) s -> signal (..., t)."""
    alone, alone_moments = _integrated(lambda att: without(y, tissue(att), s2, prior), last, prior)
    both, both_moments = _integrated(
        lambda att: _over_arrival(y, tissue, blood, att, edges, s2, prior), last, prior
    )
    masses = _prior_masses(last, prior)
    log_ratio = both - np.log(masses[1]) - alone + np.log(masses[0])
    against = (1 - prior.arterial_probability) * np.exp(-np.clip(log_ratio, -700, 700))
    p = prior.arterial_probability / (prior.arterial_probability + against)
    first, second = (1 - p) * alone_moments + p * both_moments
    first[2], second[2] = both_moments[:, 2]  # the arrival
    sd = np.sqrt(np.maximum(second - first**2, 0.0))
    return ArterialPosterior(
        6000 * first[0], first[3], first[1], first[2], 6000 * sd[0], sd[3], sd[1], sd[2], p
    )


def arterial(
    curve: Array,
    protocol: AslProtocol,
    voxel: int,
    prior: ArterialPrior,
    transport: Transport = SHARP,
) -> ArterialPosterior:
    """Posterior means and SDs of flow, transit time, arterial volume and arrival in one voxel.

    curve : (t,), (control - label)/M0 of tissue, one per pair. Two models, y = f g(ATT) + noise and
    y = f g(ATT) + aBV h(arrival) + noise, with f, noise and ATT as in `benchmarks.reference.asl.multi_delay` and
        aBV | sigma2 ~ N(0, sigma2 abv_sd^2/s2), aBV >= 0
        arrival as ATT, but earlier by arterial_lead, 0 <= arrival <= ATT
    f, aBV and sigma2 are integrated analytically, the arrival by Gauss-Legendre between the readouts' edges, ATT
    on a grid that is refined where the mass is. Source: Chappell et al. 2010, Magn Reson Med 63:1357, the model;
    MacKay 1992, Neural Comput 4:415, the evidence of two models.
    """
    duration = np.asarray(protocol.labeling_duration, np.float64)
    time = times(
        protocol.labeling, protocol.post_labeling_delay, duration, float(protocol.slice_delay[voxel])
    )
    y = np.asarray(curve, np.float64)
    last = latest_arrival(time, duration)
    edges = np.unique(np.clip(np.concatenate([[0.0, last], time, time - duration]), 0.0, last))
    constants = {
        "efficiency": protocol.labeling_efficiency,
        "t1_blood": protocol.t1_blood,
        "partition_coefficient": protocol.partition_coefficient,
    }

    def blood(arrival: Array) -> Array:
        return artery(protocol.labeling, time, arrival[..., None], duration, **constants)

    def posterior(t1_apparent: float) -> ArterialPosterior:
        def tissue(att: Array) -> Array:
            return response(
                protocol.labeling, time, att, duration, transport, t1_apparent=t1_apparent, **constants
            )

        return averaged(y, tissue, blood, edges, last, own_noise(protocol, voxel), prior)

    if not protocol.tissue_relaxation:
        return posterior(protocol.t1_blood)
    t1, flow = float(protocol.t1_tissue[voxel]), 0.0
    for _ in range(20):
        found = posterior(apparent_t1(t1, flow, protocol.partition_coefficient))
        if abs(found.cbf / 6000 - flow) <= 1e-8:
            return found
        flow = found.cbf / 6000
    raise ArithmeticError("the relaxation time T1' did not settle in 20 passes")
