"""Flow and arrival of pure tissues within the posterior: a voxel's own data under what its neighbours tell."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import labels_of
from bolus_kernels.asl.partial_volume.pair import COARSE, PLANES, TOLD, Belief, Room, Tissues, pair_posterior
from bolus_kernels.asl.partial_volume.regression import ALIKE, ONE, ZERO, layout
from bolus_kernels.asl.posterior import Labels
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.jit import finite_part, kernel, part
from bolus_kernels.method import VoxelMaps
from bolus_kernels.state import State
from bolus_kernels.tiles import time_major

WEIGHTS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Of a neighbour's data beside the voxel's own, among which the evidence chooses."""
ASKED = 400
"""Voxels whose evidence is asked, spread over the scan."""
LEAST_NOISE = 1e-6
"""Of the signals' mean square: single precision tells nothing finer."""
LEAST_FLOW = 10.0 / 6000
"""1/s; no tissue's flow is believed to spread less than this."""
CBF = 6000.0


class Tissue(NamedTuple):
    """T1 (s) and partition coefficient (ml/g) of a pure tissue."""

    t1: float
    partition_coefficient: float


class Prior(NamedTuple):
    """GM's arrival (mean, SD), WM's delay after it (mean, SD), s; SD of flow, ml/100g/min; pairs the noise is worth."""

    att_mean: float
    att_sd: float
    later: float
    later_sd: float
    cbf_sd: float
    noise_weight: float


class Found(NamedTuple):
    """gm, wm : maps of each tissue, (n,). weight : of a neighbour, by evidence. flows : of the whole scan, ml/100g/min."""

    gm: VoxelMaps
    wm: VoxelMaps
    weight: float
    flows: tuple[float, float]


class Around(NamedTuple):
    """Where the neighbours of each voxel lie; see `regression.Layout`."""

    row: NDArray[np.int64]
    jumps: NDArray[np.int64]
    margin: int


def tissue_posterior(
    signals: NDArray[Any], amounts: NDArray[Any], protocol: AslProtocol, tissues: tuple[Tissue, Tissue],
    prior: Prior, voxels: NDArray[np.int64], shape: tuple[int, int, int], reach: int, device: Device,
) -> Found:  # fmt: skip
    """Posterior means and SDs of the flows and arrivals of GM and WM in each voxel.

    signals : (n, t) float32, control - label. amounts : (n, 2) float32, of GM and WM: share of the voxel times M0 of
    blood in it, in the signals' unit. voxels : (n,), places in a Fortran-ordered grid of `shape`. The model:
        signal = sum over k of amount_k f_k 2 alpha g(t; D_k, T1_k) + noise, of protocol.noise_variance, signals' unit
    with noise and both flows integrated out over a grid of both arrivals. The (2 reach + 1)^2 - 1 neighbours in the
    slice speak by the same model, their log likelihood weighted: given the arrivals that is a normal prior on the
    flows, as wide as the weight says, which is the one of WEIGHTS that makes the voxels' own data most likely. The
    flows of the whole scan, and SDs as large, are the prior of both. NaN where the signals or amounts are not finite
    (and such neighbours are left out) and, as NO_SOLUTION, where neither the prior nor the data give the noise.
    Source: Chappell et al., Magn Reson Med 65:1173 (2011); see also Ibrahim and Chen, Stat Sci 15:46 (2000), for the
    weight (power priors).
    """
    labels, column = labels_of(protocol)
    labels = labels._replace(gain=np.float32(2.0 * protocol.labeling_efficiency))
    means, within = _summary(signals, column, labels)
    amounts = time_major(amounts)
    finite = np.isfinite(means.sum(axis=0)) & np.isfinite(amounts.sum(axis=0)) & np.isfinite(within)
    good = finite & np.isfinite(protocol.slice_delay)
    state = np.where(good, State.GOOD, State.NOT_FINITE).astype(np.uint8)
    laid = layout(voxels, good, shape, reach)
    around = Around(laid.row.reshape(-1), laid.jumps, laid.margin)
    square = float(np.mean(np.square(means[:, good], dtype=np.float64))) if good.any() else 1.0
    noise = max(protocol.noise_variance, LEAST_NOISE * square, 1e-30)
    known = Tissues(*(np.float32(x) for t in tissues for x in (1 / t.t1, t.partition_coefficient)))
    broad = _belief(labels, prior, noise, (0.0, 0.0), (prior.cbf_sd / CBF,) * 2)
    slices = np.ascontiguousarray(protocol.slice_delay, np.float32)
    told = np.full((TOLD, len(voxels)), np.nan, np.float32)
    if not good.any() or labels.pairs.sum() + prior.noise_weight <= 2:
        state[good] = State.NO_SOLUTION
        return _found(told, state, 1.0, (np.nan, np.nan))
    data = means, within, amounts, slices
    flows = _of_scan(data, good, labels, known, broad)
    belief = _belief(labels, prior, noise, flows, tuple(max(abs(f), LEAST_FLOW) for f in flows))

    def run(rows: NDArray[np.int64], weight: float, own: float, where: Device) -> NDArray[np.float32]:
        out = np.full((TOLD, rows.size), np.nan, np.float32)
        weights = np.float32(weight), np.float32(own)
        if where.kind == "cuda":
            from bolus_kernels.asl.partial_volume.posterior_cuda import launch

            launch(rows, laid.place[rows], data, around, weights, labels, known, belief, out, where)
        else:
            _solve(rows, laid.place[rows], *data, *around, *weights, labels, known, belief, out)
        return out

    rows = np.flatnonzero(good)
    mixed = np.flatnonzero(good & (amounts.sum(axis=0) > 0))
    weight = _best_weight(run, mixed[:: max(1, mixed.size // ASKED)], device)
    told[:, rows] = run(rows, weight, 1.0, device)
    unsolved = good & ~np.isfinite(told[:8].sum(axis=0))
    state[unsolved], told[:, unsolved] = State.NO_SOLUTION, np.nan
    return _found(told, state, weight, (CBF * flows[0], CBF * flows[1]))


def _found(
    told: NDArray[np.float32], state: NDArray[np.uint8], weight: float, flows: tuple[float, float]
) -> Found:
    units = ("cbf", CBF), ("sd_cbf", CBF), ("att", 1.0), ("sd_att", 1.0)
    grey, white = (
        {name: np.float32(unit) * told[first + i] for i, (name, unit) in enumerate(units)} | {"state": state}
        for first in (0, 4)
    )
    return Found(grey, white, weight, flows)


def _belief(
    labels: Labels, prior: Prior, noise: float, flows: tuple[float, ...], spreads: tuple[float, ...]
) -> Belief:
    last = int(np.argmax(labels.time))
    numbers = (
        *flows, *(noise / spread**2 for spread in spreads), prior.att_mean, prior.att_sd**-2, prior.later,
        prior.later_sd**-2, labels.time[last] - 0.25 * labels.duration[last], noise, prior.noise_weight,
    )  # fmt: skip
    return Belief(*(np.float32(number) for number in numbers))


def _of_scan(
    data: tuple[NDArray[np.float32], ...], good: NDArray[np.bool_], labels: Labels, tissues: Tissues, belief: Belief
) -> tuple[float, float]:
    """Both flows of the scan as a whole, 1/s, as if all its voxels had one flow and one arrival of each tissue."""
    means, within, amounts, slices = (each[..., good].astype(np.float64) for each in data)
    basis, factor = np.linalg.qr(amounts.T)
    seen = (means @ basis).T
    left = float(labels.pairs @ np.square(means - (seen.T @ basis.T)).sum(axis=1)) + float(within.sum())
    told = np.empty(TOLD, np.float32)
    freedom = belief.noise_weight + labels.pairs.sum() * good.sum()
    rest = left + belief.noise_weight * belief.noise_variance
    amount = (np.float32(factor[0, 0]), np.float32(factor[0, 1]), np.float32(factor[1, 1] if len(factor) > 1 else 0))
    padded = np.zeros((2, labels.time.size), np.float32)
    padded[: len(seen)] = seen
    _one(padded, *amount, np.float32(rest), np.float32(freedom), np.float32(slices.mean()), labels, tissues, belief, told)
    return float(told[0]), float(told[4])


def _best_weight(
    run: Any, rows: NDArray[np.int64], device: Device
) -> float:
    """The weight of neighbours that makes what voxels show most likely, summed over those asked."""
    if rows.size == 0:
        return WEIGHTS[0]
    found = []
    for weight in WEIGHTS:
        with_own, without = (run(rows, weight, own, device)[8].astype(np.float64) for own in (1.0, 0.0))
        found.append(np.nansum(with_own - without))
    return WEIGHTS[int(np.argmax(found))]


@kernel
def _summary_kernel(curves: Any, column: Any, labels: Any, means: Any, within: Any) -> None:
    for t in range(curves.shape[0]):
        for v in range(curves.shape[1]):
            means[column[t], v] += curves[t, v]
    for i in range(means.shape[0]):
        for v in range(curves.shape[1]):
            means[i, v] /= max(labels.pairs[i], ONE)
    for t in range(curves.shape[0]):
        for v in range(curves.shape[1]):
            within[v] += (curves[t, v] - means[column[t], v]) ** 2


def _summary(
    signals: NDArray[Any], column: NDArray[np.int64], labels: Labels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    means = np.zeros((labels.time.size, len(signals)), np.float32)
    within = np.zeros(len(signals), np.float32)
    _summary_kernel(time_major(signals), column, labels, means, within)
    return means, within


@part
def _room(delays: int) -> Any:
    return Room(
        np.empty((2, delays, COARSE), np.float32), np.empty((2, COARSE), np.float32),
        np.empty((2, COARSE), np.float32), np.empty(COARSE, np.float32),
        np.empty((PLANES, COARSE, COARSE), np.float32),
    )  # fmt: skip


@kernel
def _one(
    seen: Any, grey: Any, shared: Any, white: Any, rest: Any, freedom: Any, slice_delay: Any, labels: Any,
    tissues: Any, belief: Any, told: Any,
) -> None:  # fmt: skip
    room = _room(labels.time.size)
    pair_posterior(
        seen, grey, shared, white, rest, freedom, slice_delay, labels, tissues, belief, room, told
    )


@kernel
def _solve(
    rows: Any, place: Any, means: Any, within: Any, amounts: Any, slices: Any, row: Any, jumps: Any, margin: int,
    weight: Any, own: Any, labels: Any, tissues: Any, belief: Any, out: Any,
) -> None:  # fmt: skip
    room, seen = _room(labels.time.size), np.empty((2, labels.time.size), np.float32)
    told, all_pairs = np.empty(TOLD, np.float32), labels.pairs.sum()
    for v in range(rows.size):
        grey, shared, white, rest, counted = gather(
            place[v], means, within, amounts, row, jumps, margin, weight, own, labels, seen
        )
        freedom = belief.noise_weight + all_pairs * counted
        rest += belief.noise_weight * belief.noise_variance
        pair_posterior(
            seen, grey, shared, white, rest, freedom, slices[rows[v]], labels, tissues, belief, room, told
        )
        out[:, v] = told


@finite_part
def gather(
    place: int, means: Any, within: Any, amounts: Any, row: Any, jumps: Any, margin: int, weight: Any, own: Any,
    labels: Any, seen: Any,
) -> Any:  # fmt: skip
    """What a voxel and its neighbours show, as two voxels would: fills `seen`, (2, delays).

    Gives their amounts (grey, shared) and (0, white), the squares around them, and how many voxels it is worth.
    Orthogonalised as in the regression, so that single precision is enough.
    """
    middle, near, delays = jumps.size // 2, jumps.size, labels.time.size
    grey, counted, white_whole = ZERO, ZERO, ZERO
    for w in range(near):
        other = row[place - margin + jumps[w]]
        share = own if w == middle else weight
        if other >= 0:
            grey += share * amounts[0, other] ** 2
            white_whole += share * amounts[1, other] ** 2
            counted += share
    grey = sqrt(grey)
    grey = grey if grey > ZERO else ZERO
    inverse, shared, white = (ONE / grey if grey > ZERO else ZERO), ZERO, ZERO
    for w in range(near):
        other = row[place - margin + jumps[w]]
        share = own if w == middle else weight
        if other >= 0:
            shared += share * amounts[0, other] * inverse * amounts[1, other]
    for w in range(near):
        other = row[place - margin + jumps[w]]
        share = own if w == middle else weight
        if other >= 0:
            white += share * (amounts[1, other] - shared * amounts[0, other] * inverse) ** 2
    white = sqrt(white) if white > ALIKE * white_whole else ZERO
    beyond = ONE / white if white > ZERO else ZERO
    seen[:] = ZERO
    for w in range(near):
        other = row[place - margin + jumps[w]]
        share = own if w == middle else weight
        if other >= 0:
            along = inverse * amounts[0, other]
            across = beyond * (amounts[1, other] - shared * along)
            for i in range(delays):
                seen[0, i] += share * along * means[i, other]
                seen[1, i] += share * across * means[i, other]
    rest = ZERO
    for w in range(near):
        other = row[place - margin + jumps[w]]
        share = own if w == middle else weight
        if other >= 0:
            along = inverse * amounts[0, other]
            across = beyond * (amounts[1, other] - shared * along)
            rest += share * within[other]
            for i in range(delays):
                left = means[i, other] - along * seen[0, i] - across * seen[1, i]
                rest += share * labels.pairs[i] * left * left
    return grey, shared, white, rest, counted
