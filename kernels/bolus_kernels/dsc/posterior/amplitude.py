"""The flow of one template, integrated against its log-normal prior: a table where it is faint, a series where not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import inlined

MOMENTS = 8
"""Numbers in a cell of the table, of which five are used: rows of eight fill a register."""
FAINTEST, STEP_Z, STEP_Q = -6.0, 0.25, 0.05
STRONG = 6.0
"""From so many noise SDs on the series holds, for a prior no narrower than USUAL."""
USUAL = 0.8
REACH = 3.0
"""How far above it the table goes on: a voxel's templates are all taken from the table, or all from the series."""
ZERO, ONE, TWO, THREE, HALF, THIRD, QUARTER, FIFTH, SIXTH = (
    np.float32(x) for x in (0, 1, 2, 3, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6)
)


def strong(spread: float) -> float:
    """The signal-to-noise ratio from which the series holds for a prior of SD `spread` of ln CBF."""
    return STRONG * max(1.0, USUAL / spread)


@cache
def table(spread: float) -> tuple[NDArray[np.float32], float]:
    """Moments of x = ln(CBF/m) under N(x; 0, spread) e^(min(z, 0)^2/2 - (q e^x - z)^2/2), and the least ln q.

    z : the template's correlation with the curve over the noise. q : what z would be at CBF = m, without noise.
    Gives (ln q, z, MOMENTS) float32: the integrals of 1, x, x^2, e^x, e^2x; nodes STEP_Q and STEP_Z apart.
    """
    z = np.arange(FAINTEST, strong(spread) + REACH, STEP_Z)
    least = -4 * spread - 3
    log_q = np.arange(least, 4 * spread + np.log(z[-1]) + 1, STEP_Q)
    x = np.arange(-6 * spread, 6 * spread, 0.02)
    prior = 0.02 / (spread * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (x / spread) ** 2)
    powers = np.stack([np.ones(x.size), x, x * x, np.exp(x), np.exp(2 * x)], 1) * prior[:, None]
    moments = np.zeros((log_q.size, z.size, MOMENTS), np.float32)
    for row, value in zip(moments, log_q, strict=True):
        misfit = (np.exp(value + x) - z[:, None]) ** 2 - np.minimum(z, 0)[:, None] ** 2
        row[:, :5] = np.einsum("zx,xk->zk", np.exp(-0.5 * misfit), powers)
    return moments, float(least)


@inlined
def bright(z: Any, log_z: Any, apart: Any, precision: Any) -> Any:
    """The same where z is large: ln of the integral of 1; then mean and variance of x, and of e^x/A.

    A = e^apart : CBF/m of the best fit. With v = CBF/(A m) - 1 the likelihood is a narrow Gaussian in v, and ln of
    the prior a cubic around v = 0; precision : that of the prior, less whose ln/2 the first number is.
    """
    slope, bend = -(apart * precision + ONE), precision * (ONE - apart) - ONE
    third = THREE * precision - TWO * apart * precision - TWO
    square = z * z
    sharp = max(square + bend, QUARTER * square)
    both = ONE / (square * sharp)  # one division for two inverses
    variance = both * square
    mode = slope * variance
    evidence = (
        HALF * (mode * slope - apart * apart * precision - log_near_one(sharp * both * sharp - ONE)) - log_z
    )
    evidence += SIXTH * third * mode * (mode * mode + THREE * variance)
    mean = mode + HALF * third * variance * (mode * mode + variance)
    scatter = variance * (ONE + third * mode * variance)
    stretched = ONE / (ONE + mean)
    narrow = scatter * stretched * stretched
    logarithm = apart + log_near_one(mean) - HALF * narrow
    return (
        evidence,
        logarithm,
        narrow * (ONE + TWO * narrow),
        ONE + mean,
        scatter,
    )


@inlined
def log_near_one(x: Any) -> Any:
    """ln(1 + x) of a small x, to x^6/6."""
    return x * (ONE - x * (HALF - x * (THIRD - x * (QUARTER - x * FIFTH))))
