"""The prior of arrivals from the scan's own evidence: against its reference, its laws, and what it must leave alone."""

import numpy as np
import pytest

from benchmarks import example
from benchmarks.reference import asl, scatter
from benchmarks.reference import evidence as reference
from bolus_kernels.asl.evidence import FED, TAIL, arrival_evidence
from bolus_kernels.asl.points import SPACING, SPREAD, lattice
from bolus_kernels.asl.scatter import ASKED, ROUNDS, WIDTHS
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

KNOWN = shelf()["multi_delay"]
USUAL = KNOWN.defaults()
DURATION = {"PCASL": 1.8, "CASL": 1.8, "PASL": 0.8}
EXPECTED = {"PCASL": (1.3, 1.0), "CASL": (1.3, 1.0), "PASL": (0.7, 1.0)}
SHAPE, SIZE = (18, 20, 12), (4.0, 4.0, 4.0)
ALL = np.arange(np.prod(SHAPE))
PLACE = ALL, SHAPE, SIZE
PART = (9, 10, 6)
"""Of SHAPE: with points inside it as well, few enough for the reference, which takes each by itself."""


def scan(
    labeling, voxels, noise, seed, late=lambda x: 0 * x, later=0.8, repeats=2, cbf=(30, 90), shape=SHAPE
):
    """Curves and protocol of voxels of a shape, noise and slices of their own; `late` of x (0...1) comes `later`."""
    rng, n = np.random.default_rng(seed), len(voxels)
    x, _, z = np.unravel_index(voxels, shape, order="F")
    protocol = example.asl_protocol(n, noise, labeling=labeling, duration=DURATION[labeling], repeats=repeats)
    protocol = protocol._replace(
        relative_noise=rng.uniform(0.5, 2.0, n).astype(np.float32), slice_delay=np.float32(0.02) * z
    )
    att = rng.normal(0.9, 0.15, n) + later * late(x / shape[0])
    return example.asl_curves(protocol, rng.uniform(*cbf, n), att, noise, seed + 1), protocol, att


def left(x):
    return x < 0.5


@pytest.mark.parametrize(
    ("labeling", "noise", "shape"), [("PCASL", 3e-3, SHAPE), ("PASL", 2e-3, PART), ("CASL", 2e-2, PART)]
)
def test_it_is_what_the_reference_says(labeling, noise, shape):
    voxels = np.random.default_rng(1).choice(np.prod(shape), 300, replace=False)
    curves, protocol, _ = scan(labeling, voxels, noise, 2, left, shape=shape)
    found = arrival_evidence(curves, protocol, USUAL, voxels, shape, SIZE)
    prior = asl.Prior(*EXPECTED[labeling], USUAL["cbf_sd"], USUAL["noise_weight"])
    near = reference.nearness(voxels, shape, SIZE, SPACING)
    regions = [(weight, reference.region(curves, protocol, weight, prior)) for weight in near.values()]
    mean, variance, apart = reference.expected(regions, prior, SPREAD, FED)
    np.testing.assert_allclose(found.mean, mean, atol=0.01)
    unknown = np.maximum(variance - SPREAD**2, 0) + apart
    asked = sum(np.unravel_index(voxels, SHAPE, order="F")) % ASKED == 0
    variance = scatter.scattered(
        curves, protocol, asked, regions, mean, unknown, np.array(WIDTHS), TAIL, ROUNDS, ASKED
    )
    within = sum(weight * one for weight, one in zip(near.values(), variance, strict=True))
    np.testing.assert_allclose(found.sd, np.sqrt(np.minimum(within + unknown, prior.att_sd**2)), atol=0.02)
    assert found.tail == TAIL and found.how == f"evidence of {len(near)} regions"


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_either_side_expects_its_own_arrival(labeling):
    curves, protocol, att = scan(labeling, ALL, 1e-3, 4, left)
    found = arrival_evidence(curves, protocol, USUAL, *PLACE)
    x = np.unravel_index(ALL, SHAPE, order="F")[0]
    for side in (x < 5, x > 12):
        assert found.mean[side].mean() == pytest.approx(att[side].mean(), abs=0.05)
        assert found.sd[side].max() < 0.25  # arrivals scatter by 0.15 s on either side


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
def test_noise_alone_a_voxel_alone_and_one_delay_leave_the_literature(labeling):
    curves, protocol, _ = scan(labeling, ALL, 2e-2, 7)
    noise = np.random.default_rng(8).normal(0, 2e-2, curves.shape) * np.sqrt(protocol.relative_noise)[:, None]
    mean, sd = EXPECTED[labeling]
    found = arrival_evidence(noise.astype(np.float32), protocol, USUAL, *PLACE)
    assert found.mean.mean() == pytest.approx(mean, abs=0.25) and found.sd.mean() == pytest.approx(
        sd, abs=0.1
    )
    one = arrival_evidence(curves[:1], protocol.rows(slice(0, 1)), USUAL, ALL[:1], SHAPE, SIZE)
    assert one.mean == pytest.approx(mean, abs=0.4) and 0.4 < one.sd <= sd
    alone = protocol._replace(
        post_labeling_delay=np.full(curves.shape[1], 1.8), labeling_duration=np.full(curves.shape[1], 0.7)
    )
    for some, told, voxels in ((curves, alone, ALL), (curves[:0], protocol.rows(slice(0, 0)), ALL[:0])):
        found = arrival_evidence(some, told, USUAL, voxels, SHAPE, SIZE)
        assert found == (mean, sd, 0.0, "literature")
    found = arrival_evidence(curves[:0], protocol.rows(slice(0, 0)), USUAL, ALL[:0], SHAPE, SIZE, later=0.3)
    assert found.mean == mean + 0.3


def test_broken_voxels_do_not_count_and_are_expected_as_those_around_them():
    curves, protocol, _ = scan("PCASL", ALL, 1e-3, 10)
    broken, t1, noise = curves.copy(order="F"), protocol.t1_tissue.copy(), protocol.relative_noise.copy()
    lost = np.zeros(ALL.size, np.bool_)
    lost[::7] = True
    broken[::21, 2], t1[7::21], noise[14::21] = np.nan, 0.0, np.nan
    kept = np.flatnonzero(~lost)
    good = arrival_evidence(
        np.asfortranarray(curves[kept]), protocol.rows(kept), USUAL, ALL[kept], SHAPE, SIZE
    )
    found = arrival_evidence(broken, protocol._replace(t1_tissue=t1, relative_noise=noise), USUAL, *PLACE)
    np.testing.assert_allclose(found.mean[kept], good.mean, atol=1e-4)
    assert np.isfinite(found.mean).all() and np.ptp(found.mean) < 0.5
    nothing = arrival_evidence(np.full_like(curves, np.nan), protocol, USUAL, *PLACE)
    assert set(nothing.mean.tolist()) == {np.float32(1.3)} and set(nothing.sd.tolist()) == {1.0}


def test_it_does_not_depend_on_units_and_hardly_on_the_order():
    curves, protocol, _ = scan("PCASL", ALL, 1e-3, 13, left)
    protocol = protocol._replace(tissue_relaxation=False)
    once = arrival_evidence(curves, protocol, USUAL, *PLACE)
    again = arrival_evidence(curves, protocol, USUAL, *PLACE)
    np.testing.assert_array_equal(again.mean, once.mean)
    louder = protocol._replace(noise_variance=9 * protocol.noise_variance)
    tripled = arrival_evidence(3 * curves, louder, USUAL | {"cbf_sd": 3 * USUAL["cbf_sd"]}, *PLACE)
    back = slice(None, None, -1)
    turned = arrival_evidence(
        np.asfortranarray(curves[back]), protocol.rows(back), USUAL, ALL[back].copy(), SHAPE, SIZE
    ).rows(back)
    for other in (tripled, turned):
        np.testing.assert_allclose(other.mean, once.mean, atol=2e-3)
        np.testing.assert_allclose(other.sd, once.sd, atol=2e-3)


def test_points_lie_from_side_to_side():
    grid = lattice((10, 1, 7), (3.0, 5.0, 8.0))
    assert grid.points.tolist() == [round(30 / SPACING) + 1, 2, round(56 / SPACING) + 1]
    np.testing.assert_allclose(grid.place[10], 0.5)  # a single slice lies between its two
    assert grid.place[:10].min() > 0 and grid.place[:10].max() < grid.points[0] - 1


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("later", [0.7, 1.3])
def test_a_late_territory_is_not_pulled_to_the_rest(labeling, later):
    """A tenth of grey matter; its intervals hold the truth, and its mean strays by less than one voxel's SD."""
    curves, protocol, _ = scan(labeling, ALL, 3e-3, 19, lambda x: x < 0.1, later, 4, (60, 60))
    prior = arrival_evidence(curves, protocol, USUAL, *PLACE)
    maps = KNOWN.function(curves, protocol._replace(arrival_prior=prior), USUAL, cpu())
    away, sd = maps["cbf"] - 60, maps["sd_cbf"]
    late = np.unravel_index(ALL, SHAPE, order="F")[0] / SHAPE[0] < 0.1
    for where in (late, ~late):
        assert np.mean(np.abs(away[where]) <= 1.96 * sd[where]) >= 0.9
        assert abs(away[where].mean()) <= sd[where].mean()
    assert abs(away[late].mean()) <= 0.25 * 60


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("later", [0.7, 1.3])
def test_the_same_late_blood_among_prompt_voxels_is_let_be(labeling, later):
    """A tenth of grey matter, each voxel among prompt ones: no region speaks for it, and its intervals still hold."""
    rng = np.random.default_rng(23)
    protocol = example.asl_protocol(ALL.size, 3e-3, labeling=labeling, duration=DURATION[labeling])
    late = rng.random(ALL.size) < 0.1
    curves = example.asl_curves(
        protocol, np.full(ALL.size, 60.0), rng.normal(0.9, 0.15, ALL.size) + later * late, 3e-3, 24
    )
    prior = arrival_evidence(curves, protocol, USUAL, *PLACE)
    maps = KNOWN.function(curves, protocol._replace(arrival_prior=prior), USUAL, cpu())
    away, sd = (maps["cbf"] - 60)[late], maps["sd_cbf"][late]
    assert np.mean(np.abs(away) <= 1.96 * sd) >= 0.9
    assert abs(away.mean()) <= sd.mean()
