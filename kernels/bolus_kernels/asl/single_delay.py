"""ASL blood flow from one delay: the formulas of the 2015 recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.linear import weighted_sums
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method, refuse_infinite


@method(
    "single_delay",
    contrast="asl",
    family="quantification",
    maps={"cbf": "ml/100g/min"},
    paper="Alsop et al., Magn Reson Med 73:102 (2015)",
    equation="PCASL: 6000 lambda dM e^(PLD/T1b) / (2 a T1b M0 (1 - e^(-tau/T1b))); "
    "PASL: 6000 lambda dM e^(TI/T1b) / (2 a TI1 M0)",
    label="",
    cuda=True,
)
def single_delay(
    curves: NDArray[Any], protocol: AslProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood flow from one delay, assuming that all of the label has arrived and decays as in blood.

    curves : (n, t) float32, (control - label)/M0, averaged here. Gives cbf : (n,) float32, ml/100g/min and
    state : (n,) uint8. Raises ValueError where delays or label durations differ between pairs.
    Source: Alsop 2015, eq. 1 (PCASL, CASL) and eq. 2 (PASL, QUIPSS II).
    """
    delay, duration = _the_only(protocol.post_labeling_delay), _the_only(protocol.labeling_duration)
    times = curves.shape[1]
    (difference,) = weighted_sums(curves, np.full((1, times), 1.0 / times), device)
    decay = np.exp((delay + np.asarray(protocol.slice_delay, np.float64)) / protocol.t1_blood)
    delivered = duration
    if protocol.labeling != "PASL":
        delivered = protocol.t1_blood * -np.expm1(-duration / protocol.t1_blood)
    scale = 6000.0 * protocol.partition_coefficient / (2.0 * protocol.labeling_efficiency * delivered)
    maps = empty_maps(METHODS["single_delay"], curves.shape[0])
    maps["cbf"] = (scale * difference * decay).astype(np.float32)
    return refuse_infinite(maps)


def _the_only(values: NDArray[Any]) -> float:
    if np.ptp(values) > 0:
        raise ValueError(
            f"a single-delay formula takes one delay and one label duration, not {np.unique(values)}"
        )
    return float(values[0])
