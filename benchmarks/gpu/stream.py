"""From int16 in the host's pinned memory to maps there, against what the bus carries; and the same within the GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.example import BASELINE, ECHO_TIME, Array
from benchmarks.gpu.clock import kernels_of, seconds_of
from benchmarks.gpu.limits import bus_rate, memory_rate, peak
from benchmarks.gpu.methods import many
from bolus_kernels.device import Device, cupy, on_device, pinned, select
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.method import Method, VoxelMaps
from bolus_kernels.shelf import shelf

STREAMS, SCANS = 3, 24
"""Threads with a stream and a series of their own: while one is carried over, one is computed and one comes back."""
SCAN = 327680
"""Voxels of a scan of 128 x 128 x 20."""
RUN, OF = 3, 10
"""Of ten lines of 64 voxels three are brain."""
PEAK, FLOORS = 0.5, 5.0
"""What is wanted of cSVD: this share of the arithmetic, or no more than so many times what memory takes."""
MAP_BYTES = 9
Row = dict[str, Any]


def measured() -> list[Row]:
    """Rows of both ways from the host, and of cSVD within the GPU."""
    gpu = select("cuda")
    curves, protocol = many(shelf()["csvd"])
    signal = stored(curves)
    series = []
    for _ in range(STREAMS):
        series.append(pinned(signal.nbytes).view(np.int16).reshape(signal.shape))
        series[-1][:] = signal
    every = np.arange(len(curves))
    brain = every[every // 64 % OF < RUN]
    ways = (("csvd", "every voxel", every), ("osvd", "the brain", brain))
    rows = [way(shelf()[name], gpu, series, told, chosen, protocol) for name, told, chosen in ways]
    return [*rows, within(gpu, signal[:, :SCAN], protocol.rows(slice(0, min(SCAN, len(curves)))))]


def stored(curves: Array) -> Array:
    """The signal of curves (n, t), 1/s, as a scanner stores it, (t, n) int16."""
    signal = np.rint(2000 * np.exp(-ECHO_TIME * curves.T))
    return np.ascontiguousarray(np.clip(signal, 1, 32767), np.int16)


def maps_of(known: Method, gpu: Device, series: Any, rows: Any, protocol: Any) -> VoxelMaps:
    """The maps of some voxels of a stored series (t, N), which lies here or on the GPU."""
    made = relaxation((Echo(series, 1.0, 0.0, ECHO_TIME),), rows, (0, BASELINE), gpu)
    return known.function(made.values, protocol, known.defaults(), gpu)


def way(known: Method, gpu: Device, series: Sequence[Array], told: str, rows: Array, protocol: Any) -> Row:
    """A method from series in pinned memory to maps in the host's, several at a time."""
    protocol = protocol.rows(rows)

    def lane(own: Array, count: int) -> None:
        with cupy().cuda.Stream(non_blocking=True):
            for _ in range(count):
                maps_of(known, gpu, own, rows, protocol)

    with ThreadPoolExecutor(len(series)) as pool:
        list(pool.map(lane, series, [1] * len(series)))  # compiles, and takes what memory it needs
        began = time.perf_counter()
        list(pool.map(lane, series, [SCANS // len(series)] * len(series)))
        seconds = time.perf_counter() - began
    carried = SCANS // len(series) * len(series) * series[0].nbytes / seconds
    bus = bus_rate()
    return {
        "what": f"{known.name}, int16 in pinned memory to maps, {told}",
        "rate": carried / series[0].nbytes * series[0].shape[1],
        "of_pinned": carried / bus,
        "said": f"{carried / 1e9:.1f} GB/s of int16, {100 * carried / bus:.0f} % of what the bus carries",
    }


def within(gpu: Device, signal: Array, protocol: Any) -> Row:
    """cSVD of one scan whose int16 lie on the GPU: its kernels against the arithmetic and the memory of the GPU."""
    there, rows = on_device(signal), np.arange(signal.shape[1])
    known = shelf()["csvd"]
    maps_of(known, gpu, there, rows, protocol)  # compiles
    seconds = seconds_of(kernels_of(partial(maps_of, known, gpu, there, rows, protocol)))
    return of_limits("csvd, int16 to maps within the GPU", seconds, signal)


def of_limits(what: str, seconds: float, signal: Array) -> Row:
    """A row of cSVD over a stored signal (t, n): its time against the arithmetic and the memory of the GPU."""
    times, n = signal.shape
    share = 2.0 * 2 * times * times * n / seconds / peak()
    floors = seconds * memory_rate() / ((signal.itemsize * times + MAP_BYTES) * n)
    said = f"{1e6 * seconds:.0f} us for {n:,} voxels: {100 * share:.0f} % of the float32 operations, "
    said += f"{floors:.1f} times what memory takes"
    return {
        "what": what,
        "rate": n / seconds,
        "of_peak": share,
        "floors": floors,
        "reach": max(share / PEAK, FLOORS / floors),
        "said": said,
    }
