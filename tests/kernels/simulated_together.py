"""Run ASL methods over several scans at once on numba's CUDA simulator, in a process of its own: `-m ... OUT.npz`."""

import os
import sys

import numpy as np

from benchmarks import example
from bolus_kernels.asl.joined import joined
from bolus_kernels.asl.mode import mode
from bolus_kernels.asl.protocol import ArrivalPrior
from bolus_kernels.shelf import shelf
from tests.kernels.simulated_gpu import simulator

SIZES = 7, 4, 6


def scans(delays=None, given=False):
    """Scans of one protocol, each with other voxels, another noise and other expectations."""
    made = []
    for seed, size in enumerate(SIZES):
        curves, protocol = example.asl(size, seed + 1)
        if delays is not None:
            protocol = protocol._replace(post_labeling_delay=np.full(curves.shape[1], delays))
        random = np.random.default_rng(seed)
        prior = ArrivalPrior(
            random.uniform(0.8, 1.6, size), random.uniform(0.3, 1.0, size), 1 / 16, "evidence"
        )
        protocol = protocol._replace(
            noise_variance=protocol.noise_variance * (0.3 + seed),
            relative_noise=random.uniform(0.5, 2, size).astype(np.float32) if seed else None,
            arrival_prior=None if given else prior,
            arterial_transit_time=random.uniform(0.5, 2.0, size) if given else None,
        )
        made.append((curves, protocol))
    return made


def run(where):
    """Maps of all scans together and of each alone: name -> (together, alone)."""
    known = shelf()
    cases = {
        "multi_delay": (known["multi_delay"].function, known["multi_delay"].defaults(), scans()),
        "given": (known["multi_delay"].function, known["multi_delay"].defaults(), scans(given=True)),
        "kinetic_model": (known["kinetic_model"].function, known["kinetic_model"].defaults(), scans()),
        "mode": (mode, known["multi_delay"].defaults(), scans()),
        "single_delay": (known["single_delay"].function, {}, scans(delays=1.8)),
    }
    found = {}
    for name, (function, parameters, several) in cases.items():
        curves = np.concatenate([one for one, _ in several])
        at_once = function(np.asfortranarray(curves), joined([its for _, its in several]), parameters, where)
        apart = [function(*one, parameters, where) for one in several]
        for key, values in at_once.items():
            alone = np.concatenate([maps[key] for maps in apart])
            found[f"{name}/{key}"] = np.stack([values, alone])
    return found


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    np.savez(sys.argv[1], **run(simulator()))
