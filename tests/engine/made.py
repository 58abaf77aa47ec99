"""Scans made in memory, as reading them would give them, for the tests of what is computed from them."""

from pathlib import Path

import numpy as np

from bolus.recipe import load
from bolus.series import ASL, DSC, Grid, Scan, Series, Volume

SHAPE = (10, 9, 4)
TIME = 1.5 * np.arange(40)
ECHO_TIME = 0.03


def grid(shape=SHAPE, zooms=(2.0, 2.0, 5.0)):
    affine = np.diag([*zooms, 1.0])
    return Grid(shape, affine, zooms, affine, 1, affine, 1)


def volume(data, slope=1.0, inter=0.0, name="image.nii.gz"):
    return Volume(np.asfortranarray(data), slope, inter, grid(data.shape[:3]), Path(name))


def everywhere(value=1, shape=SHAPE):
    return volume(np.full(shape, value, np.uint8 if value == 1 else np.float32))


def bolus(arrival, height, width=3.0, time=TIME):
    """A gamma variate with its peak `2 width` after arrival (s), and a tail of 3 %: delta R2*, 1/s."""
    since = np.maximum(time - arrival, 0) / (2 * width)
    return height * (since**2 * np.exp(2 - 2 * since) + 0.03 * (since > 1))


def dsc_signal(shape=SHAPE, arrival=15.0, height=8.0, artery=60.0, time=TIME):
    """A brain of one tissue of S0 = 1000 whose corner holds eight arterial voxels: (x, y, z, t) float64."""
    signal = np.empty((*shape, time.size))
    signal[:] = 1000 * np.exp(-ECHO_TIME * bolus(arrival, height, time=time))
    signal[:4, :2, 0] = 1000 * np.exp(-ECHO_TIME * bolus(arrival - 1, artery, 1.5, time))
    return signal


def artery(shape=SHAPE):
    marked = np.zeros(shape, np.uint8)
    marked[:4, :2, 0] = 1
    return volume(marked, name="sub-01_label-AIF_mask.nii.gz")


def dsc_series(signal, slope=1.0, inter=0.0, aif=None, **given):
    """A DSC series with a brain mask everywhere and its AIF mask, unless `given` says otherwise."""
    image = volume(signal, slope, inter, "sub-01_dsc.nii.gz")
    shape = signal.shape[:3]
    masks = {"label-brain_mask": everywhere(shape=shape), "label-AIF_mask": artery(shape)}
    masks |= {name.replace("_", "-", 1) + "_mask": mask for name, mask in given.items()}
    masks = {name: mask for name, mask in masks.items() if mask is not None}
    scan = Scan("01", None, "dsc", "sub-01", (Path("/data/sub-01/perf/sub-01_dsc.nii.gz"),))
    return Series(scan, (image,), DSC((ECHO_TIME,), 1.5), masks, aif, {str(scan.images[0]): "0" * 64})


def asl_series(data, context, t1map=None, slope=1.0, inter=0.0, **changes):
    """An ASL series with a brain mask everywhere: PCASL, PLD 1.8 s, tau 1.8 s, M0 of 1000 with a long TR."""
    count = len(context)
    fields = {
        "labeling": "PCASL",
        "context": tuple(context),
        "post_labeling_delay": (1.8,) * count,
        "labeling_duration": (1.8,) * count,
        "m0_type": "Separate",
        "m0": everywhere(1000.0, data.shape[:3]),
        "m0_repetition_time": 1e3,
        "labeling_efficiency": None,
        "background_suppression": False,
        "background_suppression_pulses": None,
        "magnetic_field_strength": 3.0,
    }
    given = {"label-brain_mask": everywhere(shape=data.shape[:3])}
    if t1map is not None:
        given["T1map"] = volume(t1map, name="sub-01_T1map.nii.gz")
    scan = Scan("01", None, "asl", "sub-01", (Path("/data/sub-01/perf/sub-01_asl.nii.gz"),))
    image = volume(data, slope, inter, "sub-01_asl.nii.gz")
    sources = {str(scan.images[0]): "0" * 64}
    return Series(scan, (image,), ASL(**{**fields, **changes}), given, None, sources)


def recipe(*sets):
    return load(None, sets)
