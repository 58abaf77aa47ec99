"""ASL scans of the phantom brain as reading them would give them, some of their pairs spoilt on purpose."""

from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.asl import brain as asl_brain
from benchmarks.asl import simulate as simulate_asl
from tests.engine.made import asl_series, volume

SHAPE, VOXEL = (32, 32, 8), (5.0, 5.0, 6.0)
SINGLE = simulate_asl.Acquisition("PCASL", (1.8,), 1.8, 0.85, repeats=20, snr=150.0)
SEVERAL = replace(simulate_asl.PCASL, repeats=6, snr=150.0)
SPOILT = {3: "shift", 7: "spikes", 11: "noise"}


@cache
def brain():
    return asl_brain.brain(SHAPE, VOXEL, finer=3)


def inside():
    return asl_brain.mask(brain())


def tissue(name):
    """Shares (n,) of a tissue in the brain's voxels, in the order of files."""
    return brain().fractions[name].reshape(-1, order="F")[inside().reshape(-1, order="F")]


def scanned(acquisition=SINGLE, seed=1, spoilt=None, maps=("GM", "WM"), before=()):
    """A series of control and label, `before` them volumes of other kinds; `spoilt` says which pairs suffer how."""
    whole, random = brain(), np.random.default_rng(seed + 100)
    scan = simulate_asl.acquire(whole, acquisition, seed)
    for pair, how in (spoilt or {}).items():
        label = scan.label[..., pair]
        if how == "noise":
            label += random.normal(0, 100, SHAPE)
        elif how == "shift":
            label += 12
        else:
            label[random.random(SHAPE) < 0.05] += 300
    pairs = np.stack([scan.control, scan.label], axis=-1).reshape(*SHAPE, -1)
    data = np.concatenate([*(scan.m0[..., None] for _ in before), pairs], axis=-1).astype(np.float32)
    context = (*before, *("control", "label") * scan.control.shape[3])

    def times(values):
        return (*(0.0 for _ in before), *np.repeat(values, 2).tolist())

    series = asl_series(
        np.asfortranarray(data),
        context,
        asl_brain.mixed_t1(whole).astype(np.float32),
        post_labeling_delay=times(scan.delays),
        labeling_duration=times(scan.durations),
        labeling_efficiency=float(scan.efficiency),
        m0=volume(scan.m0.astype(np.float32)),
    )
    probabilities = {
        f"label-{name}_probseg": volume(whole.fractions[name.lower()].astype(np.float32)) for name in maps
    }
    mask = {"label-brain_mask": volume(inside().astype(np.uint8))}
    return replace(series, given={**series.given, **mask, **probabilities})
