"""The oscillation index of oSVD: how many conjugate pairs a voxel's residue takes before it oscillates."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.jit import finite_part, part
from bolus_kernels.tiles import TILE

TWO, THREE, FOUR, FIVE = 2 * TILE, 3 * TILE, 4 * TILE, 5 * TILE
"""Where, in a slice of several rows of a tile, the rows 2 to 5 begin."""
ZERO = np.float32(0)
SQUARE = np.float32(0.41422)
"""A little more than sqrt 2 - 1."""


@finite_part
def most_pairs(coefficients: Any, waves: Any, limit: Any, residue: Any, kept: Any) -> None:
    """Add conjugate pairs one at a time; note the last number of them that still obeyed the limit.

    Four samples a step and a row of voxels at a time: sums stay in registers, differences are shared. Rows side
    by side are one slice with fixed steps: then three slices are compared for overlap, not a dozen rows.
    """
    length, both, all_rows = residue.shape[0], coefficients.ravel(), residue.ravel()
    worst = np.empty(2 * TILE, np.float32)  # of each voxel: the largest value, and the roughness
    residue[:] = 0
    kept[:] = 0
    start, last = all_rows[:TWO], all_rows[(length - 4) * TILE :]
    for pair in range(coefficients.shape[0] // 2):
        ab = both[pair * TWO : (pair + 1) * TWO]
        c, s = waves[2 * pair], waves[2 * pair + 1]
        c0, c1, s0, s1 = c[0], c[1], s[0], s[1]
        for v in range(TILE):
            a, b = ab[v], ab[v + TILE]
            x0, x1 = start[v] + c0 * a + s0 * b, start[v + TILE] + c1 * a + s1 * b
            start[v], start[v + TILE] = x0, x1
            worst[v], worst[v + TILE] = max(x0, x1), ZERO
        for j in range(0, length - 5, 4):
            six = all_rows[j * TILE : (j + 6) * TILE]
            c2, c3, c4, c5 = c[j + 2], c[j + 3], c[j + 4], c[j + 5]
            s2, s3, s4, s5 = s[j + 2], s[j + 3], s[j + 4], s[j + 5]
            for v in range(TILE):
                a, b, f0, f1 = ab[v], ab[v + TILE], six[v], six[v + TILE]
                x2, x3 = six[v + TWO] + c2 * a + s2 * b, six[v + THREE] + c3 * a + s3 * b
                x4, x5 = six[v + FOUR] + c4 * a + s4 * b, six[v + FIVE] + c5 * a + s5 * b
                six[v + TWO], six[v + THREE], six[v + FOUR], six[v + FIVE] = x2, x3, x4, x5
                d1, d2, d3, d4, d5 = f1 - f0, x2 - f1, x3 - x2, x4 - x3, x5 - x4
                worst[v + TILE] += (abs(d2 - d1) + abs(d3 - d2)) + (abs(d4 - d3) + abs(d5 - d4))
                worst[v] = max(max(max(max(worst[v], x2), x3), x4), x5)
        if length % 4 == 0:  # two samples are left
            c2, c3, s2, s3 = c[length - 2], c[length - 1], s[length - 2], s[length - 1]
            for v in range(TILE):
                a, b, f0, f1 = ab[v], ab[v + TILE], last[v], last[v + TILE]
                x2, x3 = last[v + TWO] + c2 * a + s2 * b, last[v + THREE] + c3 * a + s3 * b
                last[v + TWO], last[v + THREE] = x2, x3
                worst[v + TILE] += abs((x2 - f1) - (f1 - f0)) + abs((x3 - x2) - (x2 - f1))
                worst[v] = max(max(worst[v], x2), x3)
        for v in range(TILE):
            if worst[v] > ZERO and worst[v + TILE] <= limit * worst[v]:
                kept[v] = pair + 1


@part
def smooth_until(coefficients: Any, angle: Any, length: int, limit: Any) -> int:
    """How many waves may be summed in their order before every sum is sure to be rough, for a tile of voxels.

    Rough: sum_(0<j<L-1) |D_j| > limit max f, with D_j = f_(j-1) - 2 f_j + f_(j+1). It is known without f: a wave
    of amplitude r that turns by t a sample has a D of amplitude l r, l = 2 - 2 cos t. So max f <= sum r, and the
    sum of all |D_j| >= its product with any wave of amplitude 1 >= (L/2) max l r; D_0 and D_(L-1) go off again.
    For r stands p = max(|a|, |b|) + (sqrt 2 - 1) min(|a|, |b|), which cannot overflow: 0.92 p < r <= p.
    coefficients : (2k, TILE), cosine and sine in turn, the sine zero where t = pi. angle : (k,) float32, t in rad.
    """
    until, flat = 0, coefficients.ravel()
    sums = np.zeros(4 * TILE, np.float32)  # sum r, max l r, D_0, D_(L-1)
    share = np.float32(0.46 * length)
    for i in range(coefficients.shape[0] // 2):
        both, bend = flat[i * TWO : (i + 1) * TWO], np.float32(2) - np.float32(2) * np.cos(angle[i])
        bend_cos, bend_sin = bend * np.cos(angle[i]), bend * np.sin(angle[i])
        possible = np.float32(0)
        for v in range(TILE):
            a, b = both[v], both[v + TILE]
            x, y = abs(a), abs(b)
            size = x + SQUARE * y if x > y else y + SQUARE * x
            total, most = sums[v] + size, sums[v + TILE]
            most = bend * size if bend * size > most else most
            first, last = sums[v + TWO] + bend * a, sums[v + THREE] + bend_cos * a - bend_sin * b
            sums[v], sums[v + TILE], sums[v + TWO], sums[v + THREE] = total, most, first, last
            rough = share * most >= limit * total + abs(first) + abs(last)
            possible += np.float32(not rough)
        if possible > 0:
            until = i + 1
    return until
