"""Scans of one ASL protocol as if they were one: what they have in common, and the protocol of all their voxels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.protocol import LEAST_NOISE, ArrivalPrior, AslProtocol, LookLocker


def in_common(protocol: AslProtocol) -> Hashable:
    """What a protocol tells of all its voxels alike; scans in which it is equal can be computed as one.

    The pooled noise is not in it: methods take noise voxel by voxel.
    """
    pulses, prior = protocol.look_locker, protocol.arrival_prior
    return (
        protocol.labeling,
        _bytes(protocol.post_labeling_delay),
        _bytes(protocol.labeling_duration),
        protocol.labeling_efficiency,
        protocol.t1_blood,
        protocol.partition_coefficient,
        protocol.tissue_relaxation,
        protocol.arterial_transit_time is None,
        None if pulses is None else _of_pulses(pulses),
        None if prior is None else _of_prior(prior),
    )


def joined(protocols: Sequence[AslProtocol]) -> AslProtocol:
    """One protocol for the voxels of several scans, one scan after the other, whose `in_common` is equal.

    Its noise_variance is 1, and relative_noise that of each voxel itself: the kernels are told the same numbers.
    """
    first = protocols[0]
    known = first.arterial_transit_time is not None
    return first._replace(
        t1_tissue=np.concatenate([one.t1_tissue for one in protocols]),
        slice_delay=np.concatenate([one.slice_delay for one in protocols]),
        noise_variance=1.0,
        relative_noise=np.concatenate([_noise(one) for one in protocols]),
        arterial_transit_time=np.concatenate([_given(one) for one in protocols]) if known else None,
        arrival_prior=None
        if first.arrival_prior is None
        else _prior([one.arrival_prior for one in protocols]),
    )


def _noise(protocol: AslProtocol) -> NDArray[np.float64]:
    """As `AslProtocol.voxel_noise`, before it is rounded."""
    relative = protocol.relative_noise
    noise = np.ones(len(protocol.t1_tissue)) if relative is None else np.asarray(relative, np.float64)
    return np.maximum(noise * protocol.noise_variance, LEAST_NOISE)


def _given(protocol: AslProtocol) -> NDArray[Any]:
    return np.asarray(protocol.arterial_transit_time)


def _prior(priors: Sequence[Any]) -> ArrivalPrior:
    first: ArrivalPrior = priors[0]
    if np.ndim(first.mean) == 0:  # then it is one of all scans
        return first
    mean, sd = (np.concatenate([getattr(one, name) for one in priors]) for name in ("mean", "sd"))
    return first._replace(mean=mean, sd=sd)


def _of_prior(prior: ArrivalPrior) -> Hashable:
    if np.ndim(prior.mean) == 0:
        return prior.tail, float(prior.mean), float(prior.sd)
    return prior.tail, "of each voxel"


def _of_pulses(pulses: LookLocker) -> Hashable:
    angle = pulses.flip_angle
    return _bytes(pulses.first_delay), pulses.interval, _bytes(angle), np.ndim(angle), pulses.calibrated_angle


def _bytes(values: Any) -> bytes:
    return np.ascontiguousarray(values, np.float64).tobytes()
