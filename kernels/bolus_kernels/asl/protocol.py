"""What every ASL kernel is told beside the curves: labelling, delays, relaxation times, slice delays."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labeling = Literal["PCASL", "CASL", "PASL"]
LEAST_NOISE = 1e-20
"""No variance is less: a scan without noise has a posterior too."""


class ArrivalPrior(NamedTuple):
    """What is believed of arrivals before the data: mean and sd, s, of all voxels or (n,); how it came to be known.

    The log density is -z^2/2 / (1 + tail z^2), z the arrival's distance from the mean in SDs: a normal's where `tail`
    is 0, else a normal's in the middle and flat far from it, so that blood that comes very late is let be.
    """

    mean: Any
    sd: Any
    tail: float
    how: str

    @property
    def precision(self) -> Any:
        """1/s^2."""
        return np.float64(1) / np.square(self.sd, dtype=np.float64)

    def rows(self, block: Any) -> ArrivalPrior:
        """The same prior for some of the voxels."""
        mean, sd = (one if np.ndim(one) == 0 else np.asarray(one)[block] for one in (self.mean, self.sd))
        return self._replace(mean=mean, sd=sd)


class LookLocker(NamedTuple):
    """Readout pulses that follow each other after one label, and take from it.

    first_delay : (t,) s, from the end of the label that a pair shows (PASL: from its inversion) to the first of them.
    interval : s, from one to the next. flip_angle : rad, one of all pulses, or (t, k), of all k pulses that the label
    of a pair meets, in their order. calibrated_angle : rad, of the readout that would show M0 as the curves have it;
    None where that is each readout's own.
    """

    first_delay: NDArray[Any]
    interval: float
    flip_angle: float | NDArray[Any]
    calibrated_angle: float | None = None

    def pairs(self, chosen: NDArray[np.bool_]) -> LookLocker:
        """The same pulses, of some of the pairs."""
        angle = self.flip_angle if np.ndim(self.flip_angle) == 0 else np.asarray(self.flip_angle)[chosen]
        return self._replace(first_delay=self.first_delay[chosen], flip_angle=angle)


class AslProtocol(NamedTuple):
    """The acquisition of one ASL series, for kernels; curves are (control - label)/M0 of tissue, one column a pair.

    post_labeling_delay : (t,) float64, s (PASL: the inversion time TI). labeling_duration : (t,) float64, s
    (PASL: the bolus duration TI1). labeling_efficiency : 1, background suppression included.
    t1_blood, t1_tissue : s; t1_tissue : (n,) float32. partition_coefficient : ml/g.
    slice_delay : (n,) float32, s, added to every delay of a voxel. noise_variance : 1 (squares of fractions
    of M0), how one pair scatters about the mean of its delay, pooled over the scan. tissue_relaxation : the
    label decays with tissue T1 after arrival (else with that of blood). arterial_transit_time : (n,) s, taken as
    known instead of fitted where it is given. look_locker : the pulses of the readouts, where one label has several.
    relative_noise : (n,), variance of one pair in a voxel over noise_variance; 1 where it is not given.
    arrival_prior : what the scan says of arrivals, where it was asked.
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
    relative_noise: NDArray[Any] | None = None
    arrival_prior: ArrivalPrior | None = None

    @property
    def voxel_noise(self) -> NDArray[np.float32]:
        """Variance of one pair in each voxel, (n,), never 0."""
        relative = np.ones(len(self.t1_tissue)) if self.relative_noise is None else self.relative_noise
        noise = np.asarray(relative, np.float64) * self.noise_variance
        return np.ascontiguousarray(np.maximum(noise, LEAST_NOISE), np.float32)

    def rows(self, block: slice) -> AslProtocol:
        """The same protocol for some of the voxels."""
        known, relative, prior = self.arterial_transit_time, self.relative_noise, self.arrival_prior
        return self._replace(
            t1_tissue=self.t1_tissue[block],
            slice_delay=self.slice_delay[block],
            arterial_transit_time=None if known is None else known[block],
            relative_noise=None if relative is None else relative[block],
            arrival_prior=None if prior is None else prior.rows(block),
        )

    def pairs(self, chosen: NDArray[np.bool_]) -> AslProtocol:
        """The same protocol for some of the pairs."""
        pulses = self.look_locker
        return self._replace(
            post_labeling_delay=self.post_labeling_delay[chosen],
            labeling_duration=self.labeling_duration[chosen],
            look_locker=None if pulses is None else pulses.pairs(chosen),
        )
