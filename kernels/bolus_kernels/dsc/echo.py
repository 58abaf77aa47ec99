"""One echo of a DSC series: how it is stored, what it weighs beside others, whether a voxel of it can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import inlined
from bolus_kernels.state import State

USUAL_ECHO_TIME = 0.03
"""s, the echo time that signal recovery and peak height are published for."""
TINY = np.float32(1e-30)
GOOD, NOT_FINITE, MISSING_SAMPLE = int(State.GOOD), int(State.NOT_FINITE), int(State.MISSING_SAMPLE)
NO_BASELINE, NO_SIGNAL = int(State.NO_BASELINE), int(State.NO_SIGNAL)


class Echo(NamedTuple):
    """One echo of a series: (t, N) in its stored dtype, signal = slope * stored + inter, echo time (s).

    saturation : stored values at or above it are missing.
    """

    series: NDArray[Any]
    slope: float
    inter: float
    echo_time: float
    saturation: float = np.inf


class Share(NamedTuple):
    """What an echo adds to delta R2*: `weight` ln(S/S0), and `alone` ln(S/S0), 1/s, to the curve of the usual echo.

    alone : 0 where no such curve is asked for.
    """

    echo: Echo
    weight: np.float32
    alone: np.float32
    usual: bool


def shares(echoes: Sequence[Echo], baseline: tuple[int, int]) -> list[Share]:
    """The share of each echo; raises ValueError for an empty baseline, bad echo times, echoes of different shapes."""
    shape = echoes[0].series.shape
    first, stop = baseline
    if not 0 <= first < stop <= shape[0]:
        raise ValueError(f"the baseline {baseline} does not lie inside {shape[0]} volumes")
    if any(echo.series.shape != shape for echo in echoes):
        raise ValueError(f"echoes of different shapes: {[echo.series.shape for echo in echoes]}")
    echo_times = [echo.echo_time for echo in echoes]
    weights, usual = echo_weights(echo_times), usual_echo(echo_times)
    alone = 1 / echo_times[usual] if len(echoes) > 1 else 0.0
    return [
        Share(echo, -weight, np.float32(-alone if index == usual else 0.0), index == usual)
        for index, (echo, weight) in enumerate(zip(echoes, weights, strict=True))
    ]


def usual_echo(echo_times: Sequence[float]) -> int:
    """Which of the echo times (s) is nearest to the usual one, 30 ms."""
    return int(np.argmin(np.abs(np.asarray(echo_times) - USUAL_ECHO_TIME)))


def echo_weights(echo_times: Sequence[float]) -> NDArray[np.float32]:
    """The weights (e,) 1/s whose sum with -ln(S/S0) of the echoes is delta R2*; raises ValueError for bad times."""
    times = np.asarray(echo_times, np.float64)
    if not (times > 0).all() or np.unique(times).size < times.size:
        raise ValueError(f"echo times must be positive, and each another: {list(echo_times)}")
    if times.size == 1:
        return np.asarray(1 / times, np.float32)
    apart = times - times.mean()
    return np.asarray(apart / (apart @ apart), np.float32)


@inlined
def judge(finite: bool, constant: bool, mean: Any, lowest: Any, saturated: bool) -> int:
    """The state of a voxel in one echo, from its samples' baseline mean and lowest value, as signal."""
    if not finite:
        return NOT_FINITE
    if constant:
        return NO_SIGNAL
    if not mean > TINY:
        return NO_BASELINE
    if not lowest > TINY or saturated:
        return MISSING_SAMPLE
    return GOOD
