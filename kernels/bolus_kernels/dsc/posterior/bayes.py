"""Deconvolution of DSC curves by the exact posterior of a parametric residue function, with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.posterior import bank, shapes
from bolus_kernels.dsc.posterior.amplitude import strong, table
from bolus_kernels.dsc.posterior.correlate import PACK, correlate_pack
from bolus_kernels.dsc.posterior.mass import BELOW_ALL, Flow, Lattice, room
from bolus_kernels.dsc.posterior.residue import ROUNDING, UNKNOWNS, voxel_posterior
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import finite_part, kernel
from bolus_kernels.method import METHODS, RESIDUE, VoxelMaps, empty_maps, method, refuse_infinite
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE, gather, time_major

MAPS = {"cbf": "ml/100g/min", "mtt": "s", "cbv": "ml/100g", "tmax": "s", "cth": "s"}
LEAST_NOISE = np.float32(1e-10)
"""Variance, of the curve's largest value squared: rounding, below which nothing can be told."""
MOST_UNIT = np.float32(1e12)
Array = NDArray[np.float32]
STEPS = 6
"""Between the directions of curves that count as alike."""
ZERO, ONE = np.float32(0), np.float32(1)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


@method(
    "bayes",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS | {f"sd_{name}": unit for name, unit in MAPS.items()},
    parameters={
        "mtt_prior": (5.0, "s", 0.5, 24.0),
        "mtt_spread": (0.65, "1", 0.1, 3.0),
        "mtt_least": (0.5, "s", 0.1, 2.0),
        "mtt_most": (24.0, "s", 6.0, 60.0),
        "delay_prior": (1.0, "s", -5.0, 10.0),
        "delay_spread": (2.5, "s", 0.1, 20.0),
        "delay_least": (-3.0, "s", -8.0, 0.0),
        "delay_most": (8.0, "s", 1.0, 16.0),
        "cbf_spread": (0.8, "1", 0.3, 3.0),
        "floor": (0.0125, "1", 0.001, 0.5),
        "k2_spread": (0.01, "1/s", 1e-4, 1.0),
    },
    version=3,
    choices={"leakage": ("none", "project")},
    cuda=True,
    paper="Mouridsen et al., Neuroimage 33:570 (2006)",
    equation="p(MTT, shape, delay | C), flow integrated out: C = b + (rho/kappa) CBF (C_a * R)(t - delay) + noise",
)
def bayes(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Flow, transit time, volume, delay and transit-time heterogeneity, each with its posterior standard deviation.

    curves : (n, t) float32, 1/s. Gives cbf = exp E ln CBF, mtt = exp E ln MTT, cbv = E CBF MTT, tmax = E delay, cth =
    E SD of the transit times, and the SDs of each, all (n,) float32, and state : (n,) uint8; on request the residue at
    these means of the most probable shape. R has the shapes of `shapes`; priors: ln MTT N(ln mtt_prior, mtt_spread),
    delay N(delay_prior, delay_spread), ln CBF N(ln m, cbf_spread), m = 60 typical_volume/mtt_prior. floor : the
    noise SD that every model leaves, as a share of the peak: sigma^4 = (S/(N - 6))^2 + (floor peak)^4, S the least sum
    of squares, which holds it already where it is large. leakage = project : the integral of the reference is not told
    from tissue either, and N - 7; what comes back is believed to follow K2 N(0, k2_spread), any kep up to 0.2/s alike.
    The arterial input is smooth between its samples; SDs hold for it as given, and it must contain its recirculation. A
    shape stands for those around it: sum p^2 of BETWEEN^2, p the mass of a shape, is added to the variances of ln CBF,
    ln MTT and cth/mtt. Templates of less than 3e-4 of the best's density are left out. MTT is not CBV/CBF exactly: each
    is its own mean. Where the typical volume is not known or not positive no voxel has a solution. Raises ValueError
    for an unusable arterial input. Source: the likelihood of Mouridsen 2006, eq. 6-9, summed over a bank instead of
    searched.
    """
    typical = 60.0 * protocol.typical_volume / parameters["mtt_prior"]
    maps = empty_maps(METHODS["bayes"], curves.shape[0])
    found, shape = np.full((10, curves.shape[0]), np.nan, np.float32), np.zeros(curves.shape[0], np.uint8)
    told = believed(protocol, parameters)
    if not 0 < typical < np.inf:
        maps["state"][:] = State.NO_SOLUTION
    elif device.kind == "cuda":
        from bolus_kernels.dsc.posterior.cuda import posterior

        posterior(
            curves, protocol.baseline, np.float32(1 / typical), *told, found, shape, maps["state"], device
        )
    else:
        order = alike(curves, told[1])
        own = np.take(found, order, 1), shape[order], maps["state"][order]
        series = np.take(time_major(curves), order, 1)
        _bayes(series, protocol.baseline, np.float32(1 / typical), *told, room(), *own)
        found[:, order], shape[order], maps["state"][order] = own
    flow_mean, volume, maps["tmax"], mtt_mean, maps["cth"] = found[:5]
    flow_sd, volume_sd, maps["sd_tmax"], mtt_sd, maps["sd_cth"] = found[5:]
    maps["cbf"], maps["mtt"] = np.float32(typical) * np.exp(flow_mean), np.exp(mtt_mean)
    maps["sd_cbf"], maps["sd_mtt"] = maps["cbf"] * flow_sd, maps["mtt"] * mtt_sd
    maps["cbv"], maps["sd_cbv"] = np.float32(typical / 60) * volume, np.float32(typical / 60) * volume_sd
    maps = refuse_infinite(maps)
    if protocol.residue:
        maps[RESIDUE] = _residues(maps, shape, protocol, curves.shape[1])
    return maps


def believed(
    protocol: DscProtocol, parameters: Mapping[str, Any]
) -> tuple[np.float32, Array, Array, Array, np.float32, Lattice, Lattice, Lattice, Flow]:
    """What the kernel is told beside the curves.

    The model's own noise; components; nuisance; what returns, and its SD, 1/s; three lattices; the flow.
    """
    given, leaked = parameters, protocol.reference if parameters["leakage"] == "project" else None
    mtt, delay = (given["mtt_prior"], given["mtt_spread"]), (given["delay_prior"], given["delay_spread"])
    most, cbf_spread = given["delay_most"], given["cbf_spread"]
    ends = (given["mtt_least"], given["mtt_most"]), (given["delay_least"], most)
    made = bank.bank(protocol.aif, protocol.repetition_time, protocol.density_factor, leaked, *ends)
    coarse, middle, fine = (lattice(grid, mtt, delay, most) for grid in (made.coarse, made.middle, made.fine))
    moments, least_q = table(cbf_spread)
    flow = Flow(np.float32(cbf_spread**-2.0), moments, np.float32(least_q), np.float32(strong(cbf_spread)))
    returned = np.float32(given["k2_spread"] * made.returning)
    told = made.components, made.nuisance, made.returns, returned
    return np.float32(given["floor"]), *told, coarse, middle, fine, flow


def lattice(grid: bank.Grid, mtt: tuple[float, float], delay: tuple[float, float], most: float) -> Lattice:
    """A grid for the kernel with priors ln N(mtt[0], mtt[1]) and N(delay[0], delay[1]), delays up to `most`.

    Nodes at an end stand for half the space of the others.
    """
    of_row = np.log(shapes.WEIGHT[grid.shape]) - 0.5 * (np.log(grid.mtt / mtt[0]) / mtt[1]) ** 2
    of_row[(grid.mtt <= grid.mtt.min()) | (grid.mtt >= grid.mtt.max())] += np.log(0.5)
    of_delay = -0.5 * ((grid.delay - delay[0]) / delay[1]) ** 2
    of_delay[(grid.delay <= grid.delay.min()) | (np.abs(grid.delay - most) < 1e-6)] += np.log(0.5)
    of_delay[grid.delay > most + 1e-6] = BELOW_ALL
    prior = of_row.astype(np.float32)[:, None] + of_delay.astype(np.float32)
    mtts, spreads, delays = (np.asarray(x, np.float32) for x in (grid.mtt, grid.spread, grid.delay))
    volume, log_mtts = grid.inverse * mtts[:, None], np.log(mtts)
    told = grid.parts, volume, grid.log_inverse, grid.shape, mtts, log_mtts, spreads, delays, prior
    return Lattice(*told, grid.along)


def alike(curves: NDArray[Any], components: NDArray[np.float32]) -> NDArray[np.intp]:
    """An order of curves (n, t) in which those that look alike follow one another: they read the same templates.

    The bank is larger than a core's own cache. By the first three components, the last of which goes within steps of
    the others.
    """
    told = components[-3:] @ time_major(curves)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        third, second, first = told / np.sqrt(np.einsum("kn,kn->n", told, told))
        return np.lexsort((third, np.rint(STEPS * second), np.rint(STEPS * first)))


def _residues(maps: VoxelMaps, shape: NDArray[Any], protocol: DscProtocol, times: int) -> NDArray[np.float32]:
    """R of the most probable shape at the posterior means, times the flow, 1/s; delay 0 first, negative ones last."""
    index = np.arange(2 * times)
    time = protocol.repetition_time * np.where(index < times, index, index - 2 * times)
    height = maps["cbf"] / np.float32(6000 * protocol.density_factor)
    found = np.full((height.size, time.size), np.nan, np.float32)
    for kind in np.unique(shape):
        rows = (shape == kind) & (maps["state"] == State.GOOD)
        u = (time - maps["tmax"][rows, None]) / maps["mtt"][rows, None]
        found[rows] = height[rows, None] * shapes.residue(int(kind), u)
    return found


@kernel
def _bayes(
    curves: Any, baseline: Any, per_typical: Any, floor: Any, components: Any, nuisance: Any, returns: Any, spread: Any,
    coarse: Any, middle: Any, fine: Any, flow: Any, room: Any, found: Any, shape: Any, state: Any,
) -> None:  # fmt: skip
    times, n = curves.shape
    tile, finite = np.empty((times, TILE), np.float32), np.empty(TILE, np.bool_)
    told, sums = np.empty((components.shape[0], TILE), np.float32), np.empty((5, TILE), np.float32)
    packed, best = np.empty((PACK, coarse.prior.size), np.float32), np.empty(PACK, np.float32)
    result, whole = np.empty(10, np.float32), coarse.prior.size
    freedom = np.float32(max(1, times - UNKNOWNS))
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        gather(curves, begin, width, tile, finite)
        reduce_tile(tile, baseline, components, nuisance, returns, told, sums)
        for place in range(width):
            v, own = begin + place, place % PACK
            if own == 0:
                correlate_pack(coarse, told, place, packed, best)
            scale, peak, square = sums[0, place], sums[1, place], sums[2, place]
            if not finite[place]:
                state[v] = NOT_FINITE
                continue
            state[v] = NO_SOLUTION
            if scale > ZERO:
                room.correlation[:whole] = packed[own]
                noise = (floor * peak) ** 2 + LEAST_NOISE
                unit = min(max(scale * per_typical, ONE / MOST_UNIT), MOST_UNIT)
                likely = voxel_posterior(
                    told,
                    place,
                    best[own],
                    square,
                    noise,
                    freedom,
                    unit,
                    flow,
                    coarse,
                    middle,
                    fine,
                    sums[4, place],
                    (spread / scale) ** 2,
                    room,
                    result,
                )
                if likely >= 0:
                    state[v], shape[v] = 0, likely
                    found[:, v] = result


@finite_part
def reduce_tile(
    tile: Any, baseline: Any, components: Any, nuisance: Any, returns: Any, told: Any, sums: Any
) -> None:
    """Curves -> components; sums : scale (the largest distance from the mean), in its units peak and squared norm; one
    to work with; the curve along what returns.
    """
    times = np.float32(tile.shape[0])
    mean, before = np.zeros(TILE, np.float32), np.zeros(TILE, np.float32)
    sums[:], told[:] = ZERO, ZERO
    scale, peak, square, share, returned = sums[0], sums[1], sums[2], sums[3], sums[4]
    for t in range(tile.shape[0]):
        for v in range(TILE):
            mean[v] += tile[t, v] / times
    for t in range(tile.shape[0]):
        for v in range(TILE):
            tile[t, v] -= mean[v]
            peak[v] = max(peak[v], tile[t, v])
            scale[v] = max(scale[v], abs(tile[t, v]))
    for t in range(baseline[0], baseline[1]):
        for v in range(TILE):
            before[v] += tile[t, v] / np.float32(baseline[1] - baseline[0])
    for v in range(TILE):
        share[v] = ONE / max(scale[v], np.float32(1e-30))
        peak[v] = (peak[v] - before[v]) * share[v]
        scale[v] = scale[v] if scale[v] > ROUNDING * abs(mean[v]) else ZERO
    for t in range(tile.shape[0]):
        for v in range(TILE):
            tile[t, v] *= share[v]
    for k in range(nuisance.shape[0]):
        share[:] = ZERO
        for t in range(tile.shape[0]):
            for v in range(TILE):
                share[v] += nuisance[k, t] * tile[t, v]
        for t in range(tile.shape[0]):
            for v in range(TILE):
                tile[t, v] -= nuisance[k, t] * share[v]
    for t in range(tile.shape[0]):
        for v in range(TILE):
            square[v] += tile[t, v] * tile[t, v]
            returned[v] += returns[t] * tile[t, v]
    for k in range(components.shape[0]):
        for t in range(tile.shape[0]):
            for v in range(TILE):
                told[k, v] += components[k, t] * tile[t, v]
