"""Bolus arrival, time to peak, signal recovery, peak height and contrast-to-noise by the book, one voxel at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FEWEST_RECOVERED = 5
"""Samples after the peak without which there is no mean to call recovery."""
ONSETS = {"smooth": (2, 3), "linear": (1, 2)}
"""Powers of the time since arrival: a bolus that begins without a corner, and the published one."""


class Summary(NamedTuple):
    """Arrival and time from it to the peak (s), recovery (%), height of the signal's fall, contrast to noise (1)."""

    bat: float
    ttp: float
    psr: float
    peakheight: float
    cnr: float


def peak(curve: Array, first: int) -> int:
    """p, the sample of the largest c from volume `first` on; curve : (t,)."""
    return first + int(np.argmax(curve[first:]))


def vertex(values: Array, k: int) -> float:
    """How many samples from k the parabola through values[k-1 : k+2] has its vertex, at most half a sample.

    0 where one of the three does not exist or they lie on a line.
    """
    if not 0 < k < len(values) - 1 or not np.all(np.isfinite(values[k - 1 : k + 2])):
        return 0.0
    before, at, after = values[k - 1 : k + 2]
    bend = before - 2 * at + after
    return 0.0 if bend == 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def misfit(curve: Array, arrival: int, powers: tuple[int, int]) -> float:
    """Residual sum of b for t <= t_k, b + g1 (t - t_k)^p1 + g2 (t - t_k)^p2 after, k the arrival, g1 >= 0.

    curve : (p + 1,), up to its peak. Source: Cheong, Koh and Hou 2003, Phys Med Biol 48:N83, powers 1 and 2.
    """
    since = np.maximum(np.arange(len(curve)) - arrival, 0.0) / len(curve)
    design = np.column_stack([np.ones(len(curve)), since ** powers[0], since ** powers[1]])
    fit = np.linalg.lstsq(design, curve)[0]
    if fit[1] < 0:  # the best with g1 >= 0 lies on g1 = 0
        design = design[:, [0, 2]]
        fit = np.linalg.lstsq(design, curve)[0]
    return float(np.sum((curve - design @ fit) ** 2))


def arrival(curve: Array, first: int, top: int, powers: tuple[int, int]) -> float:
    """Bolus arrival in samples: the k of least misfit, first <= k < top, refined by the parabola through three.

    curve : (t,). top : sample of the peak. Source: Cheong, Koh and Hou 2003.
    """
    misfits = np.full(top, np.inf)
    rise = curve[first : top + 1]  # volumes before the steady state are no baseline
    misfits[first:] = [misfit(rise, k, powers) for k in range(len(rise) - 1)]
    best = int(np.argmin(misfits))
    return best + vertex(misfits, best)


def signal(relaxation: Array, steady: float, echo_time: float) -> Array:
    """S = S0 e^{-TE dR2*}; relaxation : (t,) 1/s, steady : S0, echo_time : s. Gives (t,)."""
    return np.asarray(steady * np.exp(-echo_time * np.asarray(relaxation, np.float64)))


def late(n: int, dt: float, top: int, since: float, until: float) -> slice:
    """Those of n volumes from `since` to `until` s after the peak at `top`; none where the series ends before."""
    first = top + int(np.ceil(since / dt - 1e-6))
    stop = top + int(np.floor(until / dt + 1e-6)) + 1
    return slice(first, max(first, min(stop, n)))


def summary(
    curve: Array,
    dt: float,
    baseline: tuple[int, int],
    echo: Array,
    steady: float,
    echo_time: float,
    recovery: tuple[float, float],
    powers: tuple[int, int],
) -> Summary:
    """What a curve looks like, without a model of the tissue.

    curve : (t,) 1/s. dt : s. baseline : volumes (first, stop) before the bolus. echo : (t,) 1/s of the echo whose
    signal before the bolus is `steady`, at echo_time s. recovery : the window (from, to) after the peak, s.
    powers : of the time since arrival in which the curve rises.
    PSR = 100 (S_post - S_min)/(S_pre - S_min), NaN where the window holds fewer than 5 samples.
    Source: Cha et al. 2007, AJNR 28:1078, recovery and peak height.
    """
    c = np.asarray(curve, np.float64)
    top = peak(c, baseline[0])
    if top <= baseline[0]:  # it only falls: nothing arrives
        return Summary(*[float("nan")] * 5)
    came = arrival(c, baseline[0], top, powers)
    s = signal(echo, steady, echo_time)
    lowest = s[int(np.ceil(came)) :].min()
    after = s[late(len(c), dt, top, *recovery)]
    return Summary(
        bat=dt * came,
        ttp=dt * (top + vertex(c, top) - came),
        psr=float(100 * (after.mean() - lowest) / (steady - lowest))
        if len(after) >= FEWEST_RECOVERED
        else float("nan"),
        peakheight=float(steady - lowest),
        cnr=float(c[top] / c[slice(*baseline)].std(ddof=1)),
    )
