"""A pulsed bolus that nothing cut off, from files to flow: refused, unless the recipe says how long it lasts."""

import numpy as np

from bolus.errors import Code
from tests.engine.labelled import BRIGHTNESS, FLOW, PARTITION, T1_BLOOD, difference, head, painted
from tests.engine.test_asl_layouts import computed
from tests.engine.test_asl_schemes import PULSED, check_kinetics, layout

UNCUT = PULSED | {"BolusCutOffFlag": False, "BolusCutOffDelayTime": None, "BolusCutOffTechnique": None}


def uncut(context, delays, lasting):
    """A pulsed series whose bolus lasts as long as the inverted blood does, and no field says so; its volumes."""
    made = layout(context, **UNCUT | {"PostLabelingDelay": delays})
    times = np.broadcast_to(delays, len(context))
    held = {t: difference(t, "PASL", times, lasting, 0.98) for t in FLOW}
    volumes = [
        painted(
            head(made.shape),
            {t: m0 * (0.9 - (kind == "label") * held[t][v]) for t, m0 in BRIGHTNESS.items()},
        )
        for v, kind in enumerate(context)
    ]
    return made, np.stack(volumes, axis=3), held


def test_of_a_pulsed_bolus_that_was_not_cut_off_the_recipe_may_say_the_duration(tmp_path):
    delays = np.repeat(0.3 * np.arange(1, 11), 2).tolist()
    made, series, _ = uncut(["control", "label"] * 10, delays, 1.1)
    maps, said, outcome = computed(made, tmp_path, "asl.bolus_duration=1.1", data=series)
    check_kinetics(maps, 0.005, 0.01)
    told = said["Parameters"]
    assert told["LabelingDuration"] == [1.1]
    assert told["BolusDuration"]["Value"] == 1.1 and "recipe" in told["BolusDuration"]["Source"]
    (doubt,) = [warning for warning in outcome.warnings if "BolusCutOffFlag is false" in warning]
    assert "1.1 s (asl.bolus_duration)" in doubt and "TI1" not in doubt and doubt in said["Warnings"]


def test_of_one_delay_a_bolus_that_was_not_cut_off_enters_the_formula_as_ti1(tmp_path):
    made, series, held = uncut(["control", "label"], 1.8, 0.8)
    maps, said, outcome = computed(made, tmp_path, "asl.bolus_duration=0.8", data=series)
    for tissue, inside in head(made.shape).items():
        kept = inside & (maps["label-brain_desc-asl_mask"] == 1)
        expected = 6000 * PARTITION * np.exp(1.8 / T1_BLOOD) / (2 * 0.98 * 0.8) * held[tissue][1]
        np.testing.assert_allclose(maps["cbf"][kept], expected, rtol=2e-3)
    assert any("TI1 of a formula" in warning for warning in outcome.warnings)
    assert any("TI1 of a formula" in warning for warning in said["Warnings"])


def test_without_a_word_of_it_a_bolus_that_was_not_cut_off_is_refused(tmp_path, refused):
    made, series, _ = uncut(["control", "label"], 1.8, 0.8)
    error = refused(computed, made, tmp_path / "unsaid", data=series)
    assert error.code is Code.META and error.seen == "BolusCutOffFlag = false"
    assert "asl.bolus_duration" in error.mend
    error = refused(computed, made, tmp_path / "too long", "asl.bolus_duration=1.8", data=series)
    assert error.code is Code.RECIPE and "asl.bolus_duration = 1.8" in error.seen


def test_a_duration_of_a_bolus_is_for_none_that_was_cut_off(tmp_path):
    made = layout(["control", "label"], **PULSED | {"PostLabelingDelay": 1.8})
    plain, _, _ = computed(made, tmp_path / "plain")
    maps, said, outcome = computed(made, tmp_path / "said", "asl.bolus_duration=2")
    np.testing.assert_array_equal(maps["cbf"], plain["cbf"])
    assert "BolusDuration" not in said["Parameters"] and not outcome.warnings
