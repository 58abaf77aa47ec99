"""ASL before its kernels: pairs, calibration, efficiency, slice times, relaxation times and noise."""

import numpy as np
import pytest

from bolus.compute import compute
from bolus.errors import Code
from bolus.prepare import prepare
from bolus.prepare.asl import noise_variance
from bolus_kernels.device import cpu
from bolus_kernels.state import State
from tests.engine.made import SHAPE, asl_series, everywhere, recipe, volume

CONTROL, DIFFERENCE = 800.0, 8.0
DELAYS = (0.5, 1.0, 1.5, 2.0)


def series_of(context, differences=DIFFERENCE, dtype=np.float32, **changes):
    """Controls of 800, labels less by `differences` (one number or one per volume); calibration of 900."""
    context = list(context)
    differences = np.broadcast_to(differences, len(context))
    levels = {"control": lambda d: CONTROL, "label": lambda d: CONTROL - d, "deltam": lambda d: d}
    values = [
        900.0 if kind == "m0scan" else levels[kind](d) for kind, d in zip(context, differences, strict=True)
    ]
    data = np.empty((*SHAPE, len(context)), dtype, order="F")
    data[:] = values
    return asl_series(data, context, **changes)


def curves_of(*args, sets=(), **changes):
    return prepare(series_of(*args, **changes), recipe(*sets))


@pytest.mark.parametrize("order", [("control", "label"), ("label", "control")])
def test_control_less_label_whichever_comes_first(order):
    curves = curves_of(order * 3, differences=[6, 6, 8, 8, 10, 10])
    np.testing.assert_allclose(curves.values, np.tile([0.006, 0.008, 0.010], (360, 1)), rtol=1e-5)
    assert curves.values.flags.f_contiguous and curves.values.dtype == np.float32


def test_stored_whole_numbers_are_scaled_and_the_intercept_counts_once():
    pair = curves_of(("control", "label"), dtype=np.int16, slope=0.5, inter=100.0)
    np.testing.assert_allclose(pair.values, 0.004, rtol=1e-6)
    single = curves_of(("deltam",), dtype=np.int16, slope=0.5, inter=100.0)
    np.testing.assert_allclose(single.values, 0.104, rtol=1e-6)


def test_differences_among_pairs_are_pairs_by_themselves():
    curves = curves_of(("deltam", "control", "label", "deltam", "m0scan"), differences=[5, 6, 6, 7, 0])
    np.testing.assert_allclose(curves.values, np.tile([0.005, 0.006, 0.007], (360, 1)), rtol=1e-5)


def test_pairs_are_made_within_a_delay():
    context = ("control", "control", "label", "label") * 2
    delays = (0.5, 1.0, 1.0, 0.5, 0.5, 1.0, 0.5, 1.0)
    curves = curves_of(context, differences=[0, 0, 4, 3, 0, 0, 5, 6], post_labeling_delay=delays)
    np.testing.assert_array_equal(curves.protocol.post_labeling_delay, [0.5, 1.0, 0.5, 1.0])
    np.testing.assert_allclose(curves.values[0], [0.003, 0.004, 0.005, 0.006], rtol=1e-5)


def test_label_durations_belong_to_their_pairs():
    durations = (1.0, 1.0, 2.0, 2.0)
    curves = curves_of(("control", "label") * 2, labeling_duration=durations)
    np.testing.assert_array_equal(curves.protocol.labeling_duration, [1.0, 2.0])
    endings = {item.ending for item in compute(curves, recipe(), cpu()).items}
    assert {"cbf", "att"} <= endings


@pytest.mark.parametrize(
    ("context", "delays"),
    [
        (("control", "label", "control"), (1.8,) * 3),
        (("control", "label", "control", "label"), (1.0, 1.0, 1.0, 1.5)),
        (("control", "label", "label", "deltam"), (1.8,) * 4),
        (("m0scan", "m0scan"), (0.0, 0.0)),
    ],
)
def test_counts_that_do_not_match_are_refused(refused, context, delays):
    series = series_of(context, post_labeling_delay=delays, labeling_duration=(1.8,) * len(context))
    error = refused(prepare, series, recipe())
    assert error.code is (Code.META if "label" not in context else Code.SHAPE)
    assert "label" not in context or f"a delay of {delays[0]:g} s" in error.seen


@pytest.mark.parametrize(
    ("changes", "m0"),
    [
        ({}, 1000.0),
        ({"m0_type": "Included", "m0": None}, 900.0),
        ({"m0_type": "Estimate", "m0": 1234.0, "m0_repetition_time": None}, 0.9 * 1234.0),  # BIDS: of blood
        ({"m0_type": "Absent", "m0": None}, CONTROL),
    ],
    ids=["Separate", "Included", "Estimate", "Absent"],
)
def test_every_kind_of_calibration(changes, m0):
    curves = curves_of(("m0scan", "control", "label"), **changes)
    np.testing.assert_allclose(curves.values, DIFFERENCE / m0, rtol=1e-5)
    maps = {item.ending: item for item in curves.extra}
    np.testing.assert_allclose(maps["m0"].data, m0, rtol=1e-6)
    np.testing.assert_allclose(maps["deltam"].data, DIFFERENCE, rtol=1e-6)
    assert curves.constants["M0Type"] == changes.get("m0_type", "Separate")


@pytest.mark.parametrize("time", [2.0, 4.9, 5.1, 10.0])
@pytest.mark.parametrize("m0_type", ["Separate", "Included", "Absent"])
def test_a_short_repetition_time_of_m0_is_corrected_for_always(time, m0_type):
    there = everywhere(1000.0) if m0_type == "Separate" else None
    long = curves_of(("m0scan", "control", "label"), m0_type=m0_type, m0=there)
    short = curves_of(("m0scan", "control", "label"), m0_type=m0_type, m0=there, m0_repetition_time=time)
    np.testing.assert_allclose(short.values, long.values * (1 - np.exp(-time / 1.3)), rtol=1e-5)


def test_m0_recovers_with_the_t1_of_each_voxel_where_a_map_says_it():
    t1 = np.full(SHAPE, 1.3, np.float32)
    t1[5:] = 0.8
    curves = curves_of(("control", "label"), t1map=t1, m0_repetition_time=2.0)
    expected = DIFFERENCE / 1000 * (1 - np.exp(-2.0 / t1.reshape(-1, order="F")))
    np.testing.assert_allclose(curves.values[:, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(curves.protocol.t1_tissue, t1.reshape(-1, order="F"))
    assert curves.constants["T1Tissue"] == {"Source": "sub-01_T1map.nii.gz"}


def test_a_t1_that_cannot_be_is_replaced_and_told():
    t1 = np.full(SHAPE, 1.3, np.float32)
    t1[0, 0, :4] = [0, np.nan, 50, -1]
    curves = curves_of(("control", "label"), t1map=t1, sets=["asl.t1_tissue=1.2"])
    assert (curves.protocol.t1_tissue == np.float32(1.2)).sum() == 4
    assert any("T1map: 4 brain voxels" in warning for warning in curves.warnings)


def test_a_voxel_without_calibration_is_nan_with_a_state():
    m0 = np.full(SHAPE, 1000, np.float32)
    m0[1, 0, 0], m0[2, 0, 0], m0[3, 0, 0] = 0, -5, np.nan
    curves = curves_of(("control", "label"), m0=volume(m0))
    assert (curves.state[1:4] == State.NO_CALIBRATION).all() and np.isnan(curves.values[1:4]).all()
    assert (np.delete(curves.state, [1, 2, 3]) == State.GOOD).all()
    np.testing.assert_allclose(np.delete(curves.values, [1, 2, 3]), 0.008, rtol=1e-5)


def test_a_calibration_without_a_positive_voxel_is_refused(refused):
    series = series_of(("control", "label"), m0=volume(np.full(SHAPE, -1, np.float32)))
    assert refused(prepare, series, recipe()).code is Code.DATA


@pytest.mark.parametrize(("labeling", "value"), [("PCASL", 0.85), ("CASL", 0.68), ("PASL", 0.98)])
def test_the_efficiency_is_the_recipe_s_else_the_sidecar_s_else_by_type(labeling, value):
    def efficiency(sidecar, *sets):
        curves = curves_of(("control", "label"), labeling=labeling, labeling_efficiency=sidecar, sets=sets)
        told = curves.constants["LabelingEfficiency"]
        assert told["Value"] == curves.protocol.labeling_efficiency
        return told["Value"], told["Source"]

    assert efficiency(None)[0] == value
    assert "Alsop" in efficiency(None)[1]
    assert efficiency(0.7) == (0.7, "sidecar")
    assert efficiency(0.7, "asl.labeling_efficiency=0.6") == (0.6, "recipe")


@pytest.mark.parametrize(
    ("how", "pulses", "factor"),
    [("multiply", 2, 0.95**2), ("included", 2, 1.0), ("ignore", 4, 1.0), ("multiply", 0, 1.0)],
)
def test_background_suppression_costs_efficiency_as_the_recipe_says(how, pulses, factor):
    curves = curves_of(
        ("control", "label"),
        background_suppression=True,
        background_suppression_pulses=pulses,
        sets=[f"asl.background_suppression={how}"],
    )
    assert curves.protocol.labeling_efficiency == pytest.approx(0.85 * factor)
    assert curves.constants["BackgroundSuppression"] == how
    assert curves.warnings == ()


def test_an_unknown_number_of_pulses_is_told():
    curves = curves_of(("control", "label"), background_suppression=True)
    assert curves.protocol.labeling_efficiency == 0.85
    assert any("BackgroundSuppressionNumberPulses" in warning for warning in curves.warnings)
    assert curves_of(("control", "label")).constants["BackgroundSuppression"] == "none"


@pytest.mark.parametrize(("field", "t1"), [(1.5, 1.35), (1.494, 1.35), (3.0, 1.65), (2.89, 1.65), (7.0, 2.1)])
def test_t1_of_blood_follows_the_field_strength(field, t1):
    curves = curves_of(("control", "label"), magnetic_field_strength=field)
    assert curves.protocol.t1_blood == t1 == curves.constants["T1Blood"]["Value"]


def test_an_unknown_field_strength_is_refused_unless_the_recipe_helps(refused):
    series = series_of(("control", "label"), magnetic_field_strength=4.7)
    error = refused(prepare, series, recipe())
    assert error.code is Code.META and "4.7" in error.seen and "asl.t1_blood" in error.mend
    assert prepare(series, recipe("asl.t1_blood=1.9")).protocol.t1_blood == 1.9


def test_a_later_slice_has_a_longer_delay():
    timing = (0.0, 0.1, 0.2, 0.3)
    flat = compute(curves_of(("control", "label")), recipe(), cpu())
    late = compute(curves_of(("control", "label"), slice_timing=timing), recipe(), cpu())
    cbf = {
        name: {i.ending: i for i in maps.items}["cbf"].data for name, maps in (("flat", flat), ("late", late))
    }
    np.testing.assert_allclose(
        cbf["late"] / cbf["flat"], np.broadcast_to(np.exp(np.array(timing) / 1.65), SHAPE), rtol=1e-5
    )


def test_single_delay_is_not_forced_upon_several(refused):
    several = series_of(("control", "label") * 2, post_labeling_delay=(1.0, 1.0, 2.0, 2.0))
    error = refused(prepare, several, recipe("asl.quantification=single_delay"))
    assert error.code is Code.RECIPE and "[1.0, 2.0]" in error.seen


def kinetic(count, seed=1):
    """Noise-free multi-delay curves of many flows and arrivals, shaped as a kinetic curve is: (n, delays)."""
    random = np.random.default_rng(seed)
    flow, arrival = random.uniform(0.002, 0.01, (count, 1)), random.uniform(0.7, 1.3, (count, 1))
    time = np.array(DELAYS)
    return flow * np.exp(-((time - arrival - 0.6) ** 2))


@pytest.mark.parametrize("repeats", [2, 4, 12])
def test_the_noise_is_that_of_the_repeats(repeats):
    sigma = 2e-3
    values = np.tile(kinetic(4000), (1, repeats))
    values += np.random.default_rng(2).normal(0, sigma, values.shape)
    delay = np.tile(DELAYS, repeats)
    found = noise_variance(values.astype(np.float32), delay, np.full(delay.size, 1.8))
    assert found == pytest.approx(sigma**2, rel=0.03)


def test_the_noise_without_repeats_is_what_no_kinetic_curve_explains():
    sigma, delay = 2e-3, np.linspace(0.3, 3, 8)
    random = np.random.default_rng(3)
    flow, arrival = random.uniform(0.002, 0.01, (4000, 1)), random.uniform(0.7, 1.3, (4000, 1))
    values = flow * np.exp(-((delay - arrival - 0.6) ** 2)) + random.normal(0, sigma, (4000, 8))
    found = noise_variance(values.astype(np.float32), delay, np.full(8, 1.8))
    assert found == pytest.approx(sigma**2, rel=0.15)


def test_a_few_outlying_voxels_do_not_move_the_noise():
    values = np.random.default_rng(4).normal(0, 1e-3, (2000, 8))
    values[:100] *= 100
    found = noise_variance(values.astype(np.float32), np.tile([1.0, 2.0], 4), np.full(8, 1.8))
    assert found == pytest.approx(1e-6, rel=0.15)
    assert noise_variance(np.empty((0, 4), np.float32), np.ones(4), np.ones(4)) == 0.0
