"""Which arterial input a series gets: what was given, what was asked for, and what a series lets one doubt."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulate
from bolus.bids import find_scans
from bolus.errors import Code
from bolus.phantom import write_cohort
from bolus.prepare import prepare
from bolus.prepare.arterial_input import NO_VEIN, Brain, arterial_input
from bolus.prepare.relaxed import echoes_of
from bolus.read import read
from bolus.series import DSC, GivenAIF
from bolus.voxels import rows_of
from bolus_kernels.dsc.concentration import relaxation
from tests.engine.made import dsc_series, recipe, volume

SHAPE, ECHO_TIME, STEP, BASELINE = (20, 20, 8), 0.03, 1.5, (0, 7)
TIME = STEP * np.arange(56)
ARTERY, SECOND, VEIN = np.s_[2:6, 2:6, 2:5], np.s_[14:17, 3:6, 2:5], np.s_[8:13, 17:19, 1:7]
BRAIN = np.zeros(SHAPE, np.uint8)
BRAIN[1:, 1:] = 1


def marked(where, name):
    mask = np.zeros(SHAPE, np.uint8)
    mask[where] = 1
    return volume(mask, name=f"sub-01_label-{name}_mask.nii.gz")


def blood(t):
    return simulate.arterial(t, 12.0, 70.0)


def relaxation_of_a_head():
    """(x, y, z, t) 1/s: tissue that differs from left to right, two arteries (the second 1.5 s later), and a vein."""
    random = np.random.default_rng(2)
    tissue = np.stack([simulate.tissue(TIME, cbf, 4.5, 1.0, "gamma", blood) for cbf in (20, 40, 60)])
    curves = tissue[random.integers(3, size=SHAPE)]
    curves[ARTERY] = 0.7 * blood(TIME)
    curves[SECOND] = 0.6 * blood(TIME - 1.5)
    curves[VEIN] = simulate.tissue(TIME, 6000 * simulate.KAPPA_RHO / 4.5, 4.5, 2.0, "gamma", blood)
    return curves


CURVES = relaxation_of_a_head()


def brain(snr=60.0, aif=None, curves=CURVES, **given):
    random = np.random.default_rng(3)
    signal = 1000 * np.exp(-ECHO_TIME * curves)
    parts = random.normal(0, 1000 / snr, (2, *signal.shape))
    measured = np.hypot(signal + parts[0], parts[1]).astype(np.float32)
    given = {"label_brain": volume(BRAIN), "label_AIF": None} | given
    series = replace(dsc_series(measured, aif=aif, **given), acquisition=DSC((ECHO_TIME,), STEP))
    echoes, rows = echoes_of(series, series.acquisition, 0), rows_of(BRAIN > 0)
    values = relaxation(echoes, rows, BASELINE).values
    return Brain(
        series,
        values,
        rows,
        TIME,
        BASELINE,
        echoes,
        lambda some: relaxation(echoes, some, BASELINE),
        ECHO_TIME,
    )


def inside(voxels, *places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask.reshape(-1, order="F")[voxels].mean() if voxels.size else 0.0


def table():
    return GivenAIF(TIME, blood(TIME), "delta_r2star", Path("sub-01_aif.tsv"))


@pytest.mark.parametrize(
    ("wish", "given", "how"),
    [
        ("auto", ("table", "mask"), "table"),
        ("auto", ("mask",), "mask"),
        ("auto", (), "kmeans"),
        ("tsv", ("table", "mask"), "table"),
        ("mask", ("table", "mask"), "mask"),
        ("kmeans", ("table", "mask"), "kmeans"),
        ("peruzzo", ("mask",), "hierarchy"),
        ("population", (), "population"),
        ("local", ("mask",), "kmeans"),
    ],
)
def test_the_wish_says_which_input_is_taken(wish, given, how):
    masks = {"label_AIF": marked(ARTERY, "AIF")} if "mask" in given else {}
    found = arterial_input(brain(aif=table() if "table" in given else None, **masks), wish, "none")
    assert found.aif.how.startswith(how) and found.vein.size == 0
    assert (found.regions != ()) == (wish == "local")
    if how in ("kmeans", "hierarchy", "mask"):
        assert inside(found.aif.voxels, ARTERY, SECOND) >= 0.95
    if how != "population":
        assert found.aif.warnings == ()


@pytest.mark.parametrize(
    ("wish", "vein", "name"),
    [("tsv", "none", "aif.tsv"), ("mask", "none", "AIF_mask"), ("auto", "mask", "VOF_mask")],
)
def test_what_was_not_given_is_refused_by_name(refused, wish, vein, name):
    error = refused(arterial_input, brain(), wish, vein)
    assert error.code is Code.AIF and name in error.seen and error.file.endswith("sub-01_dsc.nii.gz")


@pytest.mark.parametrize("wish", ["kmeans", "peruzzo"])
def test_a_search_mask_leads_to_its_artery_even_outside_the_brain(wish):
    assert inside(arterial_input(brain(), wish, "none").aif.voxels, SECOND) < 0.5
    found = arterial_input(brain(label_AIFsearch=marked(np.s_[12:19, 1:10], "AIFsearch")), wish, "none")
    assert inside(found.aif.voxels, SECOND) >= 0.95
    outside = CURVES.copy()
    outside[0, :, :] = 0.8 * blood(TIME)
    mask = marked(np.s_[0:3, :, :], "AIFsearch")
    found = arterial_input(brain(curves=outside, label_AIFsearch=mask), wish, "none")
    assert inside(found.aif.voxels, np.s_[0]) >= 0.9


@pytest.mark.parametrize("wish", ["kmeans", "peruzzo", "local"])
def test_vessels_of_a_lesion_are_no_input(wish):
    found = arterial_input(brain(label_lesion=marked(np.s_[1:7, 1:7], "lesion")), wish, "none")
    assert inside(found.aif.voxels, SECOND) >= 0.95
    for region in found.regions:
        assert inside(region.aif.voxels, ARTERY) == 0


@pytest.mark.parametrize("given", [False, True])
def test_a_vein_scales_the_input_to_the_true_area(given):
    masks = {"label_VOF": marked(VEIN, "VOF")} if given else {}
    found = arterial_input(brain(**masks), "kmeans", "auto")
    assert np.trapezoid(found.aif.concentration) == pytest.approx(np.trapezoid(blood(TIME)), rel=0.07)
    assert found.aif.quality["VofScale"] == pytest.approx(1 / 0.7, rel=0.1)
    assert inside(found.vein, VEIN) == 1.0
    assert ("mask" in found.aif.how) == given and found.aif.warnings == ()


def test_no_vein_is_told_and_scales_nothing():
    curves = CURVES.copy()
    curves[VEIN] = curves[10, 10, 1]
    without, plain = (arterial_input(brain(curves=curves), "kmeans", vein) for vein in ("auto", "none"))
    assert without.aif.warnings == (NO_VEIN,) and "VofScale" not in without.aif.quality
    np.testing.assert_array_equal(without.aif.concentration, plain.aif.concentration)


def test_an_input_that_is_scaled_to_a_vein_is_no_more_cut_off_than_before():
    given = brain(snr=20.0, label_AIF=marked(ARTERY, "AIF"), label_VOF=marked(VEIN, "VOF"))
    found = arterial_input(given, "mask", "mask").aif
    noise_hides_from = np.log(20 / 3) / ECHO_TIME
    quality = found.quality
    assert quality["PeakHeight"] > noise_hides_from > quality["PeakHeight"] / quality["VofScale"]
    assert found.warnings == ()


def test_a_signal_lost_in_noise_is_told():
    curves = CURVES.copy()
    curves[ARTERY] = curves[SECOND] = 2 * blood(TIME)
    (warning,) = arterial_input(brain(curves=curves), "kmeans", "none").aif.warnings
    assert "cut off" in warning
    (warning,) = arterial_input(
        brain(curves=curves, label_AIF=marked(ARTERY, "AIF")), "mask", "none"
    ).aif.warnings
    assert "cut off" in warning


def test_an_input_that_is_tissue_is_told():
    mask = marked(np.s_[9:12, 8:12, 3:6], "AIF")
    told = arterial_input(brain(label_AIF=mask), "auto", "none").aif.warnings
    assert any("peak" in sentence for sentence in told) and any("area" in sentence for sentence in told)
    assert any(
        "arrives" in sentence
        for sentence in arterial_input(brain(label_AIF=marked(VEIN, "AIF")), "auto", "none").aif.warnings
    )


def test_the_population_s_bolus_begins_with_the_scan_s():
    found = arterial_input(brain(), "population", "none").aif
    assert found.quality["Onset"] == TIME[BASELINE[1]]
    assert sum("population" in sentence for sentence in found.warnings) == 1


def test_regions_share_out_the_brain_and_know_their_voxels():
    given = brain()
    found = arterial_input(given, "local", "auto")
    every = np.concatenate([region.rows for region in found.regions])
    np.testing.assert_array_equal(np.sort(every), np.arange(given.rows.size))
    own = [region for region in found.regions if region.aif is not found.aif]
    assert own and all(inside(region.aif.voxels, ARTERY, SECOND) >= 0.7 for region in own)
    assert all(region.aif.quality["Area"] == pytest.approx(found.aif.quality["Area"]) for region in own)
    again = arterial_input(brain(), "local", "auto")
    for one, other in zip(found.regions, again.regions, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.aif.concentration, other.aif.concentration)


def test_local_inputs_are_told_and_their_voxels_marked():
    def found(aif):
        curves = prepare(brain().series, recipe(f"dsc.aif={aif}"))
        return curves, {item.ending: item.data for item in curves.extra}

    curves, marked = found("local")
    told = curves.constants["ArterialInput"]
    assert "local" in told["How"] and "local" in curves.aif.how
    assert told["Local"]["Regions"] == len(curves.regions) >= told["Local"]["OfTheirOwn"] > 0
    voxels = np.flatnonzero(marked["label-localAIF_mask"].reshape(-1, order="F"))
    every = [region.aif.voxels for region in curves.regions if "local" in region.aif.how]
    np.testing.assert_array_equal(voxels, np.unique(np.concatenate(every)))
    curves, marked = found("kmeans")
    assert "Local" not in curves.constants["ArterialInput"] and "label-localAIF_mask" not in marked


@pytest.mark.parametrize("contrast", ["dsc", "asl"])
def test_a_search_mask_in_derivatives_belongs_to_dsc_alone(scans, contrast):
    tree = scans(contrast)
    mask = np.zeros(tree.shape, np.uint8)
    mask[1] = 1
    tree.give("label-AIFsearch_mask.nii.gz", mask)
    given = tree.read().given
    assert set(given) == ({"label-AIFsearch_mask"} if contrast == "dsc" else set())
    assert all(np.array_equal(read_mask.data, mask) for read_mask in given.values())


def test_from_files_to_a_scaled_input(tmp_path):
    write_cohort(tmp_path, 1, shape=(24, 24, 6), volumes=56, snr=60, contrasts=("dsc",))
    truth = tmp_path / "derivatives/phantom"
    (found,) = find_scans(tmp_path)
    (known,) = find_scans(tmp_path, derivatives=[truth])
    known = read(known.scan)
    sought = prepare(read(found.scan), recipe("dsc.vof=auto"))
    given = prepare(known, recipe("dsc.vof=mask", "dsc.aif=mask"))
    for curves in (sought, given):
        area = np.trapezoid(curves.aif.concentration) / np.trapezoid(known.aif.values)
        assert area == pytest.approx(1.0, abs=0.1)
        assert curves.aif.warnings == ()
    vein = known.given["label-VOF_mask"].data.reshape(-1, order="F")
    (marked,) = (item.data for item in sought.extra if item.ending == "label-VOF_mask")
    assert vein[marked.reshape(-1, order="F") > 0].mean() >= 0.95
