"""The numerical convolution against closed forms and laws: dispersion, exchange, Look-Locker, velocity selection."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from benchmarks.reference import delivery, kinetics, schemes, transport

CONSTANTS: dict[str, Any] = {"efficiency": 0.85, "t1_blood": 1.65, "partition_coefficient": 0.9}
TIME = np.array([0.5, 1.1, 1.9, 2.4, 3.1, 4.2])
T1 = 1.2


def sharp(labeling: str, att: float = 0.8, tau: float = 1.4, t1: float = T1) -> np.ndarray:
    return kinetics.kinetic(labeling, TIME, att, tau, t1_apparent=t1, **CONSTANTS)


def signal(labeling: str, att: float = 0.8, residue: Any = None, **other: Any) -> np.ndarray:
    residue = residue or delivery.well_mixed(T1)
    return delivery.tissue(labeling, TIME, att, np.full(6, 1.4), residue, **CONSTANTS | other)


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
def test_without_dispersion_it_is_the_kinetic_model(labeling: str) -> None:
    assert np.allclose(signal(labeling), sharp(labeling), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("kind", ["gamma", "gaussian"])
def test_dispersion_is_a_mixture_of_transit_times(labeling: str, kind: str) -> None:
    """Each parcel is a small undispersed bolus: the sum over 40,000 quantiles of the density."""
    middle = (np.arange(40_000) + 0.5) / 40_000
    if kind == "gamma":
        later = stats.gamma.ppf(middle, 1 + 7.4 * 0.1, scale=1 / 7.4)
        found = signal(labeling, dispersion=lambda att: delivery.gamma_density(7.4, 0.1))
    else:
        later = stats.truncnorm.ppf(middle, -0.8 / 0.14, np.inf, scale=0.14)
        found = signal(labeling, dispersion=lambda att: delivery.gaussian_density(0.14, att))
    parcels = kinetics.kinetic(
        labeling, TIME, 0.8 + later[:, None], np.full(6, 1.4), t1_apparent=T1, **CONSTANTS
    )
    assert np.allclose(found, parcels.mean(axis=0), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_dispersion_vanishes_as_the_bolus_sharpens(labeling: str) -> None:
    gammas = [signal(labeling, dispersion=lambda _, s=s: delivery.gamma_density(s, 0.0)) for s in (30.0, 3e3)]
    normals = [
        signal(labeling, dispersion=lambda att, sd=sd: delivery.gaussian_density(sd, att))
        for sd in (0.03, 3e-4)
    ]
    for coarse, fine in (gammas, normals):
        away = [np.abs(values - sharp(labeling)).max() / sharp(labeling).max() for values in (coarse, fine)]
        assert away[1] < 1e-3
        assert away[1] < away[0] / 50


def test_a_density_has_unit_mass_and_no_parcel_comes_before_it_is_labelled() -> None:
    late, early = delivery.gamma_density(7.4, 0.1), delivery.gaussian_density(0.5, 0.4)
    for density in (late, early):
        mass = delivery.integral(density.k, np.array([density.least, 0.0]), np.array([0.0, density.most]))
        assert mass.sum() == pytest.approx(1.0, rel=1e-9)
    assert early.least == -0.4
    peak = np.linspace(0, 1, 10_001)
    assert peak[np.argmax(late.k(peak))] == pytest.approx(0.1, abs=1e-4)


def test_a_dispersed_bolus_carries_the_mean_relaxation_of_its_parcels() -> None:
    """integral c(u) du = tau E[e^{-(ATT + w)/T1b}], for the gamma density its Laplace transform."""
    inflow = delivery.dispersed("PCASL", 0.8, 1.4, 1.65, delivery.gamma_density(7.4, 0.1))
    area = delivery.convolved(20.0, inflow, lambda v: np.ones_like(v))
    assert area == pytest.approx(1.4 * np.exp(-0.8 / 1.65) * (1 + 1 / (1.65 * 7.4)) ** -1.74, rel=1e-9)


def test_two_compartments_meet_their_closed_form_and_their_limits() -> None:
    v, leaving = np.linspace(0, 4, 41), 1 / 0.5 + 1 / 1.65
    closed = np.exp(-leaving * v) + 2 * (np.exp(-v / T1) - np.exp(-leaving * v)) / (leaving - 1 / T1)
    assert np.allclose(delivery.two_compartments(0.5, 1.65, T1)(v), closed, rtol=1e-10)
    assert np.allclose(delivery.two_compartments(1e-4, 1.65, T1)(v), np.exp(-v / T1), rtol=1e-3)
    assert np.allclose(delivery.two_compartments(1e6, 1.65, T1)(v), np.exp(-v / 1.65), rtol=1e-5)
    assert np.allclose(delivery.two_compartments(0.5, 1.65, 1.65)(v), np.exp(-v / 1.65), rtol=1e-10)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_slow_exchange_shows_more_signal_where_blood_outlives_tissue(labeling: str) -> None:
    slow = signal(labeling, residue=delivery.two_compartments(2.0, 1.65, T1))
    fast = signal(labeling, residue=delivery.two_compartments(0.2, 1.65, T1))
    blood = sharp(labeling, t1=1.65)
    seen = TIME > 0.8
    assert np.all(sharp(labeling)[seen] < fast[seen])
    assert np.all(fast[seen] < slow[seen])
    assert np.all(slow[seen] < blood[seen])


def test_a_longer_transit_is_a_shorter_delay_of_older_label() -> None:
    """PCASL: s(t + d; ATT + d) = e^{-d/T1b} s(t; ATT), for every input and residue."""
    spread = delivery.gamma_density(7.4, 0.1)
    given: dict[str, Any] = {"dispersion": lambda _: spread, **CONSTANTS}
    exchange = delivery.two_compartments(0.5, 1.65, T1)
    one = delivery.tissue("PCASL", TIME, 0.8, np.full(6, 1.4), exchange, **given)
    two = delivery.tissue("PCASL", TIME + 0.37, 1.17, np.full(6, 1.4), exchange, **given)
    assert np.allclose(two, one * np.exp(-0.37 / 1.65), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_arterial_blood_is_seen_while_it_passes(labeling: str) -> None:
    found = delivery.artery(labeling, TIME, np.float64(1.0), np.float64(1.4), **CONSTANTS)
    age = TIME if labeling == "PASL" else 1.0
    passing = np.array([0, 1, 1, 0, 0, 0])  # 0.5, 1.1, 1.9, then 2.4 on its very end
    assert np.allclose(found, passing * 2 * 0.85 / 0.9 * np.exp(-age / 1.65))


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_look_locker_meets_the_differential_equation(labeling: str) -> None:
    inflow = delivery.sharp(labeling, 0.8, 1.4, 1.65)
    flip = np.deg2rad([35.0, 35.0, 20.0, 35.0, 35.0, 50.0])

    def slope(u: float, m: np.ndarray) -> np.ndarray:
        return inflow.c(np.asarray(u)) - m / T1

    before, left, solved = 0.0, 0.0, []
    for t, alpha in zip(TIME, flip, strict=True):
        for stop in [*(b for b in inflow.breaks if before < b < t), t]:
            done = solve_ivp(
                slope, (before, stop), [left], method="DOP853", rtol=1e-10, atol=1e-13, max_step=0.02
            )
            before, left = stop, float(done.y[0, -1])
        solved.append(left)
        left *= np.cos(alpha)
    assert np.allclose(schemes.look_locker(TIME, inflow, T1, flip), solved, rtol=1e-4, atol=1e-5)


def test_look_locker_without_pulses_is_the_kinetic_model() -> None:
    inflow = delivery.sharp("PASL", 0.8, 1.4, 1.65)
    found = schemes.look_locker(TIME, inflow, T1, 0.0)
    assert np.allclose(2 * 0.85 / 0.9 * found, sharp("PASL"), rtol=1e-12)


def test_the_effective_relaxation_of_look_locker_is_exact_after_the_bolus() -> None:
    """From pulse to pulse label falls by cos(alpha) e^{-dTI/T1'} = e^{-dTI/T1eff}; before, it is too strict."""
    time, flip = 0.3 + 0.3 * np.arange(12), np.deg2rad(25.0)
    pulsed = schemes.look_locker(time, delivery.sharp("PASL", 0.5, 0.7, 1.65), T1, flip)
    effective = schemes.effective_t1(T1, flip, 0.3)
    over = time > 1.2
    assert np.allclose(np.diff(np.log(pulsed[over])), -0.3 / effective, rtol=1e-10)
    one_decay = kinetics.kinetic("PASL", time, 0.5, 0.7, t1_apparent=effective, **CONSTANTS) / (
        2 * 0.85 / 0.9
    )
    assert np.all(one_decay[time > 0.5] < pulsed[time > 0.5])
    assert np.allclose(one_decay[over] / pulsed[over], (one_decay[over] / pulsed[over])[0], rtol=1e-10)


def test_velocity_selective_inversion_is_twice_saturation_and_linear_in_flow() -> None:
    given: dict[str, Any] = {
        "t2_blood": 0.15,
        "efficiency": 0.6,
        "t1_blood": 1.65,
        "partition_coefficient": 0.9,
    }
    once = schemes.velocity_selective(60.0, 1.2, 1.4, 0.02, inversion=False, **given)
    assert schemes.velocity_selective(60.0, 1.2, 1.4, 0.02, inversion=True, **given) == pytest.approx(
        2 * once
    )
    assert schemes.velocity_selective(180.0, 1.2, 1.4, 0.02, inversion=False, **given) == pytest.approx(
        3 * once
    )
    ratio = schemes.velocity_selective(60.0, 1.2, 2.4, 0.02, inversion=False, **given) / once
    assert ratio == pytest.approx(np.exp(-1 / 1.65))


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("exchange_time", [None, 0.5])
@pytest.mark.parametrize("dispersion", ["none", "gamma", "gaussian"])
def test_the_mixture_of_transit_times_is_the_convolution(
    labeling: str, exchange_time: float | None, dispersion: Any
) -> None:
    """Two orders of the same double integral, at short transit times (a cut normal density) and long ones."""
    given = transport.Transport(dispersion, exchange_time=exchange_time)
    residue = transport.residue(given, 1.65, T1, 5.0)
    if exchange_time:
        residue = delivery.two_compartments(exchange_time, 1.65, T1)
    spread: Any = {
        "none": None,
        "gamma": lambda _: delivery.gamma_density(7.4, 0.1),
        "gaussian": lambda att: delivery.gaussian_density(0.14, att),
    }[dispersion]
    att = np.array([0.05, 0.3, 1.0, 2.2])
    found = transport.response(labeling, TIME, att, np.full(6, 1.4), given, t1_apparent=T1, **CONSTANTS)
    for row, one in zip(found, att, strict=True):
        assert row == pytest.approx(signal(labeling, one, residue, dispersion=spread), rel=1e-6, abs=1e-8)
