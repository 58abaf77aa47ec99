"""Reading: what a scan says is taken as it is said, and what is doubtful in it is told."""

import hashlib
import json
import tracemalloc

import nibabel
import numpy as np
import pytest

from bolus.series import DSC

CONTEXT = ("control", "label") * 3
SHAPE = (5, 4, 3)
PASL = {
    "ArterialSpinLabelingType": "PASL",
    "LabelingDuration": None,
    "BolusCutOffFlag": True,
    "BolusCutOffDelayTime": 0.7,
    "BolusCutOffTechnique": "QUIPSSII",
}
SLICED = {"MRAcquisitionType": "2D", "SliceTiming": [0.1, 0.15, 0.2]}


def some_nan(tree):
    values = tree.measured(12, np.float32)
    values[2, 2, 2, 3] = np.nan
    tree.put(values)


def test_a_good_dsc_scan(dsc):
    series = dsc.read()
    assert series.acquisition == DSC((0.03,), 1.5, 90.0, 3.0)
    (image,) = series.images
    assert image.data.dtype == np.int16 and image.data.flags.f_contiguous and image.data.base is not None
    np.testing.assert_array_equal(image.data, dsc.measured(12))
    assert series.warnings == () and series.aif is None and not series.given
    assert series.sources == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (dsc.json, dsc.image)
    }


@pytest.mark.parametrize("times", [(0.012, 0.035), (0.01, 0.022, 0.034, 0.05)])
def test_several_echoes_are_one_series(echoes, times):
    tree = echoes(*times)
    series = tree.read()
    assert series.acquisition == DSC(times, 1.5, 90.0, 3.0)
    assert series.scan.key == "sub-01_dsc" and series.warnings == ()
    for number, image in enumerate(series.images, 1):
        assert image.path.name == f"sub-01_echo-{number}_dsc.nii.gz"
        np.testing.assert_array_equal(image.data, tree.measured(12) // number + 1)
    names = [f"echo-{n}_dsc.{end}" for n in range(1, len(times) + 1) for end in ("nii.gz", "json")]
    assert set(series.sources) == {str(tree.file(name)) for name in [*names, "dsc.json"]}
    assert set(map(str, series.scan.files())) == set(series.sources)


def test_an_echo_inherits_and_overrules(echoes):
    tree = echoes(0.012, 0.035)
    tree.meta(EchoTime=0.02, FlipAngle=None)
    (tree.root / "dsc.json").write_text(json.dumps({"FlipAngle": 30, "EchoTime": 0.07}))
    assert tree.read().acquisition == DSC((0.012, 0.035), 1.5, 30.0, 3.0)
    tree.file("echo-1_dsc.json").unlink()
    assert tree.read().acquisition.echo_time == (0.02, 0.035)


def test_a_good_asl_scan(asl):
    series = asl.read()
    acquisition = series.acquisition
    assert acquisition.context == CONTEXT
    assert acquisition.post_labeling_delay == (1.8,) * 6
    assert acquisition.labeling_duration == (1.5,) * 6
    assert (acquisition.m0_type, acquisition.m0_repetition_time) == ("Separate", 6.0)
    assert acquisition.m0.data.dtype == np.float32 and acquisition.m0.data.flags.f_contiguous
    np.testing.assert_array_equal(acquisition.m0.data, asl.measured(1)[..., 0])
    assert (acquisition.labeling_efficiency, acquisition.background_suppression_pulses) == (None, None)
    assert acquisition.slice_timing is None
    assert series.warnings == ()
    files = ("asl.nii.gz", "asl.json", "aslcontext.tsv", "m0scan.nii.gz", "m0scan.json")
    assert set(series.sources) == {str(asl.file(name)) for name in files}


def test_the_nearest_sidecar_wins_key_by_key(dsc):
    (dsc.root / "dsc.json").write_text(json.dumps({"EchoTime": 0.05, "RepetitionTime": 2.0, "FlipAngle": 30}))
    dsc.meta(FlipAngle=None, EchoTime=0.025)
    assert dsc.read().acquisition == DSC((0.025,), 1.5, 30.0, 3.0)


def test_values_per_volume_and_zeros_for_calibration(asl):
    asl.context("m0scan", "label", "control", "label", "control", "m0scan")
    delays = [0, 1.0, 1.0, 2.0, 2.0, 0]
    asl.meta(
        PostLabelingDelay=delays,
        LabelingDuration=[0, 1.4, 1.4, 1.8, 1.8, 0],
        M0Type="Included",
        RepetitionTimePreparation=[8.0, 4, 4, 5, 5, 8.0],
        BackgroundSuppression=True,
        BackgroundSuppressionNumberPulses=2,
        LabelingEfficiency=0.8,
    )
    asl.file("m0scan.nii.gz").unlink()
    acquisition = asl.read().acquisition
    assert acquisition.post_labeling_delay == tuple(delays)
    assert acquisition.labeling_duration == (0, 1.4, 1.4, 1.8, 1.8, 0)
    assert (acquisition.m0, acquisition.m0_repetition_time) == (None, 8.0)
    assert (acquisition.background_suppression_pulses, acquisition.labeling_efficiency) == (2, 0.8)


@pytest.mark.parametrize("times", [0.7, [0.7], [0.7, 1.6]])
def test_the_first_cut_off_is_the_bolus_duration_of_pasl(asl, times):
    asl.meta(**PASL | {"BolusCutOffDelayTime": times})
    acquisition = asl.read().acquisition
    assert acquisition.labeling == "PASL"
    assert acquisition.labeling_duration == (0.7,) * 6


@pytest.mark.parametrize(
    ("direction", "expected"), [(None, (0, 0.05, 0.1)), ("k", (0, 0.05, 0.1)), ("k-", (0.1, 0.05, 0))]
)
def test_slice_times_go_along_the_third_axis(asl, direction, expected):
    asl.meta(**SLICED, SliceEncodingDirection=direction)
    np.testing.assert_allclose(asl.read().acquisition.slice_timing, expected)


def test_m0_as_a_number_and_m0_of_several_volumes(asl):
    volumes = asl.measured(4)
    asl.put(volumes, asl.file("m0scan.nii.gz"))
    np.testing.assert_allclose(asl.read().acquisition.m0.data, volumes.mean(axis=3), rtol=1e-6)
    asl.meta(M0Type="Estimate", M0Estimate=1200)
    series = asl.read()
    assert (series.acquisition.m0, series.acquisition.m0_repetition_time) == (1200.0, None)
    assert any("m0scan.nii.gz was not used" in warning for warning in series.warnings)
    asl.meta(M0Type="Absent")
    assert (asl.read().acquisition.m0, asl.read().acquisition.m0_repetition_time) == (None, 4.5)


def test_one_difference_image_is_a_series_of_one(asl):
    asl.put(asl.measured(1)[..., 0])
    asl.context("deltam")
    (image,) = asl.read().images
    assert image.data.shape == (*SHAPE, 1)


def test_given_masks_maps_and_aif(dsc):
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[0, 0, :2] = 1, 2
    paths = [
        dsc.give("label-brain_mask.nii.gz"),
        dsc.give("label-lesion_mask.nii.gz", lesion),
        dsc.give("T1map.nii.gz", np.full(SHAPE, 1.3, np.float32)),
        dsc.give("label-GM_probseg.nii.gz", np.linspace(0, 1, 60, dtype=np.float32).reshape(SHAPE)),
        dsc.give("aif.tsv", "time\tdelta_r2star\n" + "".join(f"{n * 1.5}\t{n % 7}\n" for n in range(12))),
    ]
    series = dsc.read()
    assert set(series.given) == {"label-brain_mask", "label-lesion_mask", "T1map", "label-GM_probseg"}
    assert series.aif.column == "delta_r2star"
    np.testing.assert_allclose(series.aif.time, np.arange(12) * 1.5)
    np.testing.assert_allclose(series.aif.values, np.arange(12) % 7)
    assert {str(path) for path in paths} <= set(series.sources)


DOUBTFUL = {
    "some nan": ("dsc", some_nan, "NaN"),
    "saturated": ("dsc", lambda tree: tree.put(np.minimum(tree.measured(12), 25000)), "largest value, 25000"),
    "header in ms": ("dsc", lambda tree: tree.put(tree.measured(12), step=(1500, "sec")), "milliseconds"),
    "header unset": ("dsc", lambda tree: tree.put(tree.measured(12), step=(1, "sec")), "1 s between volumes"),
    "no technique": ("asl", lambda tree: tree.meta(**PASL | {"BolusCutOffTechnique": None}), "BolusCutOffTechnique"),
    "3D with slice timing": ("asl", lambda tree: tree.meta(SliceTiming=[0, 1, 2]), "SliceTiming was not used"),
}  # fmt: skip


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_is_doubtful_is_said(scans, case):
    contrast, change, words = DOUBTFUL[case]
    tree = scans(contrast)
    change(tree)
    (warning,) = tree.read().warnings
    assert words in warning


@pytest.mark.parametrize(("qform_code", "sform_code"), [(1, 4), (0, 0)])
def test_a_doubtful_place_in_space_is_said(dsc, qform_code, sform_code):
    image = nibabel.Nifti1Image(dsc.measured(12), dsc.affine)
    elsewhere = dsc.affine.copy()
    elsewhere[0, 3] += 7
    image.set_qform(elsewhere, qform_code)
    image.set_sform(dsc.affine, sform_code)
    nibabel.save(image, dsc.image)
    (warning,) = dsc.read().warnings
    assert "7 mm apart" in warning if sform_code else "unknown" in warning


def test_equal_header_and_sidecar_raise_no_doubt(dsc):
    for step in ((1.5, "sec"), (1500, "msec"), (1.499, "sec")):
        dsc.put(dsc.measured(12), step=step)
        assert dsc.read().warnings == ()


def test_pulse_times_count_the_pulses(asl):
    asl.meta(BackgroundSuppression=True, BackgroundSuppressionPulseTime=[0.5, 1.2, 2.9])
    assert asl.read().acquisition.background_suppression_pulses == 3


def test_reading_leaves_no_copy_of_the_series(dsc):
    volumes = np.random.default_rng(0).integers(1, 4000, (128, 128, 10, 40)).astype(np.int16)
    dsc.put(volumes)
    packed = dsc.image.stat().st_size
    tracemalloc.start()
    series = dsc.read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert series.images[0].data.dtype == np.int16
    assert peak < volumes.nbytes + packed + 3_000_000
