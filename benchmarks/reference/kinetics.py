"""ASL kinetics by the book: Buxton's convolution integral done numerically, and the single-delay formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
"""Gauss-Legendre on (-1, 1): for exponentials over a few seconds exact to rounding."""


def times(labeling: str, delay: Array, duration: Array, slice_delay: float = 0.0) -> Array:
    """Times of the readouts since labelling began, s: tau + PLD (PCASL, CASL) or TI (PASL), plus slice delay.

    delay, duration, result : (t,) s. Source: Alsop et al. 2015, Magn Reson Med 73:102.
    """
    delay, duration = np.asarray(delay, np.float64), np.asarray(duration, np.float64)
    return (delay if labeling == "PASL" else delay + duration) + slice_delay


def apparent_t1(t1_tissue: float, flow: float, partition_coefficient: float) -> float:
    """1/T1' = 1/T1 + f/lambda; s, 1/s, ml/g -> s. Source: Buxton et al. 1998, Magn Reson Med 40:383."""
    return 1 / (1 / t1_tissue + flow / partition_coefficient)


def arterial_input(labeling: str, s: Array, att: Array, efficiency: float, t1_blood: float) -> Array:
    """c(s) while the bolus passes: a e^{-ATT/T1b} (PCASL, CASL), a e^{-s/T1b} (PASL); times in s.

    Source: Buxton et al. 1998, delivery functions of continuous and pulsed labelling.
    """
    age = s if labeling == "PASL" else att
    return efficiency * np.exp(-age / t1_blood)


def kinetic(
    labeling: str,
    time: Array,
    att: Array,
    duration: Array,
    *,
    efficiency: float,
    t1_blood: float,
    t1_apparent: float,
    partition_coefficient: float,
) -> Array:
    """Difference over M0 of tissue per unit flow: dM/(M0 f) = (2/lambda) integral c(s) r(t-s) m(t-s) ds.

    The residue times the relaxation, r(u) m(u) = e^{-u/T1'}, is integrated over the part of the bolus that
    has come, att < s < min(time, att + duration), never by a closed form. time, att, duration : s, broadcast
    together. Gives s. Source: Buxton et al. 1998, the general kinetic model, with M0a = M0/lambda.
    """
    time, att, duration = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (time, att, duration)))
    end = np.minimum(time, att + duration)
    half = np.maximum(end - att, 0.0) / 2
    total = np.zeros(time.shape)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        s = att + half * (1 + node)
        decay = np.exp(-(time - s) / t1_apparent)  # r(t - s) m(t - s)
        total += weight * arterial_input(labeling, s, att, efficiency, t1_blood) * decay
    return np.asarray(2 / partition_coefficient * half * total)


def single_delay(
    labeling: str,
    difference: float,
    delay: float,
    duration: float,
    *,
    efficiency: float,
    t1_blood: float,
    partition_coefficient: float,
) -> float:
    """CBF in ml/100g/min from one delay.

    difference : (control - label)/M0 of tissue, 1. delay : s, PLD (PCASL, CASL) or TI (PASL), the slice's
    delay included. duration : s, tau or the bolus duration TI1 of QUIPSS II.
    Source: Alsop et al. 2015, eq. 1 (PCASL, CASL) and eq. 2 (PASL).
    """
    decayed = difference * np.exp(delay / t1_blood)
    if labeling == "PASL":
        return float(6000 * partition_coefficient * decayed / (2 * efficiency * duration))
    bolus = t1_blood * (1 - np.exp(-duration / t1_blood))
    return float(6000 * partition_coefficient * decayed / (2 * efficiency * bolus))
