"""What a GPU does: its limits, and each method's speed and equality with the CPU, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numba import cuda

from benchmarks.example import ECHO_TIME, Array, example
from bolus_kernels.cuda import launch
from bolus_kernels.device import Device, cpu, cupy, processors, select
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.method import AIC, Method, VoxelMaps
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

VOXELS, DIFFERENT, BLOCK = 1 << 20, 1 << 9, 1 << 14
"""Voxels of a run; how many of them are simulated (the others are these with other noise); those of a CPU's block."""
SCAN, JUDGED = 98304, 1 << 17
"""Voxels of the brain of one scan of 128 x 128 x 20, and those that the CPU computes too."""
ROUNDS, LAUNCHES = 3, 5
ON_GPU = "__cuda_array_interface__"
SAME, SHARE = 1e-4, 0.999
"""The promise: the relative difference of equal values, and in what share of voxels all values are equal."""
SMALL = 0.01
"""Below this share of a map's mean size a value counts as that share: K2 passes through zero."""
SECONDS, PATIENCE = 450.0, 100.0
"""All methods together take no longer, and none of them longer than this, s."""
LIMITS, FIRST = "limits", ("osvd", "csvd", "bayes", "multi_delay")
Row = dict[str, Any]


def measure() -> list[Row]:
    """Rows of the GPU's limits, then of every method that runs on it; one that fails or hangs has a row that says so.

    A method on its own kernels, then with all transfers against all processors. After an error a CUDA context is
    lost for all that follows, hence the processes. Raises DeviceUnavailable without a usable GPU.
    """
    select("cuda")
    names = [known.name for known in shelf().values() if known.cuda]
    ordered = [LIMITS, *FIRST, *(name for name in names if name not in FIRST)]
    until = time.perf_counter() + SECONDS
    rows = []
    for name in ordered:
        rows += apart([sys.executable, "-m", "benchmarks.gpu", name], name, until - time.perf_counter())
    return rows


def apart(command: Sequence[str], name: str, left: float) -> list[Row]:
    """The rows that a process prints as its last line; one row that says why where it does not come so far."""
    failed = {"what": name, "failed": True}
    if left <= 0:
        return [failed | {"said": "not measured: the time was up"}]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=min(left, PATIENCE))
        return list(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired as late:
        return [failed | {"said": f"FAILED: no result in {late.timeout:.0f} s"}]
    except (IndexError, ValueError):
        last = [*done.stderr.splitlines(), f"exit code {done.returncode}"]
        return [failed | {"said": f"FAILED: {' | '.join(last[-3:])}"}]


def rows_of(name: str) -> list[Row]:
    """What one process measures: the limits of the machine, or one method of the shelf."""
    if name == LIMITS:
        return limits()
    known, gpu, processor = shelf()[name], select("cuda"), cpu(processors())
    curves, protocol = many(known)
    rows = compared(known, gpu, processor, curves, protocol)
    return rows + (from_signal(known, gpu, curves, protocol) if name == "csvd" else [])


def limits() -> list[Row]:
    """Bytes a second that copies move, and the matrix product of cSVD, on this GPU alone."""
    count = 1 << 28
    pinned = np.frombuffer(cupy().cuda.alloc_pinned_memory(count), np.uint8, count)
    pinned[:] = 1
    there, again = cupy().empty(count, np.uint8), cupy().empty(count, np.uint8)
    matrix, curves = cupy().ones((120, 60), np.float32), cupy().ones((60, VOXELS), np.float32)
    made = cupy().empty((120, VOXELS), np.float32)
    runs: dict[str, tuple[Callable[[], Any], float]] = {
        "copy, pinned host to device, bytes": (lambda: there.set(pinned), count),
        "copy, device to pinned host, bytes": (lambda: there.get(out=pinned), count),
        "copy, device to device, bytes read and written": (lambda: cupy().copyto(again, there), 2 * count),
        "matrix product 2t x t by t x voxels, float32, voxels": (
            lambda: cupy().matmul(matrix, curves, out=made),
            VOXELS,
        ),
    }
    rows = []
    for what, (run, size) in runs.items():
        run()
        least = min(on_events(run) for _ in range(4 * ROUNDS))
        rows.append({"what": what, "rate": size / least, "ratio": 1.0, "against": cupy_names()})
    return rows


def cupy_names() -> str:
    """The GPU, its driver and the packages that speak to it."""
    from importlib.metadata import version

    runtime = cupy().cuda.runtime
    name = runtime.getDeviceProperties(0)["name"].decode()
    versions = f"driver {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}"
    return f"{name}, {versions}, cupy {cupy().__version__}, numba-cuda {version('numba-cuda')}"


def on_events(run: Callable[[], Any], times: int = 1) -> float:
    """Seconds between two events of the GPU's default stream around what is launched into it, for each time."""
    begin, end = cupy().cuda.Event(), cupy().cuda.Event()
    begin.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return float(cupy().cuda.get_elapsed_time(begin, end)) / 1000 / times


def compared(known: Method, gpu: Device, processor: Device, curves: Array, protocol: Any) -> list[Row]:
    """One method on both machines: rates, the share of voxels whose maps are equal, the largest difference in those."""
    few = slice(0, min(JUDGED, len(curves)))
    warm = slice(0, min(BLOCK, len(curves)))
    run_on(gpu, known, curves[warm], protocol.rows(warm))  # compiles
    run_on(processor, known, curves[warm], protocol.rows(warm))
    found, seconds = run_on(gpu, known, curves, protocol)
    for _ in range(ROUNDS - 1):
        seconds = min(seconds, run_on(gpu, known, curves, protocol)[1])
    expected, slow = run_on(processor, known, curves[few], protocol.rows(few))
    difference_in = difference(
        {key: values[few] for key, values in found.items()}, expected, [*known.maps, AIC]
    )
    equal = difference_in <= SAME
    slow *= len(curves) / len(expected["state"])
    row: Row = {"what": f"{known.name}, host to host", "rate": len(curves) / seconds, "ratio": slow / seconds}
    row |= {"against": f"{processor.threads} threads, not {gpu.name}", "equal": float(equal.mean())}
    row |= {"largest": float(difference_in[equal].max(initial=0.0)), "failed": bool(equal.mean() < SHARE)}
    if row["failed"]:
        row["said"] = (
            f"FAILED: equal to the CPU in {100 * row['equal']:.3f} % of voxels, at {row['rate']:,.0f} /s"
        )
    scan = slice(0, min(SCAN, len(curves)))
    alone = kernels_alone(known, gpu, curves[scan], protocol.rows(scan))
    size = scan.stop
    said = f"{size / alone:,.0f} /s, {1000 * alone:.3f} ms for the {size:,} voxels of a scan"
    return [row, {"what": f"{known.name}, its kernels alone", "rate": size / alone, "said": said}]


def kernels_alone(known: Method, gpu: Device, curves: Array, protocol: Any) -> float:
    """Seconds that the kernels of a method take on what is on the GPU already, the best of several launches each."""
    total, compiled = 0.0, launch.compiled

    class Timed:
        def __init__(self, body: Any) -> None:
            self.kernel = compiled(body)

        def __getitem__(self, configuration: Any) -> Callable[..., None]:
            return partial(self.launch, self.kernel[configuration])

        def launch(self, kernel: Any, *given: Any) -> None:
            nonlocal total
            # as Numba's own arrays, whose launch waits for nothing: launches then queue, and the GPU alone is timed
            there = [cuda.as_cuda_array(one) if hasattr(one, ON_GPU) else one for one in given]
            kernel(*there)
            total += min(on_events(partial(kernel, *there), LAUNCHES) for _ in range(ROUNDS))

    launch.compiled = Timed  # type: ignore
    try:
        run_on(gpu, known, curves, protocol)
    finally:
        launch.compiled = compiled
    return total


def from_signal(known: Method, gpu: Device, curves: Array, protocol: Any) -> list[Row]:
    """A method from the int16 signal in the host's memory to maps there, all curves."""
    signal = np.rint(2000 * np.exp(-ECHO_TIME * curves.T))
    signal = np.ascontiguousarray(np.clip(signal, 1, 32767), np.int16)
    echo, rows = Echo(signal, 1.0, 0.0, ECHO_TIME), np.arange(len(curves))
    best, least = np.inf, np.inf
    for _ in range(ROUNDS):
        started = time.perf_counter()
        values = relaxation((echo,), rows, (0, 7)).values
        made = time.perf_counter() - started
        least, best = min(least, made), min(best, made + run_on(gpu, known, values, protocol)[1])
    said = f"{len(curves) / best:,.0f} /s, {signal.nbytes / best / 1e9:.2f} GB/s of int16; "
    said += f"{100 * least / best:.0f} % of the time is the logarithm, on one thread of the CPU"
    return [
        {
            "what": f"{known.name}, int16 in host memory to maps there",
            "rate": len(curves) / best,
            "said": said,
        }
    ]


def many(known: Method) -> tuple[Array, Any]:
    """VOXELS curves (n, t) float32 and their protocol, out of DIFFERENT simulated ones, each with noise of its own."""
    few, protocol = example(known, DIFFERENT)
    times = VOXELS // DIFFERENT
    rng = np.random.default_rng(2)
    curves = np.empty((VOXELS, few.shape[1]), np.float32, order="F")
    for t in range(few.shape[1]):
        size = np.float32(0.02 * np.abs(few).mean())
        curves[:, t] = np.tile(few[:, t], times) + size * rng.standard_normal(VOXELS, np.float32)
    again = {
        name: np.tile(value, (times,) + (1,) * (value.ndim - 1))
        for name, value in protocol._asdict().items()
        if isinstance(value, np.ndarray) and len(value) == DIFFERENT
    }
    return curves, protocol._replace(**again)


def run_on(device: Device, known: Method, curves: Array, protocol: Any) -> tuple[VoxelMaps, float]:
    """The maps and the seconds they took; a CPU takes blocks on all its threads, as the engine cuts them."""

    def one(cut: slice) -> VoxelMaps:
        return known.function(curves[cut], protocol.rows(cut), known.defaults(), device)

    started = time.perf_counter()
    if device.kind == "cuda":
        maps = one(slice(0, len(curves)))
    else:
        with ThreadPoolExecutor(device.threads) as pool:
            parts = list(
                pool.map(one, [slice(begin, begin + BLOCK) for begin in range(0, len(curves), BLOCK)])
            )
        maps = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return maps, time.perf_counter() - started


def difference(found: VoxelMaps, expected: VoxelMaps, names: list[str]) -> Array:
    """The largest relative difference in any map, (n,); infinite where the states differ, 0 where both are not good."""
    good = expected["state"] == State.GOOD
    apart = np.where(found["state"] == expected["state"], 0.0, np.inf)
    for name in names:
        if name in expected:
            size = np.abs(expected[name][good])
            size = np.maximum(size, SMALL * size.mean())
            apart[good] = np.maximum(apart[good], np.abs(found[name][good] - expected[name][good]) / size)
    return apart


if __name__ == "__main__":
    print(json.dumps(rows_of(sys.argv[1])))
