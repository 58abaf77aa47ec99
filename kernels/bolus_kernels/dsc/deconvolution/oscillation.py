"""The oscillation index of oSVD: how many conjugate pairs a voxel's residue takes before it oscillates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.deconvolution.circulant import Spectrum
from bolus_kernels.dsc.deconvolution.fourier import by_fours
from bolus_kernels.jit import finite_part, part
from bolus_kernels.tiles import TILE

SPAN = 64
"""Samples side by side, in loops that are unrolled; the first and the last are repeated in the next span."""
PAIR, Q, G, H = 2 * SPAN, SPAN, 2 * SPAN, 3 * SPAN
"""How long the waves of a pair are in a span; where, beside the P of a span, its Q, G and H begin."""
TWO, THREE = 2 * TILE, 3 * TILE
"""Where, in a slice of several rows of a tile, the rows 2 and 3 begin."""
ZERO, ONE, HALF, LEAST = np.float32(0), np.float32(1), np.float32(0.5), np.int32(0)
FLAT, STEEP, STEEPER = np.float32(0.19892), np.float32(0.84777), np.float32(0.56646)
"""A little more than tan(pi/16), cos(3 pi/16)/cos(pi/16) and sin(3 pi/16)/cos(pi/16)."""


class Spans(NamedTuple):
    """The waves of a scan's conjugate pairs over half a period, j = 0 ... N, in spans that overlap by two samples.

    With P_j and Q_j the sums of cosines and of sines, f_j = P_j + Q_j and f_(L-j) = P_j - Q_j, L = 2N. The larger of
    the two is P_j + |Q_j|; and of their second differences, G_j + H_j and G_j - H_j, the absolute values add up to
    2 max(|G_j|, |H_j|).

    waves : (s, 2 SPAN k) float32, cosine and sine of each pair, and zeros up to four pairs; from j = -1 on.
    weight : (s, SPAN) float32, how often max(|G_j|, |H_j|) counts: 0 where j stands in another span too, at j = 0,
    whose difference is left out, and at j = 1, which has but one; 1 at N, its own mirror image.
    bend : (k,) float32, 2 - 2 cos t of a wave that turns by t a sample, which makes it its second difference.
    """

    waves: NDArray[np.float32]
    weight: NDArray[np.float32]
    bend: NDArray[np.float32]


def spans(basis: Spectrum) -> Spans:
    """The waves of the conjugate pairs of a scan, in their order."""
    pairs, count = basis.size.size, -(-(basis.times + 1) // (SPAN - 2))
    sample = np.arange(count)[:, None] * (SPAN - 2) + np.arange(-1, SPAN - 1)
    angle = basis.angle[:, None] * sample[:, None]
    waves = np.zeros((count, by_fours(pairs), 2, SPAN), np.float32)
    waves[:, :pairs, 0], waves[:, :pairs, 1] = np.cos(angle), np.sin(angle)
    weight = np.where((sample < 2) | (sample > basis.times), 0, np.where(sample == basis.times, 1, 2))
    weight[:, [0, -1]] = 0
    bend = 2 - 2 * np.cos(basis.angle)
    return Spans(waves.reshape(count, -1), weight.astype(np.float32), bend.astype(np.float32))


@part
def most_pairs(
    pairs: Any, until: int, waves: Any, weight: Any, bend: Any, limit: Any, sums: Any
) -> tuple[Any, int]:
    """Add the first `until` pairs, then take out the last again and again until the limit is obeyed.

    Gives max f and how many pairs are left. pairs : cosine and sine in turn, zeros from the pair `until` on for
    four pairs. sums : (s, 4 SPAN), P, Q, G and H of what is left.
    """
    add(pairs, until, waves, sums)
    most, rough = differences(weight, sums)
    left = until
    while left > 0 and not (most > ZERO and rough <= limit * most):
        left -= 1
        most, rough = subtract(pairs[2 * left], pairs[2 * left + 1], left, waves, weight, bend, sums)
    return most, left


@finite_part
def add(pairs: Any, until: int, waves: Any, sums: Any) -> None:
    """P and Q of the first `until` pairs."""
    for i in range(sums.shape[0]):
        own = sums[i]
        own[:G] = ZERO
        for pair in range(0, until, 4):
            four, of = pairs[2 * pair : 2 * pair + 8], waves[i, pair * PAIR : (pair + 4) * PAIR]
            a0, a1, a2, a3 = four[0], four[2], four[4], four[6]
            b0, b1, b2, b3 = four[1], four[3], four[5], four[7]
            for j in range(SPAN):
                p = (a0 * of[j] + a1 * of[j + PAIR]) + (a2 * of[j + 2 * PAIR] + a3 * of[j + 3 * PAIR])
                k = j + SPAN
                q = (b0 * of[k] + b1 * of[k + PAIR]) + (b2 * of[k + 2 * PAIR] + b3 * of[k + 3 * PAIR])
                own[j] += p
                own[k] += q


@finite_part
def differences(weight: Any, sums: Any) -> tuple[Any, Any]:
    """G and H from P and Q; max f, at least 0, and the sum of the absolute second differences."""
    most, rough = LEAST, ZERO
    for i in range(sums.shape[0]):
        own, times = sums[i], weight[i]
        own[G:] = ZERO
        for j in range(1, SPAN - 1):
            p, q = own[j], own[j + Q]
            g, h = (p - own[j - 1]) + (p - own[j + 1]), (q - own[j + Q - 1]) + (q - own[j + Q + 1])
            own[j + G], own[j + H] = g, h
            bits = np.float32(p + abs(q)).view(np.int32)
            most = bits if bits > most else most
            rough += times[j] * max(abs(g), abs(h))
    return np.int32(most).view(np.float32), rough + abs(sums[0, 2 + G] + sums[0, 2 + H])


@finite_part
def subtract(a: Any, b: Any, pair: int, waves: Any, weight: Any, bend: Any, sums: Any) -> tuple[Any, Any]:
    """The same numbers without this pair, whose coefficients are a and b."""
    most, rough = LEAST, ZERO
    bent_a, bent_b = bend[pair] * a, bend[pair] * b
    for i in range(sums.shape[0]):
        own, times, of = sums[i], weight[i], waves[i, pair * PAIR : (pair + 1) * PAIR]
        for j in range(SPAN):
            cosine, sine = of[j], of[j + SPAN]
            p, q = own[j] - a * cosine, own[j + Q] - b * sine
            g, h = own[j + G] - bent_a * cosine, own[j + H] - bent_b * sine
            own[j], own[j + Q], own[j + G], own[j + H] = p, q, g, h
            bits = np.float32(p + abs(q)).view(np.int32)  # ordered as the numbers where these are positive
            most = bits if bits > most else most
            rough += times[j] * max(abs(g), abs(h))
    return np.int32(most).view(np.float32), rough + abs(sums[0, 2 + G] + sums[0, 2 + H])


@part
def place_of(most: Any, times: int, sums: Any) -> int:
    """The sample at which f is the largest; from N on, it is counted from the end, and negative."""
    for i in range(sums.shape[0]):
        own = sums[i]
        for j in range(SPAN):
            if own[j] + abs(own[j + Q]) == most:
                sample = i * (SPAN - 2) + j - 1
                sample = (sample if own[j + Q] >= ZERO else -sample) % (2 * times)
                return sample if sample < times else sample - 2 * times
    return 0


@part
def unfold(sums: Any, residue: Any) -> None:
    """Write f, (L,)."""
    length = residue.size
    for j in range(length // 2 + 1):
        own, at = sums[j // (SPAN - 2)], j % (SPAN - 2) + 1
        residue[j], residue[(length - j) % length] = own[at] + own[at + Q], own[at] - own[at + Q]


@part
def smooth_until(coefficients: Any, bend: Any, length: int, limit: Any, until: Any) -> None:
    """How many waves of each voxel may be summed in their order before every sum is sure to be rough.

    Rough: sum_(0<j<L-1) |D_j| > limit max f, with D_j = f_(j-1) - 2 f_j + f_(j+1). It is known without f: a wave
    of amplitude r that turns by t a sample has a D of amplitude l r, l = 2 - 2 cos t. So max f <= sum r, and the
    sum of all |D_j| >= its product with any wave of amplitude 1 >= (L/2) max l r; D_0 and D_(L-1) go off again.
    For r stands the radius p of a polygon of 16 sides around it, which cannot overflow: 0.98 p < r <= p.
    coefficients : (2k, TILE), cosine and sine in turn, the sine zero where t = pi. bend : (k,) float32, l.
    until : (TILE,) int32, what is found.
    """
    flat = coefficients.ravel()
    sums = np.zeros(4 * TILE, np.float32)  # sum r, max l r, D_0, D_(L-1)
    share = np.float32(0.49 * length)
    until[:] = 0
    for i in range(coefficients.shape[0] // 2):
        both, so_many, times = flat[i * TWO : (i + 1) * TWO], np.int32(i + 1), bend[i]
        turn_cos = ONE - HALF * times
        turn_sin = np.sqrt(max(ONE - turn_cos * turn_cos, ZERO))
        bend_cos, bend_sin = times * turn_cos, times * turn_sin
        for v in range(TILE):
            a, b = both[v], both[v + TILE]
            x, y = abs(a), abs(b)
            x, y = (x, y) if x > y else (y, x)
            near, far = x + FLAT * y, STEEP * x + STEEPER * y
            size = near if near > far else far
            total, most = sums[v] + size, sums[v + TILE]
            most = times * size if times * size > most else most
            first, last = sums[v + TWO] + times * a, sums[v + THREE] + bend_cos * a - bend_sin * b
            sums[v], sums[v + TILE], sums[v + TWO], sums[v + THREE] = total, most, first, last
            rough = share * most >= limit * total + abs(first) + abs(last)
            until[v] = until[v] if rough else so_many
