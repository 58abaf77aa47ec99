"""What every ASL kernel is told beside the curves: labelling, delays, relaxation times, slice delays."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labeling = Literal["PCASL", "CASL", "PASL"]


class LookLocker(NamedTuple):
    """Readout pulses that follow each other after one label, and take from it.

    first_delay : (t,) s, from the end of the label that a pair shows (PASL: from its inversion) to the first of them.
    interval : s, from one to the next. flip_angle : rad.
    """

    first_delay: NDArray[Any]
    interval: float
    flip_angle: float


class AslProtocol(NamedTuple):
    """The acquisition of one ASL series, for kernels; curves are (control - label)/M0 of tissue, one column a pair.

    post_labeling_delay : (t,) float64, s (PASL: the inversion time TI). labeling_duration : (t,) float64, s
    (PASL: the bolus duration TI1). labeling_efficiency : 1, background suppression included.
    t1_blood, t1_tissue : s; t1_tissue : (n,) float32. partition_coefficient : ml/g.
    slice_delay : (n,) float32, s, added to every delay of a voxel. noise_variance : 1 (squares of fractions
    of M0), how one pair scatters about the mean of its delay, pooled over the scan. tissue_relaxation : the
    label decays with tissue T1 after arrival (else with that of blood). arterial_transit_time : (n,) s, taken as
    known instead of fitted where it is given. look_locker : the pulses of the readouts, where one label has several.
    """

    labeling: Labeling
    post_labeling_delay: NDArray[Any]
    labeling_duration: NDArray[Any]
    labeling_efficiency: float
    t1_blood: float
    t1_tissue: NDArray[Any]
    partition_coefficient: float
    slice_delay: NDArray[Any]
    noise_variance: float
    tissue_relaxation: bool = True
    arterial_transit_time: NDArray[Any] | None = None
    look_locker: LookLocker | None = None

    def rows(self, block: slice) -> AslProtocol:
        """The same protocol for some of the voxels."""
        known = self.arterial_transit_time
        return self._replace(
            t1_tissue=self.t1_tissue[block],
            slice_delay=self.slice_delay[block],
            arterial_transit_time=None if known is None else known[block],
        )

    def pairs(self, chosen: NDArray[np.bool_]) -> AslProtocol:
        """The same protocol for some of the pairs."""
        pulses = self.look_locker
        return self._replace(
            post_labeling_delay=self.post_labeling_delay[chosen],
            labeling_duration=self.labeling_duration[chosen],
            look_locker=None if pulses is None else pulses._replace(first_delay=pulses.first_delay[chosen]),
        )
