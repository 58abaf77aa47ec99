"""What BIDS allows of an ASL data set, one subject each: how it is made, what it must give, what must be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bolus.prepare.asl.encoding import signs_of
from tests.engine import labelled
from tests.engine.labelled import BRIGHTNESS, EFFICIENCY, Layout, difference, head, painted
from tests.engine.made import recipe

SHAPE = (20, 20, 6)
PAIR = ["control", "label"]
BASE = {
    "MagneticFieldStrength": 3, "MRAcquisitionType": "3D", "ArterialSpinLabelingType": "PCASL",
    "PostLabelingDelay": 1.8, "LabelingDuration": 1.8, "BackgroundSuppression": False,
    "RepetitionTimePreparation": 6.0, "M0Type": "Separate",
}  # fmt: skip
PASL = {
    "ArterialSpinLabelingType": "PASL", "LabelingDuration": None, "BolusCutOffFlag": True,
    "BolusCutOffDelayTime": 0.7, "BolusCutOffTechnique": "QUIPSSII",
}  # fmt: skip
UNCUT = PASL | {"BolusCutOffFlag": False, "BolusCutOffDelayTime": None, "BolusCutOffTechnique": None}
DELAYS = [0.6, 1.2, 1.8, 2.4]
TWICE = [delay for delay in DELAYS for _ in PAIR]
SLICES = [0.04 * n for n in range(6)]
BY_FIELD = {1.5: (1.35, 1.2), 3: (1.65, 1.3), 7: (2.1, 1.94)}
"""T1 of blood and of tissue (s)."""


@dataclass
class Case:
    """A data set: what its sidecar says beyond BASE, its volumes, its calibration, and what is made otherwise.

    made : fields that the voxels are made by where the sidecar says them in another way.
    """

    says: dict[str, Any] = field(default_factory=dict)
    context: list[str] = field(default_factory=lambda: PAIR * 2)
    made: dict[str, Any] = field(default_factory=dict)
    m0: dict[str, tuple[dict[str, Any], float]] | None = None
    suppressed: float = 1.0
    warns: str = ""
    sets: tuple[str, ...] = ()
    shown: Callable[[Layout], Any] | None = None

    def layout(self, name: str) -> Layout:
        """The data set as the sidecar tells it."""
        said = {key: value for key, value in (BASE | self.says).items() if value is not None}
        m0 = self.m0
        if m0 is None and said.get("M0Type") == "Separate":
            target = f"perf/sub-{name}_asl.nii.gz"
            m0 = {f"perf/sub-{name}_m0scan": ({"RepetitionTimePreparation": 10, "IntendedFor": target}, 1.0)}
        renamed = {
            path.replace("NAME", name): (told(meta, name), scale)
            for path, (meta, scale) in (m0 or {}).items()
        }
        return Layout(said, list(self.context), SHAPE, renamed, name, self.suppressed)

    def voxels(self, name: str) -> Any:
        """The series (x, y, z, t), labelled blood integrated through time."""
        made = self.layout(name)
        made.meta = {key: value for key, value in (made.meta | self.made).items() if value is not None}
        blood, tissue = BY_FIELD[made.meta["MagneticFieldStrength"]]
        usual = labelled.T1_BLOOD, labelled.T1_TISSUE
        labelled.T1_BLOOD, labelled.T1_TISSUE = blood, tissue
        try:
            return made.series() if self.shown is None else self.shown(made)
        finally:
            labelled.T1_BLOOD, labelled.T1_TISSUE = usual


def told(meta: dict[str, Any], name: str) -> dict[str, Any]:
    """The sidecar of a calibration with the subject's name in what it is intended for."""
    aimed = meta.get("IntendedFor")
    if isinstance(aimed, list):
        return meta | {"IntendedFor": [each.replace("NAME", name) for each in aimed]}
    return meta | ({"IntendedFor": aimed.replace("NAME", name)} if aimed else {})


def look_locker(made: Layout) -> Any:
    """Readouts every 0.3 s from 0.3 s on; each leaves the cosine of its flip angle of the label and shows the sine."""
    labeling, times = made.meta["ArterialSpinLabelingType"], 0.3 * np.arange(1, 11)
    angle = np.deg2rad(np.broadcast_to(made.meta["FlipAngle"], len(made.context))[::2])
    duration = 0.7 if labeling == "PASL" else 1.8
    since = times + (0 if labeling == "PASL" else duration)
    efficiency = EFFICIENCY[labeling]
    held = {
        t: difference(t, labeling, since, duration, efficiency, 0, since, np.cos(angle)) for t in BRIGHTNESS
    }
    volumes = [
        painted(
            head(SHAPE),
            {t: m0 * np.sin(angle[k]) * (0.5 - sign * held[t][k]) for t, m0 in BRIGHTNESS.items()},
            0.4,
        )
        for k in range(10)
        for sign in (0, 1)
    ]
    return np.stack(volumes, axis=3)


def encoded(how: str, parts: tuple[float, ...], cycles: int = 1) -> Callable[[Layout], Any]:
    """One volume for each row of a matrix: a part of the label is on where the row is -1 there."""
    signs = signs_of(recipe(f"asl.encoding={how}", f"asl.encoding_size={len(parts) + 1}"))
    ends = np.sum(parts) - np.cumsum(parts)

    def shown(made: Layout) -> Any:
        since = made.meta["PostLabelingDelay"] + ends + np.array(parts)
        held = {
            t: np.array(
                [difference(t, "PCASL", [s], tau, 0.85)[0] for s, tau in zip(since, parts, strict=True)]
            )
            for t in BRIGHTNESS
        }
        volumes = [
            painted(head(SHAPE), {t: m0 * (0.9 - held[t] @ (row[1:] < 0)) for t, m0 in BRIGHTNESS.items()})
            for row in signs
        ]
        return np.stack(volumes * cycles, axis=3)

    return shown


def m0(meta: dict[str, Any], path: str = "perf/sub-NAME_m0scan", scale: float = 1.0) -> Any:
    """One calibration image."""
    return {path: ({"RepetitionTimePreparation": 10} | meta, scale)}


INTENDED = {"IntendedFor": "perf/sub-NAME_asl.nii.gz"}
INCLUDED = {"M0Type": "Included"}
PARTS = {8: (1.8, 0.8, 0.5, 0.4, 0.3, 0.3, 0.2), 4: (2.0, 1.0, 0.6), 12: (1.2, 0.6, 0.5, *[0.25] * 8)}

CASES = {
    "labelfirst": Case(context=["label", "control"] * 2),
    "blocks": Case(context=["control"] * 3 + ["label"] * 3),
    "mixed": Case({"PostLabelingDelay": TWICE}, ["control", "label", "label", "control"] * 2),
    "deltam": Case(context=["deltam"]),
    "deltams": Case({"PostLabelingDelay": DELAYS}, ["deltam"] * 4),
    "deltamincluded": Case(INCLUDED, ["deltam", "m0scan"]),
    "cbfrow": Case(context=[*PAIR, "cbf"], made={}, warns="cbf volumes"),
    "norfrow": Case(context=["noRF", *PAIR], warns="noRF volumes"),
    "included": Case(INCLUDED | {"RepetitionTimePreparation": 6.0}, ["m0scan", *PAIR * 2]),
    "zeros": Case(
        INCLUDED | {
            "PostLabelingDelay": [0, 1.8, 1.8, 0], "LabelingDuration": [0, 1.8, 1.8, 0], "EchoTime": [0, 0.012, 0.012, 0],
            "FlipAngle": [0, 90, 90, 0], "RepetitionTimePreparation": [10.0, 5.0, 5.0, 10.0],
        },
        ["m0scan", *PAIR, "m0scan"], {"RepetitionTimePreparation": 10.0, "PostLabelingDelay": 1.8, "LabelingDuration": 1.8},
    ),
    "severalzeros": Case(
        INCLUDED | {"PostLabelingDelay": [0, *TWICE], "LabelingDuration": [0, *[1.8] * 8], "FlipAngle": [0, *[90] * 8]},
        ["m0scan", *PAIR * 4],
    ),
    "casl": Case({"ArterialSpinLabelingType": "CASL"}),
    "caslseveral": Case({"ArterialSpinLabelingType": "CASL", "PostLabelingDelay": TWICE}, PAIR * 4),
    "quipssii": Case(PASL),
    "q2tips": Case(PASL | {"BolusCutOffTechnique": "Q2TIPS", "BolusCutOffDelayTime": [0.7, 1.6]}),
    "q2tipsone": Case(PASL | {"BolusCutOffTechnique": "Q2TIPS"}),
    "notechnique": Case(PASL | {"BolusCutOffTechnique": None}, warns="BolusCutOffTechnique is missing"),
    "paslseveral": Case(PASL | {"PostLabelingDelay": TWICE}, PAIR * 4),
    "durations": Case({"PostLabelingDelay": TWICE, "LabelingDuration": [1.0, 1.0, 1.4, 1.4, 1.8, 1.8, 2.2, 2.2]}, PAIR * 4),
    "fmap": Case(m0=m0(INTENDED, "fmap/sub-NAME_m0scan")),
    "intended": Case(m0=m0({"IntendedFor": ["perf/sub-NAME_run-9_asl.nii.gz", "perf/sub-NAME_asl.nii.gz"]})),
    "uri": Case(m0=m0({"IntendedFor": "bids::sub-NAME/perf/sub-NAME_asl.nii.gz"})),
    "samename": Case(m0=m0({})),
    "unusedzeros": Case(
        {"PostLabelingDelay": [0, 1.8, 1.8], "LabelingDuration": [0, 1.8, 1.8], "RepetitionTimePreparation": [0, 6, 6]},
        ["m0scan", *PAIR],
        {"RepetitionTimePreparation": 6.0, "PostLabelingDelay": 1.8, "LabelingDuration": 1.8},
        warns="m0scan volumes of the series were not used",
    ),
    "estimate": Case({"M0Type": "Estimate", "M0Estimate": 1000.0 / 0.9}),
    "absent": Case({"M0Type": "Absent"}),
    "slices": Case({"MRAcquisitionType": "2D", "SliceTiming": SLICES}),
    "slicesseveral": Case({"MRAcquisitionType": "2D", "SliceTiming": SLICES, "PostLabelingDelay": TWICE}, PAIR * 4),
    "multiband": Case({"MRAcquisitionType": "2D", "SliceTiming": [0, 0.05, 0.1] * 2}),
    "backwards": Case(
        {"MRAcquisitionType": "2D", "SliceTiming": SLICES, "SliceEncodingDirection": "k-"}, made={"SliceTiming": SLICES[::-1]},
    ),
    "suppressed": Case(
        {"BackgroundSuppression": True, "BackgroundSuppressionNumberPulses": 2, "BackgroundSuppressionPulseTime": [1.9, 3.0]},
        suppressed=0.2,
    ),
    "suppressedunsaid": Case({"BackgroundSuppression": True}, suppressed=0.2, warns="NumberPulses is missing"),
    "field15": Case({"MagneticFieldStrength": 1.5, "PostLabelingDelay": TWICE}, PAIR * 4),
    "field7": Case({"MagneticFieldStrength": 7, "PostLabelingDelay": TWICE}, PAIR * 4),
    "efficiency": Case({"LabelingEfficiency": 0.8}),
    "looklocker": Case(
        {"LookLocker": True, "FlipAngle": 20, "PostLabelingDelay": np.repeat(0.3 * np.arange(1, 11), 2).tolist()},
        PAIR * 10, m0=m0(INTENDED | {"FlipAngle": 90}), shown=look_locker,
    ),
    "looklockerpasl": Case(
        PASL | {"LookLocker": True, "FlipAngle": 20, "PostLabelingDelay": np.repeat(0.3 * np.arange(1, 11), 2).tolist()},
        PAIR * 10, m0=m0(INTENDED | {"FlipAngle": 90}), shown=look_locker,
    ),
    "looklockerangles": Case(
        {
            "LookLocker": True, "FlipAngle": np.repeat(np.linspace(8, 55, 10), 2).tolist(),
            "PostLabelingDelay": np.repeat(0.3 * np.arange(1, 11), 2).tolist(),
        },
        PAIR * 10, m0=m0(INTENDED | {"FlipAngle": 90}), shown=look_locker,
    ),
    "uncut": Case(
        UNCUT, made={"BolusCutOffDelayTime": 0.7}, warns="BolusCutOffFlag is false", sets=("asl.bolus_duration=0.7",),
    ),
    "uncutseveral": Case(
        UNCUT | {"PostLabelingDelay": TWICE}, PAIR * 4, {"BolusCutOffDelayTime": 0.7}, warns="BolusCutOffFlag is false",
        sets=("asl.bolus_duration=0.7",),
    ),
    **{
        f"encoded{size}": Case(
            {"PostLabelingDelay": 0.1, "LabelingDuration": list(parts)}, ["control", *["label"] * (size - 1)] * 2,
            sets=(f"asl.encoding={'paley' if size == 12 else 'hadamard'}", f"asl.encoding_size={size}"),
            shown=encoded("paley" if size == 12 else "hadamard", parts, 2),
        )
        for size, parts in PARTS.items()
    },
}  # fmt: skip

NEEDED = {
    "ArterialSpinLabelingType": {}, "PostLabelingDelay": {}, "LabelingDuration": {}, "BackgroundSuppression": {},
    "M0Type": {}, "MagneticFieldStrength": {}, "MRAcquisitionType": {}, "BolusCutOffFlag": PASL,
    "BolusCutOffDelayTime": PASL, "M0Estimate": {"M0Type": "Estimate", "M0Estimate": 1.0},
    "RepetitionTimePreparation": {"M0Type": "Absent"}, "SliceTiming": {"MRAcquisitionType": "2D", "SliceTiming": SLICES},
    "FlipAngle": {"LookLocker": True, "FlipAngle": 20, "PostLabelingDelay": [1, 1, 2, 2]},
}  # fmt: skip
"""Fields that a series needs, and what else it says where it needs them."""
