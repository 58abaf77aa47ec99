"""ASL kernels against the dense float64 posterior, and against truth made by fine numerical integration."""

import numpy as np
import pytest

from benchmarks import example
from benchmarks.reference.judge import judged
from bolus_kernels.asl.protocol import AslProtocol, Labeling
from bolus_kernels.shelf import shelf
from tests.kernels.asl_tissues import TISSUES, Array, all_tissues, drawn, duration_of, maps_of, noise_of


@pytest.mark.parametrize("labeling", ["PCASL", "CASL", "PASL"])
def test_single_delay_equals_the_reference(labeling: Labeling) -> None:
    n = 200
    protocol = example.asl_protocol(n, 1e-3, labeling=labeling, delays=np.array([1.8]), repeats=6)
    protocol = protocol._replace(slice_delay=np.linspace(0, 0.7, n).astype(np.float32))
    curves = example.asl_curves(protocol, np.linspace(5, 120, n), np.full(n, 0.9), 1e-3, 31)
    truth = judged("single_delay", curves, protocol, {})["cbf"]
    assert np.allclose(maps_of("single_delay", curves, protocol)["cbf"], truth, rtol=1e-5, atol=1e-4)


def test_single_delay_refuses_several_delays() -> None:
    curves, protocol = example.asl(4, 32)
    with pytest.raises(ValueError, match="delay"):
        maps_of("single_delay", curves, protocol)


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_single_delay_recovers_a_flow_that_meets_its_assumptions(labeling: Labeling) -> None:
    """All label arrived and decaying as blood: exact, from a curve integrated numerically."""
    protocol = example.asl_protocol(
        50, 0.0, labeling=labeling, delays=np.array([1.8]), duration=0.7, tissue_relaxation=False
    )
    cbf = np.linspace(5, 120, 50)
    curves = example.asl_curves(protocol, cbf, np.linspace(0.3, 1.0, 50), 0.0, 0)
    assert np.allclose(maps_of("single_delay", curves, protocol)["cbf"], cbf, rtol=1e-4)


@pytest.mark.parametrize("variance", [1e-10, 0.0])
@pytest.mark.parametrize("tissue", sorted(TISSUES))
@pytest.mark.parametrize(("labeling", "duration"), [("PCASL", 1.8), ("PASL", 0.8), ("PASL", 1.8)])
def test_multi_delay_recovers_a_noise_free_curve(
    labeling: Labeling, duration: float, tissue: str, variance: float
) -> None:
    n = 400
    cbf, att, t1 = drawn(tissue, n, 33)
    protocol = example.asl_protocol(n, 0.0, labeling=labeling, duration=duration, repeats=1, t1_tissue=t1)
    curves = example.asl_curves(protocol, cbf, att, 0.0, 0)
    maps = maps_of("multi_delay", curves, protocol._replace(noise_variance=variance))
    assert not maps["state"].any()
    assert abs(np.mean(maps["cbf"] - cbf)) <= 0.3
    assert np.sqrt(np.mean((maps["att"] - att) ** 2)) <= 0.01


@pytest.mark.parametrize(
    ("labeling", "relaxation", "quieter"),
    [
        ("PCASL", True, 1.0),
        ("PCASL", False, 1.0),
        ("CASL", True, 1.0),
        ("PASL", True, 1.0),
        ("PASL", False, 1.0),
        ("PCASL", True, 4.0),
        ("PASL", True, 4.0),
        ("PCASL", True, 0.1),
        ("PASL", True, 0.1),
        ("PCASL", True, 0.01),
        ("PASL", True, 0.01),
    ],
)
def test_multi_delay_equals_the_dense_posterior(labeling: Labeling, relaxation: bool, quieter: float) -> None:
    cbf, att, t1 = all_tissues(4, 34)
    noise = quieter * noise_of(labeling)
    protocol = example.asl_protocol(
        len(cbf),
        noise,
        labeling=labeling,
        duration=duration_of(labeling),
        repeats=2,
        t1_tissue=t1,
        tissue_relaxation=relaxation,
    )
    curves = example.asl_curves(protocol, cbf, att, noise, 35)
    agrees(curves, protocol, shelf()["multi_delay"].defaults())


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_multi_delay_equals_the_dense_posterior_in_late_slices(labeling: Labeling) -> None:
    """A later readout sees later arrivals: att_max grows with the slice's delay, voxel by voxel."""
    cbf, att, t1 = all_tissues(4, 34)
    noise = noise_of(labeling)
    protocol = example.asl_protocol(
        len(cbf), noise, labeling=labeling, duration=duration_of(labeling), repeats=2, t1_tissue=t1
    )
    protocol = protocol._replace(slice_delay=np.linspace(0, 0.5, len(cbf)).astype(np.float32))
    curves = example.asl_curves(protocol, cbf, att, noise, 35)
    agrees(curves, protocol, shelf()["multi_delay"].defaults())


@pytest.mark.parametrize(
    "parameters",
    [
        {"att_prior": "given", "att_mean": 0.7, "att_sd": 0.3},
        {"cbf_sd": 30.0},
        {"noise_weight": 200.0},
        {"noise_weight": 1.0, "att_prior": "given", "att_sd": 2.0},
    ],
    ids=str,
)
def test_multi_delay_obeys_its_prior_as_the_dense_posterior_does(parameters: dict[str, float]) -> None:
    cbf, att, t1 = all_tissues(4, 36)
    protocol = example.asl_protocol(len(cbf), 3e-3, repeats=2, t1_tissue=t1)
    curves = example.asl_curves(protocol, cbf, att, 3e-3, 37)
    agrees(curves, protocol, shelf()["multi_delay"].defaults() | parameters)


@pytest.mark.parametrize("noise", [0.5e-3, 2e-3])
def test_multi_delay_equals_the_dense_posterior_for_few_and_uneven_delays(noise: float) -> None:
    """Durations differ from delay to delay, as in many protocols of vendors."""
    cbf, att, t1 = all_tissues(6, 38)
    protocol = example.asl_protocol(
        len(cbf), noise, delays=np.array([0.5, 1.1, 2.3]), repeats=2, t1_tissue=t1
    )
    protocol = protocol._replace(labeling_duration=np.array([1.4, 1.4, 1.8, 1.8, 2.2, 2.2]))
    curves = example.asl_curves(protocol, cbf, att, noise, 39)
    agrees(curves, protocol, shelf()["multi_delay"].defaults())


def test_multi_delay_equals_the_dense_posterior_where_the_flow_inside_relaxation_must_settle() -> None:
    """So little noise that a thirtieth of the first grid's error of flow would be a tenth of its SD."""
    curves, protocol = example.asl(40, 5, noise=0.3e-3)
    agrees(curves, protocol, shelf()["multi_delay"].defaults())


def agrees(curves: Array, protocol: AslProtocol, parameters: dict[str, float]) -> None:
    """Means within 0.05 posterior SD, SDs within 5 %."""
    found = maps_of("multi_delay", curves, protocol, **parameters)
    truth = judged("multi_delay", curves, protocol, parameters)
    for name in ("cbf", "att"):
        sd = truth[f"sd_{name}"]
        assert np.max(np.abs(found[name] - truth[name]) / sd) <= 0.05, name
        assert np.max(np.abs(found[f"sd_{name}"] / sd - 1)) <= 0.05, f"sd_{name}"


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@pytest.mark.parametrize("louder", [0.3, 1.0])
def test_intervals_cover_the_truth_as_often_as_they_say(labeling: Labeling, louder: float) -> None:
    """Each tissue in equal part, at most ATT 2.5 s of a last delay of 3 s; 6,000 voxels."""
    cbf, att, t1 = all_tissues(1200, 40)
    noise = louder * noise_of(labeling)
    protocol = example.asl_protocol(
        len(cbf), noise, labeling=labeling, duration=duration_of(labeling), t1_tissue=t1
    )
    maps = maps_of("multi_delay", example.asl_curves(protocol, cbf, att, noise, 41), protocol)
    for name, truth in (("cbf", cbf), ("att", att)):
        covered = np.abs(maps[name] - truth) <= 1.96 * maps[f"sd_{name}"]
        assert 0.92 <= covered.mean() <= 0.98, name


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_the_posterior_is_calibrated_under_its_own_prior(labeling: Labeling) -> None:
    """Truth drawn from the very prior: mean squared error must equal mean posterior variance."""
    n, noise, rng = 12000, 2e-3, np.random.default_rng(42)
    parameters = {"att_prior": "given", "att_mean": 1.2, "att_sd": 0.4, "cbf_sd": 60.0, "noise_weight": 12.0}
    protocol = example.asl_protocol(
        n, noise, labeling=labeling, duration=duration_of(labeling), repeats=2, tissue_relaxation=False
    )
    last = float(protocol.post_labeling_delay.max()) + (0.0 if labeling == "PASL" else 1.8)
    att = rng.normal(1.2, 0.4, 2 * n)
    att = att[(att > 0) & (att < last - 0.25 * duration_of(labeling))][:n]
    ratio = np.sqrt(12.0 / rng.chisquare(12.0, n))  # sigma/s, sigma2 ~ InverseGamma(6, 6 s2)
    cbf = rng.normal(0.0, 60.0, n) * ratio  # f | sigma2 ~ N(0, sigma2/kappa)
    curves = example.asl_curves(protocol, cbf, att, 0.0, 0).astype(np.float64)
    curves += rng.normal(0.0, noise, curves.shape) * ratio[:, None]
    maps = maps_of("multi_delay", np.asfortranarray(curves, np.float32), protocol, **parameters)
    for name, truth in (("cbf", cbf), ("att", att)):
        assert np.mean((maps[name] - truth) ** 2) == pytest.approx(np.mean(maps[f"sd_{name}"] ** 2), rel=0.05)
        assert abs(np.mean(maps[name] - truth)) <= 3 * maps[f"sd_{name}"].mean() / np.sqrt(n)


def test_tissue_relaxation_is_obeyed() -> None:
    """White matter differs by far more than rounding between the two models: the option must not be idle."""
    cbf, att, t1 = drawn("white matter", 50, 43)
    protocol = example.asl_protocol(50, 1e-4, t1_tissue=t1)
    curves = example.asl_curves(protocol, cbf, att, 0.0, 0)
    tissue = maps_of("multi_delay", curves, protocol)["cbf"]
    blood = maps_of("multi_delay", curves, protocol._replace(tissue_relaxation=False))["cbf"]
    assert np.median(np.abs(blood / tissue - 1)) > 0.1
