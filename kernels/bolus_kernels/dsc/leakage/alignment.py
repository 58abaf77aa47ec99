"""Shapes that normal tissue may have in one voxel: the reference curve, the same arriving otherwise, other transits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ALIGNMENTS = ("none", "delay", "transit")
DELAYS = np.arange(-3.0, 8.5)
"""How much later than the reference, or than the arterial input, a voxel may be, s."""
ALPHAS, MTTS = (0.6, 1.8, 6.0), np.geomspace(0.7, 20.0, 10)
"""Gamma-distributed transit times: their shapes, and their means in s."""
FINER = 64
"""Steps of the convolution within a volume."""


class Shapes(NamedTuple):
    """Curves (b, t), 1/s, of the reference tissue's blood volume, and how many parameters (b,) chose each."""

    curves: NDArray[np.float64]
    chosen: NDArray[np.float64]


def shapes(reference: NDArray[np.float64], aif: NDArray[np.float64], step: float, alignment: str) -> Shapes:
    """What the blood in a voxel may look like, if it does not leak; reference, aif : (t,) 1/s, step : s.

    none : the reference curve m alone. delay : also m(t - d) (Leigh et al., PLoS One 7:e52656 (2012)). transit :
    also the arterial input behind gamma-distributed transit times, delayed, because tissue of another mean transit
    time looks leaky beside m (Bjornerud et al., J Cereb Blood Flow Metab 31:2041 (2011)). The first is m itself.
    """
    curves, chosen = [reference], [0]
    if alignment != "none":
        time = step * np.arange(reference.size)
        curves += [at(reference, step, time - delay) for delay in DELAYS if delay != 0]
        chosen += [1] * (len(curves) - 1)
    if alignment == "transit":
        behind = _behind(aif, step) * (reference.sum() / aif.sum())
        curves += list(behind)
        chosen += [3] * len(behind)
    return Shapes(np.array(curves), np.array(chosen, np.float64))


def at(curve: NDArray[np.float64], step: float, time: NDArray[Any]) -> NDArray[np.float64]:
    """A curve (t,) between its samples, by a cubic spline, and constant outside; step and time (k,) : s."""
    from scipy.interpolate import CubicSpline

    inside = np.clip(time, 0.0, step * (curve.size - 1))
    return np.asarray(CubicSpline(step * np.arange(curve.size), curve)(inside))


def _behind(aif: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The arterial input behind every residue function and delay, (alphas * mtts * delays, t), its area kept."""
    from scipy.signal import fftconvolve
    from scipy.special import gammaincc

    time, fine = step * np.arange(aif.size), step / FINER
    early = int(np.ceil(-DELAYS[0] / fine))
    axis = fine * np.arange(FINER * (aif.size - 1) + 1 + early)
    blood = at(aif, step, axis)
    curves = []
    for alpha in ALPHAS:
        for mtt in MTTS:
            residue = gammaincc(alpha, alpha * axis / mtt) * fine / mtt
            residue[0] /= 2
            tissue = fftconvolve(blood, residue)[: axis.size]
            curves += [np.interp(time - delay, axis, tissue, left=0.0) for delay in DELAYS]
    return np.array(curves)
