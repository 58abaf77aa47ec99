"""Labelling of every kind, from files to flow: encoded, velocity-selective, cut off, of any duration."""

import numpy as np
import pytest

from bolus.errors import Code
from bolus.prepare.asl.encoding import signs_of
from tests.engine.labelled import (
    ARRIVAL,
    BRIGHTNESS,
    FLOW,
    PARTITION,
    T1_BLOOD,
    Layout,
    difference,
    head,
    painted,
)
from tests.engine.made import recipe
from tests.engine.test_asl_layouts import computed

META = {
    "MagneticFieldStrength": 3,
    "MRAcquisitionType": "3D",
    "ArterialSpinLabelingType": "PCASL",
    "PostLabelingDelay": 1.8,
    "LabelingDuration": 1.8,
    "BackgroundSuppression": False,
    "RepetitionTimePreparation": 6.0,
    "M0Type": "Separate",
}
M0 = {
    "perf/sub-Sub1_m0scan": ({"RepetitionTimePreparation": 10, "IntendedFor": "perf/sub-Sub1_asl.nii.gz"}, 1)
}
PARTS = {8: (1.8, 0.8, 0.5, 0.4, 0.3, 0.3, 0.2), 4: (2.0, 1.0, 0.6), 12: (1.2, 0.6, 0.5, *[0.25] * 8)}
PULSED = {
    "ArterialSpinLabelingType": "PASL",
    "LabelingDuration": None,
    "BolusCutOffFlag": True,
    "BolusCutOffDelayTime": 0.7,
    "BolusCutOffTechnique": "QUIPSSII",
}


def layout(context, **changes):
    meta = {key: value for key, value in (META | changes).items() if value is not None}
    return Layout(meta, list(context), m0=dict(M0))


def well_inside(maps, tissue, shape=(20, 20, 6)):
    return head(shape)[tissue] & (maps["label-brain_desc-asl_mask"] == 1)


def check_kinetics(maps, flow=0.02, arrival=0.03):
    for tissue in FLOW:
        inside = well_inside(maps, tissue)
        assert np.median(maps["cbf"][inside]) == pytest.approx(FLOW[tissue], rel=flow)
        assert np.median(maps["att"][inside]) == pytest.approx(ARRIVAL[tissue], abs=arrival)


def encoded(signs, parts, delay, cycles=2):
    """A series whose volumes show each part of the label as control (+1) or label (-1)."""
    where, starts = head((20, 20, 6)), np.concatenate([[0.0], np.cumsum(parts)])
    held = {
        tissue: [difference(tissue, "PCASL", [starts[-1] + delay], part, 0.85, start)[0] for part, start in zip(parts, starts[:-1], strict=True)]
        for tissue in FLOW
    }  # fmt: skip
    volumes = [
        painted(where, {t: m0 * (0.9 - sum(h for h, s in zip(held[t], row[1:], strict=True) if s < 0)) for t, m0 in BRIGHTNESS.items()})
        for row in signs
    ]  # fmt: skip
    return np.stack(volumes * cycles, axis=3)


@pytest.mark.parametrize(("how", "size"), [("hadamard", 8), ("walsh", 8), ("hadamard", 4), ("paley", 12)])
@pytest.mark.parametrize("told", ["sidecar", "recipe"])
def test_a_time_encoded_label_is_decoded_into_its_parts(tmp_path, how, size, told):
    sets = [f"asl.encoding={how}", f"asl.encoding_size={size}"]
    signs, parts = signs_of(recipe(*sets)), PARTS[size]
    series = encoded(signs, parts, 0.15)
    made = layout(
        ["label"] * 2 * size,
        PostLabelingDelay=0.15,
        LabelingDuration=list(parts) if told == "sidecar" else sum(parts),
    )
    if told == "recipe":
        sets.append("asl.encoding_durations=" + ",".join(map(str, parts)))
    maps, said, _ = computed(made, tmp_path, *sets, data=series)
    check_kinetics(maps)
    assert said["Parameters"]["Pairs"] == 2 * (size - 1)
    later = [0.15 + sum(parts[part + 1 :]) for part in range(len(parts))]
    np.testing.assert_allclose(said["Parameters"]["PostLabelingDelay"], sorted(set(later)), rtol=1e-12)


def test_a_matrix_of_one_s_own_is_the_same_as_its_name(tmp_path):
    signs, parts = signs_of(recipe("asl.encoding=walsh", "asl.encoding_size=4")), PARTS[4]
    made = layout(["control"] + ["label"] * 3, PostLabelingDelay=0.5, LabelingDuration=list(parts))
    series = encoded(signs, parts, 0.5, cycles=1)
    matrix = ",".join(f"{sign:g}" for sign in signs.ravel())
    named, _, _ = computed(made, tmp_path / "named", "asl.encoding=walsh", "asl.encoding_size=4", data=series)
    given, _, _ = computed(
        made, tmp_path / "given", "asl.encoding=matrix", f"asl.encoding_matrix={matrix}", data=series
    )
    np.testing.assert_array_equal(named["cbf"], given["cbf"])
    assert np.median(named["cbf"][well_inside(named, "gm")]) == pytest.approx(FLOW["gm"], rel=0.05)


@pytest.mark.parametrize(
    ("how", "size"), [("hadamard", 4), ("hadamard", 32), ("walsh", 16), ("paley", 12), ("paley", 24)]
)
def test_encodings_are_orthogonal_and_all_parts_are_seen_alike(how, size):
    signs = signs_of(recipe(f"asl.encoding={how}", f"asl.encoding_size={size}"))
    np.testing.assert_array_equal(signs.T @ signs, size * np.eye(size))
    assert (signs[:, 0] == 1).all() and (signs[:, 1:].sum(0) == 0).all()
    if how == "walsh":
        np.testing.assert_array_equal((np.diff(signs) != 0).sum(1), np.arange(size))


REFUSED = {
    "no word of it in the recipe": ([], ["label"] * 8, PARTS[8], Code.META, "7 parts"),
    "half a cycle": (["asl.encoding=hadamard"], ["label"] * 12, 5.0, Code.SHAPE, "12 volumes"),
    "no durations": (["asl.encoding=hadamard"], ["label"] * 8, 5.0, Code.META, "0 durations"),
    "too few durations": (
        ["asl.encoding=hadamard", "asl.encoding_durations=1,2"], ["label"] * 8, 5.0, Code.META, "2 durations"
    ),
    "no such size": (["asl.encoding=hadamard", "asl.encoding_size=12"], ["label"] * 12, 5.0, Code.RECIPE, "= 12"),
    "no such prime": (["asl.encoding=paley", "asl.encoding_size=16"], ["label"] * 16, 5.0, Code.RECIPE, "= 16"),
    "no square": (["asl.encoding=matrix", "asl.encoding_matrix=1,1,1"], ["label"] * 8, 5.0, Code.RECIPE, "3 numbers"),
    "columns alike": (
        ["asl.encoding=matrix", "asl.encoding_matrix=1,1,1,1"], ["label"] * 8, 5.0, Code.RECIPE, "told apart"
    ),
    "labels without controls": ([], ["label"] * 8, 1.8, Code.SHAPE, "0 control and 8 label"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_encoding_that_cannot_be_is_refused(tmp_path, refused, case):
    sets, context, durations, code, seen = REFUSED[case]
    made = layout(context, LabelingDuration=list(durations) if isinstance(durations, tuple) else durations)
    series = np.random.default_rng(1).normal(900, 5, (6, 6, 4, len(context)))
    made.shape = (6, 6, 4)
    error = refused(computed, made, tmp_path, *sets, data=series)
    assert error.code is code and seen in error.seen


def test_a_word_of_an_encoding_in_the_sidecar_is_not_passed_over(tmp_path, refused):
    made = layout(["control", "label"], HadamardMatrixSize=8)
    error = refused(computed, made, tmp_path)
    assert error.code is Code.META and "HadamardMatrixSize" in error.seen and "asl.encoding" in error.mend


@pytest.mark.parametrize(("how", "share"), [("saturation", 1), ("inversion", 2)])
@pytest.mark.parametrize("word", ["VSASL", "PASL"])
def test_velocity_selective_labelling_is_its_formula(tmp_path, how, share, word):
    """dM/M0 = (a/lambda) f tau e^(-TI/T1b) e^(-TE/T2b), twice that for an inversion; truth goes in by the formula."""
    where, f = head((20, 20, 6)), {tissue: FLOW[tissue] / 6000 for tissue in FLOW}
    cut = {"BolusCutOffFlag": True, "BolusCutOffDelayTime": 1.2, "LabelingDuration": None}
    made = layout(
        ["control", "label"], **META | cut | {
            "ArterialSpinLabelingType": word, "PostLabelingDelay": 2.0, "LabelingEfficiency": 0.6,
        }
    )  # fmt: skip
    decay = 0.6 / PARTITION * 1.2 * np.exp(-2.0 / T1_BLOOD) * np.exp(-0.02 / 0.15)
    series = [
        painted(where, {t: m0 * (0.9 - sign * share * f[t] * decay) for t, m0 in BRIGHTNESS.items()})
        for sign in (0, 1)
    ]
    sets = [f"asl.velocity_selective={how}", "asl.velocity_selective_echo_time=0.02"]
    maps, said, _ = computed(made, tmp_path, *sets, data=np.stack(series, axis=3))
    for tissue in FLOW:
        np.testing.assert_allclose(maps["cbf"][well_inside(maps, tissue)], FLOW[tissue], rtol=2e-3)
    assert said["Parameters"]["VelocitySelective"] == how


@pytest.mark.parametrize(
    ("changes", "sets", "seen"),
    [
        ({"ArterialSpinLabelingType": "VSASL"}, [], "VSASL"),
        ({}, ["asl.velocity_selective=saturation"], "PCASL"),
        ({**PULSED, "PostLabelingDelay": [1, 1, 2, 2]}, ["asl.velocity_selective=inversion"], "[1.0, 2.0]"),
        (PULSED, ["asl.velocity_selective=inversion", "asl.quantification=multi_delay"], "multi_delay"),
    ],
)
def test_a_velocity_selective_series_that_does_not_suit_its_formula_is_refused(
    tmp_path, refused, changes, sets, seen
):
    made = layout(["control", "label"] * 2, **changes)
    series = np.random.default_rng(1).normal(900, 5, (20, 20, 6, 4))
    assert seen in refused(computed, made, tmp_path, *sets, data=series).seen


def test_quipss_counts_what_arrives_after_its_saturation(tmp_path):
    """Wong 1998: with the tissue saturated at TI1, an image at TI shows f (TI - TI1) of label, in later slices more."""
    slices = {"MRAcquisitionType": "2D", "SliceTiming": [0.05 * z for z in range(6)]}
    made = layout(
        ["control", "label"], **PULSED | slices | {"BolusCutOffTechnique": "QUIPSS", "PostLabelingDelay": 1.4}
    )
    where, late = head(made.shape), made.late()
    shown = {
        tissue: 2
        * 0.98
        / PARTITION
        * FLOW[tissue]
        / 6000
        * (1.4 - 0.7 + late)
        * np.exp(-(1.4 + late) / T1_BLOOD)
        for tissue in FLOW
    }
    series = [
        painted(where, {t: m0 * (0.9 - sign * shown[t]) for t, m0 in BRIGHTNESS.items()}) for sign in (0, 1)
    ]
    maps, said, _ = computed(made, tmp_path, data=np.stack(series, axis=3))
    for tissue in FLOW:
        np.testing.assert_allclose(maps["cbf"][well_inside(maps, tissue)], FLOW[tissue], rtol=2e-3)
    assert said["Parameters"]["BolusCutOffTechnique"] == "QUIPSS"


def test_label_durations_of_their_own_and_volumes_of_every_type(tmp_path):
    """Controls and labels in any order, a calibration within, volumes that nothing is made of, deltam besides."""
    context = [
        "m0scan",
        "label",
        "control",
        "noRF",
        "control",
        "label",
        "deltam",
        "cbf",
        "label",
        "control",
    ] + ["deltam"] * 4
    plds = [0, 0.2, 0.2, 0, 0.6, 0.6, 1.0, 0, 1.8, 1.8, 0.2, 1.4, 0.8, 2.4]
    taus = [0, 1.0, 1.0, 0, 1.4, 1.4, 1.4, 0, 1.8, 1.8, 1.0, 2.0, 2.4, 1.8]
    made = layout(context, PostLabelingDelay=plds, LabelingDuration=taus, M0Type="Included")
    series = made.series()
    series[..., [3, 7]] = 7.0
    made.m0.clear()
    maps, said, outcome = computed(made, tmp_path, data=series)
    check_kinetics(maps)
    assert (
        said["Parameters"]["LabelingDuration"] == [1.0, 1.4, 1.8, 2.0, 2.4]
        and said["Parameters"]["Pairs"] == 8
    )
    assert any("1 noRF volumes" in warning for warning in outcome.warnings)
    assert any("1 cbf volumes" in warning for warning in outcome.warnings)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("way", ["", "-"])
def test_slices_may_go_along_any_axis_either_way_and_two_at_a_time(tmp_path, axis, way):
    times = [0.1, 0.2, 0.3] * 2 if axis == 2 else [0.02 * (n % 10) for n in range(20)]
    made = layout(
        ["control", "label"], **META | {
            "MRAcquisitionType": "2D", "SliceTiming": times, "SliceEncodingDirection": "ijk"[axis] + way,
        }
    )  # fmt: skip
    where, f = head(made.shape), {tissue: FLOW[tissue] / 6000 for tissue in FLOW}
    delay = 1.8 + np.array(times[::-1] if way else times) - min(times)
    late = np.exp(-delay / T1_BLOOD).reshape([-1 if each == axis else 1 for each in range(3)])
    held = 2 * 0.85 / PARTITION * T1_BLOOD * (1 - np.exp(-1.8 / T1_BLOOD))
    series = [
        painted(where, {t: m0 * (0.9 - sign * held * f[t] * late) for t, m0 in BRIGHTNESS.items()})
        for sign in (0, 1)
    ]
    maps, _, _ = computed(made, tmp_path, data=np.stack(series, axis=3))
    for tissue in FLOW:
        np.testing.assert_allclose(maps["cbf"][well_inside(maps, tissue)], FLOW[tissue], rtol=2e-3)


@pytest.mark.parametrize(("stated", "doubtful"), [(1.0, False), (1.004, False), (1.3, True)])
def test_parts_that_do_not_make_up_the_label_are_told(tmp_path, stated, doubtful):
    parts, sets = PARTS[4], ["asl.encoding=hadamard", "asl.encoding_size=4"]
    series = encoded(signs_of(recipe(*sets)), parts, 0.5, cycles=1)
    sets.append("asl.encoding_durations=" + ",".join(map(str, parts)))
    made = layout(["label"] * 4, PostLabelingDelay=0.5, LabelingDuration=stated * sum(parts))
    _, _, outcome = computed(made, tmp_path, *sets, data=series)
    assert any("the parts of the label last" in warning for warning in outcome.warnings) == doubtful
