"""Voxels that the benchmark of the posterior draws from the prior."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import example, simulate
from benchmarks.dsc import bayes
from benchmarks.reference.shapes import SHAPES
from bolus_kernels.shelf import shelf

PRIOR = shelf()["bayes"].defaults()


def cut_normal(mean: float, sd: float, least: float, most: float) -> stats.rv_continuous:
    return stats.truncnorm((least - mean) / sd, (most - mean) / sd, mean, sd)


def test_delays_and_transit_times_have_the_prior_cut_off_at_its_ends() -> None:
    """No lump there; 4,000 voxels, by Kolmogorov and Smirnov."""
    _, truth = bayes.drawn(20, 4000, 5)
    ends = PRIOR["delay_least"], PRIOR["delay_most"]
    late = cut_normal(PRIOR["delay_prior"], PRIOR["delay_spread"], *ends)
    assert stats.kstest(truth["tmax"], late.cdf).pvalue > 0.01
    least, most = PRIOR["mtt_least"], PRIOR["mtt_most"]
    long = cut_normal(np.log(PRIOR["mtt_prior"]), PRIOR["mtt_spread"], np.log(least), np.log(most))
    assert stats.kstest(np.log(truth["mtt"]), long.cdf).pvalue > 0.01
    for name, (first, last) in {"tmax": ends, "mtt": (least, most)}.items():
        assert np.all((truth[name] > first) & (truth[name] < last)), name
    flow = np.log(truth["cbf"] * PRIOR["mtt_prior"] / 60 / 4.5) / PRIOR["cbf_spread"]
    assert stats.kstest(flow, stats.norm.cdf).pvalue > 0.01


def test_the_voxels_are_the_same_at_every_noise() -> None:
    first, truth = bayes.drawn(5, 50, 6)
    second, other = bayes.drawn(50, 50, 6)
    assert all(np.array_equal(truth[name], other[name]) for name in truth)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("place", "family"), [(1, "exponential"), (6, "box"), (7, "linear")])
def test_a_drawn_curve_is_that_of_its_residue(
    place: int, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bayes, "BELIEVED", np.eye(len(SHAPES))[place])
    bayes._believed.cache_clear()
    curves, truth = bayes._believed(5, 7, 4.5)
    bayes._believed.cache_clear()
    for v, curve in enumerate(curves):
        voxel = (float(truth[name][v]) for name in ("cbf", "mtt", "tmax"))
        exact = simulate.tissue(example.volume_times(), *voxel, family)
        assert np.abs(curve - exact).max() <= 5e-3 * exact.max()
