"""The arterial input: found in arteries and nowhere else, the same each time; or taken from a mask or a table."""

from pathlib import Path

import numpy as np
import pytest

from bolus import arterial
from bolus.bids import find_scans
from bolus.errors import Code
from bolus.nifti import load as load_image
from bolus.phantom import write_cohort
from bolus.phantom.tissue import LABEL
from bolus.prepare import prepare
from bolus.read import read
from bolus.series import GivenAIF
from tests.engine.made import ECHO_TIME, TIME, bolus, dsc_series, dsc_signal, recipe, volume

BASELINE = (0, 9)


def curves_of_a_brain(seed=1):
    """300 arterial curves, 4000 later, lower and broader ones of tissue, 200 of veins, and noise."""
    random = np.random.default_rng(seed)
    parts = [
        [bolus(a, h, 1.5) for a, h in random.uniform((14, 50), (15, 70), (300, 2))],
        [bolus(a, h, 3.0) for a, h in random.uniform((15, 4), (18, 9), (4000, 2))],
        [bolus(a, h, 2.5) for a, h in random.uniform((18, 45), (20, 70), (200, 2))],
    ]
    curves = np.concatenate(parts).astype(np.float32)
    return np.asfortranarray(curves + random.normal(0, 0.5, curves.shape).astype(np.float32))


def table(time, values, column="delta_r2star"):
    return GivenAIF(np.asarray(time, float), np.asarray(values, float), column, Path("sub-01_aif.tsv"))


def test_clustering_finds_arteries_and_no_veins():
    found = arterial.by_clustering(curves_of_a_brain(), TIME, "x")
    assert found.voxels.size >= 3 and (found.voxels < 300).all()
    assert (np.diff(found.voxels) > 0).all()
    assert found.quality["Voxels"] == found.voxels.size
    assert found.quality["PeakHeight"] == pytest.approx(found.concentration.max())
    assert found.quality["TimeToPeak"] == pytest.approx(17.5, abs=1.5)
    assert found.quality["FirstMoment"] > found.quality["TimeToPeak"]


def test_clustering_is_the_same_each_time_and_in_any_order_of_voxels():
    curves = curves_of_a_brain()
    first, again = (arterial.by_clustering(curves.copy(), TIME, "x") for _ in range(2))
    np.testing.assert_array_equal(first.voxels, again.voxels)
    np.testing.assert_array_equal(first.concentration, again.concentration)
    order = np.random.default_rng(5).permutation(len(curves))
    mixed = arterial.by_clustering(curves[order], TIME, "x")
    np.testing.assert_array_equal(np.sort(order[mixed.voxels]), first.voxels)
    np.testing.assert_allclose(mixed.concentration, first.concentration, rtol=1e-12)


def test_curves_with_a_missing_sample_are_passed_over():
    curves = curves_of_a_brain()
    curves[:150, 7] = np.nan
    found = arterial.by_clustering(curves, TIME, "x")
    assert (found.voxels >= 150).all() and (found.voxels < 300).all()


@pytest.mark.parametrize("shape", [(24, 24, 4), (40, 40, 8)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_the_phantom_the_voxels_are_arteries(tmp_path, seed, shape):
    write_cohort(tmp_path / "data", 1, shape=shape, volumes=48, seed=seed, contrasts=("dsc",))
    (found,) = find_scans(tmp_path / "data")
    curves = prepare(read(found.scan), recipe())
    (path,) = (tmp_path / "data").rglob("*desc-dsc_dseg.nii.gz")
    labels = load_image(path)[0].data.reshape(-1, order="F")
    assert curves.aif.voxels.size >= 3
    assert (labels[curves.aif.voxels] == LABEL["artery"]).mean() >= 0.95


@pytest.mark.parametrize("count", [0, 5, 14])
def test_too_few_voxels_are_refused(refused, count):
    error = refused(arterial.by_clustering, curves_of_a_brain()[:count], TIME, "sub-01_dsc.nii.gz")
    assert error.code is Code.AIF and str(count) in error.seen and "_aif.tsv" in error.mend


@pytest.mark.parametrize("level", [0.0, -1.0, np.nan])
def test_curves_without_a_bolus_are_refused(refused, level):
    curves = np.full((500, TIME.size), level, np.float32)
    assert refused(arterial.by_clustering, curves, TIME, "x").code is Code.AIF


def test_a_mask_gives_the_mean_of_its_usable_curves():
    curves = curves_of_a_brain()[:10]
    curves[3, 5] = np.nan
    found = arterial.from_mask(curves, TIME, "x")
    np.testing.assert_array_equal(found.voxels, [0, 1, 2, 4, 5, 6, 7, 8, 9])
    np.testing.assert_allclose(found.concentration, np.delete(curves, 3, 0).mean(0, dtype=float))


def test_a_mask_without_a_usable_curve_is_refused(refused):
    error = refused(arterial.from_mask, np.full((4, TIME.size), np.nan, np.float32), TIME, "mask.nii.gz")
    assert error.code is Code.AIF and error.file == "mask.nii.gz" and "4 voxels" in error.seen


def test_a_mask_may_lie_outside_the_brain_mask():
    brain = np.ones((10, 9, 4), np.uint8)
    brain[:, :3] = 0
    series = dsc_series(dsc_signal().astype(np.float32), label_brain=volume(brain))
    curves = prepare(series, recipe())
    assert curves.aif.quality["PeakHeight"] > 55
    assert curves.aif.voxels.size == 8


def test_a_table_is_taken_at_the_times_of_the_scan():
    fine = np.arange(0, 60, 0.05)
    found = arterial.from_table(table(fine, bolus(14, 60, 1.5, fine)), TIME, BASELINE, ECHO_TIME)
    np.testing.assert_allclose(found.concentration, bolus(14, 60, 1.5), atol=0.1)
    assert found.voxels.size == 0 and "delta_r2star" in found.how


@pytest.mark.parametrize("gain", [1.0, 250.0])
def test_a_signal_becomes_relaxation_with_the_baseline_of_the_scan(gain):
    signal = gain * np.exp(-ECHO_TIME * bolus(14, 60, 1.5))
    found = arterial.from_table(table(TIME, signal, "signal"), TIME, BASELINE, ECHO_TIME)
    np.testing.assert_allclose(found.concentration, bolus(14, 60, 1.5), atol=1e-9)


@pytest.mark.parametrize(("first", "last"), [(5.0, 60.0), (0.0, 40.0), (100.0, 200.0)])
def test_a_table_that_does_not_cover_the_scan_is_refused(refused, first, last):
    time = np.linspace(first, last, 50)
    error = refused(arterial.from_table, table(time, np.ones(50)), TIME, BASELINE, ECHO_TIME)
    assert error.code is Code.AIF and f"{last:g} s" in error.seen and "58.5 s" in error.expected


@pytest.mark.parametrize("values", [-bolus(14, 60), 0 * TIME], ids=["negative", "flat"])
def test_a_table_without_a_bolus_is_refused(refused, values):
    error = refused(arterial.from_table, table(TIME, values), TIME, BASELINE, ECHO_TIME)
    assert error.code is Code.AIF and error.file == "sub-01_aif.tsv"


@pytest.mark.parametrize("dummies", [0, 3])
def test_times_count_from_the_first_volume_of_the_file(dummies):
    given = table(TIME, bolus(14, 60, 1.5))
    series = dsc_series(dsc_signal().astype(np.float32), aif=given)
    curves = prepare(series, recipe(f"dsc.dummy_scans={dummies}"))
    np.testing.assert_allclose(curves.aif.time, TIME[dummies:])
    np.testing.assert_allclose(curves.aif.concentration, bolus(14, 60, 1.5)[dummies:], atol=1e-9)


def test_the_recipe_says_which_input_is_taken(refused):
    signal = dsc_signal(shape=(24, 24, 4)).astype(np.float32)
    given = table(TIME, bolus(14, 55, 1.5))
    both = dsc_series(signal, aif=given)
    hows = {
        wish: prepare(both, recipe(f"dsc.aif={wish}")).aif.how for wish in ("auto", "tsv", "mask", "kmeans")
    }
    assert hows["auto"] == hows["tsv"] == "table (delta_r2star)"
    assert hows["mask"] == "mask" and "kmeans" in hows["kmeans"]
    assert prepare(dsc_series(signal), recipe()).aif.how == "mask"
    neither = dsc_series(signal, label_AIF=None)
    assert "kmeans" in prepare(neither, recipe()).aif.how
    for wish in ("tsv", "mask"):
        error = refused(prepare, neither, recipe(f"dsc.aif={wish}"))
        assert error.code is Code.AIF and f"dsc.aif = {wish}" in error.seen


def test_an_empty_corner_of_the_mask_is_refused_with_its_file(refused):
    signal = dsc_signal().astype(np.float32)
    signal[:4, :2, 0] = 0
    error = refused(prepare, dsc_series(signal, label_lesion=None), recipe())
    assert error.code is Code.AIF and error.file == "sub-01_label-AIF_mask.nii.gz"
