"""ASL kernels against the dense float64 posterior, and against truth made by fine numerical integration."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.asl.protocol import AslProtocol, Labeling
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

TISSUES: dict[str, tuple[tuple[float, float], tuple[float, float], float]] = {
    "grey matter": ((45.0, 75.0), (0.6, 1.1), 1.3),
    "white matter": ((15.0, 25.0), (1.0, 1.6), 1.1),
    "tumour": ((80.0, 120.0), (0.5, 1.2), 1.6),
    "necrosis": ((5.0, 10.0), (0.8, 1.8), 1.6),
    "delayed": ((20.0, 50.0), (1.8, 2.5), 1.3),
}
"""Range of CBF in ml/100g/min, range of ATT in s, T1 in s."""


def maps_of(name: str, curves: Array, protocol: AslProtocol, **parameters: float) -> dict[str, Array]:
    known = shelf()[name]
    return known.function(curves, protocol, known.defaults() | parameters, device.cpu())


def drawn(tissue: str, n: int, seed: int) -> tuple[Array, Array, Array]:
    """CBF, ATT and T1 of n voxels."""
    (low, high), (early, late), t1 = TISSUES[tissue]
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, n), rng.uniform(early, late, n), np.full(n, t1)


def all_tissues(n: int, seed: int) -> tuple[Array, Array, Array]:
    """n voxels of each tissue."""
    parts = [drawn(tissue, n, seed + i) for i, tissue in enumerate(TISSUES)]
    cbf, att, t1 = (np.concatenate(values) for values in zip(*parts, strict=True))
    return cbf, att, t1


def duration_of(labeling: Labeling) -> float:
    return 0.8 if labeling == "PASL" else 1.8


def noise_of(labeling: Labeling) -> float:
    return 1.0e-3 if labeling == "PASL" else 1.5e-3


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


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_single_delay_without_a_slice_time_has_no_solution(bad: float) -> None:
    curves, protocol = example.asl(5, 47, one_delay=True)
    values = protocol.slice_delay.copy()
    values[2] = bad
    maps = maps_of("single_delay", curves, protocol._replace(slice_delay=values))
    assert np.flatnonzero(maps["state"]).tolist() == [2]
    assert np.flatnonzero(np.isnan(maps["cbf"])).tolist() == [2]


@pytest.mark.parametrize("field", ["t1_tissue", "slice_delay"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_voxel_without_a_relaxation_time_or_slice_time_has_no_solution(field: str, bad: float) -> None:
    curves, protocol = example.asl(70, 44)
    values = getattr(protocol, field).copy()
    values[[3, 66]] = bad
    maps = maps_of("multi_delay", curves, protocol._replace(**{field: values}))
    assert np.flatnonzero(maps["state"]).tolist() == [3, 66]
    for name in ("cbf", "att", "sd_cbf", "sd_att"):
        assert np.flatnonzero(np.isnan(maps[name])).tolist() == [3, 66]


@pytest.mark.parametrize("bad", [0.0, -1.3])
def test_a_relaxation_time_that_is_not_positive_has_no_solution(bad: float) -> None:
    curves, protocol = example.asl(4, 45)
    values = protocol.t1_tissue.copy()
    values[1] = bad
    maps = maps_of("multi_delay", curves, protocol._replace(t1_tissue=values))
    assert np.flatnonzero(maps["state"]).tolist() == [1]
    assert np.isnan(maps["cbf"][1]) and np.isnan(maps["sd_att"][1])


@pytest.mark.parametrize("delays", [[1.8], [1.0, 2.0]])
def test_two_degrees_of_freedom_have_no_standard_deviation(delays: list[float]) -> None:
    """A Student t with nu0 + pairs <= 2 has no variance: no number may stand for it."""
    protocol = example.asl_protocol(3, 1e-3, delays=np.array(delays), repeats=1)
    curves = example.asl_curves(protocol, np.array([20.0, 60.0, 90.0]), np.full(3, 0.9), 1e-3, 46)
    maps = maps_of("multi_delay", curves, protocol, noise_weight=0.0)
    assert maps["state"].all()
    assert all(np.isnan(maps[name]).all() for name in ("cbf", "att", "sd_cbf", "sd_att"))


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_a_given_transit_time_is_taken_instead_of_fitted(labeling: Labeling) -> None:
    """The flow is then the weighted mean over delays, and its SD that of the noise; the wrong time biases it."""
    cbf, att, t1 = drawn("grey matter", 300, 48)
    noise = 3 * noise_of(labeling)
    protocol = example.asl_protocol(
        300, noise, labeling=labeling, duration=duration_of(labeling), t1_tissue=t1, tissue_relaxation=False
    )
    curves = example.asl_curves(protocol, cbf, att, noise, 49)
    free = maps_of("multi_delay", curves, protocol)
    fixed = maps_of("multi_delay", curves, protocol._replace(arterial_transit_time=att))
    assert np.allclose(fixed["att"], att, atol=1e-3) and np.all(fixed["sd_att"] <= 1e-3)
    unit = example.asl_curves(protocol, np.ones(300), att, 0.0, 0).astype(np.float64)
    expected = (curves * unit).sum(1) / (unit**2).sum(1)
    assert np.allclose(fixed["cbf"], expected, rtol=0.02)
    assert np.mean(fixed["sd_cbf"]) < np.mean(free["sd_cbf"])
    assert 0.91 <= np.mean(np.abs(fixed["cbf"] - cbf) <= 1.96 * fixed["sd_cbf"]) <= 0.99


def test_a_given_transit_time_beyond_the_last_readout_has_no_solution() -> None:
    curves, protocol = example.asl(5, 50)
    given = np.array([0.8, np.nan, 9.0, -1.0, 1.2])
    maps = maps_of("multi_delay", curves, protocol._replace(arterial_transit_time=given))
    assert np.flatnonzero(maps["state"]).tolist() == [1, 2, 3]
    assert same_rows(
        maps,
        maps_of("multi_delay", curves[4:], protocol._replace(arterial_transit_time=given).rows(slice(4, 5))),
    )


def same_rows(whole: dict[str, Array], last: dict[str, Array]) -> bool:
    return all(whole[name][-1] == last[name][0] for name in whole)
