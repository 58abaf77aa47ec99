"""Agent that leaks and comes back: a direction in which a curve may lie, and what it leaves of noise and templates."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.dsc.posterior.bank import LANES
from bolus_kernels.jit import finite_part, inlined
from bolus_kernels.scalar import inverse_root

ZERO, ONE, NO_BITS = np.float32(0), np.float32(1), np.int32(-(2**31))
LEAST = np.float32(1e-3)
"""Of the squared norm of a template, what is left of it at the least."""
MOST = np.float32(1e12)
"""Variance, of the curve's largest value squared: as good as any."""


@inlined
def stretch(along: Any, share: Any) -> Any:
    """One over the norm of what is left of a template of norm 1."""
    return inverse_root(max(ONE - share * along * along, LEAST))


@finite_part
def let_return(
    grid: Any, returned: Any, expected: Any, square: Any, freedom: Any, floor: Any, count: int, room: Any
) -> Any:
    """Correlations as they are where the curve may lie along the direction; gives the largest, noise variance, share.

    returned : the curve along the direction. expected : variance of it that is believed. square : the curve's squared
    norm. With noise of variance s the covariance s 1 + expected u u' has the inverse (1 - share u u')/s, share =
    expected/(s + expected): correlations and norms lose that share of what lies along u. s is that of the best template
    with all of it taken out.
    """
    correlation = room.correlation
    most, best = NO_BITS, NO_BITS  # the bits of positive numbers are in their order
    for i in range(count):
        r, start, place = room.rows[i], np.uint64(room.starts[i]), np.uint64(LANES * i)
        for j in range(LANES):
            along = grid.along[r, start + np.uint64(j)]
            z = (correlation[place + np.uint64(j)] - along * returned) * stretch(along, ONE)
            most = max(most, np.float32(z).view(np.int32))
    alone = max(np.int32(most).view(np.float32), ZERO)
    left = max(square - returned * returned - alone * alone, ZERO) / max(freedom - ONE, ONE)
    variance = sqrt(left * left + floor * floor)
    expected = min(expected, MOST)
    share = expected / (variance + expected)
    lost = share * returned
    for i in range(count):
        r, start, place = room.rows[i], np.uint64(room.starts[i]), np.uint64(LANES * i)
        for j in range(LANES):
            along = grid.along[r, start + np.uint64(j)]
            z = (correlation[place + np.uint64(j)] - lost * along) * stretch(along, share)
            correlation[place + np.uint64(j)] = z
            best = max(best, np.float32(z).view(np.int32))
    return np.int32(best).view(np.float32), variance, share
