"""Labelled blood and tissue by the convolution integral: dispersed inputs, residues with exchange, arteries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[Any]
Residue = Callable[[Array], Array]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
NODES, WEIGHTS = (1 + NODES) / 2, WEIGHTS / 2
"""Gauss-Legendre on (0, 1)."""
TAIL = 1e-15
"""Share of the parcels beyond either end of a density's support."""


class Density(NamedTuple):
    """How much later than ATT the parcels of blood come: k(w), 1/s, on least < w < most, s."""

    k: Callable[[Array], Array]
    least: float
    most: float


class Inflow(NamedTuple):
    """What arrives per unit flow and efficiency, c(u), and the times u where it is not smooth; s."""

    c: Callable[[Array], Array]
    breaks: tuple[float, ...]


def integral(function: Callable[[Array], Array], start: Array, end: Array) -> Array:
    """Integral from start to end (0 where end <= start), any shape; function takes (..., nodes).

    The nodes crowd at the start, x = start + (end - start) u^3, so that a root such as w^0.7 does no harm.
    """
    start, length = np.asarray(start, np.float64), np.maximum(np.asarray(end) - start, 0.0)
    x = start[..., None] + length[..., None] * NODES**3
    return np.asarray(length * np.sum(3 * NODES**2 * WEIGHTS * function(x), axis=-1))


def gamma_density(sharpness: float, time_to_peak: float) -> Density:
    """k(w) = s^{1+sp} w^{sp} e^{-sw} / Gamma(1+sp), s = sharpness in 1/s, p = time_to_peak in s.

    Source: Chappell et al. 2013, Magn Reson Med 69:563, the gamma vascular transport function.
    """
    spread = stats.gamma(1 + sharpness * time_to_peak, scale=1 / sharpness)
    return Density(spread.pdf, 0.0, float(spread.isf(TAIL)))


def gaussian_density(sd: float, att: float) -> Density:
    """k(w) normal of SD sd (s), cut off where a parcel would come before it was labelled, w < -ATT.

    Source: Hrabe and Lewis 2004, J Magn Reson 167:49; Chappell et al. 2013.
    """
    spread = stats.truncnorm(-att / sd, np.inf, scale=sd)
    return Density(spread.pdf, max(-att, -8 * sd), 8 * sd)


def sharp(labeling: str, att: float, duration: float, t1_blood: float) -> Inflow:
    """All parcels travel ATT: c(u) = e^{-ATT/T1b} (PASL e^{-u/T1b}) on ATT < u < ATT + tau; s.

    Source: Buxton et al. 1998, Magn Reson Med 40:383, delivery functions.
    """

    def c(u: Array) -> Array:
        age = u if labeling == "PASL" else np.full(np.shape(u), att)
        return np.where((u > att) & (u < att + duration), np.exp(-age / t1_blood), 0.0)

    return Inflow(c, (att, att + duration))


def dispersed(labeling: str, att: float, duration: float, t1_blood: float, spread: Density) -> Inflow:
    """Each parcel travels ATT + w: c(u) = integral k(w) e^{-age/T1b} [ATT + w < u < ATT + w + tau] dw.

    The age is the travel time ATT + w (PCASL, CASL) or u (PASL). Source: Chappell et al. 2013, eqs. 1-3.
    """

    def c(u: Array) -> Array:
        def parcels(w: Array) -> Array:
            age = np.asarray(u)[..., None] if labeling == "PASL" else att + w
            return np.asarray(spread.k(w) * np.exp(-age / t1_blood))

        earliest = np.maximum(u - att - duration, spread.least)  # longer ago: the bolus has passed
        middle = np.clip(0.0, earliest, np.minimum(u - att, spread.most))  # where a normal density peaks
        return integral(parcels, earliest, middle) + integral(
            parcels, middle, np.minimum(u - att, spread.most)
        )

    ends = (spread.least, 0.0, spread.most)
    return Inflow(c, tuple(att + w for w in ends) + tuple(att + duration + w for w in ends))


def well_mixed(t1_apparent: float) -> Residue:
    """r(v) = e^{-v/T1'}: one compartment. Source: Buxton et al. 1998."""
    return lambda v: np.asarray(np.exp(-v / t1_apparent))


def two_compartments(exchange_time: float, t1_blood: float, t1_apparent: float) -> Residue:
    """Label still in the capillaries plus label that has crossed their wall, kw = 1/exchange_time, 1/s:
    r(v) = e^{-(kw + R1b) v} + integral_0^v kw e^{-(kw + R1b) x} e^{-R1' (v - x)} dx.

    Source: Parkes and Tofts 2002, Magn Reson Med 48:27, single pass; St Lawrence et al. 2000, 44:440.
    """
    crossing = 1 / exchange_time
    leaving = crossing + 1 / t1_blood

    def r(v: Array) -> Array:
        def crossed(x: Array) -> Array:
            late = np.asarray(v)[..., None] - x
            return np.asarray(crossing * np.exp(-leaving * x - late / t1_apparent))

        return np.asarray(np.exp(-leaving * v) + integral(crossed, np.zeros(np.shape(v)), v))

    return r


def convolved(time: float, inflow: Inflow, residue: Residue, since: float = 0.0) -> float:
    """integral c(u) r(t - u) du over since < u < t, between the breaks of c; s."""
    edges = np.unique(np.clip([since, *inflow.breaks, time], since, time))
    return float(np.sum(integral(lambda u: inflow.c(u) * residue(time - u), edges[:-1], edges[1:])))


def tissue(
    labeling: str,
    time: Array,
    att: float,
    duration: Array,
    residue: Residue,
    *,
    efficiency: float,
    t1_blood: float,
    partition_coefficient: float,
    dispersion: Callable[[float], Density] | None = None,
) -> Array:
    """Difference over M0 of tissue per unit flow, (2 a/lambda) integral c(u) r(t - u) du, in s.

    time, duration : (t,) s since labelling began. dispersion : ATT -> its density, or none. Gives (t,).
    Source: Buxton et al. 1998, eq. 1, with M0a = M0/lambda.
    """
    signal = []
    for t, tau in zip(*np.broadcast_arrays(time, duration), strict=True):
        if dispersion is None:
            inflow = sharp(labeling, att, tau, t1_blood)
        else:
            inflow = dispersed(labeling, att, tau, t1_blood, dispersion(att))
        signal.append(2 * efficiency / partition_coefficient * convolved(t, inflow, residue))
    return np.array(signal)


def artery(
    labeling: str,
    time: Array,
    arrival: Array,
    duration: Array,
    *,
    efficiency: float,
    t1_blood: float,
    partition_coefficient: float,
) -> Array:
    """Difference over M0 of tissue per unit arterial blood volume: (2 a/lambda) c(t), of blood that passes by.

    time, arrival, duration : s, broadcast together. Source: Chappell et al. 2010, Magn Reson Med 63:1357.
    """
    age = time if labeling == "PASL" else arrival
    passing = (time > arrival) & (time < arrival + duration)
    return np.where(passing, 2 * efficiency / partition_coefficient * np.exp(-age / t1_blood), 0.0)
