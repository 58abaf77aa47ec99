"""The five ASL data sets among the BIDS examples, and what else ASL-BIDS allows, from files to flow."""

import json

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.nifti import load as load_image
from bolus.pipeline import process
from bolus_kernels.device import cpu
from tests.engine.labelled import ARRIVAL, BRIGHTNESS, FLOW, PARTITION, T1_BLOOD, Layout, head
from tests.engine.made import recipe

THREE_TESLA = {"MagneticFieldStrength": 3, "VascularCrushing": False}
PAIR, TURNED = ["control", "label"], ["label", "control"]
SLICES_20 = [round(0.0385 * n, 4) for n in range(20)]
SLICES_24 = [round(0.0452 * n, 4) for n in range(24)]


def suppressed(*times):
    return {
        "BackgroundSuppression": True,
        "BackgroundSuppressionNumberPulses": len(times),
        "BackgroundSuppressionPulseTime": list(times),
    }


def layouts():
    """Field values as in github.com/bids-standard/bids-examples, asl001 to asl005."""
    asl001 = THREE_TESLA | suppressed(1.965, 2.6, 3.1, 3.38) | {
        "Manufacturer": "GE", "MRAcquisitionType": "3D", "PulseSequenceType": "spiral", "EchoTime": 0.010528,
        "FlipAngle": 111, "RepetitionTimePreparation": 4.886, "ArterialSpinLabelingType": "PCASL",
        "PostLabelingDelay": 2.025, "LabelingDuration": 1.45, "M0Type": "Included", "TotalAcquiredPairs": 3,
        "AcquisitionVoxelSize": [4, 4, 8],
    }  # fmt: skip
    asl002 = THREE_TESLA | suppressed(2.05, 3.276) | {
        "Manufacturer": "Philips", "MRAcquisitionType": "2D", "PulseSequenceType": "EPI", "EchoTime": 0.015,
        "PhaseEncodingDirection": "j", "SliceTiming": SLICES_20, "FlipAngle": 90, "PostLabelingDelay": 2.0,
        "RepetitionTimePreparation": 4.57168115234375, "ArterialSpinLabelingType": "PCASL", "LookLocker": False,
        "LabelingDuration": 1.8, "M0Type": "Separate", "TotalAcquiredPairs": 35,
    }  # fmt: skip
    asl003 = THREE_TESLA | suppressed(0.15, 0.2) | {
        "Manufacturer": "Siemens", "MRAcquisitionType": "3D", "PulseSequenceType": "3Dgrase", "EchoTime": 0.01192,
        "PhaseEncodingDirection": "j-", "FlipAngle": 180, "RepetitionTimePreparation": 3.5,
        "ArterialSpinLabelingType": "PASL", "PASLType": "FAIR", "M0Type": "Separate", "TotalAcquiredPairs": 10,
        "PostLabelingDelay": [round(0.3 * (1 + n // 2), 1) for n in range(20)], "BolusCutOffFlag": True,
        "BolusCutOffDelayTime": [0.7, 1.6], "BolusCutOffTechnique": "Q2TIPS",
    }  # fmt: skip
    asl004 = THREE_TESLA | suppressed(1.428, 1.604) | {
        "Manufacturer": "Siemens", "MRAcquisitionType": "2D", "PulseSequenceType": "EPI", "EchoTime": 0.014,
        "PhaseEncodingDirection": "j-", "SliceTiming": SLICES_24, "FlipAngle": 90, "LookLocker": False,
        "RepetitionTimePreparation": 4.05, "ArterialSpinLabelingType": "PCASL", "PCASLType": "balanced",
        "PostLabelingDelay": [0.25 * (1 + n // 16) for n in range(96)], "LabelingDuration": 1.4,
        "LabelingEfficiency": 0.88, "M0Type": "Separate", "TotalAcquiredPairs": 48, "LabelingPulseDuration": 0.6,
        "LabelingPulseInterval": 1,
    }  # fmt: skip
    asl005 = THREE_TESLA | suppressed(2.29, 2.925, 3.425, 3.705) | {
        "Manufacturer": "Siemens", "MRAcquisitionType": "3D", "PulseSequenceType": "3Dgrase", "EchoTime": 0.01328,
        "FlipAngle": 130, "RepetitionTimePreparation": 4.95, "ArterialSpinLabelingType": "PCASL",
        "PostLabelingDelay": 2.0, "LabelingDuration": 1.8, "M0Type": "Separate", "LookLocker": False,
    }  # fmt: skip
    ahead = {"PhaseEncodingDirection": "j-", "RepetitionTimePreparation": 4.8, "EchoTime": 0.014}
    return {
        "asl001": Layout(asl001, ["deltam", "m0scan"], subject="Sub103"),
        "asl002": Layout(asl002, PAIR * 35, (20, 20, 20), {
            "perf/sub-Sub103_m0scan": (
                {"RepetitionTimePreparation": 9, "PhaseEncodingDirection": "j", "IntendedFor": "perf/sub-Sub103_asl.nii.gz"}, 1
            ),
        }, "Sub103", 0.2),
        "asl003": Layout(asl003, PAIR * 10, m0={
            "perf/sub-Sub1_m0scan": ({"RepetitionTimePreparation": 6, "IntendedFor": "perf/sub-Sub1_asl.nii.gz"}, 1),
        }, suppressed=0.2),
        "asl004": Layout(asl004, TURNED * 48, (20, 20, 24), {
            "perf/sub-Sub1_m0scan": (ahead | {"IntendedFor": "bids::sub-Sub1/perf/sub-Sub1_asl.nii.gz"}, 1),
            "fmap/sub-Sub1_dir-pa_m0scan": (
                ahead | {"PhaseEncodingDirection": "j", "IntendedFor": "perf/sub-Sub1_m0scan.nii.gz"}, 0.5
            ),
        }, suppressed=0.2),
        "asl005": Layout(asl005, PAIR * 8, m0={
            "perf/sub-Sub103_m0scan": (
                {"RepetitionTimePreparation": 4.95, "IntendedFor": "perf/sub-Sub103_asl.nii.gz"}, 1
            ),
        }, subject="Sub103", suppressed=0.2),
    }  # fmt: skip


def computed(layout, folder, *sets, data=None):
    """The maps of a layout by their endings, and what the sidecar of CBF says."""
    root = layout.write(folder / "data", data)
    (found,) = find_scans(root)
    assert found.problem is None
    outcome = process(found.scan, folder / "maps", recipe(*sets), cpu())
    stem = f"sub-{layout.subject}_"
    maps = {
        path.name.removeprefix(stem).removesuffix(".nii.gz"): load_image(path)[0].scaled()
        for path in (folder / "maps").rglob("*.nii.gz")
    }
    said = json.loads(next((folder / "maps").rglob(f"{stem}cbf.json")).read_text())
    return maps, said, outcome


def tissues(layout):
    """Each tissue's voxels, but for those beside another tissue or air, which a mask may cut off."""
    return head(layout.shape).items()


@pytest.mark.parametrize("name", ["asl001", "asl002", "asl005"])
def test_an_example_of_one_delay_is_the_published_formula(name, tmp_path):
    layout = layouts()[name]
    maps, said, _ = computed(layout, tmp_path)
    delay, duration = (times[0] for times in layout.timing())
    late = np.exp((delay + layout.late()) / T1_BLOOD)
    scale = 6000 * PARTITION / (2 * layout.efficiency() * T1_BLOOD * (1 - np.exp(-duration / T1_BLOOD)))
    for tissue, inside in tissues(layout):
        assert (maps["label-brain_desc-asl_mask"][inside] == 1).mean() > 0.95
        kept = inside & (maps["label-brain_desc-asl_mask"] == 1)
        expected = np.broadcast_to(scale * late * layout.held(tissue)[0], layout.shape)[kept]
        np.testing.assert_allclose(maps["cbf"][kept], expected, rtol=2e-3)
        # The formula lets label decay as in blood; in tissue, of shorter T1, and washed out, less is left of it.
        assert 0.6 < maps["cbf"][kept].mean() / FLOW[tissue] < 1
        np.testing.assert_allclose(maps["m0"][kept], BRIGHTNESS[tissue], rtol=1e-4)
    assert "att" not in maps
    assert said["Parameters"]["SliceTimingApplied"] == (name == "asl002")
    assert said["Parameters"]["LabelingEfficiency"]["Value"] == pytest.approx(layout.efficiency())


@pytest.mark.parametrize("name", ["asl003", "asl004"])
def test_an_example_of_several_delays_gives_flow_and_arrival(name, tmp_path):
    layout = layouts()[name]
    maps, said, outcome = computed(layout, tmp_path)
    for tissue, inside in tissues(layout):
        kept = inside & (maps["label-brain_desc-asl_mask"] == 1)
        assert (maps["desc-aslfit_state"][kept] == 0).all()
        assert np.median(maps["cbf"][kept]) == pytest.approx(FLOW[tissue], rel=0.02)
        assert np.median(maps["att"][kept]) == pytest.approx(ARRIVAL[tissue], abs=0.03)
        np.testing.assert_allclose(maps["m0"][kept], BRIGHTNESS[tissue], rtol=1e-4)
    assert len(said["Parameters"]["PostLabelingDelay"]) == {"asl003": 10, "asl004": 6}[name]
    assert not any("distorted" in warning for warning in outcome.warnings)


def test_of_two_phase_encoding_directions_the_series_own_is_used_and_told(tmp_path):
    layout = layouts()["asl004"]
    layout.m0["fmap/sub-Sub1_dir-pa_m0scan"][0]["IntendedFor"] = [
        "perf/sub-Sub1_m0scan.nii.gz",
        "perf/sub-Sub1_asl.nii.gz",
    ]
    maps, _, outcome = computed(layout, tmp_path / "perf")
    gm = head(layout.shape)["gm"] & (maps["label-brain_desc-asl_mask"] == 1)
    np.testing.assert_allclose(maps["m0"][gm], BRIGHTNESS["gm"], rtol=1e-4)
    told = [warning for warning in outcome.warnings if "calibration images" in warning]
    assert told == [
        "of 2 calibration images sub-Sub1_m0scan.nii.gz was used, phase-encoded along j- as the series is; "
        "not used: sub-Sub1_dir-pa_m0scan.nii.gz"
    ]
    layout.meta["PhaseEncodingDirection"] = "j"
    maps, _, outcome = computed(layout, tmp_path / "fmap")
    np.testing.assert_allclose(maps["m0"][gm], BRIGHTNESS["gm"] / 2, rtol=1e-4)
    assert any("sub-Sub1_dir-pa_m0scan.nii.gz was used" in warning for warning in outcome.warnings)
    del layout.m0["fmap/sub-Sub1_dir-pa_m0scan"]
    _, _, outcome = computed(layout, tmp_path / "other")
    assert any("they are distorted differently" in warning for warning in outcome.warnings)
