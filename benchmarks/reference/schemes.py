"""Labelling schemes beside one label and one readout: Look-Locker pulse by pulse, velocity-selective labelling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference.delivery import Inflow, convolved, well_mixed

Array = NDArray[Any]


def look_locker(time: Array, inflow: Inflow, t1_apparent: float, flip_angle: float) -> Array:
    """Label in tissue just before each readout pulse, per unit flow and efficiency, pulses one by one; s.

    time : (t,) s, rising, of one labelling. flip_angle : rad, one for all or (t,). Between two pulses label
    flows in and relaxes, each pulse leaves cos(alpha) of it:
        m_k = cos(alpha_{k-1}) m_{k-1} e^{-(t_k - t_{k-1})/T1'} + integral_{t_{k-1}}^{t_k} c(u) e^{-(t_k - u)/T1'} du
    Source: Gunther, Bock and Schad 2001, Magn Reson Med 46:974.
    """
    flip = np.broadcast_to(flip_angle, np.shape(time))
    before, left, signal = 0.0, 0.0, []
    for t, alpha in zip(np.asarray(time, np.float64), flip, strict=True):
        m = left * np.exp(-(t - before) / t1_apparent)
        m += convolved(t, inflow, well_mixed(t1_apparent), since=before)
        signal.append(m)
        before, left = t, m * np.cos(alpha)
    return np.array(signal)


def effective_t1(t1: float, flip_angle: float, interval: float) -> float:
    """1/T1eff = 1/T1 - ln(cos alpha)/dTI: pulses every dTI as one faster decay; s, rad, s -> s.

    Source: Gunther, Bock and Schad 2001, after Look and Locker 1970.
    """
    return float(1 / (1 / t1 - np.log(np.cos(flip_angle)) / interval))


def velocity_selective(
    cbf: float,
    duration: float,
    delay: float,
    echo_time: float,
    *,
    inversion: bool,
    efficiency: float,
    t1_blood: float,
    t2_blood: float,
    partition_coefficient: float,
) -> float:
    """Difference over M0 of tissue of velocity-selective labelling; cbf : ml/100g/min, times in s.

    Saturation dM/M0 = (a/lambda) f tau e^{-TI/T1b} e^{-TE/T2b}; inversion makes twice as much. TE is the time
    that the blood spends transverse in the labelling module.
    Source: Wong et al. 2006, Magn Reson Med 55:1334; Qin et al. 2022, Magn Reson Med 88:1528.
    """
    saturated = efficiency / partition_coefficient * cbf / 6000 * duration
    decayed = saturated * np.exp(-delay / t1_blood) * np.exp(-echo_time / t2_blood)
    return float(2 * decayed if inversion else decayed)
