"""The exact posterior of one voxel's flow, arrival and arterial volume: sums over arrivals, in each of two models."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.asl.components.artery import (
    FAINT,
    FAINTEST,
    FLOW,
    HALF,
    INVERSE,
    LOSS,
    NODES,
    NOISE,
    ODDS,
    ONE,
    PLACE,
    SPREAD,
    TWO,
    VOLUME,
    ZERO,
    fit_artery,
    intervals,
    lower,
    score_artery,
    sum_anew,
)  # fmt: skip
from bolus_kernels.asl.components.grid import NOTHING, respond, score, share, window
from bolus_kernels.asl.components.response import LATEST_SLICE
from bolus_kernels.asl.posterior import LOWEST, RULER
from bolus_kernels.jit import finite_part, part
from bolus_kernels.scalar import exp, log
from bolus_kernels.state import State
from bolus_kernels.tiles import FINITE

_f = np.float32
LEVELS = 9
"""The most grids of a voxel."""
RESOLVED = _f(3.0)
"""Nodes that must share the mass before the sum over them is the integral."""
FINEST = _f(2e-5)
"""s; no grid is finer, because float32 curves cannot tell arrivals apart below it."""
TYPICAL_FLOW, LATEST = _f(0.01), _f(LATEST_SLICE)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)
RESULTS = 8
"""Flow, arrival, arterial volume, arterial arrival, and the standard deviation of each."""
MASS, F, D, A, FF, DD, AA, DA, DADA = range(9)
"""Sums over one model: its evidence, and of what is in a voxel the mean and the mean square."""


@part
def solvable(finite: bool, within: Any, t1_tissue: Any, slice_delay: Any, noise: Any) -> int:
    """The state of a voxel before it is computed, from what would break its arithmetic."""
    if not (finite and within <= FINITE):
        return NOT_FINITE
    if not (t1_tissue > ZERO and t1_tissue <= FINITE and slice_delay >= ZERO and slice_delay <= LATEST):
        return NO_SOLUTION
    if not noise <= FINITE:
        return NO_SOLUTION
    return 0


@finite_part
def voxel_components(
    mean: Any, within: Any, rate: Any, late: Any, read: Any, tables: Any, belief: Any, room: Any, result: Any
) -> None:
    """Means and standard deviations over two models: tissue alone, and with blood in an artery.

    mean : (delays,), and `within`, the sum of squares of the pairs around them. rate : 1/T1 of tissue, 1/s. late : s,
    the slice's delay; arrivals count from there, and what was labelled has decayed for so much longer.
    """
    freedom = belief.noise_weight
    for i in range(mean.size):
        freedom += read.pairs[i]
    floor = within + belief.noise_weight * belief.noise_variance
    fade = exp(-late * read.rate_blood)
    intervals(fade, late, read, tables, belief, room)
    low, high, step = -late, belief.arrival_most, (belief.arrival_most + late) / _f(NODES - 1)
    respond(low, step, rate, TYPICAL_FLOW, late, fade, read, tables, belief, room)
    score(mean, freedom, floor, read, belief, room)
    best, sharing, alone_flow = share(freedom, room)
    alone_low, alone_high = window(low, step, high, freedom, floor, best, read, room)
    _fit_arteries(mean, low, high, step, late, fade, floor, read, tables, belief, room)
    best, sharing, both_flow = share(freedom, room)
    both_low, both_high = window(low, step, high, freedom, floor, best, read, room)
    for model in range(2):
        low, high, flow = alone_low, alone_high, alone_flow
        if model == 1:
            low, high, flow = both_low, both_high, both_flow
        for level in range(1, LEVELS):
            step = (high - low) / _f(NODES - 1)
            respond(low, step, rate, flow, late, fade, read, tables, belief, room)
            score(mean, freedom, floor, read, belief, room)
            if model == 1:
                _fit_arteries(mean, low, high, step, late, fade, floor, read, tables, belief, room)
            best, sharing, flow = share(freedom, room)
            if step < FINEST or sharing > RESOLVED or level == LEVELS - 1:
                break
            low, high = window(low, step, high, freedom, floor, best, read, room)
        count = tables.blood.shape[0] if model == 1 else 0
        for k in range(count):
            if tables.early[k] < high and tables.late[k] > -late:
                score_artery(k, low, step, late, freedom, tables, belief, room)
            else:
                for j in range(room.nodes):
                    room.pair[k + 1, ODDS + j] = NOTHING
        _sum(model, count, low, step, late, read, tables, room)
    _tell(late, room.sums, result)


@finite_part
def _fit_arteries(
    mean: Any, low: Any, high: Any, step: Any, late: Any, fade: Any, floor: Any, read: Any, tables: Any, belief: Any,
    room: Any,
) -> None:  # fmt: skip
    """Beside every arrival of a grid, an artery that filled within each interval; none fills after the tissue."""
    for k in range(tables.blood.shape[0]):
        if tables.early[k] < high and tables.late[k] > -late:
            if fit_artery(k, room):
                sum_anew(k, mean, fade, floor, read, tables, belief, room)
            lower(k, low, step, tables, room)


@finite_part
def _sum(model: int, count: int, low: Any, step: Any, late: Any, read: Any, tables: Any, room: Any) -> None:
    """Sum over the arrivals of a model, and its arterial intervals; of an interval the arrival within is unknown."""
    node, pair, sums, most = room.node, room.pair, room.sums, LOWEST
    first, stop = (1, count + 1) if model == 1 else (0, 1)
    for k in range(first, stop):
        if pair[k, ODDS] != NOTHING:
            for j in range(room.nodes):
                most = max(most, np.int32(RULER * pair[k, ODDS + j]))
    best = _f(most) / RULER
    for i in range(sums.shape[1]):
        sums[model, i] = ZERO
    for k in range(first, stop):
        if pair[k, ODDS] == NOTHING:
            continue
        mass, ff, f, d, dd, a, aa, da, dada = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        begin, end, centre, decay = ZERO, ZERO, ZERO, ZERO
        if model == 1:
            begin, end = max(tables.early[k - 1], -late), tables.late[k - 1]
            centre = tables.middle[k - 1]
            decay = ZERO if read.pulsed else read.rate_blood
        for j in range(room.nodes):
            w = exp(max(pair[k, ODDS + j] - best, FAINTEST))
            arrival, volume, spread, loss = (
                low + step * PLACE[j],
                pair[k, VOLUME + j],
                pair[k, SPREAD + j],
                pair[k, LOSS + j],
            )
            flow, until = node[FLOW + j] - loss * volume, max(begin, min(end, arrival))
            middle, width = HALF * (begin + until), until - begin
            filled = volume * (ONE + decay * (middle - centre))
            mass += w
            f += w * flow
            ff += w * (pair[k, NOISE + j] * node[INVERSE + j] + loss * loss * spread + flow * flow)
            d += w * arrival
            dd += w * arrival * arrival
            a += w * filled
            aa += w * (spread + filled * filled * (ONE + decay * decay * width * width / _f(12)))
            da += w * middle
            dada += w * (middle * middle + width * width / _f(12))
        sums[model, MASS] += mass
        sums[model, F] += f
        sums[model, FF] += ff
        sums[model, D] += d
        sums[model, DD] += dd
        sums[model, A] += a
        sums[model, AA] += aa
        sums[model, DA] += da
        sums[model, DADA] += dada
    for i in range(1, sums.shape[1]):
        sums[model, i] /= max(sums[model, MASS], FAINT)
    sums[model, MASS] = log(max(sums[model, MASS] * step, FAINT)) + best if stop > first else NOTHING


@finite_part
def _tell(late: Any, sums: Any, result: Any) -> None:
    """Means and standard deviations over both models; the arterial arrival's are those of its own."""
    share = ONE / (ONE + exp(min(sums[0, MASS] - sums[1, MASS], -FAINTEST)))
    rest = ONE - share
    f, d, a = (
        rest * sums[0, F] + share * sums[1, F],
        rest * sums[0, D] + share * sums[1, D],
        share * sums[1, A],
    )
    ff = rest * (sums[0, FF] - f * (TWO * sums[0, F] - f)) + share * (
        sums[1, FF] - f * (TWO * sums[1, F] - f)
    )
    dd = rest * (sums[0, DD] - d * (TWO * sums[0, D] - d)) + share * (
        sums[1, DD] - d * (TWO * sums[1, D] - d)
    )
    aa, da = rest * a * a + share * (sums[1, AA] - a * (TWO * sums[1, A] - a)), sums[1, DA]
    result[0], result[1], result[2], result[3] = f, d + late, a, da + late
    result[4], result[5], result[6] = sqrt(max(ZERO, ff)), sqrt(max(ZERO, dd)), sqrt(max(ZERO, aa))
    result[7] = sqrt(max(ZERO, sums[1, DADA] - da * da))
