"""Run the spatial prior's passes on numba's CUDA simulator, in a process of its own: `-m ...simulated_spatial OUT`."""

import os
import sys

import numpy as np

from benchmarks import example
from bolus_kernels.asl.multi_delay import labels_of
from bolus_kernels.asl.spatial.belief import ROWS, Beliefs
from bolus_kernels.asl.spatial.fit import fit
from bolus_kernels.asl.spatial.lattice import lattice, spread, window
from bolus_kernels.asl.spatial.smoothing import average
from tests.kernels.simulated_gpu import simulator

SIDES, SIZE = (7, 5, 3), np.array([4.0, 4.0, 6.0])
FITS = 20


def passes_on(where):
    """Averages over the neighbours of 105 voxels, and the posteriors of 20 of them under priors of their own."""
    random = np.random.default_rng(4)
    voxels = np.argwhere(np.ones(SIDES, np.bool_))
    grid, n = lattice(voxels, SIZE, 12.0), len(voxels)
    rows = np.column_stack([np.ones(n), random.normal(0, 0.5, (n, ROWS - 2)), random.uniform(0, 1, n)])
    field, values = spread(grid, rows), spread(grid, random.normal(0, 1, (n, 4)))
    mean, count = average(grid, window(grid, 12.0).without_centre(), field, values, where)
    protocol = example.asl_protocol(FITS, 5e-3, repeats=1)
    cbf, att = random.uniform(20, 90, FITS), random.uniform(0.7, 1.8, FITS)
    curves = example.asl_curves(protocol, cbf, att, 5e-3, 3)
    priors = (cbf / 6000, np.full(FITS, 3e-3), att, random.uniform(0.05, 0.5, FITS))
    told = (np.full(FITS, 2.5e-5), 1 / protocol.t1_tissue, np.linspace(0, 0.3, FITS))
    found = fit(
        np.ascontiguousarray(curves),
        *(values.astype(np.float32) for values in told),
        Beliefs(*(values.astype(np.float32) for values in priors)),
        labels_of(protocol)[0],
        np.float32(4.0),
        where,
    )
    return {"mean": mean, "count": count} | found._asdict()


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    np.savez(sys.argv[1], **passes_on(simulator()))
