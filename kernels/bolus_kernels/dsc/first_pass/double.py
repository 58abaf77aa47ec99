"""Logarithm and exponential in double precision that vectorise without a vendor's library."""

import numpy as np

from bolus_kernels.jit import inlined

_i = np.int64

LOG_2_HIGH, LOG_2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
LOG_2_E, HALF_ROOT_BITS, MANTISSA_BITS, BIAS = 1.4426950408889634, _i(0x3FE6A09E667F3BCD), _i(52), _i(1023)
SMALLEST = -700.0


@inlined
def logarithm(x: float) -> float:
    """Natural logarithm of a positive, normal number, to 1e-13: ln m = 2 artanh((m - 1)/(m + 1)), m near 1."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits - HALF_ROOT_BITS) >> MANTISSA_BITS
    m = _i(bits - (exponent << MANTISSA_BITS)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    p = ((((((q / 15 + 1 / 13) * q + 1 / 11) * q + 1 / 9) * q + 1 / 7) * q + 1 / 5) * q + 1 / 3) * q
    e = np.float64(np.int32(exponent))
    return 2.0 * s * (1.0 + p) + e * LOG_2_LOW + e * LOG_2_HIGH


@inlined
def exponential(x: float) -> float:
    """Exponential of a number below 700, to 1e-13; under -700 it is e^-700."""
    x = max(x, SMALLEST)
    whole = np.int32(x * LOG_2_E + (0.5 if x >= 0.0 else -0.5))  # truncated towards zero, hence rounded
    n = np.float64(whole)
    r = x - n * LOG_2_HIGH - n * LOG_2_LOW
    p = (((r / 39916800 + 1 / 3628800) * r + 1 / 362880) * r + 1 / 40320) * r + 1 / 5040
    p = ((((p * r + 1 / 720) * r + 1 / 120) * r + 1 / 24) * r + 1 / 6) * r + 0.5
    scale = _i((_i(whole) + BIAS) << MANTISSA_BITS).view(np.float64)
    return (p * r * r + r + 1.0) * scale
