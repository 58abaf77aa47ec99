"""Blocks of curves with their protocol, ready for any method of the shelf: food for tests and benchmarks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from benchmarks import simulate
from benchmarks.reference.kinetics import times as readout_times
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol, Labeling, LookLocker
from bolus_kernels.dsc.protocol import VOXELWISE, DscProtocol
from bolus_kernels.method import Method

Array = NDArray[Any]

REPETITION_TIME = 1.5
ECHO_TIME = 0.03
BASELINE = 7
VOLUMES = 60
TYPICAL_VOLUME = 4.5
"""ml/100g, of the whole scan, whichever block of voxels is taken from it."""
RETURNS = (0.0, 0.02, 0.05, 0.1)
"""kep of the leaks of the example, 1/s."""
DELAYS = np.linspace(0.2, 3.0, 8)


class Tissue(NamedTuple):
    """Truth of a DSC voxel: residue, CBF (ml/100g/min), MTT and delay (s), K2 (1/s), and which of RETURNS."""

    residue: str
    cbf: float
    mtt: float
    delay: float
    k2: float
    returns: int


def volume_times(volumes: int = VOLUMES) -> Array:
    """When the volumes of the example DSC series were taken, (t,) s."""
    return REPETITION_TIME * np.arange(volumes)


def tissues(n: int, rng: np.random.Generator) -> list[Tissue]:
    """The truth of `dsc(n, seed)`, where rng is `np.random.default_rng(seed)`."""
    made = []
    for _ in range(n):
        residue = str(rng.choice(sorted(simulate.RESIDUES)))
        cbf, mtt, delay = rng.uniform(10, 120), rng.uniform(2, 10), rng.uniform(-2, 5)
        made.append(Tissue(residue, cbf, mtt, delay, rng.normal(0, 0.004), int(rng.integers(len(RETURNS)))))
    return made


def dsc(
    n: int, seed: int, snr: float | None = 50.0, volumes: int = VOLUMES, leaky: bool = True
) -> tuple[Array, DscProtocol]:
    """Tissue of many flows, transit times, delays, residues and leaks; curves (n, t) float32, 1/s.

    snr : of the signal before the bolus; None without noise. `blood_volume` is that of these curves.
    """
    rng = np.random.default_rng(seed)
    t = volume_times(volumes)
    aif = simulate.arterial(t)
    reference = simulate.tissue(t, *simulate.REFERENCE)
    leaks = [simulate.extravasated(t, kep) for kep in RETURNS]
    curves = np.empty((n, volumes))
    for voxel, made in enumerate(tissues(n, rng)):
        curves[voxel] = simulate.tissue(t, made.cbf, made.mtt, made.delay, made.residue)
        if leaky:
            curves[voxel] -= made.k2 * leaks[made.returns]
    if snr is not None and n:
        curves = simulate.noisy_relaxation(curves, snr, ECHO_TIME, BASELINE, seed + 1)
    values = np.asfortranarray(curves, np.float32)
    volume = 100 * simulate.KAPPA_RHO * trapezoid(values, axis=1) / trapezoid(aif)
    protocol = DscProtocol(REPETITION_TIME, aif, simulate.KAPPA_RHO, reference, volume.astype(np.float32))
    return values, protocol._replace(
        typical_volume=TYPICAL_VOLUME,
        baseline=(0, BASELINE),
        echo_time=ECHO_TIME,
        baseline_signal=rng.uniform(300, 900, n).astype(np.float32),
    )


def repeated(protocol: DscProtocol, times: int) -> DscProtocol:
    """The protocol of the same voxels so many times, one set after the other."""
    wide = {name: value for name in VOXELWISE if (value := getattr(protocol, name)) is not None}
    tiled: dict[str, Any] = {
        name: np.asfortranarray(np.tile(value, (times,) + (1,) * (value.ndim - 1)))
        for name, value in wide.items()
    }
    return protocol._replace(**tiled)


def asl_protocol(
    n: int,
    noise: float,
    *,
    labeling: Labeling = "PCASL",
    delays: Array = DELAYS,
    repeats: int = 4,
    duration: float = 1.8,
    t1_tissue: Array | None = None,
    tissue_relaxation: bool = True,
) -> AslProtocol:
    """An acquisition of `repeats` pairs per delay (s); noise : SD of one pair; t1_tissue : (n,) s."""
    delay = np.repeat(np.asarray(delays, np.float64), repeats)
    return AslProtocol(
        labeling=labeling,
        post_labeling_delay=delay,
        labeling_duration=np.full(len(delay), duration),
        labeling_efficiency=0.85,
        t1_blood=1.65,
        t1_tissue=np.full(n, 1.3, np.float32) if t1_tissue is None else np.asarray(t1_tissue, np.float32),
        partition_coefficient=0.9,
        slice_delay=np.zeros(n, np.float32),
        noise_variance=noise**2,
        tissue_relaxation=tissue_relaxation,
    )


def look_locker(protocol: AslProtocol, interval: float, flip_angle: float) -> AslProtocol:
    """The same acquisition with readouts of one label every `interval` s, each a pulse of `flip_angle` rad."""
    first = np.full(len(protocol.post_labeling_delay), protocol.post_labeling_delay.min())
    return protocol._replace(look_locker=LookLocker(first, interval, flip_angle))


def asl_curves(protocol: AslProtocol, cbf: Array, att: Array, noise: float, seed: int) -> Array:
    """What is measured of cbf (n,) ml/100g/min that arrives after att (n,) s; (n, t) float32, 1."""
    curves = np.empty((len(cbf), len(protocol.post_labeling_delay)))
    for delay in np.unique(protocol.slice_delay):
        rows = protocol.slice_delay == delay
        time = readout_times(
            protocol.labeling, protocol.post_labeling_delay, protocol.labeling_duration, float(delay)
        )
        curves[rows] = simulate.labelled(
            protocol.labeling,
            time,
            protocol.labeling_duration,
            np.asarray(cbf)[rows],
            np.asarray(att)[rows],
            t1_tissue=protocol.t1_tissue[rows],
            t1_blood=protocol.t1_blood,
            efficiency=protocol.labeling_efficiency,
            partition_coefficient=protocol.partition_coefficient,
            tissue_relaxation=protocol.tissue_relaxation,
            steps=200,
        )
    spread = np.ones(len(curves)) if protocol.relative_noise is None else np.sqrt(protocol.relative_noise)
    curves += spread[:, None] * np.random.default_rng(seed).normal(0.0, noise, curves.shape)
    return np.asfortranarray(curves, np.float32)


def asl(n: int, seed: int, *, one_delay: bool = False, noise: float = 1.5e-3) -> tuple[Array, AslProtocol]:
    """Tissue of many flows, arrivals and T1, slices read out one after another; curves (n, t) float32."""
    return asl_with_truth(n, seed, one_delay=one_delay, noise=noise)[:2]


def asl_with_truth(
    n: int, seed: int, *, one_delay: bool = False, noise: float = 1.5e-3
) -> tuple[Array, AslProtocol, dict[str, Array]]:
    """The same, and the truth of its maps: cbf (n,) ml/100g/min, att (n,) s."""
    rng = np.random.default_rng(seed)
    delays, repeats = (np.array([1.8]), 16) if one_delay else (DELAYS, 2)
    t1_tissue = rng.uniform(1.1, 1.6, n)
    protocol = asl_protocol(n, noise, delays=delays, repeats=repeats, t1_tissue=t1_tissue)
    protocol = protocol._replace(
        slice_delay=(0.04 * rng.integers(0, 10, n)).astype(np.float32),
        relative_noise=rng.uniform(0.5, 2.0, n).astype(np.float32),
        arrival_prior=ArrivalPrior(
            rng.uniform(0.8, 1.6, n).astype(np.float32),
            rng.uniform(0.4, 0.8, n).astype(np.float32),
            0.0625,
            "example",
        ),
    )
    truth = {"cbf": rng.uniform(5, 120, n), "att": rng.uniform(0.5, 2.5, n)}
    return asl_curves(protocol, truth["cbf"], truth["att"], noise, seed + 1), protocol, truth


def example(known: Method, n: int, seed: int = 0) -> tuple[Array, DscProtocol | AslProtocol]:
    """Curves (n, t) float32 and the protocol that a method of the shelf can work on."""
    if known.contrast == "dsc":
        return dsc(n, seed)
    return asl(n, seed, one_delay=known.name == "single_delay")
