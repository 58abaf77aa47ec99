"""The ASL reference against closed forms, adaptive quadrature, a differential equation and brute force."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from benchmarks import simulate
from benchmarks.reference import asl, kinetics
from bolus_kernels.asl.protocol import AslProtocol

ACQUISITION = {"efficiency": 0.85, "t1_blood": 1.65, "t1_apparent": 1.2, "partition_coefficient": 0.9}


def protocol(labeling: Any = "PCASL", noise: float = 1e-4, **other: Any) -> AslProtocol:
    delays = np.repeat([0.2, 0.7, 1.2, 1.7, 2.2, 2.7], 3)
    given: dict[str, Any] = {
        "labeling": labeling,
        "post_labeling_delay": delays,
        "labeling_duration": np.full(18, 1.8 if labeling != "PASL" else 0.8),
        "labeling_efficiency": 0.85,
        "t1_blood": 1.65,
        "t1_tissue": np.array([1.3], np.float32),
        "partition_coefficient": 0.9,
        "slice_delay": np.array([0.1], np.float32),
        "noise_variance": noise**2,
    }
    return AslProtocol(**given | other)


def curve_of(given: AslProtocol, cbf: float, att: float) -> np.ndarray:
    time = kinetics.times(given.labeling, given.post_labeling_delay, given.labeling_duration, 0.1)
    return simulate.labelled(
        given.labeling,
        time,
        given.labeling_duration,
        np.array([cbf]),
        np.array([att]),
        t1_tissue=given.t1_tissue,
        tissue_relaxation=given.tissue_relaxation,
    )[0]


@pytest.mark.parametrize("att", [0.0, 0.4, 1.1, 2.3])
def test_continuous_labelling_meets_buxtons_closed_form(att: float) -> None:
    t, tau, t1, t1b = np.linspace(0.0, 5.0, 101), 1.8, 1.2, 1.65
    scale = 2 * 0.85 / 0.9 * t1 * np.exp(-att / t1b)
    during = scale * (1 - np.exp(-(t - att) / t1))
    after = scale * np.exp(-(t - tau - att) / t1) * (1 - np.exp(-tau / t1))
    closed = np.where(t <= att, 0.0, np.where(t < att + tau, during, after))
    assert np.allclose(kinetics.kinetic("PCASL", t, att, tau, **ACQUISITION), closed, rtol=1e-12, atol=1e-15)
    assert np.array_equal(
        kinetics.kinetic("CASL", t, att, tau, **ACQUISITION),
        kinetics.kinetic("PCASL", t, att, tau, **ACQUISITION),
    )


@pytest.mark.parametrize("t1", [0.9, 1.2, 1.65])
def test_pulsed_labelling_meets_buxtons_closed_form(t1: float) -> None:
    t, att, tau, k = np.linspace(0.0, 4.0, 81), 0.7, 0.8, 1 / 1.65 - 1 / t1
    end = np.minimum(t, att + tau)
    length = end - att if t1 == 1.65 else (np.exp(-k * att) - np.exp(-k * end)) / k
    closed = np.where(t > att, 2 * 0.85 / 0.9 * np.exp(-t / t1) * length, 0.0)
    found = kinetics.kinetic("PASL", t, att, tau, **ACQUISITION | {"t1_apparent": t1})
    assert np.allclose(found, closed, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_the_integral_meets_adaptive_quadrature(labeling: str) -> None:
    att, tau, t = 0.9, 1.4, 2.0

    def integrand(s: float) -> float:
        age = s if labeling == "PASL" else att
        return 0.85 * np.exp(-age / 1.65) * np.exp(-(t - s) / 1.2)

    value, _ = quad(integrand, att, min(t, att + tau), epsabs=1e-13)
    found = kinetics.kinetic(labeling, np.array(t), np.array(att), np.array(tau), **ACQUISITION)
    assert float(found) == pytest.approx(2 / 0.9 * value, rel=1e-12)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_simulated_and_reference_curves_meet_the_differential_equation(labeling: str) -> None:
    """d(dM)/dt = 2 M0a f c(t) - dM/T1', solved piece by piece where the input is smooth."""
    flow, att, tau, t1 = 60 / 6000, 0.8, 1.8, 1.3
    rate = 1 / t1 + flow / 0.9
    t = np.array([0.9, 1.7, 2.5, 3.3, 4.6])

    def slope(s: float, m: np.ndarray, flowing: float) -> np.ndarray:
        age = s if labeling == "PASL" else att
        return flowing * 2 * 0.85 / 0.9 * flow * np.exp(-age / 1.65) - rate * m

    settings: dict[str, Any] = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-15, "dense_output": True}
    bolus = solve_ivp(slope, (att, att + tau), [0.0], args=(1.0,), **settings)
    after = solve_ivp(slope, (att + tau, 5.0), bolus.y[:, -1], args=(0.0,), **settings)
    solved = np.where(t < att + tau, bolus.sol(t)[0], after.sol(np.maximum(t, att + tau))[0])
    made = simulate.labelled(labeling, t, tau, np.array([60.0]), np.array([att]), t1_tissue=np.array([t1]))[0]
    apparent = kinetics.apparent_t1(t1, flow, 0.9)
    found = flow * kinetics.kinetic(labeling, t, att, tau, **ACQUISITION | {"t1_apparent": apparent})
    assert np.allclose(found, solved, rtol=1e-8)
    assert np.allclose(made, solved, rtol=2e-6)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_the_single_delay_formula_is_the_kinetic_model_under_its_assumptions(labeling: str) -> None:
    """All of the bolus has come, label decays as in blood throughout: Alsop's formula is exact."""
    delay, tau, cbf = 1.8, 0.7, 63.0
    t = delay if labeling == "PASL" else delay + tau
    difference = cbf / 6000 * kinetics.kinetic(labeling, t, 0.5, tau, **ACQUISITION | {"t1_apparent": 1.65})
    constants = {"efficiency": 0.85, "t1_blood": 1.65, "partition_coefficient": 0.9}
    assert kinetics.single_delay(labeling, float(difference), delay, tau, **constants) == pytest.approx(
        cbf, rel=1e-12
    )


def test_one_delay_averages_the_pairs_and_refuses_several_delays() -> None:
    single = protocol(post_labeling_delay=np.full(4, 1.8), labeling_duration=np.full(4, 1.8))
    found = asl.one_delay(np.array([0.004, 0.006, 0.005, 0.005]), single, 0)
    constants = {"efficiency": 0.85, "t1_blood": 1.65, "partition_coefficient": 0.9}
    delay = 1.8 + float(np.float32(0.1))
    assert found == pytest.approx(kinetics.single_delay("PCASL", 0.005, delay, 1.8, **constants), rel=1e-12)
    with pytest.raises(ValueError, match="one delay"):
        asl.one_delay(np.zeros(18), protocol(), 0)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_the_posterior_meets_brute_force_over_flow_noise_and_arrival(labeling: str) -> None:
    """No conjugacy: f, sigma and ATT on a three-dimensional grid, the densities written out."""
    given = protocol(labeling, 1.5e-3, tissue_relaxation=False)
    y = curve_of(given, 60.0, 0.9) + np.random.default_rng(5).normal(0, 1.5e-3, 18)
    prior = asl.Prior(1.0, 0.7, 80.0, 6.0)
    found = asl.multi_delay(y, given, 0, prior)
    time = kinetics.times(
        labeling, given.post_labeling_delay, given.labeling_duration, float(given.slice_delay[0])
    )
    edges = np.linspace(0, asl.latest_arrival(time, given.labeling_duration), 301)
    att = (edges[1:] + edges[:-1]) / 2
    g = kinetics.kinetic(
        labeling, time, att[:, None], given.labeling_duration, **ACQUISITION | {"t1_apparent": 1.65}
    )
    f = np.linspace(found.cbf - 8 * found.sd_cbf, found.cbf + 8 * found.sd_cbf, 241)[:, None] / 6000
    variance = np.exp(np.linspace(np.log(3e-7), np.log(3e-5), 161))
    squares = np.sum((y - f[..., None] * g[:, None, :].swapaxes(0, 1)) ** 2, axis=-1)[
        ..., None
    ]  # (f, att, 1)
    log_density = (
        -9 * np.log(variance)  # the likelihood of 18 pairs
        - squares / (2 * variance)
        - 0.5 * np.log(variance)  # f | sigma2 ~ N(0, sigma2/kappa)
        - f[..., None] ** 2 * (given.noise_variance / (80 / 6000) ** 2) / (2 * variance)
        - (3 + 1) * np.log(variance)  # InverseGamma(3, 3 s2)
        - 3 * given.noise_variance / variance
        + np.log(variance)  # the grid is even in log sigma2
        - 0.5 * ((att[:, None] - 1.0) / 0.7) ** 2
    )
    weight = np.exp(log_density - log_density.max()).sum(axis=-1)
    weight /= weight.sum()
    mean_f, mean_att = (weight * f).sum(), (weight * att).sum()
    assert 6000 * mean_f == pytest.approx(found.cbf, abs=0.01 * found.sd_cbf)
    assert mean_att == pytest.approx(found.att, abs=0.01 * found.sd_att)
    assert 6000 * np.sqrt((weight * (f - mean_f) ** 2).sum()) == pytest.approx(found.sd_cbf, rel=0.01)
    assert np.sqrt((weight * (att - mean_att) ** 2).sum()) == pytest.approx(found.sd_att, rel=0.01)


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
@pytest.mark.parametrize(("cbf", "att"), [(60.0, 0.8), (20.0, 1.3), (110.0, 0.5), (25.0, 2.1)])
def test_the_posterior_returns_the_truth_of_a_noise_free_curve(labeling: str, cbf: float, att: float) -> None:
    given = protocol(labeling, 1e-6)
    found = asl.multi_delay(curve_of(given, cbf, att), given, 0, asl.Prior(1.3, 1.0, 100.0, 10.0))
    assert found.cbf == pytest.approx(cbf, abs=0.01)
    assert found.att == pytest.approx(att, abs=1e-3)


def test_a_curve_of_noise_alone_returns_the_prior_of_the_transit_time() -> None:
    given = protocol(noise=1.0)
    found = asl.multi_delay(np.zeros(18), given, 0, asl.Prior(1.3, 0.2, 10.0, 1e6))
    assert found.cbf == pytest.approx(0.0, abs=1e-9)
    assert found.sd_cbf == pytest.approx(10.0, rel=1e-2)
    assert (found.att, found.sd_att) == (pytest.approx(1.3, abs=1e-3), pytest.approx(0.2, abs=1e-3))


def test_the_grid_is_fine_enough() -> None:
    given = protocol(noise=2e-4)
    y = curve_of(given, 60.0, 1.0) + np.random.default_rng(6).normal(0, 2e-4, 18)
    coarse, points = asl.multi_delay(y, given, 0, asl.Prior(1.3, 1.0, 100.0, 10.0)), asl.POINTS
    asl.POINTS = 4 * points
    try:
        fine = asl.multi_delay(y, given, 0, asl.Prior(1.3, 1.0, 100.0, 10.0))
    finally:
        asl.POINTS = points
    assert np.allclose(coarse, fine, rtol=1e-5)
