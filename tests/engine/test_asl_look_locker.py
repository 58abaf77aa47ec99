"""Look-Locker readouts from files to flow: against label that meets their pulses one by one."""

import numpy as np
import pytest

from bolus.prepare.asl.encoding import signs_of
from tests.engine.labelled import BRIGHTNESS, EFFICIENCY, FLOW, difference, head, painted
from tests.engine.made import recipe
from tests.engine.test_asl_layouts import computed
from tests.engine.test_asl_schemes import M0, META, PARTS, PULSED, check_kinetics, layout


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
def test_look_locker_readouts_are_reckoned_with(tmp_path, labeling):
    """Truth: the readouts' pulses one by one, each leaving cos 20 of the label and showing sin 20 of it."""
    angle, times = np.deg2rad(20), 0.3 * np.arange(1, 11)
    kind = META | (PULSED if labeling == "PASL" else {"ArterialSpinLabelingType": labeling})
    made = layout(
        ["control", "label"] * 10, **kind | {
            "LookLocker": True, "FlipAngle": 20, "PostLabelingDelay": np.repeat(times, 2).tolist(),
        }
    )  # fmt: skip
    made.m0["perf/sub-Sub1_m0scan"] = (M0["perf/sub-Sub1_m0scan"][0] | {"FlipAngle": 90}, 1)
    duration, efficiency = 0.7 if labeling == "PASL" else 1.8, EFFICIENCY[labeling]
    since = times + (0 if labeling == "PASL" else 1.8)
    where, volumes = head(made.shape), []
    held = {t: difference(t, labeling, since, duration, efficiency, 0, since, np.cos(angle)) for t in FLOW}
    for k in range(len(times)):
        for sign in (0, 1):
            shown = {t: m0 * np.sin(angle) * (0.5 - sign * held[t][k]) for t, m0 in BRIGHTNESS.items()}
            volumes.append(painted(where, shown, 0.4))
    maps, said, outcome = computed(made, tmp_path, data=np.stack(volumes, axis=3))
    check_kinetics(maps, 0.005, 0.01)
    assert not any("Look-Locker" in warning for warning in outcome.warnings)
    assert said["Parameters"]["LookLocker"]["FlipAngle"] == 20
    assert said["Parameters"]["LookLocker"]["Interval"] == pytest.approx(0.3)


def test_each_part_of_an_encoded_label_meets_the_pulses_after_it(tmp_path):
    """Truth: the four encodings of three parts, each read out eight times, every part with its own way through."""
    parts, angle, delays = np.array(PARTS[4]), np.deg2rad(15), 0.1 + 0.25 * np.arange(8)
    begins, signs = (
        np.concatenate([[0], np.cumsum(parts)[:-1]]),
        signs_of(recipe("asl.encoding=hadamard", "asl.encoding_size=4")),
    )
    made = layout(
        ["control", "label", "label", "label"] * 8, LabelingDuration=PARTS[4], LookLocker=True, FlipAngle=15,
        PostLabelingDelay=np.repeat(delays, 4).tolist(),
    )  # fmt: skip
    made.m0["perf/sub-Sub1_m0scan"] = (M0["perf/sub-Sub1_m0scan"][0] | {"FlipAngle": 90}, 1)
    pulses = parts.sum() + delays
    held = {
        t: np.array([
            difference(t, "PCASL", pulses, tau, 0.85, start, pulses, np.cos(angle))
            for start, tau in zip(begins, parts, strict=True)
        ])
        for t in FLOW
    }  # fmt: skip
    volumes = [
        painted(
            head(made.shape),
            {t: m0 * np.sin(angle) * (0.5 - held[t][:, k] @ (row[1:] < 0)) for t, m0 in BRIGHTNESS.items()},
            0.4,
        )
        for k in range(8)
        for row in signs
    ]
    sets = ["asl.encoding=hadamard", "asl.encoding_size=4"]
    maps, said, _ = computed(made, tmp_path, *sets, data=np.stack(volumes, axis=3))
    check_kinetics(maps, 0.005, 0.01)
    assert said["Parameters"]["LookLocker"]["FirstReadout"] == pytest.approx(0.1)
