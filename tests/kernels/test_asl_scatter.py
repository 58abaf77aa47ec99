"""How far arrivals scatter in a region: that the voxels tell it, and that what is late among them is let be."""

import numpy as np
import pytest

from benchmarks import example
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.scatter import WIDTHS
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

KNOWN = shelf()["multi_delay"]
USUAL = KNOWN.defaults()
DURATION = {"PCASL": 1.8, "PASL": 0.8}
SHAPE, SIZE = (20, 18, 12), (4.0, 4.0, 4.0)
ALL = np.arange(np.prod(SHAPE))
PLACE = ALL, SHAPE, SIZE
X, Y, Z = np.unravel_index(ALL, SHAPE, order="F")
FIXED = 0.6, 1 / 16
"""s and 1: SD and tail of a prior that does not ask by how much arrivals scatter."""


def scan(labeling, att, noise, seed, repeats=4, cbf=60.0):
    protocol = example.asl_protocol(
        att.size, noise, labeling=labeling, duration=DURATION[labeling], repeats=repeats
    )
    return example.asl_curves(protocol, np.full(att.size, cbf), np.maximum(att, 0.1), noise, seed), protocol


def quantified(curves, protocol, prior):
    return KNOWN.function(curves, protocol._replace(arrival_prior=prior), USUAL, cpu())


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_a_region_whose_arrivals_scatter_more_is_told_so(labeling):
    sd = np.where(X < 10, 0.1, 0.6)
    att = 1.2 + sd * np.random.default_rng(1).standard_normal(ALL.size)
    found = arrival_evidence(*scan(labeling, att, 5e-4, 2), USUAL, *PLACE)
    narrow, wide = np.median(found.sd[X < 6]), np.median(found.sd[X > 13])  # whose regions lie on one side
    assert narrow < 0.2 and wide > 0.35
    assert found.sd.min() >= WIDTHS[0] and found.sd.max() <= 1.0


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_more_scatter_never_makes_it_narrower(labeling):
    away = np.random.default_rng(3).standard_normal(ALL.size)
    told = [
        np.median(arrival_evidence(*scan(labeling, 1.2 + sd * away, 5e-4, 4), USUAL, *PLACE).sd)
        for sd in (0.02, 0.1, 0.2, 0.4, 0.7)
    ]
    assert np.all(np.diff(told) > -1e-3) and told[0] == pytest.approx(WIDTHS[0], abs=0.03)


def test_the_order_of_voxels_changes_nothing():
    att = 0.9 + 0.3 * np.random.default_rng(5).standard_normal(ALL.size)
    curves, protocol = scan("PCASL", att, 3e-3, 6)
    once = arrival_evidence(curves, protocol, USUAL, *PLACE)
    order = np.random.default_rng(7).permutation(ALL.size)
    turned = arrival_evidence(
        np.asfortranarray(curves[order]), protocol.rows(order), USUAL, ALL[order], SHAPE, SIZE
    )
    np.testing.assert_allclose(turned.sd, once.sd[order], rtol=1e-3)
    np.testing.assert_allclose(turned.mean, once.mean[order], rtol=1e-3)


def test_repeats_of_a_scan_tell_the_same_twice():
    curves, protocol = scan("PASL", np.full(ALL.size, 0.9), 3e-3, 8)
    once, again = (arrival_evidence(curves, protocol, USUAL, *PLACE) for _ in range(2))
    np.testing.assert_array_equal(once.sd, again.sd)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_arrivals_that_are_alike_are_known_to_be_and_flow_is_better_for_it(labeling):
    """At a noise where no voxel tells its own arrival: less error and no more bias than with a fixed SD."""
    curves, protocol = scan(labeling, np.full(ALL.size, 0.9), 6e-3, 9)
    prior = arrival_evidence(curves, protocol, USUAL, *PLACE)
    sd, tail = FIXED
    away, before = (
        quantified(curves, protocol, one)["cbf"] - 60.0
        for one in (prior, prior._replace(sd=np.full_like(prior.sd, sd), tail=tail))
    )
    assert np.sqrt(np.mean(away**2)) < 0.97 * np.sqrt(np.mean(before**2))
    assert abs(away.mean()) < abs(before.mean()) + 0.5


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("later", [0.5, 1.0, 1.3])
def test_late_patches_among_prompt_tissue_keep_their_coverage(labeling, later):
    """Balls of 12 mm, too small for a region of their own: their intervals hold, and their mean is not far pulled."""
    patch = np.zeros(ALL.size, np.bool_)
    for x, y, z in ((4, 4, 3), (4, 13, 8), (15, 4, 8), (15, 13, 3)):
        patch |= (X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2 <= 9
    att = 0.9 + later * patch + 0.05 * np.random.default_rng(11).standard_normal(ALL.size)
    curves, protocol = scan(labeling, att, 3e-3, 12)
    maps = quantified(curves, protocol, arrival_evidence(curves, protocol, USUAL, *PLACE))
    away, sd = (maps["cbf"] - 60.0)[patch], maps["sd_cbf"][patch]
    assert np.mean(np.abs(away) <= 1.96 * sd) >= 0.88
    assert abs(away.mean()) <= 0.3 * sd.mean()
