"""The phantom's curves by another way: adaptive quadrature for DSC, the closed form of the paper for ASL."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from bolus.phantom import asl_truth, classes, dsc_truth
from bolus.phantom.tissue import BLOOD_ONLY, LABEL, NON_ENHANCING, PARENCHYMA

FLOWING = [tissue for tissue in classes() if tissue.name in PARENCHYMA]
TIGHT = [replace(tissue, k2=0.0) for tissue in classes()]
ARRIVAL = 13.0


def named(tissue):
    return tissue.name


def test_integration_steps_are_fine_and_divide_the_repetition_time():
    assert max(dsc_truth.STEP, asl_truth.STEP) <= 0.01
    assert pytest.approx(dsc_truth.REPETITION_TIME) == dsc_truth.STEPS_PER_VOLUME * dsc_truth.STEP


def test_the_arterial_input_has_a_baseline_a_first_pass_a_recirculation_and_a_tail():
    time = np.arange(0, 90, 0.1)
    aif = dsc_truth.arterial_input(time, ARRIVAL)
    assert (aif[time <= ARRIVAL] == 0).all()
    assert time[aif.argmax()] == pytest.approx(ARRIVAL + 4.5, abs=0.2)
    later = (time > ARRIVAL + 12) & (time < ARRIVAL + 22)
    peaks = np.diff(np.sign(np.diff(aif[later]))) < 0
    assert peaks.sum() == 1
    assert 0.01 < aif[-1] / aif.max() < 0.05


@pytest.mark.parametrize("tissue", FLOWING, ids=named)
def test_the_area_of_a_tissue_is_its_volume(tissue):
    time = dsc_truth.STEP * np.arange(20000)
    bolus = 75 * (time / 4.5) ** 3 * np.exp(3 - time / 1.5)
    curve = dsc_truth.tissue_curve(bolus, tissue.cbf, tissue.mtt, tissue.shape)
    assert BLOOD_ONLY * curve.sum() / bolus.sum() == pytest.approx(tissue.cbv, rel=1e-5)
    assert tissue.cbv == pytest.approx(tissue.cbf * tissue.mtt / 60)


@pytest.mark.parametrize("tissue", [*FLOWING, classes()[LABEL["vein"]]], ids=named)
def test_the_curve_of_a_tissue_is_the_convolution_by_adaptive_quadrature(tissue):
    curve = dsc_truth.relaxation(40, ARRIVAL, TIGHT, np.ones(13))[tissue.label]
    begins = ARRIVAL + tissue.delay

    def integrand(since, now):
        arterial = dsc_truth.arterial_input(np.array([since]), begins)[0]
        return float(arterial * dsc_truth.residue(np.array([now - since]), tissue.mtt, tissue.shape)[0])

    assert (np.abs(curve[:9]) < 1e-9).all()
    for volume in (12, 16, 22, 39):
        now = volume * dsc_truth.REPETITION_TIME
        integral = quad(integrand, begins, now, args=(now,), limit=200)[0] if now > begins else 0.0
        expected = tissue.cbf / 60 / BLOOD_ONLY * integral
        assert curve[volume] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_an_artery_carries_the_input_and_a_vein_as_much_of_it_later():
    curves = dsc_truth.relaxation(60, ARRIVAL, TIGHT, np.ones(13))
    artery, vein = curves[LABEL["artery"]], curves[LABEL["vein"]]
    np.testing.assert_array_equal(artery, dsc_truth.arterial_input(1.5 * np.arange(60), ARRIVAL))
    assert np.exp(-dsc_truth.ECHO_TIME * artery.max()) > 0.1
    assert vein.argmax() > artery.argmax() + 1
    assert vein.sum() == pytest.approx(artery.sum(), rel=0.05)


def test_leakage_takes_away_k2_times_the_integral_of_normal_brain():
    tissues, counts = classes(), np.arange(1.0, 14.0)
    leaking = dsc_truth.relaxation(60, ARRIVAL, tissues, counts)
    tight = dsc_truth.relaxation(60, ARRIVAL, TIGHT, counts)
    normal = [LABEL[name] for name in NON_ENHANCING]
    mean = counts[normal] @ tight[normal] / counts[normal].sum()
    integral = 1.5 * (np.cumsum(mean) - mean / 2)
    rim = LABEL["tumour_rim"]
    k2 = tissues[rim].k2
    assert k2 > 0
    np.testing.assert_allclose(tight[rim] - leaking[rim], k2 * integral, atol=0.01 * k2 * integral[-1])
    others = [tissue.label for tissue in tissues if tissue.label != rim]
    np.testing.assert_array_equal(tight[others], leaking[others])


def closed_form(tissue, labeling, delay):
    """Buxton 1998, equations 3 to 5, as a fraction of the tissue's M0."""
    tau, alpha = asl_truth.LABELING_DURATION[labeling], asl_truth.LABELING_EFFICIENCY[labeling]
    flow, arrival, blood = tissue.cbf / 6000, tissue.att, 1.65
    rate = 1 / tissue.t1 + flow / 0.9
    now = delay + tau if labeling == "PCASL" else delay
    if now <= arrival:
        return 0.0
    end = min(now, arrival + tau)
    if labeling == "PCASL":
        held = np.exp(-rate * (now - end)) - np.exp(-rate * (now - arrival))
        return 2 * alpha / 0.9 * flow / rate * np.exp(-arrival / blood) * held
    k = 1 / blood - rate
    return 2 * alpha / 0.9 * flow * np.exp(-rate * now) * (np.exp(-k * arrival) - np.exp(-k * end)) / k


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("tissue", FLOWING, ids=named)
def test_the_labelled_difference_agrees_with_the_closed_form(tissue, labeling):
    delays = asl_truth.DELAYS[labeling]
    assert len(delays) == 8
    ours = np.array([asl_truth.difference(tissue, labeling, delay) for delay in delays])
    theirs = np.array([closed_form(tissue, labeling, delay) for delay in delays])
    assert theirs.max() > 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-12)
    apart = np.abs(ours - theirs)[theirs > 0] / theirs[theirs > 0]
    assert apart.max() > 1e-12, "as near as this only the formula itself comes"


def test_what_has_no_flow_holds_no_label():
    for name in ("csf", "artery", "vein", "air"):
        assert asl_truth.difference(classes()[LABEL[name]], "PCASL", 1.8) == 0.0
