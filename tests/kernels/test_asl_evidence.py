"""The prior of arrivals from the scan's own evidence: against its reference, its laws, and what it must leave alone."""

import numpy as np
import pytest

from benchmarks import example
from benchmarks.reference import asl
from benchmarks.reference import evidence as reference
from bolus_kernels.asl.evidence import LEAST_SD, MOST, TAIL, WORTH, arrival_evidence
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

KNOWN = shelf()["multi_delay"]
USUAL = KNOWN.defaults()
DURATION = {"PCASL": 1.8, "CASL": 1.8, "PASL": 0.8}
EXPECTED = {"PCASL": (1.3, 1.0), "CASL": (1.3, 1.0), "PASL": (0.7, 1.0)}


LATEST = {"PCASL": 4.35, "CASL": 4.35, "PASL": 2.8}
"""Arrivals after which nothing is told apart, s."""


def drawn(n, labeling, mean, sd, seed):
    """Arrivals that the prior's very shape has."""
    grid = np.linspace(0, LATEST[labeling], 2001)
    mass = np.cumsum(np.exp(asl.log_arrival(grid, mean, sd, TAIL)))
    return np.interp(np.random.default_rng(seed).random(n), mass / mass[-1], grid)


def scan(labeling, n, noise, seed, mean=1.0, sd=0.8, share=0.0, repeats=2):
    """Curves and protocol of n voxels, a share of them without flow, with noise and slices of their own."""
    rng = np.random.default_rng(seed)
    protocol = example.asl_protocol(n, noise, labeling=labeling, duration=DURATION[labeling], repeats=repeats)
    protocol = protocol._replace(
        relative_noise=rng.uniform(0.5, 2.0, n).astype(np.float32),
        slice_delay=rng.choice(np.array([0.0, 0.3], np.float32), n),
    )
    cbf = rng.uniform(30, 90, n) * (rng.random(n) >= share)
    return example.asl_curves(
        protocol, cbf, drawn(n, labeling, mean, sd, seed + 1), noise, seed + 2
    ), protocol


@pytest.mark.parametrize(
    ("labeling", "mean", "noise"), [("PCASL", 1.0, 2e-3), ("PASL", 0.6, 1e-3), ("CASL", 1.6, 4e-3)]
)
def test_it_is_where_the_reference_has_its_maximum(labeling, mean, noise):
    curves, protocol = scan(labeling, 80, noise, 1, mean=mean, share=0.2)
    found = arrival_evidence(curves, protocol, USUAL)
    given = reference.likelihoods(
        curves, protocol, asl.Prior(*EXPECTED[labeling], USUAL["cbf_sd"], USUAL["noise_weight"])
    )
    best = reference.likeliest(given, TAIL, LEAST_SD, EXPECTED[labeling], WORTH)
    assert (found.mean, found.sd) == pytest.approx(best[:2], abs=0.03)
    assert found.tail == TAIL and found.how == "evidence of 80 voxels"


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_it_finds_how_arrivals_were_drawn_whatever_has_no_flow(labeling, share):
    curves, protocol = scan(labeling, 3000, 2e-4, 4, mean=1.0, sd=0.8, share=share)
    found = arrival_evidence(curves, protocol, USUAL)
    assert found.mean == pytest.approx(1.0, abs=0.1)
    assert found.sd == pytest.approx(
        0.8, abs=0.15
    )  # what comes after the last readouts looks as if it had no flow


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
def test_noise_alone_a_voxel_alone_and_one_delay_leave_the_literature(labeling):
    curves, protocol = scan(labeling, 2000, 2e-3, 7)
    noise = np.random.default_rng(8).normal(0, 2e-3, curves.shape) * np.sqrt(protocol.relative_noise)[:, None]
    for some, told in ((noise.astype(np.float32), protocol), (curves[:1], protocol.rows(slice(0, 1)))):
        found = arrival_evidence(some, told, USUAL)
        assert (found.mean, found.sd) == pytest.approx(EXPECTED[labeling], abs=0.25)  # of an SD of 1
    alone = protocol._replace(
        post_labeling_delay=np.full(curves.shape[1], 1.8), labeling_duration=np.full(curves.shape[1], 0.7)
    )
    for some, told in ((curves, alone), (curves[:0], protocol.rows(slice(0, 0)))):
        found = arrival_evidence(some, told, USUAL)
        assert found == (*EXPECTED[labeling], 0.0, "literature")
    assert (
        arrival_evidence(curves[:0], protocol.rows(slice(0, 0)), USUAL, later=0.3).mean
        == EXPECTED[labeling][0] + 0.3
    )


def test_broken_voxels_do_not_count():
    curves, protocol = scan("PCASL", 400, 1e-3, 10)
    good = arrival_evidence(curves[:300], protocol.rows(slice(0, 300)), USUAL)
    broken, t1, noise = curves.copy(order="F"), protocol.t1_tissue.copy(), protocol.relative_noise.copy()
    broken[300:350, 2], t1[350:380], noise[380:] = np.nan, 0.0, np.nan
    found = arrival_evidence(broken, protocol._replace(t1_tissue=t1, relative_noise=noise), USUAL)
    assert found.how == "evidence of 300 voxels"
    assert (found.mean, found.sd) == pytest.approx((good.mean, good.sd), abs=1e-3)


def test_it_does_not_depend_on_units_and_hardly_on_the_order():
    curves, protocol = scan("PCASL", 500, 1e-3, 13)
    protocol = protocol._replace(tissue_relaxation=False)
    once = arrival_evidence(curves, protocol, USUAL)
    assert once == arrival_evidence(curves, protocol, USUAL)
    louder = protocol._replace(noise_variance=9 * protocol.noise_variance)
    tripled = arrival_evidence(3 * curves, louder, USUAL | {"cbf_sd": 3 * USUAL["cbf_sd"]})
    back = protocol._replace(
        slice_delay=protocol.slice_delay[::-1].copy(), relative_noise=protocol.relative_noise[::-1].copy()
    )
    turned = arrival_evidence(np.asfortranarray(curves[::-1]), back, USUAL)
    for other in (tripled, turned):
        assert (other.mean, other.sd) == pytest.approx((once.mean, once.sd), abs=2e-3)


def test_a_large_scan_is_asked_by_a_part_of_it():
    curves, protocol = scan("PCASL", 12000, 2e-3, 16)
    found = arrival_evidence(curves, protocol, USUAL)
    assert found.how == f"evidence of {MOST} voxels"
    assert found.mean == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("later", [0.7, 1.3])
def test_a_late_territory_is_not_pulled_to_the_rest(labeling, later):
    """A tenth of grey matter; its intervals hold the truth, and its mean strays by less than one voxel's SD."""
    n, noise, rng = 4000, 3e-3, np.random.default_rng(19)
    protocol = example.asl_protocol(n, noise, labeling=labeling, duration=DURATION[labeling])
    late = np.arange(n) % 10 == 0
    att = rng.normal(0.9, 0.15, n) + later * late
    curves = example.asl_curves(protocol, np.full(n, 60.0), att, noise, 20)
    maps = KNOWN.function(
        curves, protocol._replace(arrival_prior=arrival_evidence(curves, protocol, USUAL)), USUAL, cpu()
    )
    away, sd = maps["cbf"] - 60, maps["sd_cbf"]
    for where in (late, ~late):
        assert np.mean(np.abs(away[where]) <= 1.96 * sd[where]) >= 0.9
        assert abs(away[where].mean()) <= sd[where].mean()
