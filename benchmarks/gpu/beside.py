"""What runs on a GPU beside the voxelwise methods: the spatial prior, the mode, the posterior of two tissues."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.clock import kernels_of, least, seconds_of
from benchmarks.gpu.methods import many
from bolus_kernels.asl.mode import mode
from bolus_kernels.asl.partial_volume.posterior import tissue_posterior
from bolus_kernels.asl.spatial.spatial import spatial
from bolus_kernels.device import Device, on_device, select
from bolus_kernels.shelf import shelf

SIDES, SIZE = (64, 48, 32), (3.0, 3.0, 4.0)
"""A brain, as a box of as many voxels, and mm of a voxel."""
SLAB = (48, 48, 20)
Row = dict[str, Any]


def measured() -> list[Row]:
    """Rows of voxels a second, each with all that is chosen and moved on the way."""
    gpu = select("cuda")
    known = shelf()["multi_delay"]
    curves, protocol = many(known)
    voxels = np.argwhere(np.ones(SIDES, np.bool_))
    brain = slice(0, len(voxels))
    structure = np.random.default_rng(1).normal(100, 1, (len(voxels), 1)).astype(np.float32)
    given = curves[brain], protocol.rows(brain), voxels, np.array(SIZE), structure, known.defaults(), gpu
    rows = [whole("the spatial prior, everything chosen", len(voxels), lambda: spatial(*given))]
    there = on_device(curves.T).T
    found = kernels_of(partial(mode, there, protocol, known.defaults(), gpu))
    rate = len(curves) / seconds_of(found)
    rows.append({"what": "the mode, its kernels alone, batched", "rate": rate, "said": f"{rate:,.0f} /s"})
    return [*rows, tissues(gpu)]


def tissues(gpu: Device) -> Row:
    """The posterior of two tissues in a slab."""
    from tests.kernels.simulated_tissue_posterior import PRIOR, REACH, TISSUES, case

    signals, amounts, protocol, voxels = case("PCASL", shape=SLAB)
    given = signals, amounts, protocol, TISSUES, PRIOR, voxels, SLAB, REACH, gpu
    return whole("the posterior of two tissues", len(voxels), lambda: tissue_posterior(*given))


def whole(what: str, voxels: int, run: Callable[[], Any]) -> Row:
    """The best of some runs from the host's memory to the host's, after one that compiles."""
    seconds = least(run)
    said = f"{voxels / seconds:,.0f} /s, {1000 * seconds:.1f} ms for {voxels:,} voxels"
    return {"what": what, "rate": voxels / seconds, "said": said}
