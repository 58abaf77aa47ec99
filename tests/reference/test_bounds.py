"""The bounds of what any estimator can reach: closed forms, a told family below a mixture, calibrated posteriors."""

import numpy as np
import pytest

from benchmarks import example
from benchmarks.dsc import bayes, beliefs, bounds, leak_bounds, leakage, learned, least
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

TIMES = example.volume_times()


def toy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = x + noise, x ~ N(0, 1) or N(0, 9), noise N(0, 1): curves, truths, families; all is known in closed form."""
    rng = np.random.default_rng(seed)
    family = np.repeat([0, 1], n)
    truth = rng.normal(size=2 * n) * np.where(family == 0, 1.0, 3.0)
    return truth + rng.normal(size=2 * n), truth, family


def told(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln p(y) and E x of each family, (n, 2)."""
    variance = np.array([1.0, 9.0])
    total = variance + 1
    return -0.5 * (y[:, None] ** 2 / total + np.log(total)), y[:, None] * variance / total


def test_the_posterior_mean_of_a_gaussian_has_the_error_of_the_closed_form() -> None:
    y, truth, family = toy(20000, 1)
    _, mean = told(y)
    for i, expected in enumerate((1 / 2, 9 / 10)):
        rows = family == i
        assert np.mean((mean[rows, i] - truth[rows]) ** 2) == pytest.approx(expected, rel=0.04)


def test_the_best_of_a_mixture_lies_between_told_families_and_any_fixed_estimator() -> None:
    y, truth, family = toy(20000, 2)
    evidence, mean = told(y)

    def product(error: np.ndarray) -> float:
        return float(np.mean([np.log(np.mean(error[family == i] ** 2)) for i in (0, 1)]))

    best = product(least.best_of_mixture(evidence, mean, truth, family))
    own = product(mean[np.arange(y.size), family] - truth)
    shrunk = [product(share * y - truth) for share in np.linspace(0.3, 1.0, 15)]
    even = product(least.mixed(evidence, mean, np.ones(2)) - truth)
    assert own < best <= even and best < min(shrunk)


def test_errors_from_the_mean_of_their_family_do_not_see_a_shift() -> None:
    y, truth, family = toy(3000, 3)
    evidence, mean = told(y)
    shifted = truth + 5.0 * family
    error = least.best_of_mixture(evidence, mean + np.array([0.0, 5.0]), shifted, family, centred=True)
    plain = least.best_of_mixture(evidence, mean, truth, family, centred=True)
    assert np.var(error) == pytest.approx(np.var(plain), rel=0.02)


def test_the_posterior_knows_its_own_error() -> None:
    """The mean square error is the mean posterior variance, if the voxels are drawn by the laws of the posterior."""
    cnr = 10
    made = bayes.family_of("linear", cnr, 400, 51)
    found = least.posterior(made[0], least.templates("linear", TIMES, 40, 56), cnr)
    for at, name in enumerate(least.NAMES):
        error = (found.mean[:, at] - made[1][name]) ** 2
        assert error.mean() == pytest.approx(found.variance[:, at].mean(), abs=4 * error.std() / 20), name


def test_a_told_residue_is_nearer_and_a_wrong_one_less_likely() -> None:
    curves, truth = bayes.family_of("box", 20, 60, 52)
    box, gamma = (
        least.posterior(curves, least.templates(name, TIMES, 60, 80), 20) for name in ("box", "gamma")
    )
    assert np.mean(box.evidence > gamma.evidence) > 0.8
    errors = [np.mean((one.mean[:, 0] - truth["cbf"]) ** 2) for one in (box, gamma)]
    assert errors[0] < errors[1]


def test_a_ratio_of_equal_errors_is_one_without_uncertainty() -> None:
    error, family = np.random.default_rng(4).normal(size=90), np.repeat([0, 1, 2], 30)
    assert bounds.ratio(error, error, family) == (1.0, 0.0, 1.0)
    assert bounds.ratio(error, -2 * error, family)[0] == pytest.approx(0.5)


def test_least_squares_reaches_the_bound_of_unbiased_estimators() -> None:
    """C = rCBV m - K2 integral m is linear: the scatter of least squares is the bound itself."""
    rng, n = np.random.default_rng(5), 3000
    shape, leaked = leakage.sampled(leakage.reference()), leakage.retained(0.0)
    noise = 1.5 * shape.max() / 10
    curves = 1.5 * shape - 0.01 * leaked + rng.normal(0, noise, (n, shape.size))
    fits = np.linalg.lstsq(np.stack([shape, -leaked], 1), curves.T, rcond=None)[0]
    relative, spread = leak_bounds.unbiased(np.array([1.5]), np.array([0.01]), np.array([0.0]), 10.0)
    assert np.std(fits[0]) / 1.5 == pytest.approx(relative[0], rel=0.05)
    assert np.std(fits[1]) == pytest.approx(spread[0], rel=0.05)


def test_a_posterior_of_leakage_is_nearer_than_least_squares() -> None:
    truth = leakage.simulated(200, "bsw", False, 10.0, 6)
    volume, leak = leak_bounds.posterior(truth.curves, np.array([0.0]), 10.0)
    design = np.stack([leakage.sampled(leakage.reference()), -leakage.retained(0.0)], 1)
    fits = np.linalg.lstsq(design, truth.curves.T.astype(float), rcond=None)[0]
    assert np.mean((volume - truth.ratio) ** 2) < np.mean((fits[0] - truth.ratio) ** 2)
    assert np.mean((leak - truth.k2) ** 2) < np.mean((fits[1] - truth.k2) ** 2)


@pytest.mark.parametrize("name", beliefs.POPULATIONS)
def test_a_population_is_drawn_within_what_its_name_says(name: str) -> None:
    cbf, mtt, delay = beliefs.POPULATIONS[name](np.random.default_rng(7))
    assert cbf.shape == mtt.shape == delay.shape == (beliefs.VOXELS,)
    assert cbf.min() > 0 and mtt.min() >= 0.5 and np.isfinite(delay).all()


def test_under_the_fixed_belief_voxels_have_the_maps_of_bayes() -> None:
    curves, _ = bayes.family_of("gamma", 10, 60, 8)
    protocol, method = bayes.protocol_of(curves), shelf()["bayes"]
    expected = method.function(curves, protocol, method.defaults() | {"leakage": "none"}, cpu())
    found = learned.maps(learned.likelihood(curves, protocol), learned.fixed())
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=0.05, err_msg=name)
        assert np.mean(values / expected[name]) == pytest.approx(1, abs=0.015), name


def test_a_belief_is_learned_where_flows_are_seen_through_noise_of_known_spread() -> None:
    """y = x + noise of SD 0.3, x ~ N(0.5, 0.7): the belief most likely is the mean of y, and its variance less 0.09."""
    rng, n = np.random.default_rng(9), 400
    flow, time, middles = rng.normal(0.5, 0.7, n), rng.normal(1.6, 0.9, n), np.arange(-4, 5, 0.1)
    seen, late = flow + rng.normal(0, 0.3, n), time + rng.normal(0, 0.3, n)
    along = np.exp(-0.5 * ((middles - seen[:, None]) / 0.3) ** 2)
    across = np.exp(-0.5 * ((middles - late[:, None]) / 0.3) ** 2)
    shapes = rng.choice(2, n, p=[0.8, 0.2])[:, None] == np.arange(learned.SHAPES)
    mass = np.einsum("ns,nm,nx->nsmx", shapes, across, along).astype(np.float32)
    found = learned.learned(learned.Likelihood(mass, middles, middles, 60.0), 0.1, 0.1, 0.0)
    assert found.flow == pytest.approx(seen.mean(), abs=0.005)
    assert found.mtt == pytest.approx(late.mean(), abs=0.005)
    assert found.flow_spread == pytest.approx(np.sqrt(seen.var() - 0.09), abs=0.01)
    assert found.mtt_spread == pytest.approx(np.sqrt(late.var() - 0.09), abs=0.01)
    counted = shapes.mean(axis=0) + learned.BEFORE * learned.fixed().weight  # each voxel tells its shape
    assert found.weight == pytest.approx(counted / counted.sum())
    floored = learned.learned(learned.Likelihood(mass, middles, middles, 60.0), 1.5, 1.5, 0.0)
    assert (floored.flow_spread, floored.mtt_spread) == (1.5, 1.5)
