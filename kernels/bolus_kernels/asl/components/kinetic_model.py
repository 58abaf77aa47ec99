"""Multi-delay ASL with blood still in arteries, with dispersion on the way and exchange with tissue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.components.artery import NODES, Belief, Room, of_voxel, shapes
from bolus_kernels.asl.components.posterior import RESULTS, solvable, voxel_components
from bolus_kernels.asl.components.response import Responses, Shape, responses
from bolus_kernels.asl.multi_delay import arrival_prior_of, labels_of, voxelwise_of
from bolus_kernels.asl.nodes import Labels, summarise_tile
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method, refuse_infinite
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE, aligned, gather, time_major

MAPS = {"cbf": "ml/100g/min", "att": "s", "abv": "ml/100ml", "aat": "s"}
NEVER = -1e4
"""Log odds of an arterial component that is not looked for."""
ALIKE, ARRIVALS = 0.05, 2001
"""s, by which expected arrivals are told apart for the odds; points of their integral."""
ONE = np.float32(1)


@method(
    "kinetic_model",
    version=2,
    contrast="asl",
    family="quantification",
    maps=MAPS | {f"sd_{name}": unit for name, unit in MAPS.items()},
    parameters={
        "att_mean": (1.3, "s", 0.0, 5.0),
        "att_sd": (1.0, "s", 0.01, 10.0),
        "cbf_sd": (200.0, "ml/100g/min", 1.0, 10000.0),
        "noise_weight": (10.0, "1", 1.0, 10000.0),
        "arterial_probability": (0.5, "1", 0.0, 0.999),
        "arterial_lead": (0.3, "s", 0.0, 2.0),
        "abv_sd": (2.0, "ml/100ml", 0.01, 100.0),
        "sharpness": (7.4, "1/s", 1.0, 100.0),
        "time_to_peak": (0.1, "s", 0.0, 1.0),
        "width": (0.14, "s", 0.01, 1.0),
        "exchange_time": (0.5, "s", 0.01, 5.0),
    },
    choices={
        "att_prior": ("evidence", "given"),
        "dispersion": ("none", "gamma", "gaussian"),
        "tissue": ("well_mixed", "two_compartment"),
    },
    paper="Chappell et al., Magn Reson Med 63:1357 (2010)",
    equation="dM(t) = tissue (Buxton 1998) + 2 a M0a aBV e^(-Da/T1b) on Da < t < Da + tau; sum over models with and "
    "without the arterial term, over D and Da <= D; f, aBV >= 0 and noise integrated out",
    label="",
    cuda=True,
)
def kinetic_model(
    curves: NDArray[Any], protocol: AslProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood flow, transit time, arterial blood volume and its arrival, each with its posterior standard deviation.

    curves : (n, t) float32, (control - label)/M0 of tissue. Gives cbf : ml/100g/min, att : s, abv : ml/100ml,
    aat : s (arterial arrival, of the arterial component alone), and the SD of each, all (n,) float32, and
    state : (n,) uint8. Averages over two models: without and with an artery, so that a component that the data do not
    support is not invented. Priors as in multi_delay; aBV half-normal (abv_sd); arterial arrival as the tissue's,
    but earlier by arterial_lead, and not after it. dispersion : gamma (sharpness, time_to_peak) or
    gaussian (width); tissue : two_compartment (exchange_time). Source: Buxton 1998; Chappell 2010 (arterial),
    2013 (dispersion); Parkes and Tofts 2002 (exchange).
    """
    read, column = labels_of(protocol)
    maps = empty_maps(METHODS["kinetic_model"], curves.shape[0])
    if curves.shape[1] + parameters["noise_weight"] <= 2:  # a Student t of so few degrees has no variance
        maps["state"][:] = State.NO_SOLUTION
        return maps
    slow = parameters["exchange_time"] if parameters["tissue"] == "two_compartment" else 0.0
    shape = Shape(
        parameters["dispersion"], parameters["sharpness"], parameters["time_to_peak"], parameters["width"], slow
    )  # fmt: skip
    belief = belief_of(protocol, read, parameters)
    tables = responses(protocol, read, float(belief.arrival_most), shape)
    voxelwise = (*voxelwise_of(protocol, parameters), log_odds_of(protocol, read, parameters))
    found = np.full((RESULTS, curves.shape[0]), np.nan, np.float32)
    told = (column, read, tables, belief)
    if device.kind == "cuda":
        from bolus_kernels.asl.components.cuda import posterior

        posterior(curves, voxelwise, *told, found, maps["state"], device)
    else:
        _kinetic_model(time_major(curves), *voxelwise, *told, memory(tables), found, maps["state"])
    units = (np.float32(6000), ONE, np.float32(100), ONE)
    for row, name in enumerate(MAPS):
        maps[name], maps[f"sd_{name}"] = units[row] * found[row], units[row] * found[4 + row]
    return refuse_infinite(maps)


def belief_of(protocol: AslProtocol, read: Labels, parameters: Mapping[str, Any]) -> Belief:
    """The priors in the units of the kernel, from the method's parameters, for a noise variance of 1.

    Noise, expected arrivals and the odds of an artery are each voxel's own: `voxelwise_of`, `log_odds_of`.
    """
    numbers = (
        0.0, 0.0, _latest(read),
        parameters["arterial_lead"],
        (6000.0 / parameters["cbf_sd"]) ** 2, (100.0 / parameters["abv_sd"]) ** 2,
        0.0,
        parameters["noise_weight"], 1.0,
        arrival_prior_of(protocol, parameters).tail,
    )  # fmt: skip
    return Belief(*(np.float32(number) for number in numbers))


def log_odds_of(protocol: AslProtocol, read: Labels, parameters: Mapping[str, Any]) -> NDArray[np.float32]:
    """Log odds of an arterial component in each voxel, (n,).

    That the artery fills before the tissue makes its prior narrower: the odds make good for it, by expected arrivals
    to ALIKE s.
    """
    from scipy.integrate import cumulative_trapezoid, trapezoid

    probability, expected = parameters["arterial_probability"], arrival_prior_of(protocol, parameters)
    n = len(protocol.t1_tissue)
    if probability == 0:
        return np.full(n, NEVER, np.float32)
    mean, sd, which = np.atleast_1d(expected.mean), np.atleast_1d(expected.sd), np.zeros(n, np.int64)
    if np.ndim(expected.mean):
        kinds, which = np.unique(np.rint(np.stack([mean, sd]) / ALIKE), axis=1, return_inverse=True)
        mean, sd = ALIKE * kinds
    arrival = np.linspace(0.0, _latest(read), ARRIVALS)
    tissue, artery = (
        np.exp(-0.5 * z**2 / (1 + expected.tail * z**2))
        for lead in (0.0, parameters["arterial_lead"])
        for z in [(arrival - mean[:, None] + lead) / sd[:, None]]
    )
    before = cumulative_trapezoid(artery, arrival, initial=0)
    in_order = trapezoid(tissue * before, arrival) / (trapezoid(tissue, arrival) * before[:, -1])
    return np.asarray(np.log(probability / (1 - probability) / in_order)[which.reshape(-1)], np.float32)


def _latest(read: Labels) -> float:
    last = int(np.argmax(read.time))
    return float(read.time[last] - 0.25 * read.duration[last])


def memory(tables: Responses) -> tuple[NDArray[np.float32], ...]:
    """Memory for one voxel at a time, as `Room` names it."""
    intervals, delays = tables.blood.shape
    return tuple(aligned(shape) for shape in shapes(intervals, delays))


@kernel
def _kinetic_model(
    curves: Any, t1_tissue: Any, slice_delay: Any, noise: Any, arrival: Any, precision: Any, log_odds: Any,
    column: Any, read: Any, tables: Any, belief: Any, memory: Any, found: Any, state: Any,
) -> None:  # fmt: skip
    response, rest, node, apart, pair, interval, seen, sums = memory
    room = Room(response, rest, node, apart, pair, interval, seen, sums, NODES)
    delays = read.pairs.size
    mean, result = np.empty(delays, np.float32), np.empty(RESULTS, np.float32)
    tile, finite = np.empty((curves.shape[0], TILE), np.float32), np.empty(TILE, np.bool_)
    means, within = np.empty((delays, TILE), np.float32), np.empty(TILE, np.float32)
    for begin in range(0, curves.shape[1], TILE):
        width = min(TILE, curves.shape[1] - begin)
        gather(curves, begin, width, tile, finite)
        summarise_tile(tile, column, read.pairs, means, within)
        for place in range(width):
            v = begin + place
            for i in range(delays):
                mean[i] = means[i, place]
            state[v] = solvable(finite[place], within[place], t1_tissue[v], slice_delay[v], noise[v])
            if state[v] == 0:
                rate = ONE / t1_tissue[v]
                local = of_voxel(belief, noise[v], arrival[v], precision[v], log_odds[v])
                voxel_components(mean, within[place], rate, slice_delay[v], read, tables, local, room, result)
                found[:, v] = result
