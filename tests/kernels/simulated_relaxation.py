"""Run the conversion of DSC signal on numba's CUDA simulator, in a process of its own: `-m ... OUT.npz`."""

import os
import sys

import numpy as np

from bolus_kernels.device import from_device, is_on_device
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from tests.kernels.simulated_gpu import There, simulator

TIMES, VOXELS, BASELINE = 24, 40, (2, 7)
DTYPES = (np.int16, np.uint16, np.int32, np.float32)
CHAIN = ("csvd", "osvd", "uncorrected", "bsw", "summary")
"""Methods that take curves where the conversion left them."""


def stored(dtype, echo_time, seed=3):
    """A bolus in forty voxels as a scanner stores it, and samples that are lost, saturated, constant or nothing."""
    random, time = np.random.default_rng(seed), np.arange(TIMES)
    bolus = np.exp(-((time - 11) ** 2) / 8)[:, None] * random.uniform(5, 25, VOXELS)
    signal = random.uniform(500, 1500, VOXELS) * np.exp(-echo_time * bolus)
    signal = np.rint(signal + random.normal(0, 4, signal.shape))
    signal[9, 4], signal[5, 6], signal[:, 8] = 0, 32767, 700
    signal[BASELINE[0] : BASELINE[1], 10] = 0
    if dtype is np.float32:
        signal[3, 12], signal[4, 14] = np.nan, np.inf
    return signal.astype(dtype)


def echoes(dtype, count):
    """One echo with a slope and an intercept, or so many with other ones: a sample that one of them misses, another has."""
    made = [
        Echo(stored(dtype, 0.015 * (k + 2 / count)), 0.5 + k, 3.0 * k, 0.015 * (k + 2 / count), 32767.0)
        for k in range(count)
    ]
    if count > 1:
        made[0].series[7, 20], made[-1].series[8, 22] = 0, 0
    return tuple(made)


def converted(where):
    """Curves, states and baselines of every dtype and of one, two and three echoes; rows in an order of their own."""
    rows, found = np.random.default_rng(5).permutation(VOXELS), {}
    for dtype in DTYPES:
        for count in (1, 2, 3):
            made = relaxation(echoes(dtype, count), rows, BASELINE, where)
            on_gpu = where.kind == "cuda"
            assert isinstance(made.values, There) is on_gpu
            found |= {
                f"{np.dtype(dtype)} {count} {name}": from_device(values)
                if on_gpu and is_on_device(values)
                else values
                for name, values in made._asdict().items()
                if values is not None
            }
    return found


def protocol_of(made):
    """What the methods are told beside the curves."""
    bolus = np.exp(-((np.arange(TIMES) - 9.0) ** 2) / 5)
    volume = np.full(VOXELS, 4.0, np.float32)
    return DscProtocol(
        1.5, bolus, 0.7, 0.1 * np.roll(bolus, 2), volume, 4.0, BASELINE, 0.03, made.baseline_signal
    )


def chained(where):
    """Maps of the methods from the signal on, whose curves never leave the machine that made them."""
    made, found = relaxation(echoes(np.int16, 1), np.arange(VOXELS), BASELINE, where), {}
    protocol = protocol_of(made)
    for name in CHAIN:
        known = shelf()[name]
        soon = {"recovery_from": 8.0} if name == "summary" else {}  # the series is short
        maps = known.function(made.values, protocol, known.defaults() | soon, where)
        found |= {f"{name} {key}": values for key, values in maps.items()}
    return found


if __name__ == "__main__":
    assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    simulated = simulator()
    np.savez(sys.argv[1], **converted(simulated), **chained(simulated))
