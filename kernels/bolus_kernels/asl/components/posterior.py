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
    intervals,
    lower,
    score_artery,
)  # fmt: skip
from bolus_kernels.asl.components.grid import NOTHING, respond, score, share, window
from bolus_kernels.asl.components.response import LATEST_SLICE
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
    intervals(mean, fade, late, read, tables, belief, room)
    for model in range(2):
        low, high, flow, step = -late, belief.arrival_most, TYPICAL_FLOW, ZERO
        count = tables.blood.shape[0] if model == 1 else 0
        for level in range(LEVELS):
            step = (high - low) / _f(NODES - 1)
            respond(low, step, rate, flow, late, fade, read, tables, belief, room)
            score(mean, freedom, floor, read, belief, room)
            for k in range(count):  # no artery fills after the tissue
                if tables.early[k] < high and tables.late[k] > -late:
                    lower(k, mean, low, step, fade, floor, read, tables, belief, room)
            best, sharing, flow = share(freedom, room)
            if step < FINEST or (level > 0 and sharing > RESOLVED):
                break
            low, high = window(low, step, high, freedom, floor, best, read, room)
        for k in range(count):
            if tables.early[k] < high and tables.late[k] > -late:
                score_artery(k, low, step, late, freedom, tables, belief, room)
            else:
                for j in range(room.nodes):
                    room.pair[k + 1, ODDS + j] = NOTHING
        _sum(model, count, low, step, late, read, tables, room)
    _tell(late, room.sums, result)


@finite_part
def _sum(model: int, count: int, low: Any, step: Any, late: Any, read: Any, tables: Any, room: Any) -> None:
    """Sum over the arrivals of a model, and its arterial intervals; of an interval the arrival within is unknown."""
    node, sums, best = room.node, room.sums[model], NOTHING
    first, stop = (1, count + 1) if model == 1 else (0, 1)
    for k in range(first, stop):
        for j in range(room.nodes):
            best = max(best, room.pair[k, ODDS + j])
    for i in range(sums.size):
        sums[i] = ZERO
    for k in range(first, stop):
        pair = room.pair[k]
        if pair[ODDS] == NOTHING:
            continue
        mass, ff, f, d, dd, a, aa, da, dada = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        begin, end, centre, decay = ZERO, ZERO, ZERO, ZERO
        if model == 1:
            begin, end = max(tables.early[k - 1], -late), tables.late[k - 1]
            centre = tables.middle[k - 1]
            decay = ZERO if read.pulsed else read.rate_blood
        for j in range(room.nodes):
            w = exp(max(pair[ODDS + j] - best, FAINTEST))
            arrival, volume, spread, loss = (
                low + step * PLACE[j],
                pair[VOLUME + j],
                pair[SPREAD + j],
                pair[LOSS + j],
            )
            flow, until = node[FLOW + j] - loss * volume, max(begin, min(end, arrival))
            middle, width = HALF * (begin + until), until - begin
            filled = volume * (ONE + decay * (middle - centre))
            mass += w
            f += w * flow
            ff += w * (pair[NOISE + j] * node[INVERSE + j] + loss * loss * spread + flow * flow)
            d += w * arrival
            dd += w * arrival * arrival
            a += w * filled
            aa += w * (spread + filled * filled * (ONE + decay * decay * width * width / _f(12)))
            da += w * middle
            dada += w * (middle * middle + width * width / _f(12))
        sums[MASS] += mass
        sums[F] += f
        sums[FF] += ff
        sums[D] += d
        sums[DD] += dd
        sums[A] += a
        sums[AA] += aa
        sums[DA] += da
        sums[DADA] += dada
    for i in range(1, sums.size):
        sums[i] /= max(sums[MASS], FAINT)
    sums[MASS] = log(max(sums[MASS] * step, FAINT)) + best if stop > first else NOTHING


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
