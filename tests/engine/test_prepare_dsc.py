"""DSC before its kernels: baseline, dummy scans, stored numbers, broken voxels, and the tissue that is normal."""

from dataclasses import replace

import numpy as np
import pytest

from bolus.errors import Code
from bolus.prepare import prepare
from bolus.prepare.steady import steady_state
from bolus_kernels.state import State
from tests.engine.made import ECHO_TIME, TIME, bolus, dsc_series, dsc_signal, recipe, volume

SERIES = dsc_series(dsc_signal().astype(np.float32))


def mean_of(arrival, depth=0.3, noise=0.001, seed=1):
    """The mean signal of a brain that falls by `depth` after volume `arrival`."""
    fall = depth * bolus(1.5 * arrival, 1.0)
    return 1000 * (1 - fall + np.random.default_rng(seed).normal(0, noise, TIME.size))


def two_echoes(t1=0.0, times=(0.012, ECHO_TIME)):
    """A series of two echoes, in which T1 lifts both alike after the bolus."""
    lift = 1 + t1 * (TIME > 20)
    signal = dsc_signal()
    first = 1000 * (signal / 1000) ** (times[0] / times[1])
    one = dsc_series((signal * lift).astype(np.float32))
    images = (volume((2 * first * lift).astype(np.float32), name="sub-01_echo-1_dsc.nii.gz"), *one.images)
    return replace(one, images=images, acquisition=replace(one.acquisition, echo_time=times))


@pytest.mark.parametrize("t1", [0.0, 0.05])
def test_several_echoes_give_curves_free_of_t1_and_one_for_recovery(t1):
    curves = prepare(two_echoes(t1), recipe())
    assert (curves.state == State.GOOD).all() and curves.warnings == ()
    np.testing.assert_allclose(curves.values[-1], bolus(15.0, 8.0), atol=1e-3)
    protocol = curves.protocol
    assert protocol.echo_time == ECHO_TIME and protocol.baseline == (0, 9)
    np.testing.assert_allclose(protocol.baseline_signal, 1000, rtol=1e-5)
    expected = bolus(15.0, 8.0) - np.log(1 + t1 * (TIME > 20)) / ECHO_TIME
    np.testing.assert_allclose(protocol.single_echo[-1], expected, atol=1e-3)
    assert curves.constants["EchoTime"]["Value"] == (0.012, ECHO_TIME)
    one = prepare(SERIES, recipe()).protocol
    assert one.single_echo is None and one.baseline_signal.shape == curves.state.shape


@pytest.mark.parametrize("echo", [0, 1])
def test_a_sample_that_one_echo_lost_at_the_peak_is_a_state(echo):
    series = two_echoes()
    lost = series.images[echo].data.copy()
    lost[5, 5, 1, 14] = 0
    images = list(series.images)
    images[echo] = volume(lost)
    curves = prepare(replace(series, images=tuple(images)), recipe())
    row = 5 + 10 * (5 + 9)
    assert curves.state[row] == State.MISSING_SAMPLE and np.isnan(curves.values[row]).all()
    assert (np.delete(curves.state, row) == State.GOOD).all()


def test_the_reference_tissue_may_be_given():
    signal = dsc_signal()
    signal[:, 5:, 2:] = 1000 * np.exp(-ECHO_TIME * bolus(15, 12))
    normal = np.zeros(signal.shape[:3], np.uint8)
    normal[4:8, 6:, 2:] = 1
    series = dsc_series(signal.astype(np.float32), label_NAWM=volume(normal))
    curves = prepare(series, recipe("dsc.reference=mask"))
    assert curves.constants["ReferenceVoxels"]["Value"] == normal.sum()
    np.testing.assert_allclose(curves.protocol.reference, bolus(15, 12), atol=1e-3)
    assert prepare(series, recipe()).protocol.reference.max() < 10


def test_a_reference_tissue_that_is_wished_and_not_given_is_refused(refused):
    error = refused(prepare, SERIES, recipe("dsc.reference=mask"))
    assert error.code is Code.DATA and "label-NAWM_mask" in error.seen and "dsc.reference" in error.mend


@pytest.mark.parametrize("arrival", [4, 5, 8, 10, 15, 20, 25, 28])
@pytest.mark.parametrize("depth", [0.03, 0.3, 0.8])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_baseline_ends_before_the_bolus_and_uses_nearly_all_that_is_before(arrival, depth, seed):
    first, stop = steady_state(SERIES, mean_of(arrival, depth, seed=seed)).baseline
    assert first == 0
    assert max(3, arrival - 1 - arrival // 8) <= stop <= arrival + 1


def test_a_baseline_without_noise_is_as_good():
    assert steady_state(SERIES, mean_of(12, noise=0.0)).baseline == (0, 12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("drift", [0.0, 0.003])
def test_no_bolus_is_refused(refused, seed, drift):
    mean = mean_of(10, depth=0.0, seed=seed) + 1000 * drift * np.sin(TIME / 9)
    mean[20] -= (
        2.5  # the least is not among the first volumes, where it would mean a bolus that began too early
    )
    error = refused(steady_state, SERIES, mean)
    assert error.code is Code.DATA and "bolus" in error.expected


@pytest.mark.parametrize("arrival", [-2, -1, 0, 1, 35, 37])
def test_a_bolus_in_the_first_or_last_volumes_is_refused(refused, arrival):
    error = refused(steady_state, SERIES, mean_of(arrival))
    assert error.code is Code.TOO_FEW and "dsc.dummy_scans" in error.mend


@pytest.mark.parametrize("gain", [1.1, 1.5, 3.0])
@pytest.mark.parametrize("count", [1, 2])
def test_first_volumes_before_the_steady_state_are_not_baseline_and_are_told(gain, count):
    signal = dsc_signal().astype(np.float32)
    signal[..., :count] *= gain
    curves = prepare(dsc_series(signal), recipe())
    assert curves.constants["BaselineVolumes"]["First"] == count
    assert any(f"dsc.dummy_scans = {count}" in warning for warning in curves.warnings)
    dropped = prepare(dsc_series(signal), recipe(f"dsc.dummy_scans={count}"))
    assert dropped.warnings == ()
    np.testing.assert_allclose(curves.values[:, count:], dropped.values, atol=1e-3)


@pytest.mark.parametrize("dummies", [0, 2, 5])
def test_dummy_scans_are_dropped(dummies):
    signal = dsc_signal().astype(np.float32)
    signal[..., :dummies] *= 2
    curves = prepare(dsc_series(signal), recipe(f"dsc.dummy_scans={dummies}"))
    expected = bolus(15.0, 8.0)[dummies:]
    np.testing.assert_allclose(curves.values[-1], expected, atol=1e-3)
    assert curves.protocol.aif.size == curves.protocol.reference.size == TIME.size - dummies
    assert curves.constants["BaselineVolumes"]["First"] == dummies


@pytest.mark.parametrize("dummies", [33, 40, 90])
def test_more_dummy_scans_than_volumes_to_spare_are_refused(refused, dummies):
    error = refused(prepare, SERIES, recipe(f"dsc.dummy_scans={dummies}"))
    assert error.code is Code.TOO_FEW and "dsc.dummy_scans" in error.seen


@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.05, 0.0), (0.04, 200.0), (2.0, -300.0)])
def test_stored_whole_numbers_are_scaled(slope, inter):
    stored = np.rint((dsc_signal() - inter) / slope).astype(np.int16)
    curves = prepare(dsc_series(stored, slope, inter), recipe())
    assert (curves.state == State.GOOD).all()
    step = slope / 1000 / ECHO_TIME
    np.testing.assert_allclose(curves.values[-1], bolus(15.0, 8.0), atol=2 * step + 1e-3)


def test_a_broken_voxel_is_nan_with_a_state_and_its_neighbours_are_unharmed():
    stored = np.rint(20 * dsc_signal()).astype(np.int16)
    whole = prepare(dsc_series(stored, 0.05), recipe())
    stored[5, 5, 1, 20] = 0
    stored[5, 6, 1, 20] = -4
    stored[6, 5, 1, 2] = 32767
    stored[6, 6, 1] = 0
    broken = prepare(dsc_series(stored, 0.05), recipe())
    states = {(5, 5): State.MISSING_SAMPLE, (5, 6): State.MISSING_SAMPLE, (6, 5): State.MISSING_SAMPLE}
    bad = np.zeros(len(whole.voxels), bool)
    for (x, y), state in (states | {(6, 6): State.NO_SIGNAL}).items():
        row = x + 10 * (y + 9)
        bad[row] = True
        assert broken.state[row] == state and np.isnan(broken.values[row]).all()
    assert (broken.state[~bad] == State.GOOD).all()
    np.testing.assert_array_equal(broken.values[~bad], whole.values[~bad])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_no_number_costs_its_voxel_only(value):
    signal = dsc_signal().astype(np.float32)
    whole = prepare(dsc_series(signal), recipe())
    signal[5, 5, 1, 3] = signal[7, 7, 2, 22] = value
    broken = prepare(dsc_series(signal), recipe())
    bad = broken.state == State.NOT_FINITE
    assert bad.sum() == 2
    np.testing.assert_array_equal(broken.values[~bad], whole.values[~bad])
    assert np.isfinite(broken.protocol.reference).all()


def test_a_series_without_a_usable_voxel_is_refused(refused):
    signal = dsc_signal().astype(np.float32)
    signal[..., 3] = np.nan
    assert refused(prepare, dsc_series(signal), recipe()).code is Code.DATA
    signal = dsc_signal().astype(np.float32)
    signal[..., 22] = 0
    assert refused(prepare, dsc_series(signal), recipe()).code is Code.DATA


def test_the_reference_leaves_out_a_given_lesion():
    signal = dsc_signal()
    signal[:, 5:, 2:] = 1000 * np.exp(-ECHO_TIME * bolus(15, 24))
    lesion = np.zeros(signal.shape[:3], np.uint8)
    lesion[:, 5:, 2:] = 2
    series = dsc_series(signal.astype(np.float32), label_lesion=volume(lesion))
    inside = lesion.sum() // 2
    curves = prepare(series, recipe())
    assert curves.constants["ReferenceVoxels"]["Value"] == lesion.size - inside - 8  # and without the artery
    without = prepare(dsc_series(signal.astype(np.float32)), recipe())
    assert without.protocol.reference.max() > 1.2 * curves.protocol.reference.max()


def test_a_brain_that_is_all_lesion_has_no_reference(refused):
    lesion = volume(np.ones((10, 9, 4), np.uint8))
    series = dsc_series(dsc_signal().astype(np.float32), label_lesion=lesion)
    error = refused(prepare, series, recipe())
    assert error.code is Code.DATA and "dsc.leakage" in error.mend
    curves = prepare(series, recipe("dsc.leakage=", "dsc.cbv=uncorrected"))
    assert (curves.state == State.GOOD).all()


def test_the_brain_is_found_when_no_mask_is_given():
    signal = np.full((40, 40, 3, TIME.size), 5.0, np.float32)
    signal[10:30, 8:32] = dsc_signal((20, 24, 3))
    curves = prepare(dsc_series(signal, label_brain=None, label_AIF=None), recipe())
    inside = np.zeros(signal.shape[:3], bool)
    inside[10:30, 8:32] = True
    assert (curves.mask & inside).sum() > 0.97 * inside.sum()
    assert not (curves.mask & ~inside).any()
    np.testing.assert_array_equal(np.flatnonzero(curves.mask.reshape(-1, order="F")), curves.voxels)


@pytest.mark.parametrize(
    ("sets", "factor"),
    [
        ((), 0.55 / 0.75 / 1.04),
        (("dsc.hematocrit_large=0.25",), 1 / 1.04),
        (("dsc.hematocrit_small=0.3", "dsc.density=1.1"), 0.55 / 0.7 / 1.1),
        (("dsc.relative=true", "dsc.hematocrit_small=0.3"), 1.0),
    ],
)
def test_the_density_factor_is_kappa_over_rho(sets, factor):
    assert prepare(SERIES, recipe(*sets)).protocol.density_factor == pytest.approx(factor, rel=1e-12)
