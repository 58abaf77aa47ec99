"""Run the regression of partial volume on numba's CUDA simulator, in a process of its own: `-m ... OUT.npz`."""

import os
import sys

import numpy as np

from bolus_kernels.asl.partial_volume.regression import pure_signals
from tests.kernels.simulated_gpu import simulator

SHAPE, REACH, VOLUMES = (9, 8, 3), 2, 4


def case(kinds, seed=6):
    """Signals (n, t) of a slab with holes and random shares, one tissue absent in a corner, a voxel not finite."""
    random = np.random.default_rng(seed)
    voxels = np.flatnonzero(random.random(np.prod(SHAPE)) < 0.9)
    shares = random.dirichlet(np.ones(kinds), voxels.size).astype(np.float32)
    x, y, _ = np.unravel_index(voxels, SHAPE, order="F")
    shares[(x < 5) & (y < 4)] = np.eye(kinds, dtype=np.float32)[0]
    signals = np.asfortranarray(random.normal(10, 3, (voxels.size, VOLUMES)), np.float32)
    signals[20, 1] = np.nan
    return signals, shares, voxels


def regressed(where):
    """What each of two and of three tissues would give alone, and its variance."""
    found = {}
    for kinds in (2, 3):
        pure = pure_signals(*case(kinds), SHAPE, REACH, where)
        found |= {f"signals{kinds}": pure.signals, f"variance{kinds}": pure.variance}
    return found


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    np.savez(sys.argv[1], **regressed(simulator()))
