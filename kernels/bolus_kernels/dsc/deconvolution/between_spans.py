"""Which other samples of a residue that lies in spans, as oSVD has it, may lead to a top higher than its peak's."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.dsc.deconvolution.between import MOST, apart, wait
from bolus_kernels.dsc.deconvolution.oscillation import FAR, ONE, SPAN, ZERO, Q
from bolus_kernels.jit import part


@part
def look_among(
    between: Any, coefficients: Any, sums: Any, times: int, begin: int, width: int, top: Any, at: Any,
    room: Any,
) -> None:  # fmt: skip
    """Try every other sample of a tile's residues that is high enough; sums : (TILE, s, 4 SPAN), their P and Q."""
    length = np.float32(2 * times)
    for v in range(width):
        enough, stand, clear, high = room.enough[v], room.stand[v], room.clear[v], ZERO
        for i in range(sums.shape[1]):
            high += how_many(sums[v, i], enough)
        for i in range(sums.shape[1] if high > ONE else 0):
            own, begins = sums[v, i], i * (SPAN - 2)
            first, last = np.float32(begins), np.float32(times - begins)
            if elsewhere(own, room.number, first, last, stand, clear, length, enough) > ZERO:
                for j in range(Q):
                    sample = begins + j if j < FAR else times - begins - (j - FAR)
                    p, q, place = own[j], own[j + Q], np.float32(sample)
                    if p + q > enough and apart(place, stand, length) > clear:
                        wait(between, coefficients, v, sample, begin, top, at, room)
                    if p - q > enough and apart(length - place, stand, length) > clear:
                        wait(between, coefficients, v, -sample % (2 * times), begin, top, at, room)


@part
def how_many(own: Any, enough: Any) -> Any:
    """How many samples of a span, and of its mirror images, are high enough: one at least, the peak."""
    count = ZERO
    for j in range(Q):
        count += (ONE if own[j] + own[j + Q] > enough else ZERO) + (
            ONE if own[j] - own[j + Q] > enough else ZERO
        )
    return count


@part
def elsewhere(
    own: Any, number: Any, first: Any, last: Any, stand: Any, clear: Any, length: Any, enough: Any
) -> Any:
    """How many samples of a span, and of its mirror images, are high enough and not near where the peak stands."""
    count = ZERO
    for j in range(SPAN):
        near, far = first + number[j], last - number[j]
        p, q, r, s = own[j], own[j + Q], own[j + FAR], own[j + FAR + Q]
        f0 = p + q if apart(near, stand, length) > clear else -MOST
        f1 = p - q if apart(length - near, stand, length) > clear else -MOST
        f2 = r + s if apart(far, stand, length) > clear else -MOST
        f3 = r - s if apart(length - far, stand, length) > clear else -MOST
        count += (ONE if f0 > enough else ZERO) + (ONE if f1 > enough else ZERO)
        count += (ONE if f2 > enough else ZERO) + (ONE if f3 > enough else ZERO)
    return count
