"""Run the mode of the ASL posterior on numba's CUDA simulator, in a process of its own: `-m ...simulated_mode OUT`."""

import os
import sys

import numpy as np

from benchmarks import example
from bolus_kernels.asl.mode import mode
from bolus_kernels.shelf import shelf
from tests.kernels.simulated_gpu import simulator


def modes_on(where):
    """Of twenty voxels, one of them broken, fitted and with the arrival given."""
    curves, protocol = example.asl(20, 5)
    curves[3, 2] = np.nan
    usual = shelf()["multi_delay"].defaults()
    given = protocol._replace(arterial_transit_time=np.linspace(0.5, 2.0, 20))
    found = {"fitted": mode(curves, protocol, usual, where), "given": mode(curves, given, usual, where)}
    return {f"{how}/{name}": values for how, maps in found.items() for name, values in maps.items()}


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    np.savez(sys.argv[1], **modes_on(simulator()))
