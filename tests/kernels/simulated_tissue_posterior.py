"""Run the posterior of two tissues on numba's CUDA simulator, in a process of its own: `-m ... OUT.npz`."""

import os
import sys

import numpy as np

from benchmarks import simulate
from benchmarks.reference import delivery, schemes
from bolus_kernels.asl.partial_volume.posterior import Prior, Tissue, tissue_posterior
from bolus_kernels.asl.protocol import AslProtocol, LookLocker
from tests.kernels.simulated_gpu import simulator

SHAPE, REACH = (5, 4, 1), 1
TISSUES = Tissue(1.3, 0.98), Tissue(1.1, 0.82)
PRIOR = Prior((1.3, 1.0), (0.3, 0.3), 200.0, 10.0)
DELAYS, REPEATS, DURATION = (0.3, 0.8, 1.3, 1.8, 2.6), 2, {"PCASL": 1.8, "PASL": 0.7}
BLOOD = 900.0
FLOWS, ARRIVALS = (60.0, 22.0), (0.9, 1.2)


def protocol_of(labeling, count, noise, slice_delay=0.0):
    delays = np.tile(DELAYS, REPEATS)
    return AslProtocol(
        labeling, delays, np.full(delays.size, DURATION[labeling]), 0.85, 1.65, np.full(count, 1.3, np.float32), 0.9,
        np.full(count, slice_delay, np.float32), noise**2,
    )  # fmt: skip


def read_out_often(protocol):
    """The same delays as readouts of one label every 0.5 s, one of them not shown, each of an angle of its own."""
    angles = np.tile(np.deg2rad([15.0, 25.0, 20.0, 40.0, 30.0, 50.0]), (len(protocol.post_labeling_delay), 1))
    first = np.full(len(angles), DELAYS[0])
    return protocol._replace(look_locker=LookLocker(first, 0.5, angles, np.deg2rad(50)))


def pulsed_curves(protocol):
    """As `pure_curves`, label meeting the pulses of its readouts one by one, between and at them."""
    delays = np.array([*DELAYS[:4], DELAYS[0] + 4 * 0.5, DELAYS[4]])
    duration = protocol.labeling_duration[0]
    time = delays + protocol.slice_delay[0] + (0 if protocol.labeling == "PASL" else duration)
    angles, shown = protocol.look_locker.flip_angle[0], np.tile([0, 1, 2, 3, 5], REPEATS)
    curves = []
    for tissue, cbf, att in zip(TISSUES, FLOWS, ARRIVALS, strict=True):
        inflow = delivery.sharp(protocol.labeling, att, duration, protocol.t1_blood)
        t1 = 1 / (1 / tissue.t1 + cbf / 6000 / tissue.partition_coefficient)
        held = schemes.look_locker(time, inflow, t1, angles) * np.sin(angles) / np.sin(angles.max())
        curves.append(2 * protocol.labeling_efficiency * cbf / 6000 * held[shown])
    return np.stack(curves)


def pure_curves(protocol):
    """(control - label) of pure GM and WM per M0 of blood in it, (2, t), by fine integration."""
    if protocol.look_locker is not None:
        return pulsed_curves(protocol)
    time = protocol.post_labeling_delay + (0 if protocol.labeling == "PASL" else protocol.labeling_duration)
    return np.stack(
        [
            tissue.partition_coefficient
            * simulate.labelled(
                protocol.labeling, time + protocol.slice_delay[0], np.array(protocol.labeling_duration[0]),
                np.array([cbf]), np.array([att]), t1_tissue=np.array([tissue.t1]), t1_blood=protocol.t1_blood,
                efficiency=protocol.labeling_efficiency, partition_coefficient=tissue.partition_coefficient,
                steps=2000,
            )[0]
            for tissue, cbf, att in zip(TISSUES, FLOWS, ARRIVALS, strict=True)
        ]
    )  # fmt: skip


def case(labeling, noise=2.0, seed=6, slice_delay=0.05, shape=SHAPE, often=False):
    """Signals (n, t) and amounts (n, 2) of a slab with holes and random shares, in which one voxel is not finite."""
    random = np.random.default_rng(seed)
    voxels = np.flatnonzero(random.random(np.prod(shape)) < 0.9)
    shares = random.dirichlet(np.ones(3), voxels.size)[:, :2]
    x, y, _ = np.unravel_index(voxels, shape, order="F")
    shares[(x < 3) & (y < 3)] = (1, 0)
    amounts = (BLOOD * shares).astype(np.float32)
    protocol = protocol_of(labeling, voxels.size, noise, slice_delay)
    protocol = read_out_often(protocol) if often else protocol
    signals = amounts @ pure_curves(protocol)
    signals = (signals + noise * random.standard_normal(signals.shape)).astype(np.float32)
    signals[12, 1] = np.nan
    return signals, amounts, protocol, voxels


def solved(where):
    """Maps of both tissues for either labelling, and for readouts that follow each other."""
    found = {}
    for labeling, often in (("PCASL", False), ("PASL", False), ("PASL", True)):
        signals, amounts, protocol, voxels = case(labeling, often=often)
        maps = tissue_posterior(signals, amounts, protocol, TISSUES, PRIOR, voxels, SHAPE, REACH, where)
        for tissue, values in (("gm", maps.gm), ("wm", maps.wm)):
            found |= {f"{labeling} {often} {tissue} {name}": value for name, value in values.items()}
    return found


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    np.savez(sys.argv[1], **solved(simulator()))
