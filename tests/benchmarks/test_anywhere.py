"""The bound of estimates that are unbiased elsewhere too: where it is known, and how it grows."""

from functools import partial

import numpy as np
import pytest

from benchmarks.asl import anywhere
from benchmarks.asl.anywhere import barankin
from benchmarks.asl.bounds import bound, mean_noise, signal
from benchmarks.asl.brain import TISSUES
from benchmarks.asl.simulate import PASL, PCASL

RNG = np.random.default_rng(3)


def at_grey(acquisition, noise):
    """ml/100g/min."""
    grey = TISSUES["gm"]
    mean = partial(signal, acquisition, grey)
    return 6000 * anywhere.anywhere(mean, grey.cbf / 6000, grey.att, noise)


def test_one_point_is_what_hammersley_chapman_and_robbins_say():
    """Unit variance, the mean one higher there: step^2 / (e - 1)."""
    assert barankin(np.array([[1.0]]), np.array([2.0])) == pytest.approx(2 / np.sqrt(np.e - 1), rel=1e-12)


def test_two_points_by_hand():
    shifts, steps = np.array([[0.6, 0.0], [0.3, 0.4]]), np.array([1.0, -0.5])
    a, b, c = np.expm1(0.36), np.expm1(0.18), np.expm1(0.25)
    by_hand = (c * 1.0 + 2 * b * 0.5 + a * 0.25) / (a * c - b * b)
    assert barankin(shifts, steps) == pytest.approx(np.sqrt(by_hand), rel=1e-12)


@pytest.mark.parametrize("parameters", [1, 2, 3])
def test_where_the_mean_is_linear_it_is_cramer_and_rao_s(parameters):
    """No estimate loses by being unbiased everywhere there: least squares is, and has that variance."""
    mean = RNG.normal(size=(8, parameters))
    least = np.sqrt(np.linalg.inv(mean.T @ mean)[0, 0])
    small = 1e-3 * np.concatenate([np.eye(parameters), -np.eye(parameters)])
    assert barankin(small @ mean.T, small[:, 0]) == pytest.approx(least, rel=1e-4)
    anywhere_else = np.concatenate([small, RNG.normal(size=(30, parameters))])
    assert barankin(anywhere_else @ mean.T, anywhere_else[:, 0]) <= least * (1 + 1e-4)


def test_a_point_more_never_lowers_it_and_a_turn_of_the_data_changes_nothing():
    shifts, steps = RNG.normal(size=(6, 4)), RNG.normal(size=6)
    found = [barankin(shifts[:n], steps[:n]) for n in range(1, 7)]
    assert np.all(np.diff(found) >= -1e-9)
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    assert barankin(shifts @ turn, steps) == pytest.approx(found[-1], rel=1e-9)


@pytest.mark.parametrize("acquisition", [PCASL, PASL])
def test_to_be_unbiased_wherever_blood_arrives_costs_more_than_at_the_truth(acquisition):
    grey = TISSUES["gm"]
    found = at_grey(acquisition, mean_noise(acquisition, grey))
    assert found > 1.3 * bound(acquisition, grey).unknown


def test_without_noise_to_speak_of_it_is_no_more_than_at_the_truth(monkeypatch):
    """Points near the truth then, for those of the benchmark are all too far to say anything."""
    grey, noise = TISSUES["gm"], mean_noise(PCASL, TISSUES["gm"]) / 1000
    monkeypatch.setattr(anywhere, "FLOWS", 1 + 1e-5 * np.arange(-2, 3))
    monkeypatch.setattr(anywhere, "ARRIVALS", grey.att + 1e-5 * np.arange(-2, 3))
    assert at_grey(PCASL, noise) == pytest.approx(bound(PCASL, grey).unknown / 1000, rel=0.01)
