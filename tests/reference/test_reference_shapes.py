"""The laws of transit times of the reference against numerical integration of their densities."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from benchmarks.reference.shapes import BELIEVED, SHAPES

Density = Callable[[float], float]
ENDS = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 8.0, 40.0, 400.0)
"""Where a law may have a step or a kink, and so far that nothing is left."""


def gamma(alpha: float) -> Density:
    return lambda u: float(stats.gamma.pdf(u, alpha, scale=1 / alpha))


def linear(u: float) -> float:
    return 0.5 if u < 2 else 0.0


def plateau(p: float) -> Density:
    return lambda u: float(np.exp(-(u - p) / (1 - p)) / (1 - p)) if u > p else 0.0


def log_normal(s: float) -> Density:
    return lambda u: float(stats.lognorm.pdf(u, s, scale=np.exp(-(s**2) / 2)))


def compartments(w: float, r: float) -> Density:
    fast = 1 / (w + (1 - w) * r)
    return lambda u: float(stats.expon.pdf(u, scale=fast) * w + stats.expon.pdf(u, scale=r * fast) * (1 - w))


LAWS: tuple[tuple[Density | None, float], ...] = (
    (gamma(0.6), 0.5),
    (gamma(1.0), 1.0),
    (gamma(1.8), 1.0),
    (gamma(3.2), 1.0),
    (gamma(6.0), 1.0),
    (gamma(12.0), 1.0),
    (None, 6.0),
    (linear, 4.5),
    (plateau(0.25), 2 / 3),
    (plateau(0.5), 2 / 3),
    (plateau(0.75), 2 / 3),
    (log_normal(0.6), 0.5),
    (log_normal(0.9), 0.5),
    (compartments(7 / 12, 3.0), 0.25),
    (compartments(3 / 4, 3.0), 0.25),
    (compartments(1 / 2, 18**0.5), 0.25),
    (compartments(2 / 3, 18**0.5), 0.25),
    (compartments(5 / 6, 18**0.5), 0.25),
    (compartments(7 / 12, 6.0), 0.25),
    (compartments(3 / 4, 6.0), 0.25),
    (compartments(11 / 12, 6.0), 0.25),
)
"""Density of every shape in the order of the bank, none for one transit time, and its prior."""
POINTS = (0.0, 0.01, 0.2, 0.6, 0.9, 1.1, 1.7, 3.0, 9.0, 30.0)


def integral(of: Density, least: float, most: float) -> float:
    """Over pieces between ENDS, by adaptive quadrature."""
    edges = [least, *(end for end in ENDS if least < end < most), most]
    pieces = [quad(of, a, b, limit=200, epsabs=1e-11, epsrel=1e-10)[0] for a, b in pairwise(edges)]
    return float(sum(pieces))


@pytest.mark.parametrize("place", [i for i, (density, _) in enumerate(LAWS) if density])
def test_mean_spread_and_survival_are_those_of_the_density(place: int) -> None:
    density, _ = LAWS[place]
    shape = SHAPES[place]
    assert density is not None
    whole, mean, square = (
        integral(lambda u, power=power: u**power * density(u), 0, ENDS[-1]) for power in range(3)
    )
    assert whole == pytest.approx(1, abs=1e-7) and mean == pytest.approx(1, abs=1e-7)
    assert shape.spread == pytest.approx(np.sqrt(square - 1), abs=1e-6)
    inside = [integral(density, u, ENDS[-1]) for u in POINTS]
    assert np.allclose(shape.survival(np.array(POINTS)), inside, atol=1e-7)


@pytest.mark.parametrize("place", range(len(LAWS)))
def test_what_has_passed_is_the_integral_of_the_survival(place: int) -> None:
    shape = SHAPES[place]
    passed = [integral(lambda u: float(shape.survival(np.array(u))), 0, u) for u in POINTS]
    assert np.allclose(shape.passed(np.array(POINTS)), passed, atol=1e-8)
    assert shape.passed(np.array(ENDS[-1])) == pytest.approx(1, abs=1e-7)


def test_the_box_is_one_transit_time() -> None:
    (place,) = (i for i, (density, _) in enumerate(LAWS) if not density)
    box = SHAPES[place]
    assert box.name == "box" and box.spread == 0
    assert box.survival(np.array([0.0, 0.999, 1.001, 9.0])).tolist() == [1, 1, 0, 0]


def test_every_shape_has_its_prior_and_its_own_name() -> None:
    assert BELIEVED.tolist() == [weight for _, weight in LAWS]
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) == len(LAWS)
