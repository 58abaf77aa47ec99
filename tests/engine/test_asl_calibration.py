"""Calibration: M0 of each voxel, of a region or a number; recovery at any repetition time, smoothing, erosion."""

from dataclasses import replace

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.errors import Code
from bolus.prepare import prepare
from tests.engine.labelled import T1_TISSUE
from tests.engine.made import SHAPE, asl_series, recipe, volume

DIFFERENCE = 8.0
RANDOM = np.random.default_rng(8)


def prepared(*sets, m0=1000.0, given=None, mask=None, **changes):
    """A pair that differs by 8 everywhere, calibrated by an image of `m0` (one number or (x, y, z))."""
    data = np.empty((*SHAPE, 2), np.float32, order="F")
    data[:] = 900, 900 - DIFFERENCE
    changes = {
        "m0": volume(np.array(np.broadcast_to(m0, SHAPE), np.float32)),
        "m0_echo_time": 0.014,
    } | changes
    series = asl_series(data, ("control", "label"), **changes)
    more = {name: volume(np.asarray(image, np.float32)) for name, image in (given or {}).items()}
    if mask is not None:
        more["label-brain_mask"] = volume(mask.astype(np.uint8))
    return prepare(replace(series, given={**series.given, **more}), recipe(*sets))


def m0_of(curves):
    return next(item.data for item in curves.extra if item.ending == "m0")


def ball():
    axes = np.ogrid[tuple(slice(-(n - 1) / 2, n / 2) for n in SHAPE)]
    return (axes[0] / 4.5) ** 2 + (axes[1] / 4) ** 2 + 0 * axes[2] <= 1


def test_a_value_is_m0_of_blood_and_needs_no_image():
    curves = prepared("asl.calibration=value", "asl.m0_value=1250", m0_type="Absent", m0=None)
    np.testing.assert_allclose(curves.values, DIFFERENCE / (0.9 * 1250), rtol=1e-6)
    assert curves.constants["M0Blood"] == {"Value": 1250, "Units": "signal", "Source": "recipe"}
    assert "not corrected" in curves.constants["CoilSensitivity"]
    assert "cancels" in prepared().constants["CoilSensitivity"]


def test_the_map_of_m0_says_what_it_shows():
    def said(*sets):
        return next(item.description for item in prepared(*sets).extra if item.ending == "m0")

    assert said().startswith("calibration image")
    assert "arterial blood" in said("asl.calibration=value", "asl.m0_value=1250")


@pytest.mark.parametrize("name", ["csf", "wm"])
@pytest.mark.parametrize("kind", ["mask", "probseg"])
@pytest.mark.parametrize("readout", ["2D", "3D"])
def test_a_region_of_one_tissue_gives_m0_of_blood(name, kind, readout):
    """A region whose signal is made from M0 of blood: its water, recovery and echo time, as published."""
    t1, echo, density = {
        ("csf", "2D"): (4.3, 0.4, 1.15), ("csf", "3D"): (4.3, 0.75, 1.15),
        ("wm", "2D"): (1.0, 0.05, 0.82), ("wm", "3D"): (1.0, 0.05, 0.82),
    }[name, readout]  # fmt: skip
    blood = {"2D": 0.05, "3D": 0.15}[readout]
    m0 = np.full(SHAPE, 700.0)
    m0[2:5, 2:5, 1:3] = (
        1250 * np.exp(0.014 / blood) * density * np.exp(-0.014 / echo) * (1 - np.exp(-3.0 / t1))
    )
    region = np.full(SHAPE, 0.9 if kind == "probseg" else 0.0)
    region[2:5, 2:5, 1:3] = 1
    curves = prepared(
        "asl.calibration=reference", f"asl.calibration_tissue={name}",
        m0=m0, m0_repetition_time=3.0, given={f"label-{name.upper()}_{kind}": region},
        slice_timing=(0.0,) * SHAPE[2] if readout == "2D" else None,
    )  # fmt: skip
    assert curves.constants["M0Blood"]["Value"] == pytest.approx(1250, rel=1e-5)
    np.testing.assert_allclose(m0_of(curves), 0.9 * 1250, rtol=1e-5)
    assert "of 18 voxels" in curves.constants["M0Blood"]["Source"]
    assert ("T2*" in curves.constants["M0Blood"]["Source"]) == (readout == "2D")
    assert not curves.warnings


REFUSED = {
    "no value": (["asl.calibration=value"], {}, Code.RECIPE, "asl.m0_value = 0"),
    "no region": (["asl.calibration=reference"], {}, Code.META, "neither label-CSF_mask nor label-CSF_probseg"),
    "no sure voxel": (
        ["asl.calibration=reference"], {"given": {"label-CSF_probseg": np.full(SHAPE, 0.8)}}, Code.META, "no voxel of CSF"
    ),
    "no echo time": (
        ["asl.calibration=reference"], {"given": {"label-CSF_mask": np.ones(SHAPE)}, "m0_echo_time": None}, Code.META, "EchoTime"
    ),
    "no image": (
        ["asl.calibration=reference"], {"m0_type": "Estimate", "m0": 900.0, "m0_repetition_time": None}, Code.RECIPE, "Estimate"
    ),
    "nothing positive": (
        ["asl.calibration=reference"], {"given": {"label-CSF_mask": np.ones(SHAPE)}, "m0": -1.0}, Code.DATA, "csf region"
    ),
    "nothing within": (["asl.m0_erosion=9"], {"mask": ball()}, Code.RECIPE, "asl.m0_erosion = 9"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_calibration_that_cannot_be_had_is_refused(refused, case):
    sets, options, code, seen = REFUSED[case]
    error = refused(prepared, *sets, **options)
    assert error.code is code and seen in error.seen


def test_a_reference_at_another_field_is_doubtful():
    curves = prepared(
        "asl.calibration=reference", given={"label-CSF_mask": np.ones(SHAPE)}, magnetic_field_strength=7.0
    )
    assert any("those at 3 T" in warning for warning in curves.warnings)


def test_images_of_several_repetition_times_are_one_recovery():
    times = (0.5, 1.0, 2.0, 2.0, 5.0)
    t1 = RANDOM.uniform(0.8, 2.0, SHAPE).astype(np.float32)
    truth = RANDOM.uniform(500, 1500, SHAPE)
    stack = np.stack([truth * (1 - np.exp(-time / t1)) for time in times], axis=3).astype(np.float32)
    image = volume(stack[..., 0])
    image = replace(image, data=np.asfortranarray(stack))
    data = np.full((*SHAPE, 2), 900.0, np.float32)
    data[..., 1] -= DIFFERENCE
    series = asl_series(data, ("control", "label"), t1map=t1, m0=image, m0_repetition_time=times)
    np.testing.assert_allclose(m0_of(prepare(series, recipe())), truth, rtol=2e-6)


def test_volumes_within_the_series_may_differ_in_repetition_time():
    context = ("m0scan", "control", "label", "m0scan")
    data = np.empty((*SHAPE, 4), np.float32)
    data[:] = (
        1100 * (1 - np.exp(-2.0 / T1_TISSUE)),
        900,
        900 - DIFFERENCE,
        1100 * (1 - np.exp(-8.0 / T1_TISSUE)),
    )
    series = asl_series(data, context, m0_type="Included", m0=None, m0_repetition_time=(2.0, 8.0))
    np.testing.assert_allclose(m0_of(prepare(series, recipe())), 1100, rtol=1e-5)


def test_repetition_times_of_a_calibration_file_go_with_its_volumes(asl):
    stack = np.stack([np.full(asl.shape, 1000 * (1 - np.exp(-time / 1.3))) for time in (2.0, 6.0)], axis=3)
    asl.put(stack.astype(np.float32), asl.file("m0scan.nii.gz"))
    asl.file("m0scan.json").write_text('{"RepetitionTimePreparation": [2.0, 6.0], "EchoTime": 0.02}')
    acquisition = asl.read().acquisition
    assert acquisition.m0_repetition_time == (2.0, 6.0) and acquisition.m0_echo_time == 0.02
    assert acquisition.m0.data.shape == (*asl.shape, 2)
    asl.file("m0scan.json").write_text('{"RepetitionTimePreparation": [6.0, 6.0]}')
    acquisition = asl.read().acquisition
    assert acquisition.m0_repetition_time == 6.0 and acquisition.m0.data.shape == asl.shape
    assert find_scans(asl.root)[0].problem is None


def test_smoothing_stays_within_the_brain_and_keeps_what_is_flat():
    mask = ball()
    m0 = np.where(mask, 1000.0, 5e4)
    flat = prepared("asl.m0_smoothing=8", m0=m0, mask=mask)
    np.testing.assert_allclose(m0_of(flat)[mask], 1000, rtol=1e-5)
    m0[mask] += RANDOM.normal(0, 100, mask.sum())
    m0[4, 4, 2] = np.nan
    rough, smooth = prepared(m0=m0, mask=mask), prepared("asl.m0_smoothing=8", m0=m0, mask=mask)
    assert np.nanstd(m0_of(smooth)[mask]) < 0.3 * np.nanstd(m0_of(rough)[mask])
    assert np.isnan(m0_of(rough)[4, 4, 2]) and m0_of(smooth)[4, 4, 2] == pytest.approx(1000, rel=0.1)
    assert smooth.constants["M0Smoothing"]["Value"] == 8


def test_smoothing_has_the_width_it_says():
    """Voxels of 2 x 2 x 5 mm: a step blurred with FWHM 6 mm rises as an error function does."""
    from scipy.special import erf

    m0 = np.full(SHAPE, 1000.0)
    m0[5:] = 2000
    found = m0_of(prepared("asl.m0_smoothing=6", m0=m0))[3:7, 4, 2]
    away = 2.0 * (np.arange(3, 7) - 4.5)
    np.testing.assert_allclose(found, 1500 + 500 * erf(away / (6 / 2.3548) / np.sqrt(2)), rtol=0.03)


def test_eroded_voxels_take_the_nearest_m0_from_within():
    mask = ball()
    m0 = np.where(mask, 1000.0 + 10 * np.arange(SHAPE[2]), 30.0)
    edge = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
    m0[edge] *= 0.4
    found = m0_of(prepared("asl.m0_erosion=1", m0=m0, mask=mask))
    np.testing.assert_allclose(
        found[mask], np.broadcast_to(1000.0 + 10 * np.arange(SHAPE[2]), SHAPE)[mask], rtol=1e-5
    )


@pytest.mark.parametrize(("field", "t1"), [(1.5, 1.2), (3.0, 1.3), (7.0, 1.94)])
def test_t1_of_tissue_follows_the_field_strength(field, t1):
    curves = prepared(magnetic_field_strength=field)
    assert curves.constants["T1Tissue"]["Value"] == t1
    assert (curves.protocol.t1_tissue == np.float32(t1)).all() and not curves.warnings
    assert prepared("asl.t1_tissue=1.6", magnetic_field_strength=field).protocol.t1_tissue[0] == np.float32(
        1.6
    )


def test_t1_of_tissue_at_an_unknown_field_is_told():
    curves = prepared("asl.t1_blood=1.9", magnetic_field_strength=4.7)
    assert any("set asl.t1_tissue" in warning for warning in curves.warnings)
