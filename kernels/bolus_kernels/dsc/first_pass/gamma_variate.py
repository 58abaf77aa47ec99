"""Blood volume of the first pass alone: a gamma variate for the tissue and one for the arterial input."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.first_pass.gamma_fit import ROWS
from bolus_kernels.dsc.first_pass.search import ALPHA, BETA, Search, Window, first_pass
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import kernel
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE, time_major

ALPHAS, BETAS = np.geomspace(*ALPHA, 10), np.geomspace(*BETA, 16)
ARRIVED = 0.1
"""Share of the arterial input's peak at which it has arrived."""
NOT_FINITE = int(State.NOT_FINITE)


@method(
    "gamma_variate",
    label="gammaVariate",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g"},
    parameters={
        "cutoff": (0.5, "1", 0.1, 0.9),
        "beyond": (0.5, "1", 0.1, 1.0),
        "earlier": (3.0, "s", 0.0, 30.0),
        "later": (15.0, "s", 0.0, 60.0),
    },
    cuda=True,
    paper="Thompson et al., Circ Res 14:502 (1964)",
    equation="CBV = 100 (kappa/rho) A_c/A_a, A the area of c(t) = A' (t - t0)^alpha e^(-(t - t0)/beta)",
)
def gamma_variate(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume from the first pass, as a gamma variate continues it without recirculation.

    curves : (n, t) float32, 1/s. Gives cbv : (n,) float32, ml/100g, and state : (n,) uint8. The first pass is sought
    from `earlier` before the arterial input arrives to `later` after its peak: the highest sample there, after
    smoothing by (1, 2, 1)/4, is the curve's peak. Least squares over the samples up to the last of the unbroken run
    after it whose smoothed value is at least cutoff times the peak's, best over alpha, beta and t0 up to the peak.
    NO_SOLUTION where fewer than 4 samples lie after t0, where a constant does as well by the corrected AIC, and where
    more than the share `beyond` of the area comes after the last sample fitted: that much would be extrapolation. The
    arterial input in the same way; where it has no such fit no voxel has.
    Source: Thompson 1964; variable projection after Kaufman, BIT 15:49 (1975).
    """
    window = _window(protocol, parameters)
    search = _search(len(protocol.aif), protocol.repetition_time)
    arterial, state = np.full(1, np.nan), np.zeros(1, np.uint8)
    _areas(time_major(protocol.aif[None]), window, search, arterial, state)
    maps = empty_maps(METHODS["gamma_variate"], curves.shape[0])
    area = np.full(curves.shape[0], np.nan)
    if device.kind == "cuda":
        from bolus_kernels.dsc.first_pass.cuda import areas

        areas(curves, window, search, area, maps["state"], device)
    else:
        _areas(time_major(curves), window, search, area, maps["state"])
    maps["cbv"] = (100 * protocol.density_factor / arterial * area).astype(np.float32)
    maps["state"][(maps["state"] == State.GOOD) & (state[0] != State.GOOD)] = State.NO_SOLUTION
    return maps


def _window(protocol: DscProtocol, parameters: Mapping[str, Any]) -> Window:
    """Where the first pass may be: from `earlier` before the input's arrival to `later` after its peak."""
    aif, step = protocol.aif, protocol.repetition_time
    peak = int(np.argmax(aif))
    low = np.flatnonzero(aif[:peak] < ARRIVED * aif[peak])
    begin = (int(low[-1]) if low.size else 0) - round(parameters["earlier"] / step)
    until = peak + 1 + round(parameters["later"] / step)
    return Window(max(0, begin), min(until, aif.size), step, parameters["cutoff"], parameters["beyond"])


@lru_cache(maxsize=4)
def _search(times: int, step: float) -> Search:
    shape = np.stack(np.meshgrid(ALPHAS, BETAS, indexing="ij")).reshape(2, -1)
    x = step / 2 * np.arange(1, 2 * times)[:, None] / (shape[0] * shape[1])
    known = np.concatenate([np.zeros((1, shape.shape[1])), np.exp(shape[0] * (np.log(x) + 1 - x))])
    squares = known**2
    for k in range(2, 2 * times):
        squares[k] += squares[k - 2]
    return Search(shape, known, squares)


@kernel
def _areas(curves: Any, window: Any, search: Any, area: Any, state: Any) -> None:
    """Fill area : (n,), in 1, of the gamma variate of each curve of (t, n), and state : (n,)."""
    times, n = curves.shape
    curve, along = np.empty(times), np.empty(search.shape.shape[1])
    gain, which = np.empty(2 * times), np.empty(2 * times, np.int64)
    seen, work, found = np.empty(times, np.bool_), np.empty((ROWS, 3)), np.empty(2)
    for v in range(n):
        total = 0.0
        for t in range(times):
            curve[t] = curves[t, v]
            total += curve[t]
        if not abs(total) <= FINITE:
            state[v] = NOT_FINITE
            continue
        value, state[v] = first_pass(curve, window, search, along, gain, which, seen, work, found)
        if state[v] == 0:
            area[v] = value
