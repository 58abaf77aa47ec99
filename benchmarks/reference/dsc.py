"""DSC by the book, one voxel at a time: relaxation, deconvolution by SVD, flow and volume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

Array = NDArray[Any]

SMALLEST_SINGULAR_VALUE = 1e-6
"""Singular values at or below this part of the largest are numerically zero: never kept."""
SAME_SINGULAR_VALUE = 1e-10
"""Two singular values nearer than this part of the largest are one conjugate pair of the circulant."""


def relaxation(signal: Array, baseline: slice, echo_time: float) -> Array:
    """Change of the transverse relaxation rate, dR2*(t) = -ln(S(t)/S0)/TE.

    signal : (t,), any unit, positive. baseline : the volumes before the bolus. echo_time : s. Gives (t,) 1/s.
    Source: Ostergaard et al. 1996, Magn Reson Med 36:715, signal to relaxation.
    """
    signal = np.asarray(signal, np.float64)
    steady = signal[baseline].mean()  # S0
    return np.asarray(-np.log(signal / steady) / echo_time)


def multi_echo_relaxation(signals: Array, baseline: slice, echo_times: Array) -> Array:
    """dR2*(t), the slope of y_e(t) = -ln(S_e(t)/S_e0) over the echo times: T1 moves the intercept alone.

    signals : (echoes, t), any unit, positive. baseline : the volumes before the bolus. echo_times : (echoes,) s.
    Gives (t,) 1/s. Two echoes: ln[(S1/S1_0)/(S2/S2_0)]/(TE2 - TE1).
    Source: Vonken et al. 1999, J Magn Reson Imaging 10:109; more echoes by log-linear least squares.
    """
    signals = np.asarray(signals, np.float64)
    y = -np.log(signals / signals[:, baseline].mean(axis=1, keepdims=True))
    line = np.column_stack([np.ones(len(echo_times)), echo_times])  # intercept: the change of T1
    return np.asarray(np.linalg.lstsq(line, y)[0][1])


def circulant(aif: Array, dt: float) -> Array:
    """The block-circulant matrix D_ij = dt a_{(i-j) mod L}, the AIF padded with zeros to L = 2N.

    aif : (N,) 1/s. dt : s. Gives (L, L). Source: Wu et al. 2003, Magn Reson Med 50:164.
    """
    n = len(aif)
    padded = np.concatenate([np.asarray(aif, np.float64), np.zeros(n)])
    i, j = np.indices((2 * n, 2 * n))
    return np.asarray(dt * padded[(i - j) % (2 * n)])


@lru_cache(maxsize=8)
def _svd(aif: tuple[float, ...], dt: float) -> tuple[Array, Array, Array]:
    u, s, vh = np.linalg.svd(circulant(np.array(aif), dt))
    return u, s, vh


def circulant_svd(aif: Array, dt: float) -> tuple[Array, Array, Array]:
    """U (L, L), s (L,) from the largest down and V^T (L, L) of the block-circulant matrix; aif : (N,) 1/s."""
    return _svd(tuple(np.asarray(aif, np.float64).tolist()), dt)


def padded(curve: Array) -> Array:
    """A curve (N,) with as many zeros after it, (2N,)."""
    curve = np.asarray(curve, np.float64)
    return np.concatenate([curve, np.zeros_like(curve)])


def inverse(curve: Array, aif: Array, dt: float) -> Callable[[int], Array]:
    """The truncated inverse as a function of how many singular values are kept: f = V W U^T c.

    curve, aif : (N,) 1/s. dt : s. The function gives (2N,) 1/s. Source: Wu et al. 2003.
    """
    u, s, vh = circulant_svd(aif, dt)
    along = u.T @ padded(curve)  # U^T c
    return lambda kept: np.asarray((along[:kept] / s[:kept]) @ vh[:kept])


def csvd(curve: Array, aif: Array, dt: float, threshold: float) -> Array:
    """Residue times flow, f = V W U^T c, singular values s >= threshold s_max kept.

    curve, aif : (N,) 1/s. dt : s. Gives (2N,) 1/s. Source: Wu et al. 2003, cSVD.
    """
    _, s, _ = circulant_svd(aif, dt)
    kept = int(np.sum((s >= threshold * s[0]) & (s > SMALLEST_SINGULAR_VALUE * s[0])))
    return inverse(curve, aif, dt)(kept)


def toeplitz(aif: Array, dt: float, smoothed: bool) -> Array:
    """The lower-triangular matrix A_ij = dt a~_{i-j} for i >= j, a~ = (a_{k-1} + 4 a_k + a_{k+1})/6 or a itself.

    aif : (N,) 1/s; a_{-1} = 0 and a_N = a_{N-1}. dt : s. Gives (N, N).
    Source: Ostergaard et al. 1996, the matrix for an arterial input linear between samples.
    """
    a = np.asarray(aif, np.float64)
    if smoothed:
        a = (np.append(0.0, a[:-1]) + 4 * a + np.append(a[1:], a[-1])) / 6
    i, j = np.indices((len(a), len(a)))
    return np.asarray(np.where(i >= j, dt * a[i - j], 0.0))


def ssvd(curve: Array, aif: Array, dt: float, threshold: float, smoothed: bool) -> Array:
    """Residue times flow, f = V W U^T c, singular values s >= threshold s_max kept; it knows no delay below 0.

    curve, aif : (N,) 1/s. dt : s. Gives (N,) 1/s. Source: Ostergaard et al. 1996, singular value decomposition.
    """
    u, s, vh = np.linalg.svd(toeplitz(aif, dt, smoothed))
    keep = (s >= threshold * s[0]) & (s > SMALLEST_SINGULAR_VALUE * s[0])
    return np.asarray((u.T @ np.asarray(curve, np.float64))[keep] / s[keep] @ vh[keep])


def oscillation(residue: Array) -> float:
    """OI = 1/(L max f) sum_{k=2}^{L-1} |f_k - 2 f_{k-1} + f_{k-2}|, of (L,).

    Source: Wu et al. 2003, the oscillation index.
    """
    second = np.abs(residue[2:] - 2 * residue[1:-1] + residue[:-2]).sum()
    return float(second / (len(residue) * residue.max()))


def truncations(aif: Array, dt: float) -> Iterator[int]:
    """Every admissible number of singular values to keep, the largest first; conjugate pairs stay together.

    aif : (N,) 1/s. dt : s.
    """
    _, s, _ = circulant_svd(aif, dt)
    for kept in range(int(np.sum(s > SMALLEST_SINGULAR_VALUE * s[0])), 0, -1):
        if kept == len(s) or s[kept - 1] - s[kept] > SAME_SINGULAR_VALUE * s[0]:
            yield kept


def osvd(curve: Array, aif: Array, dt: float, oscillation_index: float) -> tuple[Array, int]:
    """Residue times flow with the most singular values for which OI <= oscillation_index and max f > 0.

    curve, aif : (N,) 1/s. dt : s. Gives (2N,) 1/s and the number kept; NaN and 0 where no truncation will do.
    OI is not monotone, so every truncation is looked at. Source: Wu et al. 2003, oSVD.
    """
    truncated = inverse(curve, aif, dt)
    for kept in truncations(aif, dt):
        residue = truncated(kept)
        if residue.max() > 0 and oscillation(residue) <= oscillation_index:
            return residue, kept
    return np.full(2 * len(aif), np.nan), 0


def flow(residue: Array, density_factor: float) -> float:
    """CBF = 6000 (kappa/rho) max f in ml/100g/min; residue : (L,) 1/s, density_factor : kappa/rho, ml/g.

    Source: Ostergaard et al. 1996: f = CBF R with R(0) = 1.
    """
    return float(6000 * density_factor * residue.max())


def tmax(residue: Array, dt: float, circular: bool = True) -> float:
    """Time of the maximum in s; the second half of a circle holds the negative times; residue : (L,) 1/s.

    Source: Wu et al. 2003, time-shift of the block-circulant residue.
    """
    index = int(np.argmax(residue))
    return dt * (index - len(residue) if circular and index >= len(residue) // 2 else index)


def blood_volume(curve: Array, aif: Array, dt: float, density_factor: float) -> float:
    """CBV = 100 (kappa/rho) integral C / integral C_a in ml/100g, by the trapezoid rule over all times.

    curve, aif : (N,) 1/s. dt : s. density_factor : kappa/rho, ml/g. Source: Ostergaard et al. 1996.
    """
    tissue = trapezoid(np.asarray(curve, np.float64), dx=dt)
    return float(100 * density_factor * tissue / trapezoid(np.asarray(aif, np.float64), dx=dt))


def transit_time(cbv: float, cbf: float) -> float:
    """MTT = 60 CBV / CBF in s, from ml/100g and ml/100g/min: the central volume theorem (Stewart 1893)."""
    return 60 * cbv / cbf
