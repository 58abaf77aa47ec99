"""What label becomes behind an arrival: tables of tissue and arterial signal, with dispersion and with exchange."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.nodes import AGO, LEFT, NONE_BEFORE, SHOWN, Labels
from bolus_kernels.asl.protocol import AslProtocol

Array = NDArray[np.float64]

STEP = 2e-3
"""s, between the arrivals of a table."""
FINE = 1e-3
"""s, of the integration."""
RATE_STEP = 0.06
"""Of the logarithm of the relaxation rate: a parabola through three neighbours is exact to 1e-5."""
MOST_FLOW, LEAST_RATE = 0.5, 0.5
"""1/s; 1: how much flow may add to the rate of relaxation, and which share of 1/T1 it leaves at least."""
LATEST_SLICE = 5.0
"""s; a slice may be read out so long after the first."""
TAILS = 5.0
"""Standard deviations of a Gaussian dispersion that are integrated."""


class Shape(NamedTuple):
    """How label spreads on its way and leaves the blood; times s, sharpness 1/s.

    dispersion : "none", "gamma" (sharpness, time_to_peak) or "gaussian" (width). exchange_time : 0 for well-mixed.
    """

    dispersion: str = "none"
    sharpness: float = 7.4
    time_to_peak: float = 0.1
    width: float = 0.14
    exchange_time: float = 0.0


class Responses(NamedTuple):
    """Signals per M0 of tissue of a unit flow (1/s) or arterial volume (1), float32.

    tissue : (rates, delays, arrivals), relaxation rates e^(RATE_STEP i) from i = `rate` on, arrivals STEP i (s, less
    the slice's delay) from i = `arrival` on; empty where the closed form is used instead. blood : (intervals, delays),
    the arterial signal for an arterial arrival at `middle`; that of any within [early, late], (intervals,) s, is this
    with other decay. Voxels that are computed apart see other parts of the same tables.
    """

    tissue: NDArray[np.float32]
    rate: int
    arrival: int
    blood: NDArray[np.float32]
    early: NDArray[np.float32]
    late: NDArray[np.float32]
    middle: NDArray[np.float32]


def responses(protocol: AslProtocol, read: Labels, latest: float, shape: Shape) -> Responses:
    """Tables for the readouts of all labels, and arrivals up to `latest`, s.

    A bolus that arrives later, or is read out later, is the same bolus: the signal is a function of time since
    arrival, times the decay until then. (A Gaussian's travel times below zero, of arrivals within some widths of the
    labelling, are not cut off.) Source: Buxton 1998, eq. 1; dispersion: Chappell et al., Magn Reson Med 69:563 (2013);
    exchange: Parkes and Tofts, Magn Reson Med 48:27 (2002), without venous outflow of blood.
    """
    from scipy.signal import fftconvolve  # takes longer to import than all kernels together

    time, duration = read.time.astype(np.float64), read.duration.astype(np.float64)
    rate_blood, pulsed = 1.0 / protocol.t1_blood, protocol.labeling == "PASL"
    gain = 2.0 * protocol.labeling_efficiency / protocol.partition_coefficient
    last_slice = min(LATEST_SLICE, float(np.max(protocol.slice_delay, initial=0.0)))
    edges = _edges(time, duration, latest)
    middle = np.asarray(0.5 * (np.maximum(edges[:-1], 0.0) + edges[1:]))
    fades = np.exp(-rate_blood * (time if pulsed else middle[:, None]))
    filled = (time > middle[:, None]) & (time < middle[:, None] + duration)
    shows = read.pulses[SHOWN].astype(np.float64)
    blood = np.where(filled, gain * fades * shows, 0.0)
    told = blood, edges[:-1], edges[1:], middle
    if shape.dispersion == "none" and shape.exchange_time == 0.0:
        return Responses(np.empty((0, time.size, 0), np.float32), 0, 0, *(x.astype(np.float32) for x in told))
    low, high = (np.log(rate) / RATE_STEP for rate in rates(protocol))
    rows = np.arange(int(np.floor(low)) - 1, int(np.ceil(high)) + 2)
    columns = np.arange(int(np.floor(-last_slice / STEP)) - 1, int(np.ceil(latest / STEP)) + 2)
    tissue = np.empty((rows.size, time.size, columns.size), np.float32)
    since = np.arange(-_lead(shape), time.max() + LATEST_SLICE, FINE)
    age = np.asarray(FINE * (np.arange(since.size) + 0.5), np.float64)
    decay = gain * np.exp(-rate_blood * STEP * columns)
    for tau in np.unique(duration):
        fed = arriving(since + FINE / 2, FINE, tau, rate_blood, pulsed, shape)
        for r, row in enumerate(rows):
            rate, made = float(np.exp(RATE_STEP * row)), {}
            for i in np.flatnonzero(duration == tau):
                total = np.zeros(columns.size)
                for before, share in _pulses(read, int(i)):
                    gap = round(float(time[i] - time[before]), 6)
                    if gap not in made:
                        left = remaining(age + gap, rate, rate_blood, shape)
                        made[gap] = FINE * np.concatenate([[0.0], fftconvolve(fed, left)[: since.size - 1]])
                    total += share * np.interp(time[before] - STEP * columns, since, made[gap])
                tissue[r, i] = shows[i] * decay * total
    return Responses(tissue, int(rows[0]), int(columns[0]), *(x.astype(np.float32) for x in told))


def _pulses(read: Labels, row: int) -> list[tuple[int, float]]:
    """The readout itself and those before it of the same label, and the share of what came until each that counts.

    Label that met pulses which leave c1, c2, ... of it, the last first, is left to c1 c2 c3... = 1 - (1 - c1) -
    (1 - c2) c1 - (1 - c3) c1 c2 - ..., a term for each pulse.
    """
    found, through = [(row, 1.0)], 1.0
    while read.pulses[AGO, row] < NONE_BEFORE:
        left = float(read.pulses[LEFT, row])
        row -= 1
        if left < 1:
            found.append((row, through * (left - 1)))
        through *= left
    return found


def rates(protocol: AslProtocol) -> tuple[float, float]:
    """The least and the largest relaxation rate that tissue of this scan may have, 1/s."""
    if not protocol.tissue_relaxation:
        return 0.9 / protocol.t1_blood, 1.1 / protocol.t1_blood
    t1 = np.asarray(protocol.t1_tissue, np.float64)
    t1 = t1[np.isfinite(t1) & (t1 > 0)]
    if t1.size == 0:
        return 0.5, 1.0
    least, most = 1 / float(t1.max()), 1 / float(t1.min())
    return LEAST_RATE * least, most + MOST_FLOW / protocol.partition_coefficient


def arriving(
    since: Array, step: float, duration: float, rate_blood: float, pulsed: bool, shape: Shape
) -> Array:
    """Label that arrives at times since the nominal arrival, s, averaged over a step; decayed since then.

    Continuous labelling: for the longer travel of what is late. Pulsed: for the time since the nominal arrival.
    """
    extra = 0.0 if pulsed else rate_blood
    decay = np.exp(-rate_blood * since) if pulsed else 1.0
    if shape.dispersion == "none":
        low, high = since - step / 2, since + step / 2
        covered = np.clip(np.minimum(high, duration) - np.maximum(low, 0.0), 0.0, None) / step
        return np.asarray(covered * decay)
    return np.asarray((_passed(since, extra, shape) - _passed(since - duration, extra, shape)) * decay)


def remaining(age: Array, rate: float, rate_blood: float, shape: Shape) -> Array:
    """Share of label that is left so long after its arrival, s: in well-mixed tissue, or in blood and tissue."""
    if shape.exchange_time == 0.0:
        return np.exp(-rate * age)
    leaving = 1.0 / shape.exchange_time
    faster = leaving + rate_blood - rate
    faster = faster if abs(faster) > 1e-9 else 1e-9
    return np.asarray(
        np.exp(-(leaving + rate_blood) * age)
        - leaving * np.exp(-rate * age) * np.expm1(-faster * age) / faster
    )


def _passed(since: Array, extra: float, shape: Shape) -> Array:
    """Label of a sharp edge that has arrived after `since` s, with decay at the rate `extra` in its delay."""
    from scipy.special import gammainc, ndtr  # SciPy takes longer to import than all kernels together

    if shape.dispersion == "gamma":
        power = 1.0 + shape.sharpness * shape.time_to_peak
        slower = shape.sharpness / (shape.sharpness + extra)
        late = np.maximum(since, 0.0)
        return np.asarray(slower**power * gammainc(power, (shape.sharpness + extra) * late))
    shift = extra * shape.width
    return np.asarray(np.exp(shift**2 / 2) * ndtr(since / shape.width + shift))


def _lead(shape: Shape) -> float:
    """How long before its nominal arrival the first label may come, s."""
    return FINE * round(TAILS * shape.width / FINE) if shape.dispersion == "gaussian" else 0.0


def _edges(time: Array, duration: Array, latest: float) -> Array:
    """Arterial arrivals between which the same readouts see the artery filled, s."""
    ends: Any = np.concatenate([[latest], time, time - duration])
    return np.unique(np.append(ends[(ends >= 0) & (ends <= latest)], -LATEST_SLICE))
