"""The two-model posterior with an arterial component against brute force, its limits and noise-free truth."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks import simulate
from benchmarks.reference import amplitudes, arterial, asl, delivery, kinetics, transport
from bolus_kernels.asl.protocol import AslProtocol

CONSTANTS: dict[str, Any] = {"efficiency": 0.85, "t1_blood": 1.65, "partition_coefficient": 0.9}
PRIOR = amplitudes.ArterialPrior(1.3, 1.0, 200.0, 0.02, 10.0, 0.5)


def protocol(labeling: Any = "PCASL", noise: float = 1e-4, **other: Any) -> AslProtocol:
    pulsed = labeling == "PASL"
    delays = np.array([0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.2, 2.6]) if pulsed else 0.1 + 0.35 * np.arange(8)
    given: dict[str, Any] = {
        "labeling": labeling,
        "post_labeling_delay": delays,
        "labeling_duration": np.full(8, 0.8 if pulsed else 1.4),
        "labeling_efficiency": 0.85,
        "t1_blood": 1.65,
        "t1_tissue": np.array([1.3], np.float32),
        "partition_coefficient": 0.9,
        "slice_delay": np.zeros(1, np.float32),
        "noise_variance": noise**2,
        "tissue_relaxation": False,
    }
    return AslProtocol(**given | other)


def curve_of(given: AslProtocol, cbf: float, att: float, abv: float, arrival: float) -> np.ndarray:
    time = kinetics.times(given.labeling, given.post_labeling_delay, given.labeling_duration)
    made = simulate.labelled(
        given.labeling,
        time,
        given.labeling_duration,
        np.array([cbf]),
        np.array([att]),
        t1_tissue=given.t1_tissue,
        tissue_relaxation=given.tissue_relaxation,
    )[0]
    blood = delivery.artery(given.labeling, time, np.float64(arrival), given.labeling_duration, **CONSTANTS)
    return made + abv * blood


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_the_posterior_meets_importance_sampling_from_the_prior(labeling: str) -> None:
    """Nothing analytic: all five unknowns drawn from the prior, weighted by the normal likelihood."""
    given = protocol(labeling, 4e-3)
    prior = amplitudes.ArterialPrior(0.9, 0.4, 60.0, 0.02, 8.0, 0.4)
    random = np.random.default_rng(1)
    y = curve_of(given, 50.0, 0.9, 0.012, 0.6) + random.normal(0, 4e-3, 8)
    found = arterial.arterial(y, given, 0, prior)
    n = 400_000
    s2, nu0 = given.noise_variance, prior.noise_weight
    time = kinetics.times(labeling, given.post_labeling_delay, given.labeling_duration)
    last = asl.latest_arrival(time, given.labeling_duration)
    variance = nu0 * s2 / random.chisquare(nu0, n)
    f = random.normal(size=n) * np.sqrt(variance / s2) * 60 / 6000
    abv = np.abs(random.normal(size=n)) * np.sqrt(variance / s2) * 0.02
    att, arrival = random.normal(0.9, 0.4, n), random.normal(0.6, 0.4, n)
    allowed = (att >= 0) & (att <= last)
    ordered = allowed & (arrival >= 0) & (arrival <= att)
    g = kinetics.kinetic(labeling, time, att[:, None], given.labeling_duration, t1_apparent=1.65, **CONSTANTS)
    h = delivery.artery(labeling, time, arrival[:, None], given.labeling_duration, **CONSTANTS)

    def likelihood(model: np.ndarray) -> np.ndarray:
        squares = np.sum((y - model) ** 2, axis=1)
        return np.exp(-4 * np.log(variance / s2) - squares / (2 * variance))

    alone, both = likelihood(f[:, None] * g), likelihood(f[:, None] * g + abv[:, None] * h)
    alone *= 0.6 * allowed / allowed.mean() / n
    both *= 0.4 * ordered / ordered.mean() / n
    total = alone.sum() + both.sum()
    assert both.sum() / total == pytest.approx(found.probability, abs=0.01)
    weight = (alone + both) / total
    for name, values, weights in (
        ("cbf", 6000 * f, weight),
        ("att", att, weight),
        ("arrival", arrival, both / both.sum()),
    ):
        mean = np.sum(weights * values)
        sd = np.sqrt(np.sum(weights * (values - mean) ** 2))
        assert mean == pytest.approx(getattr(found, name), abs=0.04 * sd), name
        assert sd == pytest.approx(getattr(found, f"sd_{name}"), rel=0.04), name
    mean = np.sum(both * abv) / total
    assert mean == pytest.approx(found.abv, rel=0.04)
    assert np.sqrt(np.sum(both * abv**2) / total - mean**2) == pytest.approx(found.sd_abv, rel=0.04)


def test_with_no_artery_believed_in_it_is_the_posterior_of_flow_and_transit_time() -> None:
    given = protocol(noise=1e-3, tissue_relaxation=True)
    y = curve_of(given, 60.0, 1.0, 0.0, 0.0) + np.random.default_rng(2).normal(0, 1e-3, 8)
    found = arterial.arterial(y, given, 0, PRIOR._replace(arterial_probability=1e-12))
    plain = asl.multi_delay(y, given, 0, asl.Prior(1.3, 1.0, 200.0, 10.0))
    assert (found.cbf, found.att) == (pytest.approx(plain.cbf, rel=1e-4), pytest.approx(plain.att, rel=1e-4))
    assert found.sd_cbf == pytest.approx(plain.sd_cbf, rel=1e-3)
    assert found.sd_att == pytest.approx(plain.sd_att, rel=1e-3)
    assert found.abv < 1e-9


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize(("cbf", "att"), [(60.0, 0.8), (22.0, 1.25)])
def test_noise_free_curves_without_an_artery_invent_none(labeling: str, cbf: float, att: float) -> None:
    given = protocol(labeling, 1e-5)
    found = arterial.arterial(curve_of(given, cbf, att, 0.0, 0.0), given, 0, PRIOR)
    assert found.cbf == pytest.approx(cbf, abs=1)
    assert found.att == pytest.approx(att, abs=0.01)
    assert found.abv < 1e-3


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize(("cbf", "att", "abv", "arrival"), [(60.0, 0.9, 0.01, 0.5), (30.0, 1.2, 0.03, 0.7)])
def test_noise_free_curves_with_an_artery_return_both(
    labeling: str, cbf: float, att: float, abv: float, arrival: float
) -> None:
    given = protocol(labeling, 1e-5, tissue_relaxation=True)
    found = arterial.arterial(curve_of(given, cbf, att, abv, arrival), given, 0, PRIOR)
    assert found.probability > 0.999
    assert found.cbf == pytest.approx(cbf, abs=1)
    assert found.att == pytest.approx(att, abs=0.01)
    seen = np.exp(-arrival / 1.65) if labeling == "PCASL" else 1.0
    shown = np.exp(-found.arrival / 1.65) if labeling == "PCASL" else 1.0
    assert found.abv * shown == pytest.approx(abv * seen, rel=0.02)
    assert abs(found.arrival - arrival) < 3 * found.sd_arrival


def test_pairs_may_come_in_any_order_and_signal_and_prior_scale_together() -> None:
    given = protocol(noise=1e-3)
    y = curve_of(given, 60.0, 0.9, 0.01, 0.5) + np.random.default_rng(3).normal(0, 1e-3, 8)
    found = np.array(arterial.arterial(y, given, 0, PRIOR))
    order = np.random.default_rng(4).permutation(8)
    shuffled = given._replace(
        post_labeling_delay=given.post_labeling_delay[order], labeling_duration=given.labeling_duration[order]
    )
    assert np.allclose(arterial.arterial(y[order], shuffled, 0, PRIOR), found, rtol=1e-9)
    tripled = given._replace(noise_variance=9 * given.noise_variance)
    scaled = arterial.arterial(3 * y, tripled, 0, PRIOR._replace(cbf_sd=600.0, abv_sd=0.06))
    assert np.allclose(scaled, found * [3, 1, 3, 1, 3, 1, 3, 1, 1], rtol=1e-9)


def test_moments_of_a_student_t_cut_at_zero() -> None:
    """One readout, no flow possible: aBV alone, whose cut density is integrated on a grid."""
    h, s2 = np.array([[1.3]]), 4e-6
    prior = PRIOR._replace(cbf_sd=1e-6)
    for y in (np.array([0.004]), np.array([-0.006])):
        given = amplitudes.with_artery(y, np.array([[1e-9]]), h, s2, prior)
        ka = s2 / 0.02**2
        a = y[0] * 1.3 / (ka + 1.69)
        scatter = 10 * s2 + (y[0] - 1.3 * a) ** 2 + ka * a * a
        spread = stats.t(11, a, np.sqrt(scatter / 11 / (ka + 1.69)))
        grid = np.linspace(0, spread.isf(1e-13), 2_000_001)
        density = spread.pdf(grid)
        mean, square = np.sum(density * grid) / density.sum(), np.sum(density * grid**2) / density.sum()
        assert given.moments[0, 1, 0] == pytest.approx(mean, rel=1e-4)
        assert given.moments[1, 1, 0] == pytest.approx(square, rel=1e-4)


@pytest.mark.parametrize(
    ("labeling", "path"),
    [("PCASL", transport.Transport("gamma")), ("PASL", transport.Transport("gaussian", exchange_time=0.5))],
)
def test_a_dispersed_bolus_is_recovered_by_the_posterior_that_knows_of_it(labeling: str, path: Any) -> None:
    given = protocol(labeling, 1e-4)
    time = kinetics.times(labeling, given.post_labeling_delay, given.labeling_duration)
    residue = delivery.two_compartments(0.5, 1.65, 1.65) if path.exchange_time else delivery.well_mixed(1.65)

    def spread(att: float) -> delivery.Density:
        return (
            delivery.gaussian_density(0.14, att) if path.exchange_time else delivery.gamma_density(7.4, 0.1)
        )

    shape = delivery.tissue(
        labeling, time, 0.7, given.labeling_duration, residue, dispersion=spread, **CONSTANTS
    )
    knowing = arterial.arterial(0.01 * shape, given, 0, PRIOR, path)
    ignorant = arterial.arterial(0.01 * shape, given, 0, PRIOR._replace(arterial_probability=0.0))
    assert knowing.cbf == pytest.approx(60, abs=1)
    assert knowing.att == pytest.approx(0.7, abs=0.03)
    assert abs(ignorant.att - 0.7) > 3 * abs(knowing.att - 0.7)
    assert (ignorant.probability, ignorant.abv) == (0.0, 0.0)
