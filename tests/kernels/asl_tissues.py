"""Tissues for tests of ASL kernels: flows, arrivals and T1 that are drawn, noise that fits them, a kernel's maps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels import device
from bolus_kernels.asl.protocol import AslProtocol, Labeling
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

TISSUES: dict[str, tuple[tuple[float, float], tuple[float, float], float]] = {
    "grey matter": ((45.0, 75.0), (0.6, 1.1), 1.3),
    "white matter": ((15.0, 25.0), (1.0, 1.6), 1.1),
    "tumour": ((80.0, 120.0), (0.5, 1.2), 1.6),
    "necrosis": ((5.0, 10.0), (0.8, 1.8), 1.6),
    "delayed": ((20.0, 50.0), (1.8, 2.5), 1.3),
}
"""Range of CBF in ml/100g/min, range of ATT in s, T1 in s."""


def maps_of(name: str, curves: Array, protocol: AslProtocol, **parameters: float) -> dict[str, Array]:
    known = shelf()[name]
    return known.function(curves, protocol, known.defaults() | parameters, device.cpu())


def drawn(tissue: str, n: int, seed: int) -> tuple[Array, Array, Array]:
    """CBF, ATT and T1 of n voxels."""
    (low, high), (early, late), t1 = TISSUES[tissue]
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, n), rng.uniform(early, late, n), np.full(n, t1)


def all_tissues(n: int, seed: int) -> tuple[Array, Array, Array]:
    """n voxels of each tissue."""
    parts = [drawn(tissue, n, seed + i) for i, tissue in enumerate(TISSUES)]
    cbf, att, t1 = (np.concatenate(values) for values in zip(*parts, strict=True))
    return cbf, att, t1


def duration_of(labeling: Labeling) -> float:
    return 0.8 if labeling == "PASL" else 1.8


def noise_of(labeling: Labeling) -> float:
    return 1.0e-3 if labeling == "PASL" else 1.5e-3
