"""How blood reaches a voxel and enters its tissue, as a function of every transit time of a grid at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.interpolate import CubicSpline

from benchmarks.reference.delivery import Residue, gamma_density, two_compartments, well_mixed

Array = NDArray[Any]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
NODES, WEIGHTS = (1 + NODES) / 2, WEIGHTS / 2
"""Gauss-Legendre on (0, 1), over the bolus."""
PLACES, SHARES = np.polynomial.legendre.leggauss(24)
PLACES, SHARES = (1 + PLACES) / 2, SHARES / 2
PLACES, SHARES = PLACES**2 * (3 - 2 * PLACES), SHARES * 6 * PLACES * (1 - PLACES)
"""The same over the spread of transit times, crowded at both ends, where a density may have a root."""
WIDEST = 7.0
"""SDs of a normal density beyond which no parcel comes."""


class Transport(NamedTuple):
    """Spread of the bolus on its way: gamma by sharpness (1/s) and time_to_peak (s), gaussian by width (SD, s).

    exchange_time (s) : of water between blood and tissue, none where they are one compartment.
    """

    dispersion: Literal["none", "gamma", "gaussian"] = "none"
    sharpness: float = 7.4
    time_to_peak: float = 0.1
    width: float = 0.14
    exchange_time: float | None = None


SHARP = Transport()
"""No dispersion, one compartment."""


def residue(transport: Transport, t1_blood: float, t1_apparent: float, most: float) -> Residue:
    """r(v) for 0 <= v <= most, s; with exchange tabulated every 2 ms from its integral, splines between."""
    if transport.exchange_time is None:
        return well_mixed(t1_apparent)
    v = np.linspace(0.0, most, int(np.ceil(most / 2e-3)) + 1)
    spline = CubicSpline(v, two_compartments(transport.exchange_time, t1_blood, t1_apparent)(v))
    return lambda late: np.asarray(spline(late))


def undispersed(
    labeling: str, time: Array, att: Array, duration: Array, t1_blood: float, r: Residue
) -> Array:
    """integral c(u) r(t - u) du of a bolus whose parcels all travel ATT, any shapes that broadcast; s."""
    end = np.maximum(np.minimum(time, att + duration), att)
    total = np.zeros(np.broadcast_shapes(np.shape(time), np.shape(att)))
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        u = att + (end - att) * node
        age = u if labeling == "PASL" else att
        total += weight * np.exp(-age / t1_blood) * r(np.maximum(time - u, 0.0))
    return np.asarray((end - att) * total)


def spread(transport: Transport, w: Array, att: Array) -> Array:
    """k(w) at each transit time, 1/s; a normal density is cut off at w = -ATT and renormalised."""
    if transport.dispersion == "gamma":
        return np.asarray(gamma_density(transport.sharpness, transport.time_to_peak).k(w))
    width = transport.width
    return np.asarray(stats.norm.pdf(w, scale=width) / stats.norm.cdf(att / width))


def support(transport: Transport, att: Array) -> tuple[Array, Array]:
    """Between which w parcels come, s, in the shape of att."""
    if transport.dispersion == "gamma":
        density = gamma_density(transport.sharpness, transport.time_to_peak)
        return np.full_like(att, density.least), np.full_like(att, density.most)
    reach = WIDEST * transport.width
    return np.maximum(-att, -reach), np.full_like(att, reach)


def response(
    labeling: str,
    time: Array,
    att: Array,
    duration: Array,
    transport: Transport,
    *,
    efficiency: float,
    t1_blood: float,
    t1_apparent: float,
    partition_coefficient: float,
) -> Array:
    """Difference over M0 of tissue per unit flow, s; time, duration : (t,), att : (m,), s. Gives (m, t).

    (2 a/lambda) integral k(w) s(t; ATT + w) dw: a dispersed bolus is a mixture of undispersed ones, each with its
    own transit time (the order of the two integrals in `delivery.dispersed` and `delivery.convolved` exchanged).
    The integral over w is split where parcels begin and end to be seen, w = t - ATT - tau and t - ATT.
    Source: Chappell et al. 2013, Magn Reson Med 69:563; Parkes and Tofts 2002 (exchange).
    """
    r = residue(transport, t1_blood, t1_apparent, float(np.max(time)) + 1e-6)
    scale = 2 * efficiency / partition_coefficient
    if transport.dispersion == "none":
        return scale * undispersed(labeling, time, att[:, None], duration, t1_blood, r)
    att = att[:, None]
    least, most = support(transport, att)
    breaks = (least, 0.0, time - att - duration, time - att)
    edges = np.sort(
        [np.clip(w, least, most) + 0 * time for w in breaks], axis=0
    )  # after the last none is seen
    total = np.zeros(edges[0].shape)
    for start, stop in pairwise(edges):
        for place, share in zip(PLACES, SHARES, strict=True):
            w = start + (stop - start) * place
            seen = undispersed(labeling, time, att + w, duration, t1_blood, r)
            total += share * (stop - start) * spread(transport, w, att) * seen
    return scale * total
