"""What a bolus looks like in numbers: arrival, width, first pass, moment, and the AIF that carries them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code
from bolus.series import AIF

Array = NDArray[Any]

ARRIVED, FIRST_PASS = 0.2, 0.2
MEND = "Give one: *_aif.tsv or *_label-AIF_mask.nii.gz in a --derivatives folder."


def described(values: Array, voxels: Array, time: Array, how: str, file: str, **more: float) -> AIF:
    """A curve (t,) 1/s as an AIF with its quality numbers and any `more`; raises E_AIF where it is no bolus."""
    area = float(np.trapezoid(values, time))
    peak = float(values.max(initial=-np.inf))
    if not (np.isfinite(values).all() and area > 0 and peak > 0):
        raise refusal(file, f"a curve with peak {peak:g} 1/s and area {area:g}", "a positive bolus")
    quality = {
        "Voxels": float(voxels.size),
        "PeakHeight": peak,
        "TimeToPeak": float(time[int(np.argmax(values))]),
        "Arrival": arrival(values, time),
        "FullWidthHalfMaximum": width(values, time),
        "FirstMoment": first_moment(values, time),
        "Area": area,
    }
    return AIF(np.asarray(time, np.float64), np.asarray(values, np.float64), voxels, how, {**quality, **more})


def mean_of(curves: Array, chosen: Array) -> NDArray[np.float64]:
    """The mean curve (t,) of some rows of curves (n, t).

    The mean of a logarithm is right where the logarithm of a mean is not: a magnitude's Rician noise moves
    E[ln S] by no more than 0.1 % at S of three standard deviations.
    """
    return np.asarray(curves.T.take(chosen, axis=1).mean(axis=1, dtype=np.float64))


def first_pass(values: Array, share: float = FIRST_PASS) -> slice:
    """The unbroken run of samples around the peak of a curve (t,) that are at least a share of it."""
    peak = int(np.argmax(values))
    low = np.flatnonzero(values < share * values[peak])
    before, after = low[low < peak], low[low > peak]
    return slice(int(before[-1]) + 1 if before.size else 0, int(after[0]) if after.size else len(values))


def first_moment(values: Array, time: Array, share: float = FIRST_PASS) -> float:
    """The mean time (s) of a curve's first pass, which the tail and its noise do not move."""
    run = first_pass(values, share)
    return float((values[run] * time[run]).sum() / values[run].sum())


def arrival(values: Array, time: Array) -> float:
    """When a curve (t,) last rises through 20 % of its peak before the peak, s, between samples."""
    return _crossing(values, time, ARRIVED)[0]


def width(values: Array, time: Array) -> float:
    """Full width at half maximum of the first pass, s, between samples."""
    rise, fall = _crossing(values, time, 0.5)
    return fall - rise


def refusal(file: str, seen: str, expected: str) -> BolusError:
    """No arterial input: in the words of every refusal, with what to give instead."""
    return BolusError(Code.AIF, file, seen, expected, MEND)


def _crossing(values: Array, time: Array, share: float) -> tuple[float, float]:
    run, level = first_pass(values, share), share * values.max()
    first, last = run.start, run.stop - 1
    rise, fall = float(time[first]), float(time[last])
    if first > 0:
        rise -= (
            (time[first] - time[first - 1]) * (values[first] - level) / (values[first] - values[first - 1])
        )
    if last + 1 < len(values):
        fall += (time[last + 1] - time[last]) * (values[last] - level) / (values[last] - values[last + 1])
    return float(rise), float(fall)
