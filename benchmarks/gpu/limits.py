"""What a GPU can do at all: copies over its bus and in its memory, products, and the arithmetic it is built for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.gpu.clock import ROUNDS, on_events
from bolus_kernels.device import bring_back, cupy, on_device, pinned

COPIED = 1 << 28
"""Bytes: far more than any cache holds."""
SQUARE = 8192
VOXELS = 1 << 20
Row = dict[str, Any]


def measured() -> list[Row]:
    """Rows of bytes, voxels or operations a second on this GPU alone."""
    matrix, curves = cupy().ones((120, 60), np.float32), cupy().ones((60, VOXELS), np.float32)
    made = cupy().empty((120, VOXELS), np.float32)
    square = cupy().ones((SQUARE, SQUARE), np.float32)
    rates = {
        "copy, pinned host to device, bytes": bus_rate(),
        "copy, device to pinned host, bytes": _back_rate(),
        "copy, device to device, bytes read and written": memory_rate(),
        "matrix product 2t x t by t x voxels, float32, voxels": VOXELS
        / _least(lambda: cupy().matmul(matrix, curves, out=made)),
        f"matrix product of {SQUARE} squared, float32, operations": 2
        * SQUARE**3
        / _least(lambda: cupy().matmul(square, square)),
        "float32 operations, by its clock and its units": peak(),
    }
    return [{"what": what, "rate": rate, "ratio": 1.0, "against": names()} for what, rate in rates.items()]


def bus_rate() -> float:
    """Bytes a second from pinned memory of the host to the GPU."""
    source = pinned(COPIED)
    source[:] = 1
    return COPIED / _least(lambda: on_device(source))


def _back_rate() -> float:
    source, target = cupy().ones(COPIED, np.uint8), pinned(COPIED)
    return COPIED / _least(lambda: bring_back(source, target))


def memory_rate() -> float:
    """Bytes a second that are read and written within the GPU's memory."""
    source, target = cupy().ones(COPIED, np.uint8), cupy().empty(COPIED, np.uint8)
    return 2 * COPIED / _least(lambda: cupy().copyto(target, source))


def peak() -> float:
    """Float32 operations a second: two for each unit and tick. A multiprocessor of 8.0 has 64 units, later ones 128."""
    device = cupy().cuda.Device()
    told = device.attributes
    units = told["MultiProcessorCount"] * (64 if device.compute_capability == "80" else 128)
    return 2.0 * units * 1000 * told["ClockRate"]


def names() -> str:
    """The GPU, its driver and the packages that speak to it."""
    runtime = cupy().cuda.runtime
    name = runtime.getDeviceProperties(0)["name"].decode()
    versions = f"driver {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}"
    return f"{name}, {versions}, cupy {cupy().__version__}, numba-cuda {version('numba-cuda')}"


def _least(run: Callable[[], Any]) -> float:
    run()
    return min(on_events(run) for _ in range(4 * ROUNDS))
