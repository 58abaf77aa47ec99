"""Heads of two tissues with labelled blood, by stepping through time, and ASL data sets made of them."""

import json
from dataclasses import dataclass, field

import nibabel
import numpy as np

T1_BLOOD, T1_TISSUE, PARTITION = 1.65, 1.3, 0.9
STEP = 1e-3
AIR, BRIGHTNESS = 4.0, {"gm": 1000.0, "wm": 900.0}
FLOW = {"gm": 60.0, "wm": 25.0}
"""ml/100g/min."""
ARRIVAL = {"gm": 0.8, "wm": 1.1}
"""s."""
EFFICIENCY = {"PCASL": 0.85, "CASL": 0.68, "PASL": 0.98}


def difference(tissue, labeling, times, duration, efficiency, start=0.0, pulses=(), cosine=1.0):
    """Label held by a tissue, as a fraction of its M0, at `times` (s after `start`, the start of this label).

    Blood arrives for `duration`, decayed on its way for one arrival time (PCASL, CASL) or since the one inversion
    (PASL); each of `pulses` (s) leaves the share `cosine` of what is there, one for all or one for each.
    """
    times = np.asarray(times) - start
    grid = np.arange(0, times.max() + 2 * STEP, STEP)
    middle = grid[:-1] + STEP / 2
    f, att = FLOW[tissue] / 6000, ARRIVAL[tissue]
    here = np.clip((att + duration - grid[:-1]) / STEP, 0, 1) * np.clip((grid[1:] - att) / STEP, 0, 1)
    decayed = np.exp(-(att if labeling in ("PCASL", "CASL") else middle) / T1_BLOOD)
    inflow = 2 * efficiency / PARTITION * f * here * decayed * STEP
    keep = np.exp(-STEP * (1 / T1_TISSUE + f / PARTITION))
    at = np.round((np.asarray(pulses) - start) / STEP).astype(int)
    here_too, leaves = (at >= 0) & (at < grid.size), np.ones(grid.size)
    leaves[at[here_too]] = np.broadcast_to(cosine, at.shape)[here_too]
    held = np.zeros(grid.size)
    for k in range(grid.size - 1):
        held[k + 1] = held[k] * leaves[k] * keep + inflow[k] * np.sqrt(keep)
    return np.interp(times, grid, held)


def head(shape):
    """Where there is which tissue: an ellipsoid of grey matter with a core of white matter, in air."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(axes[0] ** 2 + axes[1] ** 2 + 0.3 * axes[2] ** 2)
    return {"gm": (radius < 0.8) & (radius > 0.45), "wm": radius <= 0.45}


def painted(where, values, background=AIR):
    """An image (x, y, z) of one value for each tissue (or one for each slice of it), in air."""
    image = np.full(where["gm"].shape, background, np.float32)
    for tissue, inside in where.items():
        image[inside] = np.broadcast_to(values[tissue], inside.shape)[inside]
    return image


def recovered(time):
    """The share of M0 that is back after a repetition time (s)."""
    return 1 - np.exp(-time / T1_TISSUE)


@dataclass
class Layout:
    """An ASL data set to be made: its sidecar, its volumes, its calibration images by path with their sidecars."""

    meta: dict
    context: list
    shape: tuple = (20, 20, 6)
    m0: dict = field(default_factory=dict)
    subject: str = "Sub1"
    suppressed: float = 1.0
    """What background suppression leaves of the control images."""

    def efficiency(self):
        pulses = (
            self.meta.get("BackgroundSuppressionNumberPulses", 0) if self.meta["BackgroundSuppression"] else 0
        )
        labeling = self.meta["ArterialSpinLabelingType"]
        return self.meta.get("LabelingEfficiency", EFFICIENCY[labeling]) * 0.95**pulses

    def late(self):
        """s, of each slice."""
        return np.array(self.meta.get("SliceTiming", np.zeros(self.shape[2])))

    def timing(self):
        """Delay and label duration (s) of every volume; 0 for a calibration."""
        labels = np.array([kind != "m0scan" for kind in self.context])
        delay = np.broadcast_to(self.meta["PostLabelingDelay"], labels.shape) * labels
        cut_off = np.atleast_1d(self.meta.get("BolusCutOffDelayTime", 0))[0]
        return delay, np.broadcast_to(self.meta.get("LabelingDuration", cut_off), labels.shape) * labels

    def held(self, tissue):
        """What each volume's label leaves in each slice (v, z), as a fraction of M0."""
        labeling = self.meta["ArterialSpinLabelingType"]
        delay, duration = self.timing()
        found = np.zeros((len(self.context), self.shape[2]))
        for d in sorted(set(duration) - {0}):
            since = delay[duration == d, None] + self.late() + (d if labeling != "PASL" else 0)
            found[duration == d] = difference(tissue, labeling, since, d, self.efficiency())
        return found

    def series(self):
        where = head(self.shape)
        held = {tissue: self.held(tissue) for tissue in FLOW}
        back = recovered(self.meta["RepetitionTimePreparation"]) * self.suppressed
        volumes = []
        for v, kind in enumerate(self.context):
            values = {}
            for tissue, m0 in BRIGHTNESS.items():
                control = {"m0scan": recovered(self.meta["RepetitionTimePreparation"]), "deltam": 0}.get(
                    kind, back
                )
                sign = {"label": -1, "deltam": 1}.get(kind, 0)
                values[tissue] = m0 * (control + sign * held[tissue][v])
            volumes.append(painted(where, values, 0.0 if kind == "deltam" else AIR))
        return np.stack(volumes, axis=3)

    def write(self, root, data=None):
        """The data set below `root`, its series filled with simulated voxels (or with `data`)."""
        folder = root / f"sub-{self.subject}"
        stem = folder / "perf" / f"sub-{self.subject}"
        stem.parent.mkdir(parents=True)
        (root / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
        save(f"{stem}_asl.nii.gz", self.series() if data is None else data)
        stem.with_name(f"{stem.name}_asl.json").write_text(json.dumps(self.meta))
        stem.with_name(f"{stem.name}_aslcontext.tsv").write_text(
            "\n".join(["volume_type", *self.context]) + "\n"
        )
        for name, (meta, scale) in self.m0.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.with_name(f"{path.name}.json").write_text(json.dumps(meta))
            back = scale * recovered(meta["RepetitionTimePreparation"])
            save(f"{path}.nii.gz", painted(head(self.shape), {t: back * m0 for t, m0 in BRIGHTNESS.items()}))
        return root


def save(path, data):
    nibabel.save(nibabel.Nifti1Image(np.asarray(data, np.float32), np.diag([4.0, 4, 5, 1])), path)
