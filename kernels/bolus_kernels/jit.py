"""How kernels are compiled: one decorator, one set of flags, a cache where one can be written."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

# Not "nnan" or "ninf": with them isnan() is always false and a broken voxel would look good.
FAST_MATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


def _njit(function: Function, **options: Any) -> Function:
    options = {"nogil": True, "fastmath": FAST_MATH, "error_model": "numpy", **options}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor a home can be written: compile in each process
        compiled = numba.njit(**options)(function)
    return compiled  # type: ignore[no-any-return]


def kernel(function: Function) -> Function:
    """Compile a serial, GIL-free CPU kernel; any thread may run it over its own block of voxels."""
    return _njit(function)


def finite_kernel(function: Function) -> Function:
    """Compile arithmetic whose caller has refused NaN and infinity already: its maxima vectorise too."""
    return _njit(function, fastmath=True)


def inlined(function: Function) -> Function:
    """Compile a scalar function that a kernel's inner loop takes in whole, so that the loop vectorises."""
    return _njit(function, inline="always")
