"""Where arrays live (cpu, cuda): the only file that knows CuPy; free memory, names, availability."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["cpu", "cuda"]
API_ERRORS = ("CUDARuntimeError", "CUDADriverError", "CudaAPIError")
ALLOCATION_FAILED = 2
"""cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY are the same number."""


class DeviceUnavailable(RuntimeError):
    """A device was asked for by name and cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Device:
    """A machine that runs kernels: `cpu` with so many threads, or one `cuda` device, and the threads beside it."""

    kind: Kind
    name: str
    threads: int = 1


def cpu(threads: int = 1) -> Device:
    """The processor, over `threads` blocks of voxels at a time."""
    return Device("cpu", "cpu", max(1, threads))


def select(kind: str, threads: int = 1) -> Device:
    """The device named `auto`, `cpu` or `cuda`, with so many threads; `auto` takes a usable GPU where there is one.

    Raises DeviceUnavailable for `cuda` without a usable GPU, ValueError for another name.
    """
    if kind == "cpu":
        return cpu(threads)
    if kind not in ("auto", "cuda"):
        raise ValueError(f"no device is called {kind!r}: expected auto, cpu or cuda")
    reason = why_no_cuda()
    if reason is None:
        return Device("cuda", cuda_name(), max(1, threads))
    if kind == "cuda":
        raise DeviceUnavailable(reason)
    return cpu(threads)


def why_no_cuda() -> str | None:
    """Why no GPU can be used here, in one sentence; None when one can."""
    if not _has_cupy():
        return "CuPy is not installed: pip install 'bolus[cuda13]' (or cuda12, by the driver)"
    try:
        count = int(cupy().cuda.runtime.getDeviceCount())
    except Exception as error:  # CuPy raises its own types, which exist only where CuPy does
        return f"no CUDA driver answers ({error})"
    return None if count else "the CUDA driver sees no device"


def gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, named as CUDA_VISIBLE_DEVICES takes them; none without CUDA."""
    if why_no_cuda() is not None:
        return ()
    granted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if granted is not None:
        return tuple(name for name in granted.split(",") if name)
    return tuple(str(number) for number in range(int(cupy().cuda.runtime.getDeviceCount())))


def cuda_name() -> str:
    """The name of the current GPU, as its driver gives it."""
    properties = cupy().cuda.runtime.getDeviceProperties(0)
    return str(properties["name"].decode())


def free_memory(device: Device) -> int:
    """Bytes that a computation on `device` may still take; on the host never more than a batch job was granted."""
    if device.kind == "cuda":
        kept = cupy().get_default_memory_pool().free_bytes()  # by CuPy, of arrays that are no more
        return int(cupy().cuda.runtime.memGetInfo()[0]) + int(kept)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([int(free), *_granted()])


def _granted() -> Iterator[int]:
    """What each control group above this process (version 2: batch systems, containers) still grants it, bytes."""
    top = Path("/sys/fs/cgroup")
    try:
        below = next(
            line[4:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"
        )
    except (OSError, StopIteration):
        return
    folder = top / below
    for group in (folder, *folder.parents):
        if not group.is_relative_to(top):
            return
        with suppress(OSError, ValueError):  # `max` is no number: no limit here
            most = int((group / "memory.max").read_text())
            yield max(0, most - int((group / "memory.current").read_text()))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU is spent, whoever says it: CuPy, its libraries or Numba.

    Told by name, for their types exist only where they are installed. The host's own MemoryError is none.
    """
    for kind in type(error).__mro__:
        package = kind.__module__.partition(".")[0]
        if package == "cupy" and kind.__name__ == "OutOfMemoryError":
            return True
        if package in ("cupy", "cupy_backends", "numba", "cuda"):
            number = getattr(error, "status", getattr(error, "code", None))
            by_number = kind.__name__ in API_ERRORS and number == ALLOCATION_FAILED
            if by_number or "ALLOC_FAILED" in str(error):
                return True
    return False


def release_memory() -> None:
    """Give back what CuPy keeps of the GPU's memory for later arrays."""
    if _has_cupy():
        cupy().get_default_memory_pool().free_all_blocks()


def is_on_device(array: Any) -> bool:
    """Whether an argument is an array in the memory of a GPU."""
    return isinstance(array, cupy().ndarray)


def on_device(array: Any) -> Any:
    """An array in the memory of the current GPU, in C order: itself where it is that already, else a copy.

    The copy is made in the current stream. From pinned memory, which must stay as it is until then, nothing waits.
    """
    if is_on_device(array):
        return cupy().ascontiguousarray(array)
    there = cupy().empty(array.shape, array.dtype)
    there.set(array, stream=current_stream())
    return there


def joined_on_device(arrays: Sequence[Any]) -> Any:
    """Arrays in the memory of the current GPU as one, along their last axis."""
    return cupy().concatenate([on_device(array) for array in arrays], axis=-1)


def empty_on_device(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array in the memory of the current GPU, holding whatever was there."""
    return cupy().empty(shape, dtype)


def full_on_device(shape: tuple[int, ...], dtype: Any, value: Any) -> Any:
    """An array in the memory of the current GPU, holding one value throughout."""
    return cupy().full(shape, value, dtype)


def from_text(text: str, name: str, options: tuple[str, ...]) -> Any:
    """A kernel of a text of CUDA C++, compiled when it is launched first."""
    return cupy().RawKernel(text, name, options)


def bring_back(array: Any, pinned_memory: NDArray[Any]) -> None:
    """Copy a GPU's array into pinned memory in the current stream, and wait for nothing."""
    array.get(out=pinned_memory, blocking=False)


def pinned(size: int) -> NDArray[np.uint8]:
    """So many bytes of the host's memory that stay where they are: a GPU copies from and to them by itself."""
    return np.frombuffer(cupy().cuda.alloc_pinned_memory(max(1, size)), np.uint8, size)


def current_stream() -> Any:
    """The stream in which this thread's work on the GPU is done, one thing after another."""
    return cupy().cuda.get_current_stream()


def streams(count: int) -> list[Any]:
    """So many streams: the current one, or others that begin once all that it was asked for so far is done."""
    now = current_stream()
    if count == 1:
        return [now]
    so_far, others = now.record(), [cupy().cuda.Stream(non_blocking=True) for _ in range(count)]
    for other in others:
        other.wait_event(so_far)
    return others


def from_device(array: Any) -> NDArray[Any]:
    """A copy of a GPU's array in the memory of the host; waits for the work that fills it."""
    return np.asarray(cupy().asnumpy(array))


def processors() -> int:
    """How many processors this process may use (a batch system often grants fewer than there are)."""
    return len(os.sched_getaffinity(0))


def cupy() -> Any:
    """CuPy, imported when it is used."""
    return import_module("cupy")


@cache
def _has_cupy() -> bool:
    """Looked for once: each look goes through all folders of packages, and every scan asks."""
    return find_spec("cupy") is not None
