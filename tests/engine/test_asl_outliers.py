"""Spoilt pairs: found, dropped or bent as the float64 references say, told in a table; clean scans stay whole."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.asl import brain as asl_brain
from benchmarks.reference import rejection as reference
from benchmarks.reference import scrub as reference_scrub
from bolus.compute import compute
from bolus.errors import Code
from bolus.prepare import prepare
from bolus.prepare.asl import rejection, robust
from bolus_kernels.device import cpu
from bolus_kernels.state import State
from tests.engine.made import recipe
from tests.engine.spoilt import SEVERAL, SINGLE, SPOILT, brain, inside, scanned, tissue

NOISE = 850 / 150 * np.sqrt(2) / 850


def prepared(how, **scan):
    return prepare(scanned(**scan), recipe(f"asl.outliers={how}"))


def gone(curves):
    """The pairs that the table names; nothing lies before the pairs."""
    return [row["Volumes"][0] // 2 for row in curves.constants["Outliers"]["Table"]]


def repeats(spoilt=None, seed=1):
    return prepared("none", spoilt=spoilt, seed=seed).values.astype(np.float64)


def mads(values):
    return np.median(np.abs(values - np.median(values, axis=1, keepdims=True)), axis=1) / 0.674489750196


@pytest.mark.parametrize("spoilt", [None, SPOILT, {0: "noise"}, {4: "shift", 5: "shift"}])
def test_score_and_enable_drop_what_the_references_drop(spoilt):
    values = repeats(spoilt)
    gm, wm = tissue("gm"), tissue("wm")
    csf = np.clip(1 - gm - wm, 0, 1)
    regions = rejection.regions_of({"GM": gm, "WM": wm, "CSF": csf}, len(gm))
    found = {verdict.repeat for verdict in rejection.score(values, regions)}
    assert found == set(np.flatnonzero(~reference.score(values, gm, wm, csf)))
    found = {verdict.repeat for verdict in rejection.enable(values, *regions[:2])}
    assert found == set(np.flatnonzero(~reference.enable(values, gm, wm)))


def test_the_robust_mean_is_that_of_the_reference_with_and_without_structure():
    values = repeats(SPOILT)[::7]
    tissues = np.stack([tissue(name)[::7] for name in ("gm", "wm", "csf")], axis=1)
    scale = mads(values)
    known = tissues.sum(axis=1) >= 0.5  # the tumour is none of them
    assert 0.9 < known.mean() < 1
    expected = reference_scrub.structure(values[known], tissues[known])
    ours = robust.expected_of(values, tissues, scale)
    np.testing.assert_allclose(ours.mean[known], expected.expected, rtol=1e-9)
    assert ours.variance == pytest.approx(expected.variance, rel=1e-9)
    free = np.full(len(values), 1e12)
    for prior, towards, variance in (
        (ours, ours.mean, np.where(known, ours.variance, free)), (None, 0 * scale, free),
    ):  # fmt: skip
        truth = [reference_scrub.scrub(*each) for each in zip(values, towards, variance, strict=True)]
        away = np.abs(robust.robust_mean(values, scale, prior) - truth) / scale
        assert away.max() < 1e-4


def test_a_lesion_that_is_no_tissue_is_held_to_nothing():
    values = repeats()
    tissues = np.stack([tissue(name) for name in ("gm", "wm", "csf")], axis=1)
    scale = mads(values)
    lesion = (np.arange(len(values)) % 9 == 0) | (tissues.sum(axis=1) < 0.5)
    tissues[lesion], values[lesion] = 0, values[lesion] + 0.01
    prior = robust.expected_of(values, tissues, scale)
    np.testing.assert_array_equal(prior.known, ~lesion)
    found, free = robust.robust_mean(values, scale, prior), robust.robust_mean(values, scale)
    np.testing.assert_array_equal(found[lesion], free[lesion])
    assert np.abs(found - free)[~lesion].max() > 0
    others = robust.expected_of(values[~lesion], tissues[~lesion], scale[~lesion])
    assert prior.variance == pytest.approx(others.variance)
    np.testing.assert_allclose(prior.mean[~lesion], others.mean)


def test_pseudo_values_average_to_the_robust_mean_and_scatter_as_its_error_does():
    random = np.random.default_rng(3)
    values = random.normal(5, 1, (20000, 8))
    scale = np.ones(len(values))
    clean, bent = robust.pseudo_values(values, scale)
    centre = robust.robust_mean(values, scale)
    np.testing.assert_allclose(clean.mean(axis=1), centre, atol=1e-5)
    assert clean.var(axis=1, ddof=1).mean() / 8 == pytest.approx(centre.var(), rel=0.08)
    assert 0.1 < bent.mean() < 0.18
    prior = robust.Expected(np.full(len(values), 7.0), 0.5)
    moved, _ = robust.pseudo_values(values, scale, prior)
    np.testing.assert_allclose(
        moved - moved.mean(axis=1, keepdims=True), clean - clean.mean(axis=1, keepdims=True)
    )
    np.testing.assert_allclose(moved.mean(axis=1), robust.robust_mean(values, scale, prior), atol=1e-5)


@pytest.mark.parametrize("repeats", [3, 4, 20])
def test_the_noise_is_told_without_bias_and_however_many_voxels_are_spoilt(repeats):
    values = np.random.default_rng(4).normal(0, 2, (30000, repeats)) + np.arange(30000)[:, None]
    assert robust.noise_scale([values, values + 1]) == pytest.approx(2, rel=0.01)
    values[:, 0] += 1000
    assert 2 < robust.noise_scale([values]) < 8


@pytest.mark.parametrize("how", ["score", "enable"])
def test_spoilt_pairs_are_dropped_and_told(how):
    curves = prepared(how, spoilt=SPOILT)
    assert gone(curves) == [3, 7, 11]
    told = curves.constants["Outliers"]
    assert told["Method"] == how and told["Pairs"] == 20
    assert all(row["PostLabelingDelay"] == 1.8 and row["Reason"] for row in told["Table"])
    assert json.loads(json.dumps(told)) == told
    assert f"asl.outliers = {how}: 3 of 20 pairs dropped" in curves.warnings
    assert (
        curves.values.shape[1] == curves.constants["Pairs"] == len(curves.protocol.post_labeling_delay) == 17
    )
    assert curves.constants["VolumesUsed"] == 34
    kept = np.delete(repeats(SPOILT), [3, 7, 11], axis=1)
    np.testing.assert_array_equal(curves.values, kept.astype(np.float32))
    deltam = {item.ending: item for item in curves.extra}["deltam"]
    m0 = {item.ending: item for item in curves.extra}["m0"]
    assert deltam.description == "control - label, mean of the 17 pairs kept of 20"
    where = inside()
    shown = deltam.data[where] / m0.data[where]
    np.testing.assert_allclose(shown.mean(), kept.mean(axis=1).mean(), rtol=1e-3)


def test_the_table_counts_volumes_from_the_first_of_the_series():
    curves = prepared("score", spoilt={3: "shift"}, before=("m0scan", "m0scan"))
    assert [row["Volumes"] for row in curves.constants["Outliers"]["Table"]] == [[8, 9]]


@pytest.mark.parametrize("how", ["score", "enable"])
def test_clean_scans_lose_next_to_nothing(how):
    lost = [len(gone(prepared(how, acquisition=SINGLE, seed=seed))) for seed in range(4)]
    lost += [len(gone(prepared(how, acquisition=SEVERAL, seed=seed))) for seed in range(2)]
    assert sum(lost) < 0.05 * (4 * 20 + 2 * 48)


@pytest.mark.parametrize(
    ("acquisition", "spoilt", "limit"),
    [
        (SINGLE, SPOILT, {"score": 0.45, "enable": 0.45, "scrub": 0.4, "robust": 0.5}),
        (
            SEVERAL,
            {3: "shift", 12: "noise", 21: "spikes"},
            {"score": 0.6, "enable": 0.6, "scrub": 0.4, "robust": 0.6},
        ),
    ],
    ids=["single delay", "several delays"],
)
def test_flow_is_nearer_the_truth_for_it(acquisition, spoilt, limit):
    truth = asl_brain.mixed(brain(), brain().cbf)
    grey = (brain().fractions["gm"] > 0.8) & inside()

    def error(how, spoilt):
        maps = compute(prepared(how, acquisition=acquisition, spoilt=spoilt), recipe(), cpu())
        (cbf,) = [each.data for each in maps.items if each.ending == "cbf"]
        return np.sqrt(np.mean((cbf - truth)[grey] ** 2))

    spoilt_error, clean = error("none", spoilt), error("none", None)
    assert spoilt_error > 1.5 * clean
    for how, share in limit.items():
        assert error(how, spoilt) < share * spoilt_error, how
        assert error(how, None) < 1.1 * clean, how  # what nothing was wrong with stays right


@pytest.mark.parametrize("how", ["scrub", "robust"])
def test_bent_pairs_all_stay_and_the_worst_is_named(how):
    curves = prepared(how, spoilt=SPOILT)
    assert gone(curves) == [11] and curves.values.shape[1] == 20
    assert any("1 of 20 pairs weighed down" in warning for warning in curves.warnings)
    clean = prepared("none").protocol.noise_variance
    assert clean < curves.protocol.noise_variance < 1.6 * clean  # a robust mean of a spoilt scan is less sure
    assert prepared("none", spoilt=SPOILT).protocol.noise_variance > 3 * clean


def test_without_outliers_nothing_is_touched_or_told():
    curves = prepared("none", spoilt=SPOILT)
    assert "Outliers" not in curves.constants and curves.values.shape[1] == 20
    assert not any("outliers" in warning for warning in curves.warnings)
    whole = prepared("score", seed=2)
    assert gone(whole) == []
    np.testing.assert_array_equal(whole.values, prepared("none", seed=2).values)


@pytest.mark.parametrize("how", ["score", "enable", "scrub", "robust"])
def test_fewer_than_three_repeats_are_left_as_they_are(how):
    acquisition = replace(SEVERAL, repeats=2)
    spoilt = {0: "noise"}
    curves = prepared(how, acquisition=acquisition, spoilt=spoilt)
    np.testing.assert_array_equal(
        curves.values, prepared("none", acquisition=acquisition, spoilt=spoilt).values
    )
    assert curves.constants["Outliers"]["Table"] == []
    assert any("fewer than 3 repeats at a delay of 0.25, 0.5" in warning for warning in curves.warnings)


def test_scrub_without_tissues_is_refused_by_name(refused):
    error = refused(prepare, scanned(maps=("GM",)), recipe("asl.outliers=scrub"))
    assert error.code is Code.META and "label-WM_probseg" in error.seen and "robust" in error.mend


@pytest.mark.parametrize("how", ["score", "enable", "robust"])
def test_without_tissue_maps_the_whole_brain_judges(how):
    curves = prepared(how, spoilt=SPOILT, maps=())
    assert 11 in gone(curves)


@pytest.mark.parametrize("how", ["score", "enable", "scrub", "robust"])
def test_voxels_without_a_number_judge_nothing_and_harm_no_other(how):
    series, broken = scanned(spoilt=SPOILT), np.argwhere(inside())[::50]
    image = series.images[0]
    data = image.data.copy(order="F")
    data[tuple(broken.T)] = np.nan
    holed = prepare(replace(series, images=(replace(image, data=data),)), recipe(f"asl.outliers={how}"))
    whole = prepared(how, spoilt=SPOILT)
    assert gone(holed) == gone(whole)
    there = np.isfinite(holed.values).all(axis=1)
    assert there.sum() == len(there) - len(broken)
    np.testing.assert_allclose(holed.values[there], whole.values[there], atol=0.2 * NOISE)
    maps = compute(holed, recipe(), cpu())
    state = next(item.data for item in maps.items if item.ending == "desc-aslfit_state")
    assert (state[tuple(broken.T)] == State.NOT_FINITE).all() and (state > 0).sum() == len(broken)


def test_a_scan_without_noise_stays_as_it_is():
    for how in ("score", "robust"):
        clean = replace(SINGLE, snr=np.inf, repeats=5)
        curves = prepared(how, acquisition=clean)
        assert gone(curves) == []
        np.testing.assert_allclose(curves.values, prepared("none", acquisition=clean).values, rtol=1e-6)


def test_the_order_of_repeats_does_not_matter():
    values = repeats(SPOILT)
    order = np.random.default_rng(6).permutation(20)
    regions = rejection.regions_of({"GM": tissue("gm"), "WM": tissue("wm")}, len(values))
    for judge in (rejection.score, lambda v, r: rejection.enable(v, *r[:2])):
        plain = {verdict.repeat for verdict in judge(values, regions)}
        assert {int(order[verdict.repeat]) for verdict in judge(values[:, order], regions)} == plain
