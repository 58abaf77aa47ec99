"""Flow and arrival of pure tissues within the posterior: a voxel's own data under what its neighbours tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.multi_delay import labels_of
from bolus_kernels.asl.nodes import Labels
from bolus_kernels.asl.partial_volume.layout import ONE, layout
from bolus_kernels.asl.partial_volume.pair import pair_posterior
from bolus_kernels.asl.partial_volume.plane import COARSE, FINE, PLANES, TOLD, Belief, Room, Tissues
from bolus_kernels.asl.partial_volume.window import EXTENT, gather, window
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel, part
from bolus_kernels.method import VoxelMaps
from bolus_kernels.state import State
from bolus_kernels.tiles import time_major

WIDTHS = (1.0, 0.841, 0.707, 0.595, 0.5, 0.42, 0.354)
"""Of the window, in reaches, among which the evidence chooses; the widest holds as much as the regression's."""
ASKED = 1000
"""Voxels whose evidence is asked, spread over the scan."""
LEAST_NOISE, SOME_NOISE = 1e-6, 1e-30
"""Of the signals' mean square, and anyway: single precision tells nothing finer."""
LEAST_FLOW = 10.0
"""ml/100g/min; no tissue's flow is believed to spread less."""
CBF = 6000.0


class Tissue(NamedTuple):
    """T1 (s) and partition coefficient (ml/g) of a pure tissue."""

    t1: float
    partition_coefficient: float


class Prior(NamedTuple):
    """What is believed before the scan, each mean and SD.

    arrival : s, of GM, whose mean the scan replaces. later : s, WM's arrival after GM's. cbf_sd : ml/100g/min, about
    zero, of the flows of the whole scan. noise_weight : pairs that the scan's noise is worth.
    """

    arrival: tuple[float, float]
    later: tuple[float, float]
    cbf_sd: float
    noise_weight: float


class Whole(NamedTuple):
    """The scan as if it were one voxel: flows of GM and WM, ml/100g/min; arrival of GM, s."""

    grey: float
    white: float
    arrival: float


class Found(NamedTuple):
    """gm, wm : maps of each tissue, (n,). width : SD of the window, voxels. whole : what the scan told of all."""

    gm: VoxelMaps
    wm: VoxelMaps
    width: float
    whole: Whole


class Data(NamedTuple):
    """means : (delays, n), of each delay's pairs. within : (n,), squares around. amounts : (2, n). slices : (n,), s."""

    means: NDArray[np.float32]
    within: NDArray[np.float32]
    amounts: NDArray[np.float32]
    slices: NDArray[np.float32]


def tissue_posterior(
    signals: NDArray[Any], amounts: NDArray[Any], protocol: AslProtocol, tissues: tuple[Tissue, Tissue],
    prior: Prior, voxels: NDArray[np.int64], shape: tuple[int, int, int], reach: int, device: Device,
) -> Found:  # fmt: skip
    """Posterior means and SDs of the flows and arrivals of GM and WM in each voxel.

    signals : (n, t) float32, control - label. amounts : (n, 2) float32, of GM and WM: share of the voxel times M0 of
    blood in it, in the signals' unit. voxels : (n,), places in a Fortran-ordered grid of `shape`, each once. protocol :
    its noise_variance in the signals' unit; its tissue constants are not used. The model:
        signal = sum over k of amount_k f_k 2 alpha g(t; D_k, T1_k) + noise
    with noise and both flows integrated out over a grid of both arrivals. The neighbours of a voxel in its slice speak
    by the same model, their log likelihoods weighted by a Gaussian window: given the arrivals that is a normal prior
    on the flows. The window's width is the one of WIDTHS times reach that makes the voxels' own data most likely,
    given their neighbours'. The flows and GM's arrival in the scan as a whole are the means of what all voxels
    believe, the flows' SDs as large as they are. NaN where signals or amounts are not finite, and such neighbours
    are left out; where even the noise's variance has no mean, NO_SOLUTION.
    Source: Chappell et al., Magn Reson Med 65:1173 (2011), the model; Ibrahim and Chen, Stat Sci 15:46 (2000), the
    weighted likelihood of other data as a prior.
    """
    labels, column = labels_of(protocol)
    labels = labels._replace(gain=np.float32(2.0 * protocol.labeling_efficiency))
    slices = np.ascontiguousarray(protocol.slice_delay, np.float32)
    data = Data(*_means(time_major(signals), column, labels), time_major(amounts), slices)
    with np.errstate(invalid="ignore", over="ignore"):
        good = np.isfinite(data.means.sum(0) + data.within + data.amounts.sum(0) + slices)
    state = np.where(good, State.GOOD, State.NOT_FINITE).astype(np.uint8)
    told = np.full((TOLD, len(voxels)), np.nan, np.float32)
    rows = np.flatnonzero(good)
    if rows.size == 0 or labels.pairs.sum() + prior.noise_weight <= 2:
        state[rows] = State.NO_SOLUTION
        return _found(told, state, np.nan, Whole(np.nan, np.nan, np.nan))
    noise = max(
        protocol.noise_variance, LEAST_NOISE * float(np.square(data.means[:, good]).mean()), SOME_NOISE
    )
    known = Tissues(*(np.float32(x) for one in tissues for x in (1 / one.t1, one.partition_coefficient)))
    broad = _belief(labels, prior, noise, Whole(0.0, 0.0, prior.arrival[0]), prior.cbf_sd, prior.cbf_sd)
    whole = _whole(data, good, labels, known, broad)
    belief = _belief(labels, prior, noise, whole, *(max(abs(flow), LEAST_FLOW) for flow in whole[:2]))
    laid = layout(voxels, good, shape, EXTENT * reach)

    def run(rows: NDArray[np.int64], width: float, own: float) -> NDArray[np.float32]:
        around = window(laid, EXTENT * reach, width, own)
        out = np.full((rows.size, TOLD), np.nan, np.float32)
        if device.kind == "cuda":
            from bolus_kernels.asl.partial_volume.posterior_cuda import launch

            launch(rows, laid.place[rows], data, around, labels, known, belief, out, device)
        else:
            _solve(rows, laid.place[rows], data, around, labels, known, belief, out)
        return out.T

    mixed = rows[data.amounts[:, rows].sum(0) > 0]
    width = _best_width(partial(run, mixed[:: max(1, mixed.size // ASKED)]), reach)
    told[:, rows] = run(rows, width, 1.0)
    unsolved = good & ~np.isfinite(told.sum(0))
    state[unsolved], told[:, unsolved] = State.NO_SOLUTION, np.nan
    return _found(told, state, width, whole)


def _found(told: NDArray[np.float32], state: NDArray[np.uint8], width: float, whole: Whole) -> Found:
    units = ("cbf", CBF), ("sd_cbf", CBF), ("att", 1.0), ("sd_att", 1.0)
    grey, white = (
        {name: np.float32(unit) * told[first + i] for i, (name, unit) in enumerate(units)} | {"state": state}
        for first in (0, 4)
    )
    return Found(grey, white, width, whole)


def _belief(labels: Labels, prior: Prior, noise: float, whole: Whole, *spreads: float) -> Belief:
    """What is believed of every voxel, about what the scan told; spreads : of either flow, ml/100g/min."""
    last = int(np.argmax(labels.time))
    later, later_sd = prior.later
    numbers = (
        whole.grey / CBF, whole.white / CBF, *(noise * (CBF / spread) ** 2 for spread in spreads),
        whole.arrival, prior.arrival[1] ** -2, later, later_sd**-2,
        labels.time[last] - 0.25 * labels.duration[last], noise, prior.noise_weight,
    )  # fmt: skip
    return Belief(*(np.float32(number) for number in numbers))


def _whole(data: Data, good: NDArray[np.bool_], labels: Labels, tissues: Tissues, belief: Belief) -> Whole:
    """Flows and arrival of the scan as if all its voxels had one flow and one arrival of each tissue."""
    means, within, amounts, slices = (each[..., good].astype(np.float64) for each in data)
    basis, factor = np.linalg.qr(amounts.T)
    seen, amount = np.zeros((2, labels.time.size)), np.zeros((2, 2))
    seen[: basis.shape[1]], amount[: len(factor)] = (means @ basis).T, factor
    left = labels.pairs @ np.square(means - (basis @ seen[: basis.shape[1]]).T).sum(1) + within.sum()
    rest = left + float(belief.noise_weight) * float(belief.noise_variance)
    freedom = belief.noise_weight + float(labels.pairs.sum()) * good.sum()
    told = np.empty(TOLD, np.float32)
    _one(
        seen.astype(np.float32), np.float32(amount[0, 0]), np.float32(amount[0, 1]), np.float32(amount[1, 1]),
        np.float32(rest), np.float32(freedom), np.float32(slices.mean()), labels, tissues, belief, told,
    )  # fmt: skip
    return Whole(CBF * float(told[0]), CBF * float(told[4]), float(told[2]))


def _best_width(run: Callable[[float, float], NDArray[np.float32]], reach: int) -> float:
    """The width, in voxels, that makes what the voxels show most likely: from the widest on, until it gets worse."""
    best, most = WIDTHS[0] * reach, -np.inf
    for width in (each * reach for each in WIDTHS):
        gain = run(width, 1.0)[TOLD - 1].astype(np.float64) - run(width, 0.0)[TOLD - 1]
        evidence = gain[np.isfinite(gain)].sum()
        if evidence < most:
            break
        best, most = width, evidence
    return best


def _means(
    signals: NDArray[np.float32], column: NDArray[np.int64], labels: Labels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of each delay's pairs, (delays, n), and the sum of squares around them, (n,)."""
    means = np.zeros((labels.time.size, signals.shape[1]), np.float32)
    within = np.zeros(signals.shape[1], np.float32)
    for pair, which in zip(signals, column, strict=True):
        means[which] += pair
    means /= np.maximum(labels.pairs, ONE)[:, None]
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is left out by the caller
        for pair, which in zip(signals, column, strict=True):
            within += np.square(pair - means[which])
    return means, within


@part
def _room(delays: int) -> Any:
    return Room(
        np.empty((2, delays, COARSE), np.float32), np.empty((2, COARSE), np.float32),
        np.empty((2, COARSE), np.float32), np.empty(COARSE, np.float32),
        np.empty((PLANES, COARSE, COARSE), np.float32), (COARSE, FINE),
    )  # fmt: skip


@kernel
def _one(
    seen: Any, grey: Any, shared: Any, white: Any, rest: Any, freedom: Any, slice_delay: Any, labels: Any,
    tissues: Any, belief: Any, told: Any,
) -> None:  # fmt: skip
    room = _room(labels.time.size)
    pair_posterior(seen, grey, shared, white, rest, freedom, slice_delay, labels, tissues, belief, room, told)


@kernel
def _solve(
    rows: Any, place: Any, data: Any, around: Any, labels: Any, tissues: Any, belief: Any, out: Any
) -> None:
    room, seen = _room(labels.time.size), np.empty((2, labels.time.size), np.float32)
    pairs = labels.pairs.sum()
    for v in range(rows.size):
        grey, shared, white, rest, counted = gather(
            place[v], data.means, data.within, data.amounts, around.row, around.jumps, around.shares,
            labels.pairs, seen,
        )  # fmt: skip
        rest += belief.noise_weight * belief.noise_variance
        freedom = belief.noise_weight + pairs * counted
        pair_posterior(
            seen, grey, shared, white, rest, freedom, data.slices[rows[v]], labels, tissues, belief, room,
            out[v],
        )  # fmt: skip
