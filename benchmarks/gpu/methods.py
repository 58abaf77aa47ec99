"""Each method on a GPU: host to host and equal to the CPU, then its kernels alone, scan by scan and batched."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.example import Array, example
from benchmarks.gpu.clock import ROUNDS, kernels_of, seconds_of
from benchmarks.gpu.limits import memory_rate
from bolus_kernels.device import Device, cpu, on_device, processors, select
from bolus_kernels.method import AIC, Method, VoxelMaps
from bolus_kernels.state import State

VOXELS, DIFFERENT, BLOCK = 1 << 20, 1 << 9, 1 << 14
"""Voxels of a run; how many of them are simulated (the others are these with other noise); those of a CPU's block."""
SCAN, JUDGED = 98304, 1 << 17
"""Voxels of the brain of one scan of 128 x 128 x 20, and those that the CPU computes too."""
SAME, SHARE = 1e-4, 0.999
"""The promise: the relative difference of equal values, and in what share of voxels all values are equal."""
SMALL = 0.01
"""Below this share of a map's mean size a value counts as that share: K2 passes through zero."""
Row = dict[str, Any]


def measure(known: Method) -> list[Row]:
    """Rows of one method: both machines compared, its kernels over a scan and over a batch, and each of them."""
    gpu, processor = select("cuda"), cpu(processors())
    curves, protocol = many(known)
    rows = [compared(known, gpu, processor, curves, protocol)]
    batch, scan = slice(0, len(curves)), slice(0, min(SCAN, len(curves)))
    for part, told in ((scan, "its kernels alone"), (batch, "its kernels alone, batched")):
        there = on_device(curves[part].T).T
        found = kernels_of(partial(run_on, gpu, known, there, protocol.rows(part)))
        size, seconds = part.stop, seconds_of(found)
        said = f"{size / seconds:,.0f} /s, {1000 * seconds:.3f} ms for {size:,} voxels"
        rows.append({"what": f"{known.name}, {told}", "rate": size / seconds, "said": said})
        rows[-1]["milliseconds"] = 1000 * seconds
    bandwidth = memory_rate()
    for one in found:
        share = one.moved / one.seconds / bandwidth
        said = f"{1000 * one.seconds:.3f} ms, {one.registers} registers and {one.own} bytes of its own a thread, "
        said += f"its arrays once at {100 * share:.0f} % of the memory's rate"
        rows.append({"what": f"{known.name}, kernel {one.name}", "said": said, "registers": one.registers})
        rows[-1] |= {"own": one.own, "share": share}
    return rows


def compared(known: Method, gpu: Device, processor: Device, curves: Array, protocol: Any) -> Row:
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
    return row


def many(known: Method) -> tuple[Array, Any]:
    """VOXELS curves (n, t) float32 and their protocol, out of DIFFERENT simulated ones, each with noise of its own."""
    few, protocol = example(known, DIFFERENT)
    times = VOXELS // DIFFERENT
    rng = np.random.default_rng(2)
    curves = np.empty((VOXELS, few.shape[1]), np.float32, order="F")
    for t in range(few.shape[1]):
        size = np.float32(0.02 * np.abs(few).mean())
        curves[:, t] = np.tile(few[:, t], times) + size * rng.standard_normal(VOXELS, np.float32)
    return curves, again(protocol, times)


def again(told: Any, times: int) -> Any:
    """What a protocol tells of each of DIFFERENT voxels, so many times."""
    if isinstance(told, tuple) and hasattr(told, "_fields"):
        return type(told)(*(again(one, times) for one in told))
    if isinstance(told, np.ndarray) and len(told) == DIFFERENT:
        return np.tile(told, (times,) + (1,) * (told.ndim - 1))
    return told


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
