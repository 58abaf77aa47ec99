"""Images and tables: what was never measured, does not fit, or lies elsewhere is refused by name."""

import gzip
import json

import numpy as np
import pytest

from bolus.errors import Code

SHAPE = (5, 4, 3)
CONTEXT = ("control", "label") * 3
ONES = np.ones(SHAPE, np.uint8)
SOFT = np.full(SHAPE, 0.5, np.float32)
SOFT[0] = 0.25
HERE = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -80], [0, 0, 4, -30], [0, 0, 0, 1]])
MIRRORED = HERE * [[-1], [1], [1], [1]]


def moved(x):
    affine = HERE.copy()
    affine[0, 3] += x
    return affine


def with_volume(index, value):
    def change(values):
        values[..., index] = value
        return values

    return change


# (contrast, float32 values of a good scan -> of the bad one, code, what the error must quote)
SERIES = [
    ("dsc", lambda values: values[..., 0], "E_SHAPE", "(5, 4, 3)"),
    ("dsc", lambda values: values[..., :9], "E_TOO_FEW", "9 volumes"),
    ("dsc", lambda values: values * np.float32(np.nan), "E_DATA", "12 of 12"),
    ("dsc", with_volume(7, np.nan), "E_DATA", "number 7"),
    ("asl", with_volume(2, np.inf), "E_DATA", "number 2"),
    ("dsc", lambda values: values * 0, "E_DATA", "nothing but zeros"),
    ("asl", with_volume(5, 0), "E_DATA", "number 5"),
    ("dsc", lambda values: values * 0 + 7, "E_DATA", "12 volumes that are all equal"),
    ("asl", lambda values: values[..., :1].repeat(6, 3), "E_DATA", "6 volumes that are all equal"),
]
CONTEXTS = [
    (CONTEXT[:5], "E_SHAPE", "5 rows for 6 volumes"),
    ((*CONTEXT, "label"), "E_SHAPE", "7 rows for 6 volumes"),
    (["cbf"] * 6, "E_DATA", "cbf only"),
    ((*["cbf"] * 5, "m0scan"), "E_DATA", "cbf, m0scan only"),
    (["noRF"] * 6, "E_META", "noRF only"),
    ((*CONTEXT[:5], "labell"), "E_META", "'labell' in row 6"),
    (["m0scan"] * 6, "E_META", "m0scan only"),
    (["control"] * 6, "E_META", "control only"),
]
CALIBRATIONS = [
    (ONES * 0, HERE, "E_DATA", "no voxel above 0"),
    (SOFT * np.nan, HERE, "E_DATA", "no voxel above 0"),
    (ONES[..., :1], HERE, "E_GEOM", "covers 33 %"),
    (ONES, moved(20), "E_GEOM", "covers 0 %"),
]
GIVEN = [
    ("label-brain_mask", ONES * 0, HERE, "E_DATA", "every voxel is 0"),
    ("label-AIF_mask", SOFT * np.nan, HERE, "E_DATA", "NaN"),
    ("label-brain_mask", SOFT, HERE, "E_DATA", "0.25, 0.5"),
    ("label-lesion_mask", SOFT, HERE, "E_DATA", "0.25, 0.5"),
    ("desc-brain_mask", ONES, moved(3), "E_GEOM", "3 mm"),
    ("label-brain_mask", ONES, MIRRORED, "E_GEOM", "[2.0, 0.0, 0.0, -90.0]"),
    ("label-brain_mask", np.ones((6, 4, 3), np.uint8), HERE, "E_SHAPE", "(6, 4, 3)"),
    ("label-brain_mask", np.ones((*SHAPE, 2), np.uint8), HERE, "E_SHAPE", "2 volumes"),
    ("label-GM_probseg", ONES * 100, HERE, "E_DATA", "100 to 100"),
    ("T1map", SOFT * 2600, HERE, "E_DATA", "median T1 of 1300"),
    ("T1map", SOFT * 0, HERE, "E_DATA", "without a positive voxel"),
]


def rows(count=12, column="signal", value=lambda n: 100 - n, time=lambda n: 1.5 * n):
    return f"time\t{column}\n" + "".join(f"{time(n)}\t{value(n)}\n" for n in range(count))


INPUTS = [
    (rows(column="concentration"), "time, concentration"),
    (rows(column="signal\tdelta_r2star"), "signal, delta_r2star"),
    (rows(5), "5 samples"),
    (rows(time=lambda n: 5 if n == 6 else n), "time 5 after 5 in line 8"),
    (rows(time=lambda n: 1500 * n), "1500 apart"),
    (rows(value=lambda n: "n/a" if n == 4 else 5), "'n/a' in line 6"),
    (rows(value=lambda n: "inf" if n == 4 else 5), "'inf' in line 6"),
    (rows(value=lambda n: n), "signal 0 in line 2"),
    (rows(value=lambda n: 5), "signal = 5"),
    ("\n", "columns none"),
]


@pytest.mark.parametrize(("contrast", "change", "code", "seen"), SERIES)
def test_a_bad_series_is_refused(scans, refused, contrast, change, code, seen):
    tree = scans(contrast)
    tree.put(change(tree.measured(12 if contrast == "dsc" else 6, np.float32)))
    error = refused(tree.read)
    assert (error.code, error.file) == (Code(code), str(tree.image))
    assert seen in error.seen


def test_a_truncated_series_is_refused(dsc, refused):
    dsc.image.write_bytes(dsc.image.read_bytes()[:-20])
    error = refused(dsc.read)
    assert (error.code, error.file) == (Code.CORRUPT, str(dsc.image))
    assert "incomplete" in error.seen


def test_echoes_of_asl_need_their_times(asl, refused):
    for number in (1, 2):
        asl.put(asl.measured(6), asl.file(f"echo-{number}_asl.nii.gz"))
    asl.image.unlink()
    error = refused(asl.read)
    assert (error.code, error.seen) == (Code.META, "no EchoTime")


def shorter(tree, path):
    tree.put(tree.measured(11), path)


def elsewhere(tree, path):
    tree.put(tree.measured(12), path, affine=tree.affine + np.diag([0, 0, 0.5, 0]))


def in_milliseconds(tree, path):
    tree.put(tree.measured(12), path, step=(2.0, "sec"))


def empty_volume(tree, path):
    values = tree.measured(12)
    values[..., 6] = 0
    tree.put(values, path)


BAD_ECHOES = {
    "another length": (shorter, Code.SHAPE, "11"),
    "another place": (elsewhere, Code.GEOM, "affine"),
    "another step": (in_milliseconds, Code.META, "2 s between volumes"),
    "a lost volume": (empty_volume, Code.DATA, "number 6"),
}


@pytest.mark.parametrize("case", BAD_ECHOES)
def test_an_echo_that_does_not_belong_is_refused(echoes, refused, case):
    change, code, seen = BAD_ECHOES[case]
    tree = echoes(0.012, 0.035)
    change(tree, tree.file("echo-2_dsc.nii.gz"))
    error = refused(tree.read)
    assert error.code == code and seen in error.seen


@pytest.mark.parametrize("times", [(0.035, 0.012), (0.03, 0.03), (0.012, 0.05, 0.035)])
def test_echo_times_that_do_not_rise_are_refused(echoes, refused, times):
    tree = echoes(*times)
    error = refused(tree.read)
    assert error.code is Code.META and "EchoTime" in error.expected


def test_echoes_without_times_of_their_own_or_with_two_repetition_times_are_refused(echoes, refused):
    tree = echoes(0.012, 0.035)
    own = tree.file("echo-2_dsc.json")
    own.write_text(json.dumps({"EchoTime": 0.035, "RepetitionTime": 1.6}))
    assert "1.5 s, as the first echo has" in refused(tree.read).expected
    own.unlink()
    error = refused(tree.read)
    assert error.code is Code.META and "EchoTime" in error.seen


@pytest.mark.parametrize(("types", "code", "seen"), CONTEXTS)
def test_a_bad_table_of_volumes_is_refused(asl, refused, types, code, seen):
    asl.context(*types)
    error = refused(asl.read)
    assert (error.code, error.file) == (Code(code), str(asl.file("aslcontext.tsv")))
    assert seen in error.seen


def test_a_table_of_volumes_must_be_one(asl, refused):
    asl.context(*CONTEXT, head="type")
    assert "'type'" in refused(asl.read).seen
    asl.file("aslcontext.tsv").write_text("\n")
    assert "no line" in refused(asl.read).seen
    asl.file("aslcontext.tsv").unlink()
    error = refused(asl.read)
    assert (error.code, error.file) == (Code.META, str(asl.image))
    assert "aslcontext" in error.seen


@pytest.mark.parametrize(("values", "affine", "code", "seen"), CALIBRATIONS)
def test_a_bad_calibration_image_is_refused(asl, refused, values, affine, code, seen):
    path = asl.file("m0scan.nii.gz")
    asl.put(values, path, affine=affine)
    error = refused(asl.read)
    assert (error.code, error.file) == (Code(code), str(path))
    assert seen in error.seen


def test_a_damaged_or_missing_calibration_image_is_refused(asl, refused):
    path = asl.file("m0scan.nii.gz")
    path.write_bytes(gzip.compress(bytes(400))[:-4])
    error = refused(asl.read)
    assert (error.code, error.file) == (Code.CORRUPT, str(path))
    path.unlink()
    error = refused(asl.read)
    assert (error.code, error.file) == (Code.META, str(asl.json))
    assert '"Separate"' in error.seen


@pytest.mark.parametrize(("ending", "values", "affine", "code", "seen"), GIVEN)
def test_a_bad_mask_or_map_is_refused(dsc, refused, ending, values, affine, code, seen):
    path = dsc.give(f"{ending}.nii.gz", values, affine=affine)
    error = refused(dsc.read)
    assert (error.code, error.file) == (Code(code), str(path))
    assert seen in error.seen


@pytest.mark.parametrize(("text", "seen"), INPUTS)
def test_a_bad_arterial_input_is_refused(dsc, refused, text, seen):
    path = dsc.give("aif.tsv", text)
    error = refused(dsc.read)
    assert (error.code, error.file) == (Code.AIF, str(path))
    assert seen in error.seen
