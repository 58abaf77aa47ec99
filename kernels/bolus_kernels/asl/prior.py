"""What is believed of a voxel's flow, arrival and noise before its data, one text for CPU and GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bolus_kernels.jit import inlined, part

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
CERTAINTY = np.float32(1e8)
"""1/s^2; an arrival known to 0.1 ms."""


class Prior(NamedTuple):
    """What is believed before the data, float32: arrival (s), flow (1/s, in shares of the noise), noise variance."""

    arrival: np.float32
    arrival_precision: np.float32
    arrival_most: np.float32
    flow: np.float32
    flow_weight: np.float32
    noise_weight: np.float32
    noise_variance: np.float32
    arrival_tail: np.float32


@part
def of_voxel(prior: Any, noise: Any, arrival: Any, precision: Any) -> Any:
    """The prior of a voxel with noise and an expected arrival of its own; the flow's SD stays what it is."""
    weight = prior.flow_weight * (noise / prior.noise_variance)
    return Prior(
        arrival, precision, prior.arrival_most, prior.flow, weight, prior.noise_weight, noise,
        prior.arrival_tail,
    )  # fmt: skip


@inlined
def believed(away: Any, precision: Any, tail: Any) -> Any:
    """Log prior of an arrival so far from the expected one, s; see `ArrivalPrior`."""
    z = precision * away * away
    return -HALF * z / (ONE + tail * z)
