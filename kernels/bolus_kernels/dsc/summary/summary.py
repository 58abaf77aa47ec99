"""What a DSC curve shows without a model of blood flow: arrival, peak, signal recovery, contrast to noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.dsc.summary.arrival import arrival
from bolus_kernels.jit import kernel, part
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.scalar import exp
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE, gather, time_major

FEWEST_RECOVERED = 5
"""Samples that the late window must hold: fewer are no mean, and before the window the bolus is still passing."""
_f = np.float32
ZERO, ONE, HALF, HUGE, NAN = _f(0), _f(1), _f(0.5), _f(3e38), _f(np.nan)
MOST_EXPONENT, LEAST_NOISE = _f(87), _f(1e-6)
GOOD, NOT_FINITE, NO_SOLUTION = int(State.GOOD), int(State.NOT_FINITE), int(State.NO_SOLUTION)
NO_RECOVERY = int(State.NO_RECOVERY)


@method(
    "summary",
    contrast="dsc",
    family="summary",
    maps={"bat": "s", "ttp": "s", "psr": "%", "peakheight": "signal", "cnr": "1"},
    parameters={"recovery_from": (30.0, "s", 5.0, 300.0), "recovery_to": (60.0, "s", 10.0, 600.0)},
    choices={"onset": ("smooth", "linear")},
    cuda=True,
    label="",
    paper="Cheong et al., Phys Med Biol 48:N83 (2003); Cha et al., AJNR Am J Neuroradiol 28:1078 (2007)",
    equation=(
        "bat: least squares of b, then b + g1 (t - bat)^2 + g2 (t - bat)^3 up to the peak (onset linear: powers 1 and"
        " 2); ttp = peak - bat; psr = 100 (S_post - S_min)/(S_pre - S_min), S_post the mean of the samples that lie"
        " recovery_from to recovery_to after the peak, where there are 5; cnr = max C / SD(baseline)"
    ),
)
def summary(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Bolus arrival, time from it to the peak, percentage signal recovery, peak height and contrast to noise.

    curves : (n, t) float32, 1/s. Gives bat : s after the first volume, ttp : s, psr : %, peakheight : signal,
    cnr : 1, each (n,) float32, and state : (n,) uint8. The peak is the largest sample, its time the vertex of the
    parabola through it and its neighbours. S = S0 e^{-TE C} of one echo; S_min is the least from bat on, S_post the
    mean of the samples from `recovery_from` to `recovery_to` after the peak. Where the series holds fewer than 5 of
    them psr alone is NaN and the state NO_RECOVERY: earlier samples show the bolus, not what is left after it.
    A baseline without noise has a cnr of 1e6.
    A real bolus begins smoothly: the published line from arrival on finds it a whole volume late, so the rise is
    quadratic and cubic here unless `onset` is "linear". Raises ValueError without a baseline signal.
    """
    if protocol.baseline_signal is None:
        raise ValueError("signal recovery needs the baseline signal of every voxel")
    maps = empty_maps(METHODS["summary"], curves.shape[0])
    step = protocol.repetition_time
    echo = curves if protocol.single_echo is None else protocol.single_echo
    steady = np.ascontiguousarray(protocol.baseline_signal, np.float32)
    numbers = (
        *protocol.baseline, _f(step), _f(protocol.echo_time),
        int(np.ceil(parameters["recovery_from"] / step - 1e-6)), int(parameters["recovery_to"] / step + 1e-6),
        parameters["onset"] == "linear",
    )  # fmt: skip
    filled = tuple(maps[name] for name in ("bat", "ttp", "psr", "peakheight", "cnr", "state"))
    if device.kind == "cuda":
        from bolus_kernels.dsc.summary.cuda import summary as on_cuda

        on_cuda(curves, echo, steady, numbers, filled, device)
    else:
        _summary(time_major(curves), time_major(echo), steady, *numbers, *filled)
    return maps


@kernel
def _summary(
    curves: Any, echo: Any, steady: Any, first: int, stop: int, step: Any, echo_time: Any, after: int, until: int,
    linear: bool, bat: Any, ttp: Any, psr: Any, height: Any, cnr: Any, state: Any,
) -> None:  # fmt: skip
    times, n = curves.shape
    tile, back = np.zeros((times, TILE), np.float32), np.zeros((times, TILE), np.float32)
    misfits, finite = np.empty((times, TILE), np.float64), np.empty(TILE, np.bool_)
    high, at, top = np.empty(TILE, np.float32), np.empty(TILE, np.int32), np.empty(TILE, np.float32)
    noise, begun = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    lowest, recovered = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        gather(curves, begin, width, tile, finite)
        _peak(tile, first, high, at, top)
        _noise(tile, first, stop, noise)
        arrival(tile, first, at, linear, back, misfits, begun)
        _recovery(echo, begin, width, echo_time, at, begun, after, until, lowest, recovered)
        cut = slice(begin, begin + width)
        arrived, late, back_up, fall, clear = bat[cut], ttp[cut], psr[cut], height[cut], cnr[cut]
        s_zero, code = steady[cut], state[cut]
        for v in range(width):
            drop = ONE - lowest[v]
            good = finite[v] and at[v] > first and high[v] > ZERO and noise[v] >= ZERO and drop > ZERO
            enough = min(at[v] + until, times - 1) - (at[v] + after) + 1 >= FEWEST_RECOVERED
            recovery = _f(100) * (recovered[v] - lowest[v]) / drop if enough else ZERO
            peak = s_zero[v] * drop
            contrast = high[v] / max(noise[v], LEAST_NOISE * high[v])
            good = good and s_zero[v] > ZERO and abs(recovery) <= HUGE and peak <= HUGE and contrast <= HUGE
            code[v] = (
                (GOOD if enough else NO_RECOVERY) if good else (NO_SOLUTION if finite[v] else NOT_FINITE)
            )
            arrived[v] = step * begun[v] if good else NAN
            late[v] = step * (top[v] - begun[v]) if good else NAN
            back_up[v] = recovery if good and enough else NAN
            fall[v] = peak if good else NAN
            clear[v] = contrast if good else NAN


@part
def _peak(tile: Any, first: int, high: Any, at: Any, top: Any) -> None:
    """The greatest sample from `first` on, where it is, and where between samples a parabola puts it."""
    times = tile.shape[0]
    high[:], top[:] = -HUGE, ZERO
    for t in range(first, times, 2):  # the last once more where their number is odd
        now, row, after = _f(t), tile[t], tile[min(t + 1, times - 1)]
        for v in range(TILE):
            c, then, highest, last = row[v], after[v], high[v], top[v]
            higher = then > c
            c, place = (then if higher else c), (now + ONE if higher else now)
            top[v] = place if c > highest else last
            high[v] = c if c > highest else highest
    for v in range(TILE):
        at[v] = p = np.int32(top[v])
        if 0 < p < times - 1:
            bend = tile[p - 1, v] - _f(2) * high[v] + tile[p + 1, v]
            if bend < ZERO:
                top[v] += HALF * (tile[p - 1, v] - tile[p + 1, v]) / bend


@part
def _noise(tile: Any, first: int, stop: int, noise: Any) -> None:
    """The standard deviation of the baseline; NaN where there are not two volumes of it."""
    noise[:] = ZERO if stop - first > 1 else NAN
    mean = np.zeros(TILE, np.float32)
    share = ONE / _f(stop - first)
    for t in range(first, stop):
        for v in range(TILE):
            mean[v] += share * tile[t, v]
    for t in range(first, stop):
        for v in range(TILE):
            apart = tile[t, v] - mean[v]
            noise[v] += apart * apart
    degrees = _f(max(stop - first - 1, 1))
    for v in range(TILE):
        noise[v] = np.sqrt(noise[v] / degrees)


@part
def _recovery(
    echo: Any, begin: int, width: int, echo_time: Any, at: Any, begun: Any, after: int, until: int, lowest: Any,
    recovered: Any,
) -> None:  # fmt: skip
    """The least signal from arrival on, and the mean of the late window; both of a signal relative to the baseline."""
    times = echo.shape[0]
    start, end = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    count, highest = np.zeros(TILE, np.float32), np.empty(TILE, np.float32)
    earliest = times
    for v in range(TILE):
        start[v], end[v] = _f(at[v] + after), _f(at[v] + until)
        earliest = min(earliest, at[v] + after)
    highest[:], recovered[:] = -HUGE, ZERO
    for t in range(times):
        now, row = _f(t), echo[t, begin : begin + width]
        for v in range(width):
            c, before = (row[v] if now >= begun[v] else -HUGE), highest[v]
            highest[v] = c if c > before else before
    for t in range(earliest, times):
        now, row = _f(t), echo[t, begin : begin + width]
        for v in range(width):
            inside = ONE if start[v] <= now <= end[v] else ZERO
            recovered[v] += inside * exp(min(-echo_time * row[v], MOST_EXPONENT))
            count[v] += inside
    for v in range(width):
        lowest[v] = exp(min(-echo_time * highest[v], MOST_EXPONENT))
        recovered[v] /= count[v]
