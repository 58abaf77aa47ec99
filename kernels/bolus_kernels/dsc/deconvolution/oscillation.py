"""The oscillation index of oSVD: how many conjugate pairs a voxel's residue takes before it oscillates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.deconvolution.circulant import Spectrum
from bolus_kernels.jit import finite_part, inlined, part
from bolus_kernels.tiles import TILE

SPAN = 32
"""Samples side by side, in loops that are unrolled; the first and the last are repeated in the next span."""
FAR, Q, G, H = SPAN, 2 * SPAN, 4 * SPAN, 6 * SPAN
"""Where, beside the P of a span, those of its mirror image begin; where Q, G and H do, each with its own."""
PAIR, MARGIN, GROUP = 2 * SPAN, 16, 8
"""How long the waves of a pair are in a span; what is free around the sums of each parity; pairs added at once."""
TWO, THREE, FOUR, FIVE = 2 * TILE, 3 * TILE, 4 * TILE, 5 * TILE
"""Where, in a slice of several rows of a tile, the rows 2 to 5 begin."""
ZERO, ONE, HALF, LEAST = np.float32(0), np.float32(1), np.float32(0.5), np.int32(0)
FLAT, STEEP, STEEPER = np.float32(0.19892), np.float32(0.84777), np.float32(0.56646)
PEAKED = np.float32(1.1547)
"""A little more than tan(pi/16), cos(3 pi/16)/cos(pi/16) and sin(3 pi/16)/cos(pi/16); a little less than 2/sqrt(3)."""


class Spans(NamedTuple):
    """The waves of a scan's conjugate pairs over a quarter of a period, j = 0 ... N/2, in spans that overlap by two.

    With P_j and Q_j the sums of cosines and of sines, f_j = P_j + Q_j and f_(L-j) = P_j - Q_j, L = 2N. The larger of
    the two is P_j + |Q_j|; and of their second differences, G_j + H_j and G_j - H_j, the absolute values add up to
    2 max(|G_j|, |H_j|). At the mirror image, N - j, a cosine of odd and a sine of even frequency change their sign.

    waves : (s, 2 SPAN k) float32, cosine and sine of each pair, in groups of four of even frequency and four of odd,
    with zeros where there are no more of a parity. place : (k,) int64, where among them each pair is. groups :
    (k + 1,) int64, in how many groups so many pairs lie. weight : (s, 2 SPAN) float32, how often max(|G_j|, |H_j|)
    counts, then that of N - j: 0 where the sample stands elsewhere too, at j = 0, whose difference is left out, and
    where it counts but once, at j = 1, whose mirror image is left out, and at N, its own. bend : (k,) float32,
    2 - 2 cos t of a wave that turns by t a sample, which makes it its second difference. clear : (k,) float32, of how
    many pairs none has three times the frequency of each, nor what looks like it at L samples; 0 where itself does.
    """

    waves: NDArray[np.float32]
    place: NDArray[np.int64]
    groups: NDArray[np.int64]
    weight: NDArray[np.float32]
    bend: NDArray[np.float32]
    clear: NDArray[np.float32]


def spans(basis: Spectrum) -> Spans:
    """The waves of the conjugate pairs of a scan, in their order."""
    middle, odd = basis.times // 2, basis.frequency % 2
    rank = np.where(odd, np.cumsum(odd), np.cumsum(1 - odd)) - 1  # among those of its parity
    place = rank // 4 * GROUP + 4 * odd + rank % 4
    groups = np.append(0, np.maximum.accumulate(rank // 4 + 1))
    count = max(1, -(-middle // (SPAN - 2)))
    sample = np.arange(count)[:, None] * (SPAN - 2) + np.arange(SPAN)
    angle = basis.angle[:, None] * sample[:, None]
    waves = np.zeros((count, GROUP * int(groups[-1]), 2, SPAN), np.float32)
    waves[:, place, 0], waves[:, place, 1] = np.cos(angle), np.sin(angle)
    near, far = (sample > 1) & (sample <= middle), (sample > 0) & (basis.times - sample > middle)
    inside = (np.arange(SPAN) > 0) & (np.arange(SPAN) < SPAN - 1)
    weight = np.float32(2) * np.concatenate([near & inside, far & inside], 1)
    bend = 2 - 2 * np.cos(basis.angle)
    return Spans(
        waves.reshape(count, -1), place, groups, weight, bend.astype(np.float32), clear_of_thirds(basis)
    )


def clear_of_thirds(basis: Spectrum) -> NDArray[np.float32]:
    """Of how many pairs none is a harmonic, the third, of each, (k,): see `Spans`."""
    pairs, length = basis.frequency.size, 2 * basis.times
    third = 3 * basis.frequency % length
    third = np.minimum(third, length - third)
    rank = np.full(basis.times + 1, pairs)
    rank[basis.frequency] = np.arange(pairs)
    return np.where(third == basis.frequency, 0, rank[third]).astype(np.float32)


@part
def most_pairs(
    pairs: Any, until: int, waves: Any, place: Any, groups: Any, weight: Any, bend: Any, limit: Any,
    parts: Any, sums: Any,
) -> tuple[Any, int]:  # fmt: skip
    """Add the first `until` pairs, then take out the last again and again until the limit is obeyed.

    Gives max f and how many pairs are left. pairs : cosine and sine in turn, each pair in its place, zeros in the
    other places of their groups. parts : (2 MARGIN + 4 SPAN,), zeros, for work. sums : (s, 8 SPAN), P, Q, G and H of
    what is left.
    """
    most, rough = add(pairs, groups[until], waves, weight, parts, sums)
    left = until
    while left > 0 and not (most > ZERO and rough <= limit * most):
        left -= 1
        at = place[left]
        flip = ONE if at % GROUP < 4 else -ONE
        most, rough = subtract(pairs[2 * at], pairs[2 * at + 1], flip, bend[left], at, waves, weight, sums)
    return most, left


@finite_part
def add(pairs: Any, groups: int, waves: Any, weight: Any, parts: Any, sums: Any) -> tuple[Any, Any]:
    """P, Q, G and H of the first groups; max f, at least 0, and the sum of the absolute differences."""
    most, rough = LEAST, ZERO
    for i in range(sums.shape[0]):
        own, times, four = sums[i], weight[i], parts[MARGIN : MARGIN + 4 * SPAN]
        four[:] = ZERO
        for at in range(0, groups * GROUP, GROUP):
            add_group(pairs[2 * at : 2 * (at + GROUP)], waves[i, at * PAIR : (at + GROUP) * PAIR], four)
        for j in range(SPAN):
            m, k = j + MARGIN, j + FAR
            even_p, odd_p, even_q, odd_q = (
                parts[m], parts[m + FAR], parts[m + Q], parts[m + Q + FAR],
            )  # fmt: skip
            even_g = (even_p - parts[m - 1]) + (even_p - parts[m + 1])
            odd_g = (odd_p - parts[m + FAR - 1]) + (odd_p - parts[m + FAR + 1])
            even_h = (even_q - parts[m + Q - 1]) + (even_q - parts[m + Q + 1])
            odd_h = (odd_q - parts[m + Q + FAR - 1]) + (odd_q - parts[m + Q + FAR + 1])
            p, q, g, h = even_p + odd_p, odd_q + even_q, even_g + odd_g, odd_h + even_h
            r, s, u, w = even_p - odd_p, odd_q - even_q, even_g - odd_g, odd_h - even_h
            own[j], own[j + Q], own[j + G], own[j + H] = p, q, g, h
            own[k], own[k + Q], own[k + G], own[k + H] = r, s, u, w
            bits, bits_far = np.float32(p + abs(q)).view(np.int32), np.float32(r + abs(s)).view(np.int32)
            bits = bits if bits > bits_far else bits_far
            most = bits if bits > most else most
            rough += times[j] * max(abs(g), abs(h)) + times[k] * max(abs(u), abs(w))
    first = sums[0]
    first[FAR + G], first[FAR + H] = (first[FAR] - first[FAR + 1]) + (first[FAR] - first[FAR + 1]), ZERO
    return np.int32(most).view(np.float32), rough + once(first)


@inlined
def once(first: Any) -> Any:
    """The absolute second differences that count once, at 1 and at N."""
    return abs(first[1 + G] + first[1 + H]) + abs(first[FAR + G])


@inlined
def add_group(group: Any, of: Any, to: Any) -> None:
    """Add the cosines and the sines of a group, each parity to its own sums."""
    a0, a1, a2, a3, c0, c1, c2, c3 = (
        group[0], group[2], group[4], group[6], group[8], group[10], group[12], group[14],
    )  # fmt: skip
    b0, b1, b2, b3, d0, d1, d2, d3 = (
        group[1], group[3], group[5], group[7], group[9], group[11], group[13], group[15],
    )  # fmt: skip
    for j in range(SPAN):
        k, m, n = j + SPAN, j + 4 * PAIR, j + SPAN + 4 * PAIR
        to[j] += (a0 * of[j] + a1 * of[j + PAIR]) + (a2 * of[j + 2 * PAIR] + a3 * of[j + 3 * PAIR])
        to[j + Q] += (b0 * of[k] + b1 * of[k + PAIR]) + (b2 * of[k + 2 * PAIR] + b3 * of[k + 3 * PAIR])
        to[k] += (c0 * of[m] + c1 * of[m + PAIR]) + (c2 * of[m + 2 * PAIR] + c3 * of[m + 3 * PAIR])
        to[k + Q] += (d0 * of[n] + d1 * of[n + PAIR]) + (d2 * of[n + 2 * PAIR] + d3 * of[n + 3 * PAIR])


@finite_part
def subtract(
    a: Any, b: Any, flip: Any, bend: Any, at: int, waves: Any, weight: Any, sums: Any
) -> tuple[Any, Any]:
    """The same numbers without the pair at this place, whose coefficients are a and b; flip : -1 if it is odd."""
    most, rough = LEAST, ZERO
    for i in range(sums.shape[0]):
        own, times, of = sums[i], weight[i], waves[i, at * PAIR : (at + 1) * PAIR]
        for j in range(SPAN):
            cosine, sine = a * of[j], b * of[j + SPAN]
            bent_cosine, bent_sine = bend * cosine, bend * sine
            p, q, g, h = (
                own[j] - cosine, own[j + Q] - sine, own[j + G] - bent_cosine, own[j + H] - bent_sine,
            )  # fmt: skip
            own[j], own[j + Q], own[j + G], own[j + H] = p, q, g, h
            k = j + FAR
            r, s = own[k] - flip * cosine, own[k + Q] + flip * sine
            u, w = own[k + G] - flip * bent_cosine, own[k + H] + flip * bent_sine
            own[k], own[k + Q], own[k + G], own[k + H] = r, s, u, w
            bits, bits_far = np.float32(p + abs(q)).view(np.int32), np.float32(r + abs(s)).view(np.int32)
            bits = bits if bits > bits_far else bits_far  # ordered as the numbers where these are positive
            most = bits if bits > most else most
            rough += times[j] * max(abs(g), abs(h)) + times[k] * max(abs(u), abs(w))
    return np.int32(most).view(np.float32), rough + once(sums[0])


@part
def place_of(most: Any, times: int, sums: Any) -> int:
    """The sample at which f is the largest; from N on, it is counted from the end, and negative."""
    for i in range(sums.shape[0]):
        own = sums[i]
        for j in range(2 * SPAN):
            if own[j] + abs(own[j + Q]) == most:
                sample = i * (SPAN - 2) + j if j < FAR else times - i * (SPAN - 2) - (j - FAR)
                sample = (sample if own[j + Q] >= ZERO else -sample) % (2 * times)
                return sample if sample < times else sample - 2 * times
    return 0


@part
def unfold(sums: Any, residue: Any) -> None:
    """Write f, (L,)."""
    length = residue.size
    times = length // 2
    for j in range(times // 2 + 1):
        i = max(j - 1, 0) // (SPAN - 2)
        own, at = sums[i], j - i * (SPAN - 2)
        far = at + FAR
        residue[j], residue[(length - j) % length] = own[at] + own[at + Q], own[at] - own[at + Q]
        residue[times - j], residue[times + j] = own[far] + own[far + Q], own[far] - own[far + Q]


@part
def smooth_until(coefficients: Any, bend: Any, clear: Any, length: int, limit: Any, until: Any) -> None:
    """How many waves of each voxel may be summed in their order before every sum is sure to be rough.

    Rough: sum_(0<j<L-1) |D_j| > limit max f, with D_j = f_(j-1) - 2 f_j + f_(j+1). It is known without f: a wave
    of amplitude r that turns by t a sample has a D of amplitude l r, l = 2 - 2 cos t. So max f <= sum r, and the
    sum of all |D_j| >= its product with any wave of amplitude 1 >= (L/2) max l r; D_0 and D_(L-1) go off again.
    A wave of amplitude 2/sqrt(3) does not exceed 1 either if a sixth of its third harmonic is taken from it, and gives
    more where D holds nothing of that harmonic.
    For r stands the radius p of a polygon of 16 sides around it, which cannot overflow: 0.98 p < r <= p.
    coefficients : (2k, TILE), cosine and sine in turn, the sine zero where t = pi. bend : (k,) float32, l. clear :
    (k,) float32, of how many waves none is another's third harmonic.
    until : (TILE,) int32, what is found.
    """
    flat = coefficients.ravel()
    sums = np.zeros(
        6 * TILE, np.float32
    )  # sum r, max l r, D_0, D_(L-1), 2/sqrt(3) l r and until when it holds
    share = np.float32(0.49 * length)
    until[:] = 0
    for i in range(coefficients.shape[0] // 2):
        both, so_many, times = flat[i * TWO : (i + 1) * TWO], np.int32(i + 1), bend[i]
        count, holds = np.float32(i + 1), clear[i]
        strength = times * (PEAKED if holds >= count else ONE)
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
            before = sums[v + FOUR] if sums[v + FIVE] >= count else ZERO
            better = strength * size > before
            before = strength * size if better else before
            sums[v + FIVE] = holds if better else sums[v + FIVE]
            sums[v + FOUR] = before
            rough = share * max(most, before) >= limit * total + abs(first) + abs(last)
            until[v] = until[v] if rough else so_many
