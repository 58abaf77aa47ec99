"""Metadata: a field that is missing, in another unit, or contradicted is refused by name with what it says."""

import json

import pytest

from bolus.errors import Code

PASL = {
    "ArterialSpinLabelingType": "PASL",
    "LabelingDuration": None,
    "BolusCutOffFlag": True,
    "BolusCutOffDelayTime": 0.7,
    "BolusCutOffTechnique": "QUIPSSII",
}
LOOK_LOCKER = {"LookLocker": True, "FlipAngle": 25, "PostLabelingDelay": [0.3, 0.3, 0.6, 0.6, 0.9, 0.9]}
SLICED = {"MRAcquisitionType": "2D", "SliceTiming": [0.1, 0.15, 0.2]}

# (fields that differ from a good scan's, None for a missing one; what the error must quote)
DSC = [
    ({"EchoTime": None}, "no EchoTime"),
    ({"EchoTime": 30}, "EchoTime = 30"),
    ({"EchoTime": 0}, "EchoTime = 0"),
    ({"EchoTime": -0.03}, "EchoTime = -0.03"),
    ({"EchoTime": 3e-5}, "EchoTime = 3e-05"),
    ({"EchoTime": "0.03"}, 'EchoTime = "0.03"'),
    ({"EchoTime": [0.01, 0.03]}, "EchoTime = [0.01, 0.03]"),
    ({"EchoTime": True}, "EchoTime = true"),
    ({"EchoTime": float("nan")}, "EchoTime = NaN"),
    ({"EchoTime": float("inf")}, "EchoTime = Infinity"),
    ({"EchoTime": 10**400}, "EchoTime = 1000"),
    ({"RepetitionTime": None}, "no RepetitionTime"),
    ({"RepetitionTime": 1500}, "RepetitionTime = 1500"),
    ({"RepetitionTime": 0}, "RepetitionTime = 0"),
    ({"RepetitionTime": -1.5}, "RepetitionTime = -1.5"),
    ({"RepetitionTime": None, "VolumeTiming": [0, 1, 3]}, "VolumeTiming = [0, 1, 3]"),
    ({"FlipAngle": 900}, "FlipAngle = 900"),
    ({"MagneticFieldStrength": 3000}, "MagneticFieldStrength = 3000"),
]
ASL = [
    ({"ArterialSpinLabelingType": None}, "no ArterialSpinLabelingType"),
    ({"ArterialSpinLabelingType": "VSASL", "LabelingDuration": None}, "no BolusCutOffFlag"),
    ({"ArterialSpinLabelingType": "VSS"}, '"VSS"'),
    ({"ArterialSpinLabelingType": "pcasl"}, '"pcasl"'),
    ({"PostLabelingDelay": None}, "no PostLabelingDelay"),
    ({"PostLabelingDelay": 1800}, "PostLabelingDelay = 1800"),
    ({"PostLabelingDelay": 0}, "PostLabelingDelay = 0"),
    ({"PostLabelingDelay": [1, 1, -1, -1, 1, 1]}, "[1, 1, -1, -1, 1, 1]"),
    ({"PostLabelingDelay": [1, 1, 1, 1, 1, 0]}, "[1, 1, 1, 1, 1, 0]"),
    ({"PostLabelingDelay": [1.0, 2.0]}, "[1.0, 2.0]"),
    ({"PostLabelingDelay": [1, 1, None, 1, 1, 1]}, "null"),
    ({"LabelingDuration": None}, "no LabelingDuration"),
    ({"LabelingDuration": 1450}, "LabelingDuration = 1450"),
    ({"LabelingDuration": 0}, "LabelingDuration = 0"),
    (PASL | {"BolusCutOffFlag": None}, "no BolusCutOffFlag"),
    (PASL | {"BolusCutOffFlag": False}, "BolusCutOffFlag = false"),
    (PASL | {"BolusCutOffDelayTime": None}, "no BolusCutOffDelayTime"),
    (PASL | {"BolusCutOffDelayTime": 700}, "BolusCutOffDelayTime = 700"),
    (PASL | {"BolusCutOffDelayTime": [1.6, 0.7]}, "[1.6, 0.7]"),
    (PASL | {"BolusCutOffDelayTime": []}, "[]"),
    (PASL | {"BolusCutOffDelayTime": 1.9}, "BolusCutOffDelayTime = 1.9"),
    (PASL | {"BolusCutOffTechnique": "QUIPPS"}, '"QUIPPS"'),
    (PASL | {"BolusCutOffTechnique": "QUIPSS", "PostLabelingDelay": [1, 1, 2, 2, 3, 3]}, '"QUIPSS"'),
    ({"LabelingDuration": [1.0, 0.5, 0.2]}, "[1.0, 0.5, 0.2]"),
    ({"BackgroundSuppression": None}, "no BackgroundSuppression"),
    ({"BackgroundSuppression": "yes"}, '"yes"'),
    ({"BackgroundSuppression": True, "BackgroundSuppressionNumberPulses": 1.5}, "= 1.5"),
    (
        {
            "BackgroundSuppression": True,
            "BackgroundSuppressionNumberPulses": 3,
            "BackgroundSuppressionPulseTime": [1, 2],
        },
        "NumberPulses = 3",
    ),
    ({"BackgroundSuppression": True, "BackgroundSuppressionPulseTime": [1965, 2600]}, "[1965, 2600]"),
    ({"EchoTime": 14}, "EchoTime = 14"),
    ({"EchoTime": [0.01, 0.01, 0.03, 0.03, 0.05]}, "EchoTime = ["),
    ({"EchoTime": [0.01, 0.01, 0.03, 0.03, 50, 0.05]}, "EchoTime = ["),
    ({"LabelingEfficiency": 85}, "LabelingEfficiency = 85"),
    ({"LabelingEfficiency": 0}, "LabelingEfficiency = 0"),
    ({"MagneticFieldStrength": None}, "no MagneticFieldStrength"),
    ({"MRAcquisitionType": None}, "no MRAcquisitionType"),
    ({"MRAcquisitionType": "2D"}, "no SliceTiming"),
    (SLICED | {"SliceTiming": [0, 0.1]}, "SliceTiming = [0, 0.1]"),
    (SLICED | {"SliceTiming": [0, 50, 100]}, "SliceTiming = [0, 50, 100]"),
    (SLICED | {"SliceTiming": [0, -0.1, 0]}, "SliceTiming = [0, -0.1, 0]"),
    (SLICED | {"SliceTiming": [0, 5, 10]}, "SliceTiming = [0, 5, 10]"),
    (SLICED | {"SliceEncodingDirection": "i"}, "SliceTiming = [0.1, 0.15, 0.2]"),
    (SLICED | {"SliceEncodingDirection": "x"}, 'SliceEncodingDirection = "x"'),
    (LOOK_LOCKER | {"LookLocker": "yes"}, 'LookLocker = "yes"'),
    (LOOK_LOCKER | {"FlipAngle": None}, "no FlipAngle"),
    (LOOK_LOCKER | {"FlipAngle": 90}, "FlipAngle = 90"),
    (LOOK_LOCKER | {"FlipAngle": [25, 25, 12, 12, 25, 12]}, "FlipAngle = [25"),
    (LOOK_LOCKER | {"PostLabelingDelay": 1.8}, "PostLabelingDelay = 1.8"),
    (LOOK_LOCKER | {"PostLabelingDelay": [1, 1, 2, 2, 4, 4]}, "[1, 1, 2, 2, 4, 4]"),
    (LOOK_LOCKER | {"M0Type": "Absent"}, 'M0Type = "Absent"'),
    ({"M0Type": None}, "no M0Type"),
    ({"M0Type": "separate"}, 'M0Type = "separate"'),
    ({"M0Type": "Included"}, 'M0Type = "Included"'),
    ({"M0Type": "Absent", "BackgroundSuppression": True}, 'M0Type = "Absent"'),
    ({"M0Type": "Absent", "RepetitionTimePreparation": 0}, "RepetitionTimePreparation = 0"),
    ({"M0Type": "Estimate"}, "no M0Estimate"),
    ({"M0Type": "Estimate", "M0Estimate": 0}, "M0Estimate = 0"),
]
M0 = [
    ({"EchoTime": 0.01}, "no RepetitionTimePreparation"),
    ({"RepetitionTimePreparation": 0}, "RepetitionTimePreparation = 0"),
    ({"RepetitionTimePreparation": 90000}, "RepetitionTimePreparation = 90000"),
    ({"RepetitionTimePreparation": [2, 6]}, "RepetitionTimePreparation = [2, 6]"),
    ({"RepetitionTimePreparation": 6, "EchoTime": 14}, "EchoTime = 14"),
]
JSON = [
    ('{"EchoTime": 0.03,}', "E_META", "line 1, column"),
    ('{"EchoTime": 0.03', "E_META", "line 1, column"),
    ("[1, 2]", "E_META", "[1, 2]"),
    ("0.03", "E_META", "0.03"),
    ('{"EchoTime": 0.03, "EchoTime": 0.04}', "E_META", "0.03 and 0.04"),
    ("[" * 200000, "E_META", "recursion"),
    ('{"EchoTime": ' + "1" * 9999 + "}", "E_META", "4300"),
    (b'{"EchoTime": "\xff"}', "E_CORRUPT", "0xff"),
    ("", "E_CORRUPT", "0 bytes"),
]


@pytest.mark.parametrize(
    ("contrast", "fields", "seen"), [("dsc", *case) for case in DSC] + [("asl", *case) for case in ASL]
)
def test_a_bad_field_is_refused(scans, refused, contrast, fields, seen):
    tree = scans(contrast)
    tree.meta(**fields)
    error = refused(tree.read)
    assert (error.code, error.file) == (Code.META, str(tree.json))
    assert seen in error.seen


@pytest.mark.parametrize(("fields", "seen"), M0)
def test_a_bad_field_of_the_calibration_is_refused(asl, refused, fields, seen):
    asl.file("m0scan.json").write_text(json.dumps(fields))
    error = refused(asl.read)
    assert (error.code, error.file) == (Code.META, str(asl.file("m0scan.json")))
    assert seen in error.seen


@pytest.mark.parametrize(("content", "code", "seen"), JSON)
@pytest.mark.parametrize("ending", ["asl.json", "m0scan.json"])
def test_a_bad_sidecar_is_refused(asl, refused, ending, content, code, seen):
    path = asl.file(ending)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refused(asl.read)
    assert (error.code, error.file) == (Code(code), str(path))
    assert seen in error.seen


@pytest.mark.parametrize(
    ("contrast", "sidecar", "image"),
    [("dsc", "dsc.json", "dsc.nii.gz"), ("asl", "m0scan.json", "m0scan.nii.gz")],
)
def test_a_missing_sidecar_is_told_of_the_image(scans, refused, contrast, sidecar, image):
    tree = scans(contrast)
    tree.file(sidecar).unlink()
    error = refused(tree.read)
    assert (error.code, error.file) == (Code.META, str(tree.file(image)))
    assert "no other metadata" in error.seen


def test_an_inherited_field_is_told_of_its_own_file(dsc, refused):
    general = dsc.root / "dsc.json"
    general.write_text(json.dumps({"EchoTime": 30}))
    dsc.meta(EchoTime=None)
    assert refused(dsc.read).file == str(general)


def test_header_and_sidecar_that_contradict_each_other_are_refused(dsc, refused):
    dsc.put(dsc.measured(12), step=(2.0, "sec"))
    error = refused(dsc.read)
    assert (error.code, error.file) == (Code.META, str(dsc.json))
    assert "1.5 s" in error.seen and "2 s" in error.seen


@pytest.mark.parametrize(
    ("contrast", "fields", "hint"),
    [
        ("dsc", {"EchoTime": 30}, "write 0.03"),
        ("dsc", {"RepetitionTime": 1500}, "write 1.5"),
        ("asl", {"PostLabelingDelay": 1800}, "write 1.8"),
        ("asl", {"LabelingDuration": [1450] * 6}, "write 1.45"),
        ("asl", {"LabelingEfficiency": 85}, "percent: write 0.85"),
        ("asl", {"ArterialSpinLabelingType": "pcASL"}, "PCASL"),
        ("asl", {"EchoTime": 14}, "write 0.014"),
        ("asl", SLICED | {"SliceTiming": [0, 50, 100]}, "write 0.05"),
    ],
)
def test_a_likely_slip_is_named(scans, refused, contrast, fields, hint):
    tree = scans(contrast)
    tree.meta(**fields)
    assert hint in refused(tree.read).mend
