"""Two tissues in one voxel and around it, one voxel at a time: the posterior on a dense grid of both arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from benchmarks.reference.asl import latest_arrival
from benchmarks.reference.kinetics import apparent_t1, kinetic, times
from benchmarks.reference.partial_volume import GREY, WHITE, Tissue
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[Any]

POINTS = 241
"""Along each arrival."""
NEGLIGIBLE = 30.0
"""A log density this far below its maximum carries no mass."""


class Belief(NamedTuple):
    """Flows of GM and WM ~ N(flows, spreads^2), ml/100g/min, the spread in shares of the noise s2; GM's arrival ~
    N(arrival), WM's less GM's ~ N(later), (mean, SD), s; noise variance ~ IG(noise_weight/2, noise_weight s2/2).
    """

    flows: tuple[float, float]
    spreads: tuple[float, float]
    arrival: tuple[float, float]
    later: tuple[float, float]
    noise_weight: float


class Posterior(NamedTuple):
    """Mean and SD of flows (ml/100g/min) and arrivals (s), GM and WM, and the log evidence of the data."""

    cbf: Array
    sd_cbf: Array
    att: Array
    sd_att: Array
    evidence: float


def weights(distances: Array, width: float, own: float = 1.0) -> Array:
    """Of each voxel's log likelihood, at `distances` in voxels from the one in question, which is at 0 : (m,)."""
    gaussian = np.exp(-0.5 * (distances / width) ** 2)
    return np.where(distances == 0, own, np.where(gaussian < 0.01, 0.0, gaussian))


def tissue_posterior(
    signals: Array, amounts: Array, weight: Array, protocol: AslProtocol, slice_delay: float, belief: Belief,
    tissues: Sequence[Tissue] = (GREY, WHITE),
) -> Posterior:  # fmt: skip
    """Posterior of both flows and arrivals, flows and noise integrated analytically.

    signals : (m, t), control - label of m voxels. amounts : (m, 2), share of each tissue times M0 of blood. weight :
    (m,). s2 = protocol.noise_variance. The model, for voxel v at time t:
        y_vt = sum_k amounts_vk f_k g_k(t; D_k) + e_vt,   e ~ N(0, sigma2),   likelihood of v to the power weight_v
        g_k = kinetic of partition coefficient 1 and 1/T1' = 1/T1_k + f_k/lambda_k, f_k the posterior mean, iterated
        f_k | sigma2 ~ N(flow_k, sigma2/kappa_k),   kappa_k = s2/(spread_k/6000)^2
    so that flows and noise given the arrivals are normal-inverse-gamma (Gelman, Bayesian Data Analysis, ch. 14).
    """
    flows = np.array([0.01, 0.01])
    for _ in range(30):
        found = _given_relaxation(signals, amounts, weight, protocol, slice_delay, belief, tissues, flows)
        settled = np.abs(found.cbf / 6000 - flows).max() < 1e-8
        flows = found.cbf / 6000
        if settled:
            return found
    raise ArithmeticError("the relaxation times T1' did not settle")


def _given_relaxation(
    signals: Array, amounts: Array, weight: Array, protocol: AslProtocol, slice_delay: float, belief: Belief,
    tissues: Sequence[Tissue], flows: Array,
) -> Posterior:  # fmt: skip
    duration = np.asarray(protocol.labeling_duration, np.float64)
    time = times(protocol.labeling, protocol.post_labeling_delay, duration, slice_delay)
    relaxation = [
        apparent_t1(tissue.t1, float(flow), tissue.partition_coefficient)
        if protocol.tissue_relaxation
        else protocol.t1_blood
        for tissue, flow in zip(tissues, flows, strict=True)
    ]
    most = latest_arrival(time, duration)
    y, a, w = (np.asarray(each, np.float64) for each in (signals, amounts, weight))
    axes = [np.linspace(0.0, most, POINTS)] * 2
    for _ in range(8):
        g = [
            kinetic(
                protocol.labeling, time, axis[:, None], duration, efficiency=protocol.labeling_efficiency,
                t1_blood=protocol.t1_blood, t1_apparent=t1, partition_coefficient=1.0,
            )
            for axis, t1 in zip(axes, relaxation, strict=True)
        ]  # fmt: skip
        found, log_density = _over_grid(y, a, w, g, axes, protocol.noise_variance, belief)
        likely = log_density > log_density.max() - NEGLIGIBLE
        narrower = []
        for axis, holds in zip(axes, (likely.any(1), likely.any(0)), strict=True):
            inside = np.flatnonzero(holds)
            low, high = axis[max(inside[0] - 1, 0)], axis[min(inside[-1] + 1, POINTS - 1)]
            narrower.append(np.linspace(low, high, POINTS))
        if all(new[-1] - new[0] > 0.5 * (old[-1] - old[0]) for new, old in zip(narrower, axes, strict=True)):
            break
        axes = narrower
    return found


def _over_grid(
    y: Array, a: Array, w: Array, g: Sequence[Array], axes: Sequence[Array], s2: float, belief: Belief
) -> tuple[Posterior, Array]:
    """Moments by the trapezoidal rule, and the log density at each pair of arrivals; g : (points, t) of each tissue."""
    mean, kappa = np.array(belief.flows) / 6000, s2 / (np.array(belief.spreads) / 6000) ** 2
    inner = np.einsum("v,vk,vl->kl", w, a, a)
    precision = np.empty((POINTS, POINTS, 2, 2))
    precision[..., 0, 0] = kappa[0] + inner[0, 0] * np.sum(g[0] ** 2, axis=1)[:, None]
    precision[..., 1, 1] = kappa[1] + inner[1, 1] * np.sum(g[1] ** 2, axis=1)[None, :]
    precision[..., 0, 1] = precision[..., 1, 0] = inner[0, 1] * g[0] @ g[1].T
    along = np.einsum("v,vk,vt->kt", w, a, y)
    right = np.empty((POINTS, POINTS, 2))
    right[..., 0] = kappa[0] * mean[0] + (g[0] @ along[0])[:, None]
    right[..., 1] = kappa[1] * mean[1] + (g[1] @ along[1])[None, :]
    covariance = np.linalg.inv(precision)  # of the flows, in units of sigma2
    f = np.einsum("abkl,abl->abk", covariance, right)
    squares = np.sum(w[:, None] * y * y) + np.sum(kappa * mean**2)
    misfit = belief.noise_weight * s2 + squares - np.einsum("abk,abk->ab", f, right)
    freedom = belief.noise_weight + w.sum() * y.shape[1]
    grey, white = axes[0][:, None], axes[1][None, :]
    prior = ((grey - belief.arrival[0]) / belief.arrival[1]) ** 2
    prior = prior + ((white - grey - belief.later[0]) / belief.later[1]) ** 2
    log_density = -0.5 * np.linalg.slogdet(precision)[1] - 0.5 * freedom * np.log(misfit) - 0.5 * prior
    share = [np.where((axis == axis[0]) | (axis == axis[-1]), 0.5, 1.0) for axis in axes]
    log_weight = log_density + np.log(np.outer(*share))
    total = logsumexp(log_weight)
    p = np.exp(log_weight - total)
    cbf = np.einsum("ab,abk->k", p, f)
    own = misfit[..., None] / (freedom - 2) * np.diagonal(covariance, axis1=2, axis2=3)
    variance = np.einsum("ab,abk->k", p, own + (f - cbf) ** 2)
    att = np.array([np.sum(p.sum(1) * axes[0]), np.sum(p.sum(0) * axes[1])])
    late = [np.sum(p.sum(1 - k) * (axes[k] - att[k]) ** 2) for k in (0, 1)]
    steps = np.log(axes[0][1] - axes[0][0]) + np.log(axes[1][1] - axes[1][0])
    evidence = float(total + steps + gammaln(freedom / 2))
    return Posterior(6000 * cbf, 6000 * np.sqrt(variance), att, np.sqrt(late), evidence), log_density
