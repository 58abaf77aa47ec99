"""What is made of curves: identities between maps, the state of every voxel, and no bit that depends on threads."""

from dataclasses import replace

import numpy as np
import pytest

from bolus.compute import blocks, compute, scan
from bolus.prepare import prepare
from bolus.recipe import chosen_methods
from bolus_kernels.device import Device, cpu
from bolus_kernels.state import MEANINGS, State
from tests.engine.made import asl_series, dsc_series, dsc_signal, recipe, volume

BOTH = "dsc.deconvolution=csvd,osvd"


def noisy(seed=1):
    """A stored series of many blood volumes with noise, and two voxels that cannot be computed."""
    random = np.random.default_rng(seed)
    signal = dsc_signal()
    tissue = random.uniform(2, 14, signal.shape[:3])
    tissue[:4, :2, 0] = 60
    scaled = 1000 * (signal / 1000) ** (tissue / np.where(tissue == 60, 60, 8))[..., None]
    stored = np.rint(20 * (scaled + random.normal(0, 5, signal.shape))).astype(np.int16)
    stored[5, 5, 1, 22] = 0
    stored[6, 5, 1] = 77
    return stored


def maps_of(*sets, threads=1, series=None):
    chosen = recipe(*sets)
    curves = prepare(dsc_series(noisy(), 0.05) if series is None else series, chosen)
    maps = compute(curves, chosen, cpu(threads))
    return {item.ending: item for item in maps.items}, maps, curves


@pytest.mark.parametrize("cbv", ["uncorrected", "bsw"])
def test_mtt_is_the_recipe_s_cbv_over_cbf_in_every_voxel(cbv):
    items, _, curves = maps_of(BOTH, f"dsc.cbv={cbv}")
    for method in ("csvd", "osvd"):
        flow, mtt = items[f"desc-{method}_cbf"].data, items[f"desc-{method}_mtt"].data
        good = (items["desc-dscfit_state"].data == 0) & curves.mask
        assert good.sum() > 300
        np.testing.assert_allclose(
            mtt[good], 60 * items[f"desc-{cbv}_cbv"].data[good] / flow[good], rtol=3e-7
        )
        assert items[f"desc-{method}_mtt"].parameters["BloodVolume"] == cbv


def test_the_corrected_and_the_uncorrected_volume_differ():
    items, _, _ = maps_of()
    good = items["desc-dscfit_state"].data == 0
    assert (items["desc-bsw_cbv"].data[good] != items["desc-uncorrected_cbv"].data[good]).any()


def test_relative_maps_have_no_density_and_no_unit():
    absolute, _, curves = maps_of()
    relative, _, _ = maps_of("dsc.relative=true")
    factor = curves.protocol.density_factor
    for ending in ("desc-osvd_cbf", "desc-bsw_cbv", "desc-uncorrected_cbv"):
        np.testing.assert_allclose(relative[ending].data * factor, absolute[ending].data, rtol=1e-5)
        assert relative[ending].unit == "arbitrary"
    for ending in ("desc-osvd_mtt", "desc-osvd_tmax"):
        np.testing.assert_allclose(relative[ending].data, absolute[ending].data, rtol=1e-5)
        assert relative[ending].unit == absolute[ending].unit == "s"


def asl_curves(voxels=(10, 9, 4)):
    random = np.random.default_rng(6)
    data = random.normal(800, 3, (*voxels, 16)).astype(np.float32)
    data[..., 1::2] -= random.uniform(2, 10, (*voxels, 1)).astype(np.float32)
    data[3, 3, 1, 4] = np.nan
    delays = tuple(np.repeat([0.5, 1.0, 1.5, 2.0], 4))
    return prepare(asl_series(data, ("control", "label") * 8, post_labeling_delay=delays), recipe())


@pytest.mark.parametrize("contrast", ["dsc", "asl"])
@pytest.mark.parametrize(("threads", "block"), [(1, 64), (2, 64), (3, 100), (2, 16384)])
def test_threads_and_blocks_do_not_change_a_bit(monkeypatch, contrast, threads, block):
    chosen = recipe(BOTH)
    curves = prepare(dsc_series(noisy(), 0.05), chosen) if contrast == "dsc" else asl_curves()
    whole = compute(curves, chosen, cpu())
    monkeypatch.setattr(blocks, "BLOCK", block)
    parts = compute(curves, chosen, cpu(threads))
    assert [item.ending for item in parts.items] == [item.ending for item in whole.items]
    for one, other in zip(whole.items, parts.items, strict=True):
        np.testing.assert_array_equal(one.data, other.data, err_msg=one.ending)
    assert parts.numbers == whole.numbers


def test_a_voxel_with_a_broken_curve_is_nan_in_every_map_and_has_its_state():
    items, maps, _ = maps_of(BOTH)
    state = items["desc-dscfit_state"].data
    assert state[5, 5, 1] == State.MISSING_SAMPLE and state[6, 5, 1] == State.NO_SIGNAL
    for item in maps.items:
        if item.data.dtype == np.float32:
            np.testing.assert_array_equal(np.isnan(item.data), state != 0, err_msg=item.ending)


def test_a_voxel_that_one_method_cannot_solve_keeps_the_maps_of_the_others():
    stored = noisy()
    stored[4:, 4:] = stored[4:, 4:, :, :1] // 2 - stored[4:, 4:] // 4  # a bolus that brightens has no flow
    items, maps, _ = maps_of("dsc.osvd.oscillation_index=0.001", series=dsc_series(stored, 0.05))
    unsolved = items["desc-dscfit_state"].data == State.NO_SOLUTION
    assert unsolved.any() and any("no solution by osvd" in warning for warning in maps.warnings)
    for ending in ("cbf", "mtt", "tmax"):
        assert np.isnan(items[f"desc-osvd_{ending}"].data[unsolved]).all()
    assert (items["desc-uncorrected_cbv"].data[unsolved] < 0).all()


def test_an_asl_voxel_that_failed_is_nan_too():
    curves = asl_curves()
    maps = compute(curves, recipe(), cpu())
    items = {item.ending: item.data for item in maps.items}
    assert items["desc-aslfit_state"][3, 3, 1] == State.NOT_FINITE
    for ending in ("cbf", "att", "desc-sd_cbf", "desc-sd_att", "deltam", "m0"):
        assert np.isnan(items[ending]).sum() == 1 and np.isnan(items[ending][3, 3, 1])


def test_many_failures_are_told():
    stored = noisy()
    stored[4:, :, 1:, 20] = 0
    _, maps, _ = maps_of(series=dsc_series(stored, 0.05))
    assert any("could not be computed" in warning for warning in maps.warnings)


def test_outside_the_mask_every_map_is_zero():
    brain = np.zeros((10, 9, 4), np.uint8)
    brain[:, :7] = 1
    items, maps, curves = maps_of(BOTH, series=dsc_series(noisy(), 0.05, label_brain=volume(brain)))
    for item in maps.items:
        assert item.data.shape == brain.shape and not item.data[brain == 0].any(), item.ending
    np.testing.assert_array_equal(items["label-brain_desc-dsc_mask"].data, brain)
    assert (items["desc-osvd_cbf"].data[brain == 1] != 0).all()
    assert curves.voxels.size == brain.sum()


def test_the_state_map_lists_what_its_labels_mean():
    items, _, _ = maps_of()
    levels = items["desc-dscfit_state"].parameters["Levels"]
    assert levels == {str(int(code)): text for code, text in MEANINGS.items()}
    assert {int(level) for level in levels} == set(map(int, State))
    assert items["desc-dscfit_state"].unit == "label"


def test_headline_numbers_are_medians_over_the_brain():
    items, maps, curves = maps_of()
    values = items["desc-osvd_cbf"].data[curves.mask]
    assert maps.numbers["median_desc-osvd_cbf"] == pytest.approx(np.nanmedian(values), rel=1e-6)


def test_the_aif_voxels_are_a_map():
    items, _, curves = maps_of()
    marked = items["label-AIF_mask"].data
    assert marked.dtype == np.uint8 and marked.sum() == curves.aif.voxels.size == 8
    assert marked[:4, :2, 0].all()


def test_a_gpu_is_not_claimed_where_a_method_has_no_kernel_for_it(monkeypatch):
    chosen = recipe()
    without = [replace(method, cuda=False) for method in chosen_methods(chosen, "dsc")]
    monkeypatch.setattr(scan, "methods_for", lambda *_: without)
    maps = compute(prepare(dsc_series(noisy(), 0.05), chosen), chosen, Device("cuda", "a GPU"))
    assert maps.device == "cpu"


def test_a_series_that_ends_too_soon_for_recovery_lacks_no_other_map():
    whole, _, curves = maps_of()
    items, maps, _ = maps_of("dsc.summary.recovery_to=300", "dsc.summary.recovery_from=290")
    before, after = whole["desc-dscfit_state"].data, items["desc-dscfit_state"].data
    good = (before == State.GOOD) & curves.mask
    assert np.all(after[good] == State.NO_RECOVERY) and np.array_equal(after[~good], before[~good])
    assert np.isnan(items["psr"].data[good]).all() and np.isfinite(whole["psr"].data[good]).all()
    for ending in ("bat", "cnr", "desc-osvd_cbf"):
        assert np.array_equal(items[ending].data, whole[ending].data, equal_nan=True)
    assert maps.numbers["share_failed"] == np.mean(before[curves.mask] != State.GOOD)
    assert maps.warnings == ()


def test_a_standard_deviation_says_what_it_is_of():
    items, _, _ = maps_of("dsc.deconvolution=csvd", "dsc.bootstrap=3")
    for name in ("cbf", "mtt", "tmax"):
        said = items[f"desc-csvdSd_{name}"].description
        assert "residual bootstrap" in said and "given the arterial input" in said
        assert "arterial input" not in items[f"desc-csvd_{name}"].description
    assert "Efron" in items["desc-csvdSd_cbf"].parameters["BootstrapSource"]


def test_the_prior_of_flow_that_bayes_takes_from_the_scan_is_told():
    items, _, curves = maps_of("dsc.deconvolution=bayes,csvd", "dsc.bayes.mtt_prior=6")
    volume = items["desc-bsw_cbv"].data.reshape(-1, order="F")[curves.voxels]
    told = items["desc-bayes_cbf"].parameters["CbfPrior"]
    assert told["Value"] == pytest.approx(60 * np.nanmedian(volume[volume > 0]) / 6, rel=1e-4)
    assert told["Units"] == "ml/100g/min" and "CbfPrior" not in items["desc-csvd_cbf"].parameters


def test_dropped_volumes_change_no_time_of_arrival():
    def arrival(*sets):
        items, _, curves = maps_of(*sets)
        return items["bat"].data.reshape(-1, order="F")[curves.voxels], curves.constants["ArterialInput"]

    (whole, artery), (cut, same_artery) = arrival(), arrival("dsc.dummy_scans=4")
    assert np.nanmedian(np.abs(cut - whole)) < 0.3  # a shorter baseline has another noise
    assert np.nanmedian(cut - whole) == pytest.approx(0, abs=0.1)
    assert same_artery["Arrival"] == pytest.approx(artery["Arrival"], abs=0.3)
