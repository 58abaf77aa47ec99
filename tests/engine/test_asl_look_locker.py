"""Look-Locker readouts from files to flow: against label that meets their pulses one by one."""

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.errors import Code
from bolus.nifti import load
from bolus.pipeline import process
from bolus.prepare.asl.encoding import signs_of
from bolus_kernels.device import cpu
from tests.engine.labelled import (
    ARRIVAL,
    BRIGHTNESS,
    EFFICIENCY,
    FLOW,
    PARTITION,
    difference,
    head,
    painted,
    save,
)
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


READOUTS = 0.3 * np.arange(1, 11)
RISING = np.linspace(8, 55, 10)
TRAINS = {"rising": [RISING], "strong, twice, and weak": [np.full(10, 35.0), np.full(10, 35.0), np.full(10, 11.7)]}  # fmt: skip


def read_out(labeling, trains, noise=0.0, **changes):
    """A control and a label after another for each readout of each train; its volumes, with noise of SD `noise`."""
    kind = META | (PULSED if labeling == "PASL" else {"ArterialSpinLabelingType": labeling})
    angles = [np.repeat(train, 2) for train in trains]
    made = layout(
        ["control", "label"] * 10 * len(trains), **kind | {
            "LookLocker": True, "FlipAngle": np.concatenate(angles).tolist(),
            "PostLabelingDelay": np.tile(np.repeat(READOUTS, 2), len(trains)).tolist(),
        } | changes
    )  # fmt: skip
    made.m0["perf/sub-Sub1_m0scan"] = (M0["perf/sub-Sub1_m0scan"][0] | {"FlipAngle": 90}, 1)
    duration, efficiency = 0.7 if labeling == "PASL" else 1.8, EFFICIENCY[labeling]
    since, where, volumes = READOUTS + (0 if labeling == "PASL" else 1.8), head(made.shape), []
    for train in np.deg2rad(trains):
        held = {
            t: difference(t, labeling, since, duration, efficiency, 0, since, np.cos(train)) for t in FLOW
        }
        for k, angle in enumerate(train):
            for sign in (0, 1):
                shown = {t: m0 * np.sin(angle) * (0.5 - sign * held[t][k]) for t, m0 in BRIGHTNESS.items()}
                volumes.append(painted(where, shown, 0.4))
    series = np.stack(volumes, axis=3)
    return made, series + noise * np.random.default_rng(7).standard_normal(series.shape)


@pytest.mark.parametrize("trains", TRAINS)
@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
def test_readouts_of_several_flip_angles_are_reckoned_with(tmp_path, labeling, trains):
    """Truth: each pulse leaves the cosine of its own angle of the label, and shows the sine of it."""
    made, series = read_out(labeling, TRAINS[trains])
    maps, said, _ = computed(made, tmp_path, data=series)
    check_kinetics(maps, 0.005, 0.01)
    told = said["Parameters"]["LookLocker"]
    np.testing.assert_allclose(told["FlipAngle"], np.unique(TRAINS[trains], axis=0))
    assert told["SignalScaledTo"]["Value"] == np.max(TRAINS[trains])


def test_noise_is_pooled_among_repeats_of_one_angle_only(tmp_path):
    """Strong and weak readouts at one delay differ by their angle: that is no noise."""
    made, series = read_out("PASL", TRAINS["strong, twice, and weak"], noise=0.5)
    maps, said, _ = computed(made, tmp_path, data=series)
    m0 = np.median(maps["m0"][maps["m0"] > 0])
    assert said["Parameters"]["NoiseVariance"]["Value"] == pytest.approx(2 * 0.5**2 / m0**2, rel=0.1)
    check_kinetics(maps, 0.1, 0.1)


def test_pulses_of_pairs_that_were_dropped_still_count(tmp_path):
    """An outlier goes, and the pulse that it was read out by stays."""
    made, series = read_out("PCASL", [RISING] * 4, noise=0.05)
    series[..., 8:10] += 40 * np.random.default_rng(8).standard_normal((*series.shape[:3], 2))
    maps, said, _ = computed(made, tmp_path, "asl.outliers=score", data=series)
    assert said["Parameters"]["Outliers"]["Table"]
    check_kinetics(maps, 0.02, 0.03)


@pytest.mark.parametrize("trains", [[RISING] * 2, TRAINS["strong, twice, and weak"]])
def test_other_quantities_of_several_angles_are_those_of_the_truth_too(tmp_path, trains):
    """The mode, the spatial prior and blood in arteries take the same responses, in sets of pairs of their own."""
    made, series = read_out("PASL", trains, noise=0.02)
    maps, _, _ = computed(made, tmp_path, "asl.spatial=true", "asl.mode=true", data=series)
    for desc in ("spatial", "mode"):
        check_kinetics({**maps, "cbf": maps[f"desc-{desc}_cbf"], "att": maps[f"desc-{desc}_att"]}, 0.02, 0.03)
    maps, _, _ = computed(made, tmp_path / "arterial", "asl.arterial=true", data=series)
    check_kinetics(maps, 0.05, 0.05)


@pytest.mark.parametrize("how", ["regression", "posterior"])
def test_pure_tissues_of_readouts_of_several_angles_are_those_of_the_truth(tmp_path, how):
    """Voxels of one tissue each: the flow is that of the whole voxel, but for the tissue's partition coefficient."""
    made, series = read_out("PASL", [RISING], noise=0.02)
    root, given = made.write(tmp_path / "data", series), tmp_path / "given/sub-Sub1/perf"
    given.mkdir(parents=True)
    for name in FLOW:
        share = painted(head(made.shape), {t: float(t == name) for t in FLOW}, 0.0)
        save(given / f"sub-Sub1_label-{name.upper()}_probseg.nii.gz", share)
    (found,) = find_scans(root, derivatives=[tmp_path / "given"])
    process(found.scan, tmp_path / "maps", recipe(f"asl.partial_volume={how}", "asl.t1_wm=1.3"), cpu())
    folder = tmp_path / "maps/sub-Sub1/perf"
    for name, partition in (("gm", 0.98), ("wm", 0.82)):
        inside = head(made.shape)[name]
        cbf, att = (
            load(folder / f"sub-Sub1_desc-{name}_{key}.nii.gz")[0].scaled()[inside] for key in ("cbf", "att")
        )
        assert np.nanmedian(cbf) * PARTITION / partition == pytest.approx(FLOW[name], rel=0.01)
        assert np.nanmedian(att) == pytest.approx(ARRIVAL[name], abs=0.02)


@pytest.mark.parametrize(
    ("change", "code", "seen"),
    [
        ({"FlipAngle": [20.0] * 18 + [20.0, 30.0]}, Code.META, "FlipAngle"),
        ({"FlipAngle": [20.0] * 10 + [30.0] * 8 + [20.0, 30.0]}, Code.META, "FlipAngle"),
        ({"FlipAngle": [20.0, 30.0] * 10}, Code.SHAPE, "1 control and 0 label volumes with a delay of 0.3 s and a flip angle of 20"),
    ],
)  # fmt: skip
def test_angles_that_do_not_say_which_pulses_a_label_met_are_refused(tmp_path, refused, change, code, seen):
    made, series = read_out("PCASL", [RISING], **change)
    error = refused(computed, made, tmp_path, data=series)
    assert error.code is code and seen in error.seen


def test_labels_of_several_angles_that_change_from_readout_to_readout_are_refused(tmp_path, refused):
    made, series = read_out("PCASL", [RISING, RISING[::-1]])
    error = refused(computed, made, tmp_path, data=series)
    assert error.code is Code.META and "FlipAngle" in error.seen and "alike" in error.mend


def test_readouts_of_several_angles_need_that_of_the_calibration(tmp_path, refused):
    made, series = read_out("PCASL", [RISING])
    del made.m0["perf/sub-Sub1_m0scan"][0]["FlipAngle"]
    error = refused(computed, made, tmp_path, data=series)
    assert error.code is Code.META and "no FlipAngle of the calibration" in error.seen
