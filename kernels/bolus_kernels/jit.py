"""How kernels are compiled: one decorator, one set of flags, a cache where one can be written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.event import Listener, install_listener

Function = TypeVar("Function", bound=Callable[..., Any])

# Not "nnan" or "ninf": with them isnan() is always false and a broken voxel would look good.
FAST_MATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


def _njit(function: Function, **options: Any) -> Function:
    options = {"nogil": True, "fastmath": FAST_MATH, "error_model": "numpy", **options}
    try:
        compiled = numba.njit(cache=True, **options)(function)
        if not numba.config.DISABLE_JIT:
            _guard(compiled._cache._cache_file)
    except RuntimeError:  # neither the package's folder nor a home can be written: compile in each process
        compiled = numba.njit(**options)(function)
    return compiled  # type: ignore[no-any-return]


def _guard(file: Any) -> None:
    """Let a cache be of these sources alone, and one that an older version left, with nouns since moved, be empty."""
    load = file._load_index

    def load_index() -> Any:
        try:
            return load()
        except (AttributeError, ImportError):
            return {}

    file._source_stamp, file._load_index = _sources(), load_index


@cache
def _sources() -> tuple[float, int]:
    """What a cached kernel depends on: Numba looks at its own file alone, not at the functions it took in."""
    found = [file.stat() for file in sorted(Path(__file__).parent.rglob("*.py"))]
    return max(file.st_mtime for file in found), sum(file.st_size for file in found)


@contextmanager
def told_of_compiling(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` whenever something is compiled, in this thread or another, because no cache has it."""

    class Listening(Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            tell()

        def on_end(self, event: Any) -> None:
            pass

    with install_listener("numba:compile", Listening()):
        yield


def kernel(function: Function) -> Function:
    """Compile a serial, GIL-free CPU kernel; any thread may run it over its own block of voxels."""
    return _njit(function)


# Parts become one machine code with their kernel. Left to themselves they keep a second, differently optimised copy,
# and which of the two a kernel calls depends on whether it was compiled in this process or read from the cache:
# the first run on a machine would differ from all later ones in the last bit.


def part(function: Function) -> Function:
    """Compile a piece of a kernel."""
    return _njit(function, forceinline=True)


def finite_part(function: Function) -> Function:
    """Compile a piece of a kernel that has refused NaN and infinity already: its maxima vectorise too."""
    return _njit(function, forceinline=True, fastmath=True)


def inlined(function: Function) -> Function:
    """Compile a small function that a kernel takes in whole, so that the loops around it still vectorise."""
    return _njit(function, inline="always")
