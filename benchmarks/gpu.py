"""GPU against CPU over a million voxels: the same maps, and how many voxels a second each of them does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.example import Array, example
from bolus_kernels.device import Device, cpu, processors, select
from bolus_kernels.method import AIC, Method, VoxelMaps
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

VOXELS, DIFFERENT, BLOCK = 1 << 20, 1 << 11, 1 << 14
"""Voxels of a run; how many of them are simulated (the others are these with other noise); those of a CPU's block."""
ROUNDS = 3
SAME, SHARE = 1e-4, 0.999
"""The promise: the relative difference of equal values, and in what share of voxels all values are equal."""
SMALL = 0.01
"""Below this share of a map's mean size a value counts as that share: K2 passes through zero."""
Row = dict[str, Any]


def measure() -> list[Row]:
    """A row per method that runs on the GPU, transfers included, against all processors of the machine.

    Raises DeviceUnavailable without a usable GPU, AssertionError after the last method where maps are not equal.
    """
    gpu, processor = select("cuda"), cpu(processors())
    against = f"{processor.threads} threads, not {gpu.name}"
    rows = [compared(known, gpu, processor, against) for known in shelf().values() if known.cuda]
    broken = [row["what"] for row in rows if row["equal"] < SHARE]
    assert not broken, f"maps of GPU and CPU differ: {', '.join(broken)}"
    return rows


def compared(known: Method, gpu: Device, processor: Device, against: str) -> Row:
    """One method on both machines: rates, the share of voxels whose maps are equal, the largest difference in those."""
    curves, protocol = many(known)
    run_on(gpu, known, curves[:BLOCK], protocol.rows(slice(0, BLOCK)))  # compiles
    run_on(processor, known, curves[:BLOCK], protocol.rows(slice(0, BLOCK)))
    found, seconds = run_on(gpu, known, curves, protocol)
    for _ in range(ROUNDS - 1):
        seconds = min(seconds, run_on(gpu, known, curves, protocol)[1])
    expected, slow = run_on(processor, known, curves, protocol)
    apart = difference(found, expected, [*known.maps, AIC])
    equal = apart <= SAME
    row = {"what": known.name, "rate": VOXELS / seconds, "ratio": slow / seconds, "against": against}
    row |= {"equal": float(equal.mean()), "largest": float(apart[equal].max(initial=0.0))}
    print(f"{known.name:<16} equal in {100 * row['equal']:.4f} % of voxels, there to {row['largest']:.1e}")
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
