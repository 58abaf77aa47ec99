"""Perfusion with known truth: arterial input, residues, fine convolution, labelled blood, noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import gamma

Array = NDArray[Any]
Residue = Callable[[Array, float], Array]

FINE = 0.005
"""Step of the numerical integration, s."""
KAPPA_RHO = (1 - 0.45) / (1 - 0.25) / 1.04
"""kappa/rho, ml/g."""
REFERENCE = (45.0, 4.0)
"""CBF (ml/100g/min) and MTT (s) of the non-enhancing brain whose mean curve leakage is told from."""


def gamma_variate(t: Array, onset: float, alpha: float, beta: float) -> Array:
    """(x/xp)^alpha e^{alpha - x/beta}, x = t - onset, of height 1 at xp = alpha beta; t : s."""
    x = np.maximum(np.asarray(t, np.float64) - onset, 0.0)
    return np.asarray((x / (alpha * beta)) ** alpha * np.exp(alpha - x / beta))


def arterial(t: Array, onset: float = 12.0, height: float = 200.0) -> Array:
    """An arterial input with recirculation and what stays in the blood; t : s, any shape -> 1/s."""
    first = gamma_variate(t, onset, 3.0, 1.5)
    second = 0.16 * gamma_variate(t, onset + 10.0, 3.0, 3.0)
    stays = 0.04 * (1 - np.exp(-np.maximum(np.asarray(t) - onset - 6.0, 0.0) / 8.0))
    return np.asarray(height * (first + second + stays))


def exponential(t: Array, mtt: float) -> Array:
    """R = e^{-t/MTT}: one well-mixed compartment."""
    return np.asarray(np.exp(-t / mtt))


def box(t: Array, mtt: float) -> Array:
    """R = 1 until MTT, then 0: one transit time; one half at the very step."""
    return np.heaviside(mtt - t, 0.5)


def linear(t: Array, mtt: float) -> Array:
    """R falls in a straight line to 0 at 2 MTT: transit times spread evenly."""
    return np.maximum(1 - t / (2 * mtt), 0.0)


def gamma_transits(t: Array, mtt: float) -> Array:
    """R of gamma-distributed transit times, shape 3."""
    return np.asarray(gamma.sf(t, 3.0, scale=mtt / 3.0))


def biexponential(t: Array, mtt: float) -> Array:
    """R of a fast and a slow compartment with mean MTT: 0.7 of the flow at 0.5 MTT, 0.3 at 2.1667 MTT."""
    return np.asarray(0.7 * np.exp(-t / (0.5 * mtt)) + 0.3 * np.exp(-t * 0.3 / (0.65 * mtt)))


RESIDUES: dict[str, Residue] = {
    "exponential": exponential,
    "box": box,
    "linear": linear,
    "gamma": gamma_transits,
    "biexponential": biexponential,
}


def tissue(
    times: Array,
    cbf: float,
    mtt: float,
    delay: float = 0.0,
    residue: str = "exponential",
    input_function: Callable[[Array], Array] = arterial,
) -> Array:
    """C(t) = (rho/kappa) CBF integral C_a(t - delay - s) R(s) ds by the trapezoid rule at 5 ms, then sampled.

    times : (t,) s, multiples of 5 ms. cbf : ml/100g/min. mtt, delay : s. Gives (t,) 1/s.
    """
    index = np.rint(np.asarray(times) / FINE).astype(int)
    if not np.allclose(index * FINE, times, atol=1e-9):
        raise ValueError(f"sampling times are not multiples of {FINE} s")
    fine = FINE * np.arange(index.max() + 1)
    weights = np.full(len(fine), FINE)
    weights[0] = FINE / 2
    blood = input_function(fine - delay)
    convolved = fftconvolve(blood, weights * RESIDUES[residue](fine, mtt))[: len(fine)]
    return np.asarray(cbf / 6000 / KAPPA_RHO * convolved[index])


def extravasated(times: Array, kep: float) -> Array:
    """integral_0^t m(s) e^{-kep (t-s)} ds of the reference tissue's curve m, at 5 ms, then sampled.

    times : (t,) s, multiples of 5 ms. kep : 1/s, 0 for contrast agent that never returns. Gives (t,), 1.
    """
    index = np.rint(np.asarray(times) / FINE).astype(int)
    fine = FINE * np.arange(index.max() + 1)
    weights = np.full(len(fine), FINE)
    weights[0] = FINE / 2
    held = fftconvolve(tissue(fine, *REFERENCE), weights * np.exp(-kep * fine))[: len(fine)]
    return np.asarray(held[index])


def leaky(
    times: Array,
    cbf: float,
    mtt: float,
    k2: float,
    kep: float = 0.0,
    delay: float = 0.0,
    residue: str = "exponential",
) -> Array:
    """The curve of tissue whose vessels leak: what stays inside, less K2 times what has gone out.

    times : (t,) s, multiples of 5 ms. cbf : ml/100g/min. mtt, delay : s. k2, kep : 1/s; K2 > 0 where T1
    shortening lifts the signal, K2 < 0 where T2* of the leaked agent lowers it. Gives (t,) 1/s.
    """
    return tissue(times, cbf, mtt, delay, residue) - k2 * extravasated(times, kep)


def echoes(
    transverse: Array,
    longitudinal: Array,
    echo_times: Sequence[float],
    *,
    repetition_time: float = 1.5,
    flip_angle: float = np.pi / 3,
    t1: float = 1.3,
    r2_star: float = 20.0,
) -> Array:
    """Steady-state signal of a spoiled gradient echo at several echo times while R1 and R2* change.

    transverse, longitudinal : (..., t) dR2* and dR1, 1/s. echo_times, repetition_time, t1 : s. flip_angle : rad.
    r2_star : before the bolus, 1/s. Gives (echoes, ..., t) for a fully relaxed magnetisation of 1000.
    """
    recovery = np.exp(-repetition_time * (1 / t1 + np.asarray(longitudinal)))
    steady = 1000 * np.sin(flip_angle) * (1 - recovery) / (1 - np.cos(flip_angle) * recovery)
    return np.stack([steady * np.exp(-te * (r2_star + np.asarray(transverse))) for te in echo_times])


def noisy_relaxation(curves: Array, snr: float, echo_time: float, baseline: int, seed: int) -> Array:
    """Curves measured through the signal S0 e^{-TE dR2*} with Gaussian noise S0/snr.

    curves, result : (n, t) 1/s. echo_time : s. baseline : volumes before the bolus, whose mean is S0. A
    signal is kept above 1e-3 S0.
    """
    noise = np.random.default_rng(seed).normal(0.0, 1 / snr, np.shape(curves))
    signal = np.maximum(np.exp(-echo_time * np.asarray(curves)) + noise, 1e-3)
    steady = signal[:, :baseline].mean(axis=1, keepdims=True)
    return np.asarray(-np.log(signal / steady) / echo_time)


def labelled(
    labeling: str,
    times: Array,
    duration: Array,
    cbf: Array,
    att: Array,
    *,
    t1_tissue: Array,
    t1_blood: float = 1.65,
    efficiency: float = 0.85,
    partition_coefficient: float = 0.9,
    tissue_relaxation: bool = True,
    steps: int = 2000,
) -> Array:
    """(control - label)/M0 of tissue: Buxton's convolution by the midpoint rule over the part that has come.

    times, duration : (t,) s since labelling began. cbf : (n,) ml/100g/min. att, t1_tissue : (n,) s.
    Gives (n, t).
    """
    flow = np.asarray(cbf, np.float64)[:, None] / 6000
    att, t1_tissue = np.asarray(att, np.float64)[:, None], np.asarray(t1_tissue, np.float64)[:, None]
    rate = 1 / t1_tissue + flow / partition_coefficient if tissue_relaxation else 1 / t1_blood
    step = np.maximum(np.minimum(times, att + duration) - att, 0.0) / steps
    total = np.zeros(step.shape)
    for k in range(steps):
        s = att + (k + 0.5) * step
        age = s if labeling == "PASL" else att
        total += np.exp(-age / t1_blood - (times - s) * rate)
    return np.asarray(2 * efficiency / partition_coefficient * flow * step * total)
