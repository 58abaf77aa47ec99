"""The bounds of a voxel's flow: against what estimates reach where noise is faint, and against each other."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from benchmarks.asl import bounds
from benchmarks.asl.brain import TISSUES
from benchmarks.asl.simulate import PASL, PCASL

FITS = 400


@pytest.mark.parametrize("acquisition", [PCASL, PASL], ids=lambda one: one.labeling)
def test_least_squares_reaches_the_bound_where_noise_is_faint(acquisition, monkeypatch):
    """There it is unbiased and efficient; the SD of FITS of them is known to 4 %."""
    monkeypatch.setattr(bounds, "SNR", 20000.0)
    tissue, rng = TISSUES["gm"], np.random.default_rng(1)
    truth = np.array([tissue.cbf / 6000, tissue.att])
    clean, noise = bounds.signal(acquisition, tissue, *truth), bounds.mean_noise(acquisition, tissue)
    found = []
    for _ in range(FITS):
        seen = clean + rng.normal(0, noise, clean.size)
        fit = least_squares(lambda x, y=seen: (bounds.signal(acquisition, tissue, *x) - y) / noise, truth)
        found.append(fit.x)
    sd, least = np.std(found, axis=0), bounds.bound(acquisition, tissue)
    assert 6000 * sd[0] == pytest.approx(least.unknown, rel=0.12)
    assert sd[1] == pytest.approx(least.arrival, rel=0.12)


@pytest.mark.parametrize("acquisition", [PCASL, PASL], ids=lambda one: one.labeling)
@pytest.mark.parametrize("name", bounds.TISSUES)
def test_what_is_told_brings_the_bound_nearer_to_the_known_arrival(acquisition, name):
    tissue = TISSUES[name]
    least = bounds.bound(acquisition, tissue, 0.1)
    assert least.known < least.regional < least.closer[1] < least.closer[0] < least.unknown
    g = bounds.units(acquisition, tissue, np.array([tissue.att]))[0]
    linear = 6000 * bounds.mean_noise(acquisition, tissue) / np.sqrt(g @ g)  # T1' taken as known
    assert least.known == pytest.approx(linear, rel=0.02)
    error, known = bounds.shrunk(acquisition, tissue, 4000)
    assert 0.95 * known < error < min(least.unknown, tissue.cbf * bounds.SHARE * 1.05)
