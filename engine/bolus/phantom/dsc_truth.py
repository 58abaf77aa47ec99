"""DSC truth: the arterial input, and what every tissue makes of it, by fine numerical integration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.phantom.tissue import LABEL, NON_ENHANCING, RHO_OVER_KAPPA, Tissue

ECHO_TIME = 0.03
REPETITION_TIME = 1.5
FLIP_ANGLE = 70
STEP = 0.01
STEPS_PER_VOLUME = round(REPETITION_TIME / STEP)
EARLIEST_ARRIVAL, LATEST_ARRIVAL = 12.3, 14.3
# At this peak an artery keeps exp(-75 * 0.03) = 10.5 % of its signal: clear of the noise floor.
AIF_PEAK = 75.0
FIRST_PASS = (3.0, 1.5)  # gamma variate: shape, and time scale in s
SECOND_PASS = (0.14, 9.0, 3.0, 2.6)  # relative height, s after the first, shape, time scale in s
STEADY_STATE = 0.025


def arterial_input(time: NDArray[Any], arrival: float) -> NDArray[np.float64]:
    """First pass, recirculation and steady state of the bolus in an artery.

    time : (t,) s. arrival : s. Gives (t,) 1/s, as delta R2*. The first pass is the gamma variate of
    Wu et al., Magn Reson Med 2003;50:164, equation 8.
    """
    second, later, *shape = SECOND_PASS
    since = np.asarray(time, float) - arrival
    first = _gamma_variate(since, *FIRST_PASS)
    rest = second * _gamma_variate(since - later, *shape)
    steady = STEADY_STATE * _gamma_distribution(since - later, FIRST_PASS[0] + 1, FIRST_PASS[1])
    return AIF_PEAK * (first + rest + steady)


def tissue_curve(
    arterial: NDArray[Any], cbf: float, mtt: float, shape: float, step: float = STEP
) -> NDArray[np.float64]:
    """What a tissue makes of an arterial input: (rho/kappa) CBF (Ca * R), by the trapezoidal rule.

    arterial : (n,) 1/s, every `step` s. cbf : ml/100g/min. mtt : s. R is the residue function of
    gamma-distributed transit times. Gives (n,) 1/s.
    Ostergaard et al., Magn Reson Med 1996;36:715, equation 1.
    """
    n = len(arterial)
    left = residue(step * np.arange(n), mtt, shape)
    sums = np.fft.irfft(np.fft.rfft(arterial, 2 * n) * np.fft.rfft(left, 2 * n), 2 * n)[:n]
    ends = 0.5 * (arterial[0] * left + arterial * left[0])
    return np.asarray(RHO_OVER_KAPPA * cbf / 6000 * step * (sums - ends))


def residue(time: NDArray[Any], mtt: float, shape: float) -> NDArray[np.float64]:
    """The fraction of a tracer still in the tissue at `time` (t,) s, for gamma-distributed transit times.

    One at time 0; its integral is `mtt` (s). Mouridsen et al., NeuroImage 2006;33:570, equation 3.
    """
    return 1 - _gamma_distribution(np.asarray(time, float), shape, mtt / shape)


def relaxation(
    volumes: int, arrival: float, tissues: Sequence[Tissue], counts: NDArray[Any]
) -> NDArray[np.float64]:
    """Delta R2* of every tissue class at every volume as one echo sees it: (classes, volumes) 1/s, leakage included.

    counts : (classes,) voxels of each, for the mean curve of non-enhancing brain. Where k2 > 0 contrast
    agent that leaks shortens T1: minus k2 times the integral of that mean curve.
    Boxerman et al., Am J Neuroradiol 2006;27:859, equation 2.
    """
    blood, t1 = blood_and_t1(volumes, arrival, tissues, counts)
    return blood - t1


def blood_and_t1(
    volumes: int, arrival: float, tissues: Sequence[Tissue], counts: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two parts of `relaxation`: what blood adds to R2*, and what T1 seems to take off it in one echo."""
    time = STEP * np.arange((volumes - 1) * STEPS_PER_VOLUME + 1)
    fine = np.stack([_pure(time, arrival, tissue) for tissue in tissues])
    reference = [LABEL[name] for name in NON_ENHANCING]
    mean = counts[reference] @ fine[reference] / max(float(counts[reference].sum()), 1.0)
    integral = STEP * (np.cumsum(mean) - 0.5 * (mean + mean[0]))
    k2 = np.array([tissue.k2 for tissue in tissues])
    return fine[:, ::STEPS_PER_VOLUME], k2[:, None] * integral[::STEPS_PER_VOLUME]


def _pure(time: NDArray[Any], arrival: float, tissue: Tissue) -> NDArray[np.float64]:
    if tissue.mtt == 0:
        return arterial_input(time, arrival)
    if tissue.cbf == 0:
        return np.zeros(len(time))
    return tissue_curve(arterial_input(time, arrival + tissue.delay), tissue.cbf, tissue.mtt, tissue.shape)


def _gamma_variate(since: NDArray[Any], shape: float, scale: float) -> NDArray[np.float64]:
    """A bolus whose height is 1, reached shape * scale s after its beginning."""
    x = np.maximum(since, 0) / (shape * scale)
    return np.asarray(x**shape * np.exp(shape * (1 - x)))


def _gamma_distribution(since: NDArray[Any], shape: float, scale: float) -> NDArray[np.float64]:
    from scipy.special import gammainc

    return np.asarray(gammainc(shape, np.maximum(since, 0) / scale))
