"""A scanner for the ASL brain: control, label and M0 images by fine numerical integration, with noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import simulate
from benchmarks.asl.brain import Brain, mask, mixed_t1
from benchmarks.reference.calibration import suppressed_efficiency
from benchmarks.reference.delivery import artery
from benchmarks.reference.kinetics import times
from bolus.prepare.asl import noise_of
from bolus_kernels.asl.protocol import AslProtocol, Labeling

Array = NDArray[Any]

STEPS = 400
"""Of the midpoint rule over a bolus: 1e-6 of the signal."""
REFERENCE_TISSUE = "gm"
"""Whose M0 over the noise's SD is the signal-to-noise ratio."""


@dataclass(frozen=True)
class Acquisition:
    """How a scan is made; times in s.

    delays : PLD (PCASL, CASL) or TI (PASL) of the first slice; every repeat goes through all of them. snr : M0 of
    pure GM where the coil's sensitivity is 1, over the noise's SD in every single image. slice_interval : 0 for a
    3D readout, else the time from one slice to the next, ascending. static_share : what background suppression
    leaves of static tissue; pulses : how many it takes, each of which costs 5 % of the label.
    """

    labeling: Labeling
    delays: tuple[float, ...]
    duration: float
    efficiency: float
    repeats: int = 4
    snr: float = np.inf
    slice_interval: float = 0.0
    static_share: float = 1.0
    pulses: int = 0
    m0_repetition_time: float = np.inf
    t1_blood: float = 1.65


PCASL = Acquisition("PCASL", (0.25, 0.5, 0.8, 1.1, 1.4, 1.8, 2.3, 3.0), 1.8, 0.85)
"""Pseudo-continuous, 1.8 s, eight delays."""
PASL = Acquisition("PASL", (0.4, 0.7, 1.0, 1.3, 1.6, 2.0, 2.5, 3.1), 0.7, 0.98)
"""Pulsed, the bolus cut to 0.7 s by Q2TIPS, eight inversion times."""


class Scan(NamedTuple):
    """What the scanner gives: control, label : (x, y, z, t), pair by pair; m0 : (x, y, z); and the protocol.

    delays, durations : (t,) s. efficiency : suppression's pulses included. slice_delay : (z,) s.
    """

    control: Array
    label: Array
    m0: Array
    delays: Array
    durations: Array
    efficiency: float
    slice_delay: Array
    acquisition: Acquisition


def magnetisation(brain: Brain) -> Array:
    """M0 at full recovery as the coil sees it, (x, y, z)."""
    total = sum(share * brain.tissues[name].magnetisation for name, share in brain.fractions.items())
    return np.asarray(brain.sensitivity * total)


def difference(brain: Brain, acquisition: Acquisition) -> Array:
    """control - label without noise at each delay, (x, y, z, delays): every tissue's own, by its share of the voxel.

    Source: Buxton et al. 1998, the general kinetic model, integrated numerically; Chappell et al. 2010, arteries.
    """
    efficiency = suppressed_efficiency(acquisition.efficiency, acquisition.pulses)
    slices = acquisition.slice_interval * np.arange(brain.late.shape[2])
    readouts = times(acquisition.labeling, np.array(acquisition.delays), np.array(acquisition.duration))
    total = np.zeros((*brain.late.shape, len(readouts)))
    for name, tissue in brain.tissues.items():
        voxels = np.nonzero((brain.fractions[name] > 0) & (brain.cbf[name] > 0))
        shape = simulate.labelled(
            acquisition.labeling,
            readouts + slices[voxels[2], None],
            np.array(acquisition.duration),
            brain.cbf[name][voxels],
            brain.att[name][voxels],
            t1_tissue=np.full(len(voxels[0]), tissue.t1),
            t1_blood=acquisition.t1_blood,
            efficiency=efficiency,
            partition_coefficient=tissue.partition_coefficient,
            steps=STEPS,
        )
        total[voxels] += (brain.fractions[name][voxels] * tissue.magnetisation)[:, None] * shape
    grey = brain.tissues[REFERENCE_TISSUE]
    vessels = np.nonzero(brain.abv)
    total[vessels] += (grey.magnetisation * brain.abv[vessels])[:, None] * artery(
        acquisition.labeling,
        readouts + slices[vessels[2], None],
        brain.arrival[vessels][:, None],
        np.array(acquisition.duration),
        efficiency=efficiency,
        t1_blood=acquisition.t1_blood,
        partition_coefficient=grey.partition_coefficient,
    )
    return brain.sensitivity[..., None] * total


def calibration_image(brain: Brain, repetition_time: float) -> Array:
    """M0 scan at a repetition time (s), each tissue recovered by its own T1, (x, y, z)."""
    total = sum(
        share * brain.tissues[name].magnetisation * (1 - np.exp(-repetition_time / brain.tissues[name].t1))
        for name, share in brain.fractions.items()
    )
    return np.asarray(brain.sensitivity * total)


def acquire(brain: Brain, acquisition: Acquisition, seed: int = 0) -> Scan:
    """A scan of the phantom: repeat after repeat all delays, nothing moves, Gaussian noise in every image."""
    random = np.random.default_rng(seed)
    noise = brain.tissues[REFERENCE_TISSUE].magnetisation / acquisition.snr
    once = difference(brain, acquisition).astype(np.float32)
    pairs = (1, 1, 1, acquisition.repeats)
    static = acquisition.static_share * magnetisation(brain).astype(np.float32)[..., None]
    control = np.repeat(static, acquisition.repeats * len(acquisition.delays), axis=3)
    label = control - np.tile(once, pairs)
    m0 = calibration_image(brain, acquisition.m0_repetition_time)
    if noise > 0:
        for image in (control, label, m0):
            image += noise * random.standard_normal(image.shape, np.float32)
    return Scan(
        control,
        label,
        m0,
        np.tile(acquisition.delays, acquisition.repeats),
        np.full(control.shape[3], acquisition.duration),
        suppressed_efficiency(acquisition.efficiency, acquisition.pulses),
        acquisition.slice_interval * np.arange(brain.late.shape[2]),
        acquisition,
    )


def curves(brain: Brain, scan: Scan, voxels: Array | None = None) -> tuple[Array, AslProtocol]:
    """What a kernel eats: (n, t) float32, (control - label)/M0 of tissue, and its protocol with the T1 map.

    voxels : bool (x, y, z), of the brain unless given. M0 is the scan's, recovered with the T1 map; the noise is
    pooled in the signal over those voxels, and told for each, as the engine does.
    """
    inside = mask(brain) if voxels is None else voxels
    t1 = mixed_t1(brain)[inside]
    full = scan.m0[inside] / (1 - np.exp(-scan.acquisition.m0_repetition_time / t1))
    found = ((scan.control - scan.label)[inside] / full[:, None]).astype(np.float32)
    noise = noise_of(found, 1 / full, scan.delays, scan.durations)
    protocol = AslProtocol(
        labeling=scan.acquisition.labeling,
        post_labeling_delay=scan.delays,
        labeling_duration=scan.durations,
        labeling_efficiency=scan.efficiency,
        t1_blood=scan.acquisition.t1_blood,
        t1_tissue=t1.astype(np.float32),
        partition_coefficient=brain.tissues[REFERENCE_TISSUE].partition_coefficient,
        slice_delay=np.broadcast_to(scan.slice_delay, inside.shape)[inside].astype(np.float32),
        noise_variance=noise.variance,
        relative_noise=noise.relative,
    )
    return found, protocol
