"""Two tissues' arrivals as a plane: what is known at each pair of them, and its sums, moments and likely part."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.posterior import EIGHTH, FAINTEST, HALF, NEGLIGIBLE, ONE, TWO, ZERO
from bolus_kernels.jit import finite_part
from bolus_kernels.scalar import exp, log

COARSE, FINE = 32, 16
"""Nodes of the first grid, and of each refinement, along each arrival."""
GREY, WHITE, MISFIT, SCORE, OF_GREY, OF_WHITE, PLANES = range(7)
"""What is known at each pair of arrivals: both flows, misfit, log posterior (later weight), each flow's variance."""
TOLD = 9
"""Numbers that a posterior is told in: flow, its SD, arrival, its SD of either tissue, and the log evidence."""


class Belief(NamedTuple):
    """What is believed before the data, float32.

    Flows of GM and WM (1/s) and their weights in shares of the noise; GM's arrival (s), by how much later WM's is (s),
    and the precision of both (1/s^2); the latest arrival (s); the noise's variance and the pairs that it is worth.
    """

    grey: np.float32
    white: np.float32
    grey_weight: np.float32
    white_weight: np.float32
    arrival: np.float32
    arrival_precision: np.float32
    later: np.float32
    later_precision: np.float32
    arrival_most: np.float32
    noise_variance: np.float32
    noise_weight: np.float32


class Tissues(NamedTuple):
    """Relaxation rate (1/s) and partition coefficient (ml/g) of pure GM and pure WM, float32."""

    grey_rate: np.float32
    grey_partition: np.float32
    white_rate: np.float32
    white_partition: np.float32


class Room(NamedTuple):
    """Where one posterior is worked out, float32.

    response : (2, delays, COARSE). square, along : (2, COARSE). cross : (COARSE,). plane : (PLANES, COARSE, COARSE).
    nodes : of the first grid and of each refinement, COARSE and FINE, which a GPU's compiler must not know: it would
    take every loop over them apart, and all their addresses need more registers than there are.
    """

    response: NDArray[np.float32]
    square: NDArray[np.float32]
    along: NDArray[np.float32]
    cross: NDArray[np.float32]
    plane: NDArray[np.float32]
    nodes: tuple[int, int]


@finite_part
def likely(rest: Any, freedom: Any, best: Any, nodes: int, room: Any) -> Any:
    """How many nodes share the mass, and the first and last of each arrival's that may hold some.

    A minimum of the misfit between nodes is deeper than the nearest by at most an eighth of the second differences,
    and never below `rest`: every node gets that advantage before it is left out.
    """
    total, squares = ZERO, ZERO
    first_grey, last_grey, first_white, last_white = nodes, 0, nodes, 0
    for a in range(nodes):
        before, after = max(a - 1, 0), min(a + 1, nodes - 1)
        for b in range(nodes):
            weight = exp(max(room.plane[SCORE, a, b] - best, FAINTEST))
            total += weight
            squares += weight * weight
            misfit = room.plane[MISFIT, a, b]
            bend = room.plane[MISFIT, before, b] + room.plane[MISFIT, after, b] - TWO * misfit
            left, right = max(b - 1, 0), min(b + 1, nodes - 1)
            bent = room.plane[MISFIT, a, left] + room.plane[MISFIT, a, right] - TWO * misfit
            deepest = max(rest, misfit - EIGHTH * (max(ZERO, bend) + max(ZERO, bent)))
            if room.plane[SCORE, a, b] + HALF * freedom * log(misfit / deepest) >= best - NEGLIGIBLE:
                first_grey, last_grey = min(first_grey, a), max(last_grey, a)
                first_white, last_white = min(first_white, b), max(last_white, b)
    return total * total / squares, first_grey, last_grey, first_white, last_white


@finite_part
def weigh(best: Any, nodes: int, room: Any) -> Any:
    """The mean flows under the nodes' weights, 1/s."""
    total, grey, white = ZERO, ZERO, ZERO
    for a in range(nodes):
        for b in range(nodes):
            weight = exp(max(room.plane[SCORE, a, b] - best, FAINTEST))
            total += weight
            grey += weight * room.plane[GREY, a, b]
            white += weight * room.plane[WHITE, a, b]
    return grey / total, white / total


@finite_part
def moments(
    low_grey: Any, step_grey: Any, low_white: Any, step_white: Any, best: Any, nodes: int, freedom: Any,
    room: Any, told: Any,
) -> None:  # fmt: skip
    """Means, SDs and log evidence by the trapezoidal rule over the nodes."""
    total, grey, white, place_grey, place_white = ZERO, ZERO, ZERO, ZERO, ZERO
    end = nodes - 1
    for a in range(nodes):
        for b in range(nodes):
            share = (HALF if a == 0 or a == end else ONE) * (HALF if b == 0 or b == end else ONE)
            weight = share * exp(max(room.plane[SCORE, a, b] - best, FAINTEST))
            room.plane[SCORE, a, b] = weight
            total += weight
            grey += weight * room.plane[GREY, a, b]
            white += weight * room.plane[WHITE, a, b]
            place_grey += weight * np.float32(a)
            place_white += weight * np.float32(b)
    grey, white, place_grey, place_white = (
        grey / total,
        white / total,
        place_grey / total,
        place_white / total,
    )
    spread_grey, spread_white, late_grey, late_white = ZERO, ZERO, ZERO, ZERO
    for a in range(nodes):
        for b in range(nodes):
            weight, noise = room.plane[SCORE, a, b], room.plane[MISFIT, a, b] / (freedom - TWO)
            away_grey, away_white = room.plane[GREY, a, b] - grey, room.plane[WHITE, a, b] - white
            spread_grey += weight * (noise * room.plane[OF_GREY, a, b] + away_grey * away_grey)
            spread_white += weight * (noise * room.plane[OF_WHITE, a, b] + away_white * away_white)
            off_grey, off_white = np.float32(a) - place_grey, np.float32(b) - place_white
            late_grey += weight * off_grey * off_grey
            late_white += weight * off_white * off_white
    told[0], told[1] = grey, sqrt(spread_grey / total)
    told[2], told[3] = low_grey + step_grey * place_grey, step_grey * sqrt(late_grey / total)
    told[4], told[5] = white, sqrt(spread_white / total)
    told[6], told[7] = low_white + step_white * place_white, step_white * sqrt(late_white / total)
    half = HALF * freedom
    told[8] = best + log(total * step_grey * step_white) + (half - HALF) * log(half) - half
