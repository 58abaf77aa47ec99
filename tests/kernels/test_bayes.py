"""The Bayesian deconvolution: its templates, its integral over the flow, its posterior, and how honest it is."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from benchmarks import example, simulate
from benchmarks.dsc import bayes as benchmark
from benchmarks.reference.residue import arterial
from bolus_kernels import device
from bolus_kernels.dsc.posterior import amplitude, bank, shapes
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.dsc.retention import retained
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]
TIMES = example.volume_times()
STEP = 0.01
ENDS = ((0.5, 24.0), (-3.0, 8.0))
KNOWN = shelf()["bayes"]


def maps_of(curves: Array, protocol: DscProtocol, **parameters: Any) -> dict[str, Array]:
    return KNOWN.function(curves, protocol, KNOWN.defaults() | parameters, device.cpu())


def behind(shape: int, mtt: float, delay: Array) -> Array:
    """The curve of 1 ml/100g/min by numerical integration, (delays, t); pieces of the arterial input are lines."""
    fine = STEP * np.arange(-1000, round((TIMES[-1] + 5) / STEP))
    knots = TIMES[1] / bank.FINER * np.arange(bank.FINER * (TIMES.size - 1) + 1)
    pieces = arterial(knots, simulate.arterial(TIMES), TIMES[1])
    blood = np.where(fine < 0, 0.0, np.interp(fine, knots, pieces))
    u = STEP * np.arange(fine.size) / mtt
    weights = shapes.residue(shape, u)
    if shape == shapes.BOX:  # part of a step
        weights = np.clip((1 - u) * mtt / STEP + 0.5, 0, 1)
    weights[0] /= 2
    curve = fftconvolve(blood, STEP * weights)[: fine.size]
    return np.asarray(np.interp(TIMES - delay[:, None], fine, curve) / 6000 / simulate.KAPPA_RHO)


def made(leaked: Array | None = None) -> bank.Bank:
    aif = simulate.arterial(TIMES)
    return bank.bank(aif, example.REPETITION_TIME, simulate.KAPPA_RHO, leaked, *ENDS)


@pytest.mark.parametrize("shape", range(shapes.SHAPES))
def test_templates_are_what_numerical_integration_gives(shape: int) -> None:
    found = made()
    for row in np.flatnonzero(found.coarse.shape == shape)[::3]:
        truth = behind(shape, float(found.coarse.mtt[row]), found.coarse.delay)
        truth -= truth.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(truth, axis=1)
        assert np.allclose(norm * found.coarse.inverse[row], 1, atol=3e-4)
        told = found.coarse.parts[row].T @ found.components
        assert np.linalg.norm(truth / norm[:, None] - told, axis=1).max() <= 0.02


def test_an_arterial_input_is_followed_between_its_samples() -> None:
    """Better than by straight lines from sample to sample; and as the reference does."""
    aif = simulate.arterial(TIMES)
    found, times = bank.between(aif), TIMES[1] / bank.FINER * np.arange(bank.FINER * (TIMES.size - 1) + 1)
    assert np.array_equal(found[:: bank.FINER], aif)
    assert np.allclose(found, arterial(times, aif, TIMES[1]), atol=1e-9 * aif.max())
    fine = STEP * np.arange(round(TIMES[-1] / STEP))
    errors = [
        np.linalg.norm(np.interp(fine, t, a) - simulate.arterial(fine))
        for t, a in ((TIMES, aif), (times, found))
    ]
    assert errors[1] < errors[0] / 2


def test_a_bank_is_built_once_for_a_scan() -> None:
    assert made() is made()
    assert made() is not made(simulate.tissue(TIMES, 45.0, 4.0))


def moments(z: float, log_q: float, spread: float) -> Array:
    """ln of the integral of 1, means of x, x^2, e^x, e^2x, by summation over a fine grid; x = ln(CBF/m)."""
    x = np.arange(-8 * spread, 8 * spread, 2e-4)
    weight = np.exp(-0.5 * (x / spread) ** 2 - 0.5 * (np.exp(log_q + x) - z) ** 2)
    total = weight.sum()
    means = [(weight * power).sum() / total for power in (x, x * x, np.exp(x), np.exp(2 * x))]
    return np.array([np.log(total * 2e-4 / spread / np.sqrt(2 * np.pi)), *means])


@pytest.mark.parametrize("spread", [0.3, 0.8, 2.0])
@pytest.mark.parametrize("apart", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_the_series_is_the_integral_over_the_flow(spread: float, apart: float) -> None:
    apart, strong = apart * spread, amplitude.strong(spread)
    for z in (strong, 2 * strong, 8 * strong):
        truth = moments(z, np.log(z) - apart, spread)
        evidence, x, variance, once, scatter = amplitude.bright(
            *(np.float32(x) for x in (z, np.log(z), apart, spread**-2.0))
        )
        sd = np.sqrt(truth[2] - truth[1] ** 2)
        assert abs(evidence - np.log(spread) - truth[0]) <= 0.01
        assert abs(x - truth[1]) <= 0.02 * sd
        assert abs(np.sqrt(variance) / sd - 1) <= 0.05
        size = np.exp(apart)
        assert np.allclose([size * once, size**2 * (once**2 + scatter)], truth[3:], rtol=0.005)


def test_the_table_is_the_integral_over_the_flow() -> None:
    table, least = amplitude.table(0.8)
    for z_at, q_at in ((8, 60), (20, 100), (40, 120), (54, 140)):
        z, log_q = amplitude.FAINTEST + z_at * amplitude.STEP_Z, least + q_at * amplitude.STEP_Q
        truth, cell = moments(z, log_q, 0.8), table[q_at, z_at]
        assert np.log(cell[0]) - min(z, 0.0) ** 2 / 2 == pytest.approx(truth[0], abs=1e-3)
        assert np.allclose(cell[1:5] / cell[0], truth[1:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cnr", [5, 20])
def test_intervals_hold_the_truth_of_voxels_drawn_from_the_prior(cnr: int) -> None:
    """Within three standard errors of 800 voxels from 95 %."""
    curves, truth = benchmark.drawn(cnr, 800, 9)
    found = maps_of(curves, benchmark.protocol_of(curves, truth.pop("typical_volume").item()))
    for name in truth:
        assert 0.926 <= benchmark.coverage(found, truth, name, slice(None)) <= 0.974, name


@pytest.mark.parametrize("cnr", [1, 2, 300])
@pytest.mark.parametrize("told", [{}, {"delay_spread": 20.0, "mtt_spread": 3.0, "floor": 0.005}])
def test_every_voxel_has_an_answer_however_flat_or_sharp_its_posterior(
    cnr: int, told: dict[str, float]
) -> None:
    """Windows of the fine grid are chosen by the coarse one's scores: some are found, and there is room for them."""
    curves = np.concatenate([benchmark.family_of(family, cnr, 60, 6)[0] for family in benchmark.FAMILIES])
    found = maps_of(np.asfortranarray(curves), benchmark.protocol_of(curves, 4.5), **told)
    assert np.all(found.pop("state") == State.GOOD)
    assert all(np.isfinite(values).all() for values in found.values())


def test_errors_are_smaller_than_those_of_osvd() -> None:
    """Geometric means over residues of which three are not among the shapes of the bank."""
    ratios = []
    for seed, family in enumerate(benchmark.FAMILIES):
        curves, truth = benchmark.family_of(family, 20, 150, seed)
        protocol = benchmark.protocol_of(curves)
        known = shelf()["osvd"]
        other = known.function(curves, protocol, known.defaults(), device.cpu())
        other["cbv"] = np.asarray(protocol.blood_volume)
        found = maps_of(curves, protocol)
        ratios.append(
            [benchmark.rmse_ratio(found, other, truth, name, slice(None)) for name in benchmark.TARGETS]
        )
    mean = np.exp(np.log(ratios).mean(axis=0))
    assert np.all(mean <= [0.60, 0.70, 0.45, 0.60]), mean
    assert np.max(ratios, axis=0)[0] <= 1.15


def test_a_constant_and_where_wanted_the_integral_of_the_reference_change_nothing() -> None:
    curves, _ = benchmark.family_of("gamma", 20, 100, 2)
    protocol = benchmark.protocol_of(curves)
    leak = np.cumsum(protocol.reference) - (protocol.reference + protocol.reference[0]) / 2
    leak *= 0.2 * curves.max() / leak.max()
    usual = maps_of(curves, protocol)
    assert np.allclose(maps_of(curves + np.float32(1), protocol)["cbf"], usual["cbf"], rtol=2e-3)
    leaking = (curves - leak).astype(np.float32)
    floor = {"floor": 0.005}  # the peak, and with it the model's own noise, is lower under a leak
    for how, most in (("project", 0.05), ("none", np.inf)):
        before, after = (maps_of(c, protocol, leakage=how, **floor)["cbv"] for c in (curves, leaking))
        assert np.median(np.abs(after / before - 1)) <= most
    assert np.median(np.abs(after / before - 1)) > 0.08


@pytest.mark.parametrize("cnr", [20, 50])
def test_intervals_of_volume_hold_the_truth_where_agent_leaks_and_returns(cnr: int) -> None:
    """K2 of -0.01 to 0.02/s, kep of 0.02 to 0.2/s, 300 voxels; not where next to nothing is expected to return."""
    curves, truth = benchmark.leaking(cnr, 60, 11)
    protocol = benchmark.protocol_of(curves)
    for spread, least, most in ((0.01, 0.87, 1.0), (1e-4, 0.0, 0.86)):
        found = maps_of(curves, protocol, leakage="project", k2_spread=spread)
        assert least <= benchmark.coverage(found, truth, "cbv", slice(None)) <= most


def test_where_nothing_but_a_leak_is_seen_a_voxel_has_finite_maps_or_no_solution() -> None:
    """Leaks of either sign that return or do not, bolus turned over, and noise alone."""
    flow, _ = benchmark.family_of("gamma", 50, 40, 12)
    protocol = benchmark.protocol_of(flow)
    kept = retained(
        np.asarray(protocol.reference, np.float64), example.REPETITION_TIME, np.linspace(0, 0.2, 40)
    )
    noise = np.random.default_rng(4).normal(0, 0.01 * flow.max(), flow.shape)
    odd = (0.05 * kept + noise, -0.05 * kept + noise, 0.05 * kept, -0.05 * kept, -flow, noise)
    found = maps_of(np.asfortranarray(np.concatenate(odd), np.float32), protocol, leakage="project")
    state = found.pop("state")
    assert set(np.unique(state)) <= {State.GOOD, State.NO_SOLUTION}
    for name, values in found.items():
        assert np.array_equal(np.isfinite(values), state == State.GOOD), name


def test_the_dose_changes_nothing() -> None:
    curves, _ = benchmark.family_of("exponential", 20, 100, 3)
    protocol = benchmark.protocol_of(curves)
    usual = maps_of(curves, protocol)
    other = maps_of(np.float32(3) * curves, protocol._replace(aif=3 * protocol.aif))
    for name in ("cbf", "mtt", "cbv", "tmax", "cth"):
        spread = usual[f"sd_{name}"]
        assert np.all(np.abs(other[name] - usual[name]) <= 0.005 * spread), name
        assert np.allclose(other[f"sd_{name}"], spread, rtol=5e-3), name


def test_the_residue_starts_at_the_delay_with_the_height_of_the_flow() -> None:
    curves, truth = benchmark.family_of("box", 50, 60, 4)
    protocol = benchmark.protocol_of(curves)
    maps = maps_of(curves, protocol._replace(residue=True))
    residue, late = maps["residue"], maps["tmax"] > 1.5
    assert residue.shape == (60, 2 * TIMES.size)
    assert residue.dtype == np.float32
    height = maps["cbf"] / (6000 * simulate.KAPPA_RHO)
    assert np.all(residue.max(axis=1) <= height * 1.0001)
    assert np.all(residue.max(axis=1) >= 0.3 * height)
    assert np.all(residue[late, 0] == 0)
    assert np.all(residue[maps["tmax"] < -1.5, -1] > 0)
    area = example.REPETITION_TIME * residue.sum(axis=1) / height
    assert np.median(np.abs(area / truth["mtt"] - 1)) < 0.25


def test_an_empty_input_is_refused_and_no_flow_has_no_solution() -> None:
    curves, _ = benchmark.family_of("box", 20, 4, 5)
    protocol = benchmark.protocol_of(curves)
    with pytest.raises(ValueError, match="zero or not finite"):
        maps_of(curves, protocol._replace(aif=np.zeros(TIMES.size)))
    still = maps_of(np.ones_like(curves), protocol)
    assert np.all(still["state"] == State.NO_SOLUTION)
    assert np.isnan(still["cbf"]).all()


@pytest.mark.parametrize("volume", [float("nan"), 0.0, -1.0, float("inf")])
def test_no_voxel_has_a_solution_in_a_scan_whose_volume_is_unknown(volume: float) -> None:
    curves, _ = benchmark.family_of("box", 20, 4, 5)
    protocol = benchmark.protocol_of(curves)._replace(typical_volume=volume, residue=True)
    maps = maps_of(curves, protocol)
    assert np.all(maps.pop("state") == State.NO_SOLUTION)
    assert set(maps) == {*KNOWN.maps, "residue"}
    assert all(np.isnan(values).all() for values in maps.values())
