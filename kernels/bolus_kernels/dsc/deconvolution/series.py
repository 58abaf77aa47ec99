"""From a sample of a residue to the top beside it: a power series of its waves, summed where the top is near."""

from __future__ import annotations

from math import factorial, tau
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import part
from bolus_kernels.tiles import TILE

ORDERS = 6
"""Terms of the power series of a residue around a time."""
WIDE, NARROW, SETTLED = np.float32(0.5), np.float32(0.125), np.float32(0.12)
"""Samples on either side that a series is trusted for, at first and when the top is near; a move that is the last."""
TRIALS, NEWTON = 4, 2
"""Values of a series on either side, the best of which Newton's steps start from."""
ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
TWO, THREE, FOUR, FIVE = np.float32(2), np.float32(3), np.float32(4), np.float32(5)
SIX, TWELVE, TWENTY = np.float32(6), np.float32(12), np.float32(20)
P2, P3, P4, P5, P6, P7 = (np.float32(1 / factorial(n)) for n in range(2, 8))
C, S, STEP_C, STEP_S, F0, F1, F2, F3, F4, F5, BEST, MOVE, BEND = (TILE * row for row in range(13))
"""Where, in the flat rows of a tile's work, each begins."""
NEVER = np.int32(1 << 30)


class Between(NamedTuple):
    """What takes the waves of a residue, f(t) = sum over k of a_k cos(w_k t) + b_k sin(w_k t), to its top.

    t counts samples, w_k = pi k/N, k = 0 ... N, L = 2N. Around a time, with A + iB = (a + ib) e^(-i w t), f is the sum
    of A cos(w s) + B sin(w s), a power series in s. Where f is the largest, F, its slope is zero, so that a sample with
    f >= F - sum of w^2 r/8, r = |(a, b)|, stands within half a sample: from no lower one need be climbed. Nor is f
    higher within 3 h/sum of w^3 r of a top where its second derivative is -h.

    rows : (K, 2) int64, where among the coefficients cosine and sine of frequency k stand; K is even. rank : (K,)
    int32, the place of frequency k among those that may be left out from the end; NEVER where it has none. reach :
    (p + 1,) int64, how many frequencies the first so many need. turn : (L, 2) float32, cosine and sine of pi j/N.
    weight : (K, 8) float32, what makes F_0 ... F_5 of A and B in turn, then w^2/8 and w^3/3.
    """

    rows: NDArray[np.int64]
    rank: NDArray[np.int32]
    reach: NDArray[np.int64]
    turn: NDArray[np.float32]
    weight: NDArray[np.float32]


class Lanes(NamedTuple):
    """Samples side by side from which a top is sought.

    place : (TILE,) int32. shift, move, value : (TILE,) float32, how far from the sample the highest time stands, how
    far it moved last, and f there. kept : (TILE,) int32, how many of the ranked frequencies each has.
    """

    place: Any
    shift: Any
    move: Any
    value: Any
    kept: Any


def between(
    times: int, frequency: NDArray[np.int64], rows: NDArray[np.int64], in_turn: bool = False
) -> Between:
    """The tables for chosen frequencies, (k,) out of 0 ... N = `times`, whose coefficients stand at rows : (k, 2).

    in_turn : each voxel may have only the first so many of them; else it has all or none.
    """
    size = _even(int(frequency.max()) + 1)
    at, rank = np.zeros((size, 2), np.int64), np.full(size, NEVER)
    at[frequency] = rows
    rank[frequency] = np.arange(frequency.size) if in_turn else 0
    most = np.maximum.accumulate(frequency) if in_turn else frequency.max(keepdims=True)
    reach = np.array([2, *(_even(int(k) + 1) for k in most)])
    angle = np.pi / times * np.arange(2 * times)
    turn = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    return Between(at, rank.astype(np.int32), reach, turn, weights(times, np.arange(size), ORDERS))


def weights(times: int, frequency: NDArray[np.int64], orders: int) -> NDArray[np.float32]:
    """w^n/n! with the sign of the n-th derivative, n = 0 ... orders - 1, then w^2/8 and w^3/3, (k, orders + 2)."""
    w, order = np.pi / times * frequency[:, None], np.arange(orders)
    series = (-1.0) ** (order // 2) * w**order / np.cumprod(np.maximum(order, 1))
    return np.hstack([series, w**2 / 8, w**3 / 3]).astype(np.float32)


def _even(count: int) -> int:
    return count + count % 2


@part
def climb(
    between: Any, coefficients: Any, rows: Any, rank: Any, count: int, reach: Any, lanes: Any, work: Any
) -> None:
    """Move each lane that is not settled to the highest time within `reach`, and half a sample of its own one."""
    of, shift, unit = work.ravel(), lanes.shift, np.float32(tau / between.turn.shape[0])
    of[F0:BEST] = ZERO
    for v in range(TILE):
        of[v + STEP_C], of[v + STEP_S] = between.turn[lanes.place[v], 0], between.turn[lanes.place[v], 1]
    for v in range(TILE):
        c, s, angle = of[v + STEP_C], of[v + STEP_S], unit * shift[v]
        x = angle * angle
        turn_c = ONE - x * (P2 - x * (P4 - x * P6))
        turn_s = angle * (ONE - x * (P3 - x * (P5 - x * P7)))
        of[v + C], of[v + S] = ONE, ZERO
        of[v + STEP_C], of[v + STEP_S] = c * turn_c - s * turn_s, s * turn_c + c * turn_s
    for k in range(0, count, 2):
        _two_waves(
            coefficients[rows[k, 0]], coefficients[rows[k, 1]], rank[k], between.weight[k],
            coefficients[rows[k + 1, 0]], coefficients[rows[k + 1, 1]], rank[k + 1], between.weight[k + 1],
            lanes.kept, of,
        )  # fmt: skip
    for v in range(TILE):
        of[v + BEST], of[v + MOVE] = of[v + F0], ZERO
    for i in range(1, TRIALS + 1 if reach > NARROW else 1):
        s = reach * np.float32(i / TRIALS)
        x = s * s
        for v in range(TILE):
            even = of[v + F0] + x * (of[v + F2] + x * of[v + F4])
            odd = s * (of[v + F1] + x * (of[v + F3] + x * of[v + F5]))
            high, at = even + abs(odd), s if odd > ZERO else -s
            higher = high > of[v + BEST]
            of[v + BEST], of[v + MOVE] = high if higher else of[v + BEST], at if higher else of[v + MOVE]
    _settle(of, reach, lanes.shift, lanes.move, lanes.value)


@part
def _two_waves(
    a: Any, b: Any, rank: Any, w: Any, a1: Any, b1: Any, rank1: Any, w1: Any, kept: Any, of: Any
) -> None:
    """Add two frequencies to the power series of every lane, and turn on."""
    w0, w2, w4, w6, w8, w10 = w[0], w[1], w[2], w[3], w[4], w[5]
    x0, x2, x4, x6, x8, x10 = w1[0], w1[1], w1[2], w1[3], w1[4], w1[5]
    for v in range(TILE):
        c, s, step_c, step_s, has = of[v + C], of[v + S], of[v + STEP_C], of[v + STEP_S], kept[v]
        p, q, p1, q1 = a[v], b[v], a1[v], b1[v]
        p, q = p if rank < has else ZERO, q if rank < has else ZERO
        p1, q1 = p1 if rank1 < has else ZERO, q1 if rank1 < has else ZERO
        d, r = c * step_c - s * step_s, c * step_s + s * step_c
        of[v + C], of[v + S] = d * step_c - r * step_s, d * step_s + r * step_c
        near, far = p * c + q * s, q * c - p * s
        near1, far1 = p1 * d + q1 * r, q1 * d - p1 * r
        of[v + F0] += w0 * near + x0 * near1
        of[v + F1] += w2 * far + x2 * far1
        of[v + F2] += w4 * near + x4 * near1
        of[v + F3] += w6 * far + x6 * far1
        of[v + F4] += w8 * near + x8 * near1
        of[v + F5] += w10 * far + x10 * far1


@part
def _settle(of: Any, reach: Any, shift: Any, move: Any, value: Any) -> None:
    """From the best trial by Newton to the top of the series, for lanes that are not settled yet."""
    for _ in range(NEWTON):
        for v in range(TILE):
            s, f2, f3, f4, f5 = of[v + MOVE], of[v + F2], of[v + F3], of[v + F4], of[v + F5]
            slope = of[v + F1] + s * (TWO * f2 + s * (THREE * f3 + s * (FOUR * f4 + s * FIVE * f5)))
            bend = TWO * f2 + s * (SIX * f3 + s * (TWELVE * f4 + s * TWENTY * f5))
            of[v + BEND] = -bend
            on = s - (slope / bend if bend < ZERO else ZERO)
            on = min(max(on, -reach), reach)
            of[v + MOVE] = min(max(on, -HALF - shift[v]), HALF - shift[v])
    for v in range(TILE):
        s = of[v + MOVE]
        high = of[v + F2] + s * (of[v + F3] + s * (of[v + F4] + s * of[v + F5]))
        high = of[v + F0] + s * (of[v + F1] + s * high)
        going = abs(move[v]) > SETTLED
        value[v], shift[v] = high if going else value[v], shift[v] + s if going else shift[v]
        move[v] = s if going else move[v]
