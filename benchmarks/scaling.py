"""Scaling curves of one core: the rate of each kernel over the number of voxels, and over the number of time points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example
from benchmarks.clock import least
from bolus_kernels.device import cpu
from bolus_kernels.method import Method
from bolus_kernels.shelf import shelf

METHODS = ("bsw", "csvd", "osvd", "tikhonov", "bayes", "multi_delay", "kinetic_model")
VOXELS = (64, 256, 1024, 4096, 16384, 65536)
"""The engine's block is 16384."""
VOLUMES = (30, 45, 60, 90, 120, 180)
PAIRS = (1, 2, 4, 8, 12)
"""Of each of the 8 delays of an ASL series."""
SIMULATED, MANY, FEW = 64, 8192, 2048
"""Different voxels; voxels of a curve over time points, and of one over time points of a slow method."""
SLOW = ("bayes", "kinetic_model")
ROUNDS, SECONDS = 7, 0.6
Array = NDArray[Any]
Row = dict[str, Any]


def curves() -> list[Row]:
    """A row per method, axis and point, `curve` says where it belongs; the ratio is to the curve's best point.

    Without what a method prepares once for a scan's protocol (`bayes` its bank of shapes).
    """
    known = [shelf()[name] for name in METHODS]
    return [row for one in known for row in (*_over_voxels(one), *_over_times(one))]


def _over_voxels(known: Method) -> list[Row]:
    most = max(VOXELS) // (8 if known.name in SLOW else 1)
    few, protocol = _few(known, example.VOLUMES, 2)
    work = {n: _work(known, few, protocol, n) for n in VOXELS if n <= most}
    return _rows(known.name, "voxels", work, {n: n for n in work})


def _over_times(known: Method) -> list[Row]:
    count = FEW if known.name in SLOW else MANY
    work = {}
    for step in VOLUMES if known.contrast == "dsc" else PAIRS:
        few, protocol = _few(known, step, step)
        work[few.shape[1]] = _work(known, few, protocol, count)
    return _rows(known.name, "time points", work, dict.fromkeys(work, count))


def _few(known: Method, volumes: int, repeats: int) -> tuple[Array, Any]:
    """SIMULATED voxels of a DSC series of so many volumes, or of an ASL series of so many pairs of each delay."""
    if known.contrast == "dsc":
        return example.dsc(SIMULATED, 1, volumes=volumes)
    protocol = example.asl_protocol(SIMULATED, 1e-3, repeats=repeats)
    rng = np.random.default_rng(1)
    cbf, att = rng.uniform(20, 90, SIMULATED), rng.uniform(0.6, 1.8, SIMULATED)
    return example.asl_curves(protocol, cbf, att, 1e-3, 2), protocol


def _work(known: Method, few: Array, protocol: Any, count: int) -> Callable[[], object]:
    """The method over `count` voxels, which are the few again and again."""
    times = max(1, count // len(few))
    wide = np.asfortranarray(np.tile(few, (times, 1)))[:count]
    if known.contrast == "dsc":
        told: Any = example.repeated(protocol, times)
    else:
        per_voxel = ("t1_tissue", "slice_delay")
        told = protocol._replace(**{name: np.tile(getattr(protocol, name), times) for name in per_voxel})
    told = told.rows(slice(0, count))
    return lambda: known.function(wide, told, known.defaults(), cpu())


def _rows(name: str, axis: str, work: dict[int, Callable[[], object]], voxels: dict[int, int]) -> list[Row]:
    # point after point: methods keep what a protocol alone decides, and a scan has one protocol
    rates = {at: voxels[at] / least({"one": run}, ROUNDS, SECONDS)["one"] for at, run in work.items()}
    best = max(rates.values())
    return [
        {
            "what": f"{name}, {at:,} {axis}",
            "rate": rate,
            "ratio": rate / best,
            "against": f"its best over {axis}",
            "curve": {"of": name, "over": axis, "at": at},
        }
        for at, rate in rates.items()
    ]
