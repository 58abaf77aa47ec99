"""A transit time that is given: taken as known at one delay and at several, checked, told, and never invented."""

import json

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.errors import BolusError, Code
from bolus.nifti import load as load_image
from bolus.pipeline import process
from bolus_kernels.device import cpu
from bolus_kernels.state import State
from tests.engine.labelled import ARRIVAL, FLOW, head, painted, save
from tests.engine.made import recipe
from tests.engine.test_asl_schemes import PULSED, layout, well_inside

GIVEN = "asl.transit_time=given"
ONE, SEVERAL = ["control", "label"], ["control", "label"] * 4
DELAYS = [0.6, 0.6, 1.2, 1.2, 1.8, 1.8, 2.4, 2.4]


def arrivals(shape=(20, 20, 6)):
    return painted(head(shape), ARRIVAL, 0.0)


def computed(made, folder, att, *sets, data=None):
    """The maps by their endings, what CBF's sidecar says, the outcome."""
    root = made.write(folder / "data", data)
    given = folder / "given" / "sub-Sub1" / "perf"
    given.mkdir(parents=True)
    if att is not None:
        save(given / "sub-Sub1_att.nii.gz", att)
    (found,) = find_scans(root, derivatives=[folder / "given"])
    outcome = process(found.scan, folder / "maps", recipe(*sets), cpu())
    maps = {
        path.name.removeprefix("sub-Sub1_").removesuffix(".nii.gz"): load_image(path)[0].scaled()
        for path in (folder / "maps").rglob("*.nii.gz")
    }
    return maps, json.loads(next((folder / "maps").rglob("sub-Sub1_cbf.json")).read_text()), outcome


@pytest.mark.parametrize("pulsed", [False, True])
@pytest.mark.parametrize("context", [ONE, SEVERAL])
def test_flow_with_a_given_transit_time_is_the_truth(tmp_path, context, pulsed):
    kind = PULSED if pulsed else {}
    made = layout(context, **kind | {"PostLabelingDelay": 1.8 if context is ONE else DELAYS})
    maps, said, outcome = computed(made, tmp_path, arrivals(), GIVEN)
    for tissue in FLOW:
        inside = well_inside(maps, tissue)
        np.testing.assert_allclose(maps["cbf"][inside], FLOW[tissue], rtol=0.005)
    assert "att" not in maps and "desc-sd_att" not in maps and "desc-sd_cbf" in maps
    assert said["Parameters"]["ArterialTransitTime"] == {"Source": "sub-Sub1_att.nii.gz"}
    assert not {"att_prior", "att_mean", "att_sd", "ArrivalPrior"} & said["Parameters"].keys()
    assert said["Method"].endswith("the arterial transit time being given.")
    assert not outcome.warnings


def test_the_likeliest_flow_has_no_map_of_an_arrival_that_is_given(tmp_path):
    made = layout(SEVERAL, PostLabelingDelay=DELAYS)
    maps, _, _ = computed(made, tmp_path, arrivals(), GIVEN, "asl.mode=true")
    assert "desc-mode_cbf" in maps and "desc-mode_att" not in maps


def test_the_noise_of_a_lone_pair_is_told_by_neighbours(tmp_path):
    made, spread = layout(["deltam"]), 0.5
    data = made.series()
    data += np.random.default_rng(2).normal(0, spread, data.shape).astype(np.float32)
    maps, said, _ = computed(made, tmp_path, arrivals(), GIVEN, data=data)
    told = said["Parameters"]["NoiseVariance"]
    assert "neighbours" in told["Source"]
    assert told["Value"] == pytest.approx((spread / 1000) ** 2, rel=0.25)
    inside = well_inside(maps, "gm")
    assert maps["cbf"][inside].mean() == pytest.approx(FLOW["gm"], rel=0.02)


def test_a_voxel_without_a_transit_time_is_no_number_and_says_why(tmp_path):
    att = arrivals()
    att[10, 10, 2], att[10, 10, 3], att[10, 11, 3] = 0.0, np.nan, 9.0
    maps, _, outcome = computed(layout(ONE), tmp_path, att, GIVEN)
    state = maps["desc-aslfit_state"]
    assert state[10, 10, 2] == state[10, 10, 3] == State.NO_ARRIVAL
    assert state[10, 11, 3] == State.NO_SOLUTION
    assert np.isnan(maps["cbf"][[10, 10, 10], [10, 10, 11], [2, 3, 3]]).all()
    assert np.isfinite(maps["deltam"][10, 10, 2]) and np.isfinite(maps["m0"][10, 10, 3])
    assert (state[well_inside(maps, "gm")] == 0).all()
    assert any("in 1 brain voxels the label arrives after the last readout" in w for w in outcome.warnings)


def test_many_voxels_without_a_transit_time_are_told(tmp_path):
    att = arrivals()
    att[:, :9] = 0.0
    _, _, outcome = computed(layout(ONE), tmp_path, att, GIVEN)
    assert any("of the brain's voxels have no value in the given att map" in w for w in outcome.warnings)


def test_a_map_that_is_not_asked_for_is_told_not_used(tmp_path):
    _, said, outcome = computed(layout(ONE), tmp_path, arrivals())
    assert "ArterialTransitTime" not in said["Parameters"]
    assert outcome.warnings == ("sub-Sub1_att.nii.gz was not used: asl.transit_time = fitted",)


def test_milliseconds_are_refused(tmp_path, refused):
    error = refused(computed, layout(ONE), tmp_path, 1000 * arrivals(), GIVEN)
    assert error.code is Code.DATA and "milliseconds" in error.mend


def test_another_grid_is_refused(tmp_path, refused):
    assert refused(computed, layout(ONE), tmp_path, arrivals((20, 20, 7)), GIVEN).code is Code.SHAPE


def test_no_map_is_refused(tmp_path, refused):
    error = refused(computed, layout(ONE), tmp_path, None, GIVEN)
    assert error.code is Code.META and "no att map" in error.seen


def test_what_only_a_formula_follows_is_refused(tmp_path, refused):
    made = layout(ONE, **PULSED | {"BolusCutOffTechnique": "QUIPSS"})
    error = refused(computed, made, tmp_path, arrivals(), GIVEN)
    assert error.code is Code.RECIPE and "QUIPSS" in error.seen


@pytest.mark.parametrize("other", ["arterial=true", "spatial=true", "quantification=single_delay"])
def test_what_fits_the_transit_time_itself_is_refused(other):
    with pytest.raises(BolusError) as caught:
        recipe(GIVEN, f"asl.{other}")
    assert caught.value.code is Code.RECIPE and "transit_time" in caught.value.seen
