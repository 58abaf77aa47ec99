"""Leakage: what is put in comes out, whichever way it leaks; what does not leak stays; delay is not leakage."""

from functools import cache

import numpy as np
import pytest

from benchmarks.dsc import leakage
from bolus_kernels.device import cpu
from bolus_kernels.dsc.leakage.alignment import ALIGNMENTS
from bolus_kernels.dsc.leakage.bidirectional import kep_at
from bolus_kernels.dsc.retention import retained
from bolus_kernels.shelf import shelf

MODELS = ("bsw", "bidirectional")


@cache
def simulated(model, varied, cnr, n=60):
    return leakage.simulated(n, model, varied, cnr, seed=11)


def run(model, curves, **choices):
    known = shelf()[model]
    return known.function(curves, leakage.protocol(), known.defaults() | choices, cpu())


def volume(curves):
    return run("uncorrected", np.asfortranarray(curves, np.float32))["cbv"]


@pytest.mark.parametrize(
    ("model", "alignment"),
    [(model, alignment) for model in MODELS for alignment in shelf()[model].choices["alignment"]],
)
def test_leakage_of_both_signs_is_taken_out(model, alignment):
    truth = simulated(model, False, None)
    maps = run(model, truth.curves, alignment=alignment)
    np.testing.assert_allclose(maps["cbv"], volume(truth.tight), rtol=5e-3)
    np.testing.assert_allclose(maps["k1"], truth.ratio, rtol=5e-3)
    assert np.corrcoef(maps["k2"], truth.k2)[0, 1] >= 0.999


@pytest.mark.parametrize("model", MODELS)
def test_what_does_not_leak_keeps_its_volume(model):
    truth = simulated(model, False, None)
    tight = truth.k2 == 0
    np.testing.assert_allclose(run(model, truth.curves)["cbv"][tight], volume(truth.curves)[tight], rtol=5e-3)


def test_noise_costs_no_more_than_least_squares_must():
    truth = simulated("bsw", False, 20.0, 400)
    for alignment in ALIGNMENTS:
        found = leakage.errors(truth, "bsw", alignment)
        assert found["median"] < 0.025 and found["k2"] > 0.98, alignment


def test_other_arrivals_and_transit_times_are_no_leakage_where_m_may_have_them():
    truth = simulated("bsw", True, None)
    wrong = {
        alignment: np.median(
            np.abs(run("bsw", truth.curves, alignment=alignment)["cbv"] / volume(truth.tight) - 1)
        )
        for alignment in ALIGNMENTS
    }
    assert wrong["none"] > wrong["delay"] > wrong["transit"]
    assert wrong["none"] > 0.1 and wrong["transit"] < 0.025


def test_what_is_retained_is_the_integral_of_straight_lines():
    rng = np.random.default_rng(2)
    m, fine = rng.normal(size=12), np.linspace(0, 11 * 1.5, 11 * 4000 + 1)
    line = np.interp(fine, 1.5 * np.arange(12), m)
    for kep in (0.0, 1e-5, 4e-3, 7e-3, 0.1, 2.0):
        under = line * np.exp(kep * (fine - fine[-1]))
        weights = np.full(fine.size, fine[1])
        weights[[0, -1]] /= 2
        assert retained(m, 1.5, np.array([kep]))[0, -1] == pytest.approx(under @ weights, abs=1e-6)


def test_kep_is_the_best_of_its_range_and_comes_back():
    most, told = 0.2, leakage.protocol()
    assert kep_at(np.array([-1.0, 1.0]), most, told) == pytest.approx([0, most], abs=1e-12)
    m = told.reference
    kep = np.array([0.0, 0.003, 0.02, 0.07, 0.15, 0.2])
    curves = 1.2 * m - 0.01 * retained(m, 1.5, kep)
    maps = run("bidirectional", np.asfortranarray(curves, np.float32), kep_most=most)
    np.testing.assert_allclose(maps["kep"], kep, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(maps["k2"], 0.01, rtol=2e-3)
    curve = simulated("bidirectional", False, 10.0).curves[1:2]
    found = run("bidirectional", curve, kep_most=most)
    for value in kep_at(np.linspace(-1, 1, 500), most, told):
        design = np.stack([m, retained(m, 1.5, np.array([value]))[0]], 1)
        left = curve[0] - design @ np.linalg.lstsq(design, curve[0])[0]
        assert found["aic"][0] <= 60 * np.log(left @ left / 60) + 2 * 3 + 1e-3


def test_akaike_prefers_the_model_that_made_the_curve():
    names = ("uncorrected", *MODELS)
    for model in MODELS:
        truth = simulated(model, False, 100.0)
        aic = np.array([run(name, truth.curves)["aic"] for name in names])
        tight = truth.k2 == 0
        assert np.mean(aic[0] <= aic[1:].min(axis=0), where=tight) > 0.6
        clear = np.abs(truth.k2) > 5e-3
        assert np.mean(aic.argmin(axis=0)[clear] == names.index(model)) > 0.6


def test_volume_without_a_reference_is_plain_and_its_criterion_absent():
    truth = simulated("bsw", False, None)
    told = leakage.protocol()
    known = shelf()["uncorrected"]
    maps = known.function(truth.curves, told._replace(reference=np.zeros(60)), known.defaults(), cpu())
    assert "aic" not in maps and np.array_equal(maps["cbv"], volume(truth.curves))


@pytest.mark.parametrize("model", MODELS)
def test_a_reference_that_is_zero_or_broken_is_refused(model):
    known, told = shelf()[model], leakage.protocol()
    for reference in (np.zeros(60), np.full(60, np.nan)):
        with pytest.raises(ValueError, match="reference curve"):
            known.function(
                np.zeros((3, 60), np.float32), told._replace(reference=reference), known.defaults(), cpu()
            )
