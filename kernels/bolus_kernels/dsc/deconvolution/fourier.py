"""The Fourier transform of zero-padded curves at chosen frequencies, folded to a quarter of its multiplications."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import inlined, part
from bolus_kernels.tiles import FINITE, TILE

TWO, THREE = 2 * TILE, 3 * TILE
"""Where, in a slice of several rows of a tile, the rows 2 and 3 begin."""


class Folded(NamedTuple):
    """Waves over a quarter of a period, from which every wave of length L = 2N at frequency k is unfolded.

    With the angle pi k n / N, cos and sin keep or change their sign when n becomes N - n, N + n or 2N - n,
    and which of the two it is depends only on the parity of k. So n = 0 ... N/2 is enough, for four kinds of
    wave, in this order:

        0  cosine, k even      1  sine, k odd      n -> N - n keeps the sign
        2  sine, k even        3  cosine, k odd    n -> N - n changes it

    Forth: the sums of a curve c (zero from N on) with the kinds 0 and 1 need only u_n = c_n + c_(N-n), with
    the kinds 2 and 3 only w_n = c_n - c_(N-n). Back: with F_i(j) the sum over the frequencies of kind i,

        f_j     = (F_0 + F_1) + (F_2 + F_3)        f_(N+j)  = (F_0 - F_1) + (F_2 - F_3)
        f_(N-j) = (F_0 + F_1) - (F_2 + F_3)        f_(2N-j) = (F_0 - F_1) - (F_2 - F_3)

    forth : (2, 2g, q) float64, kinds 0 and 1 for u, 2 and 3 for w. back : (4, q, g) float64, kind by kind.
    rows : (k, 2) int64, where among the 4g coefficients the cosine and the sine of each frequency stand.
    q = N/2 + 1 samples and g frequencies, those of the commoner parity, are filled up to fours with zeros.
    """

    forth: NDArray[np.float64]
    back: NDArray[np.float64]
    rows: NDArray[np.int64]


def folded(times: int, frequency: NDArray[np.int64]) -> Folded:
    """The folded waves of chosen frequencies, (k,) out of 0 ... N, in any order, for N = `times` samples."""
    odd = frequency % 2 == 1
    place = np.where(odd, np.cumsum(odd), np.cumsum(~odd)) - 1
    group = by_fours(int(place.max()) + 1)
    half = times // 2 + 1
    angle = np.pi / times * frequency[:, None] * np.arange(half)
    back = np.zeros((4, by_fours(half), group))
    back[np.where(odd, 3, 0), :half, place] = np.cos(angle)
    back[np.where(odd, 1, 2), :half, place] = np.sin(angle)
    forth = np.ascontiguousarray(back.transpose(0, 2, 1)).reshape(2, 2 * group, -1)
    if times % 2 == 0:
        forth[:, :, times // 2] /= 2  # the middle sample is its own mirror image, and was added to itself
    rows = np.stack([np.where(odd, 3, 0), np.where(odd, 1, 2)], 1) * group + place[:, None]
    return Folded(forth, back, rows)


def by_fours(count: int) -> int:
    """The next multiple of four: matrices are filled up with zeros to it."""
    return count + -count % 4


@part
def fold(curves: Any, begin: int, width: int, halves: Any, finite: Any) -> None:
    """u and w of `width` curves of (t, n), side by side; a curve that is not finite becomes zero.

    halves : (2, q, TILE), u and w; its type is that of the sums. finite : (TILE,) bool.
    """
    total = np.zeros(TILE, np.float32)
    fold_some(curves, begin, width, 0, 1, halves, total)
    only_finite(total, finite, halves[0])
    only_finite(total, finite, halves[1])


@part
def fold_some(curves: Any, begin: int, width: int, start: int, step: int, halves: Any, total: Any) -> None:
    """The same of every `step`-th sample from `start` on, whose sum is added to total : (TILE,)."""
    times = curves.shape[0] // step
    half = times // 2 + 1
    halves[:, half:] = 0
    if width < TILE:
        halves[:] = 0
    sums, differences = halves[0, 0], halves[1, 0]
    first = curves[start, begin : begin + width]
    for v in range(width):
        sums[v], differences[v] = first[v], first[v]
        total[v] += first[v]
    for n in range(1, half):
        sums, differences = halves[0, n], halves[1, n]
        early = curves[start + step * n, begin : begin + width]
        late = curves[start + step * (times - n), begin : begin + width]
        for v in range(width):
            x, y = early[v], late[v]
            sums[v], differences[v] = x, x
            sums[v] += y
            differences[v] -= y
            total[v] += x + y  # carries a NaN or an infinity to the end


@part
def only_finite(total: Any, finite: Any, rows: Any) -> None:
    """Which of a tile's curves are finite, as their sums are; of others, rows : (m, TILE) become zero."""
    for v in range(TILE):
        finite[v] = abs(total[v]) <= FINITE
    if not finite.all():
        for v in range(TILE):
            if not finite[v]:
                rows[:, v] = 0


@part
def analyse(forth: Any, halves: Any, coefficients: Any) -> None:
    """The sums of each curve with each wave; halves : (2, q, TILE), coefficients : (4g, TILE)."""
    middle = forth.shape[1]
    product(forth[0], halves[0], coefficients[:middle])
    product(forth[1], halves[1], coefficients[middle:])


@part
def synthesise(back: Any, coefficients: Any, four: Any, waves: Any) -> None:
    """The sums of waves with these coefficients; four : (4, 4, TILE), for work, waves : (2N, TILE)."""
    group, length = back.shape[2], waves.shape[0]
    times, half = length // 2, length // 4 + 1
    for begin in range(0, half, 4):
        for kind in range(4):
            of = coefficients[kind * group : (kind + 1) * group]
            product(back[kind, begin : begin + 4], of, four[kind])
        for j in range(begin, min(begin + 4, half)):
            f0, f1, f2, f3 = four[0, j - begin], four[1, j - begin], four[2, j - begin], four[3, j - begin]
            first, second = waves[j], waves[times - j]
            third, fourth = waves[times + j], waves[(length - j) % length]
            for v in range(TILE):
                keep, turn = f0[v] + f1[v], f2[v] + f3[v]
                keep_later, turn_later = f0[v] - f1[v], f2[v] - f3[v]
                first[v], second[v] = keep + turn, keep - turn
                third[v], fourth[v] = keep_later + turn_later, keep_later - turn_later


@inlined
def product(matrix: Any, tile: Any, result: Any) -> None:
    """result = matrix @ tile in blocks of 4 x 4, with one order of summation for every voxel of a tile.

    A library's product sums differently at the edge of a tile, and a voxel's value would depend on its place.
    Four rows are one slice with fixed steps: then two slices are compared for overlap, not eight rows.
    """
    x, y = tile.ravel(), result.ravel()
    for r in range(0, matrix.shape[0], 4):
        a, b, c, d = matrix[r], matrix[r + 1], matrix[r + 2], matrix[r + 3]
        to = y[r * TILE : (r + 4) * TILE]
        for k in range(0, matrix.shape[1], 4):
            of = x[k * TILE : (k + 4) * TILE]
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
            d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
            if k == 0:  # what is not read need not be set to zero before
                for v in range(TILE):
                    x0, x1, x2, x3 = of[v], of[v + TILE], of[v + TWO], of[v + THREE]
                    to[v] = a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                    to[v + TILE] = b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                    to[v + TWO] = c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                    to[v + THREE] = d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
                continue
            for v in range(TILE):
                x0, x1, x2, x3 = of[v], of[v + TILE], of[v + TWO], of[v + THREE]
                to[v] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                to[v + TILE] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                to[v + TWO] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                to[v + THREE] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
