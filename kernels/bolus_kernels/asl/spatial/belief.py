"""What is known of each voxel beside its own data: the field by which neighbours are compared, and beliefs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.prior import Prior
from bolus_kernels.jit import part

LOOKS, TESTED, FOUR = 3, 3, 4
"""Structural images and kinetic components that weights compare; values that are averaged at a time."""
VALID, LOOK, KINETIC, CERTAIN, ROWS = 0, 1, 1 + LOOKS, 1 + LOOKS + TESTED, 2 + LOOKS + TESTED
"""Rows of a field: 1 where there is a voxel; what it looks like; its kinetics; how certain these are."""
KNOWN = np.float32(1000.0)
"""Degrees of freedom of a noise variance that is taken as known."""
ZERO, ONE = np.float32(0), np.float32(1)


class Beliefs(NamedTuple):
    """What is believed of each voxel, (n,) float32: flow (1/s) and arrival (s), with their SDs."""

    flow: NDArray[np.float32]
    flow_sd: NDArray[np.float32]
    arrival: NDArray[np.float32]
    arrival_sd: NDArray[np.float32]


@part
def local(belief: Any, belief_sd: Any, arrival: Any, arrival_sd: Any, noise: Any, latest: Any) -> Any:
    """A voxel's own prior."""
    weight = noise / (belief_sd * belief_sd)
    return Prior(arrival, ONE / (arrival_sd * arrival_sd), latest, belief, weight, KNOWN, noise, ZERO)
