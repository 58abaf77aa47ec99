"""Laws of relaxation and of ASL: scale, shift, sum, symmetry; Hypothesis looks for what breaks one."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import example
from bolus_kernels import device
from bolus_kernels.asl.protocol import Labeling
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

law: Callable[..., Any] = settings(max_examples=25, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 10_000)
factors = st.floats(0.05, 20.0)

ONE_ASL = example.asl(24, 51)


def maps_of(name: str, curves: Array, protocol: Any, **parameters: float) -> dict[str, Array]:
    known = shelf()[name]
    values = np.asfortranarray(curves, np.float32)
    return known.function(values, protocol, known.defaults() | parameters, device.cpu())


def close(found: Array, expected: Array, rtol: float = 2e-5) -> bool:
    scale = float(np.nanmax(np.abs(expected)))
    return bool(np.allclose(found, expected, rtol=rtol, atol=rtol * scale, equal_nan=True))


@law
@given(factor=factors, echo_time=st.floats(0.005, 0.08), seed=seeds)
def test_relaxation_is_blind_to_the_receiver_gain_and_inverse_in_echo_time(
    factor: float, echo_time: float, seed: int
) -> None:
    stored = np.random.default_rng(seed).integers(100, 3000, (30, 8)).astype(np.int16)
    rows = np.arange(8, dtype=np.int64)
    plain = relaxation([Echo(stored, 1.0, 0.0, 1.0)], rows, (0, 6))
    scaled = relaxation([Echo(stored, factor, 0.0, echo_time)], rows, (0, 6))
    assert not scaled.state.any()
    assert np.allclose(scaled.values * echo_time, plain.values, rtol=2e-6, atol=2e-6)


@law
@given(factor=st.floats(-5, 5))
def test_single_delay_is_linear(factor: float) -> None:
    curves, protocol = example.asl(12, 52, one_delay=True)
    once = maps_of("single_delay", curves, protocol)["cbf"]
    assert close(maps_of("single_delay", factor * curves, protocol)["cbf"], factor * once)


@law
@given(delay=st.floats(0.0, 0.8))
def test_a_later_slice_is_corrected_by_the_decay_of_blood(delay: float) -> None:
    curves, protocol = example.asl(12, 53, one_delay=True)
    early = protocol._replace(slice_delay=np.zeros(12, np.float32))
    late = protocol._replace(slice_delay=np.full(12, delay, np.float32))
    expected = np.exp(np.float32(delay) / 1.65) * maps_of("single_delay", curves, early)["cbf"]
    assert close(maps_of("single_delay", curves, late)["cbf"], expected)


def posteriors_agree(found: dict[str, Array], expected: dict[str, Array], factor: float = 1.0) -> None:
    """Flow scaled by `factor`, transit time as it was; to 2 % of an SD, and SDs to 2 %."""
    scale = {"cbf": factor, "att": 1.0}
    for name, by in scale.items():
        sd = by * expected[f"sd_{name}"]
        assert np.all(np.abs(found[name] - by * expected[name]) <= 0.02 * sd), name
        assert np.all(np.abs(found[f"sd_{name}"] - sd) <= 0.02 * sd), f"sd_{name}"


@law
@given(factor=factors)
def test_posterior_scales_with_the_signal(factor: float) -> None:
    """Signal, noise and prior in the same proportion: only the unit of flow has changed."""
    curves, protocol = ONE_ASL
    protocol = protocol._replace(tissue_relaxation=False)
    once = maps_of("multi_delay", curves, protocol, cbf_sd=100.0)
    louder = protocol._replace(noise_variance=factor**2 * protocol.noise_variance)
    more = maps_of("multi_delay", factor * curves.astype(np.float64), louder, cbf_sd=100.0 * factor)
    posteriors_agree(more, once, factor)


@law
@given(efficiency=st.floats(0.3, 1.0))
def test_posterior_is_inverse_in_the_efficiency(efficiency: float) -> None:
    curves, protocol = ONE_ASL
    protocol = protocol._replace(tissue_relaxation=False)
    once = maps_of("multi_delay", curves, protocol._replace(labeling_efficiency=1.0), cbf_sd=100.0)
    weaker = protocol._replace(labeling_efficiency=efficiency)
    posteriors_agree(maps_of("multi_delay", curves, weaker, cbf_sd=100.0 / efficiency), once, 1 / efficiency)


@law
@given(seed=seeds)
def test_posterior_is_blind_to_the_order_of_the_pairs(seed: int) -> None:
    curves, protocol = ONE_ASL
    order = np.random.default_rng(seed).permutation(curves.shape[1])
    shuffled = protocol._replace(
        post_labeling_delay=protocol.post_labeling_delay[order],
        labeling_duration=protocol.labeling_duration[order],
    )
    posteriors_agree(
        maps_of("multi_delay", curves[:, order], shuffled), maps_of("multi_delay", curves, protocol)
    )


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
@law
@given(delay=st.floats(0.0, 0.6))
def test_a_slice_delay_is_a_longer_delay(labeling: Labeling, delay: float) -> None:
    curves, protocol = ONE_ASL
    shift = float(np.float32(delay))
    protocol = protocol._replace(labeling=labeling)
    in_slice = protocol._replace(slice_delay=np.full(24, shift, np.float32))
    in_delay = protocol._replace(
        slice_delay=np.zeros(24, np.float32), post_labeling_delay=protocol.post_labeling_delay + shift
    )
    posteriors_agree(maps_of("multi_delay", curves, in_slice), maps_of("multi_delay", curves, in_delay))


@law
@given(size=st.floats(-4, 4), seed=seeds)
def test_the_transit_time_stays_where_its_prior_is(size: float, seed: int) -> None:
    """Whatever the curve: 0 <= ATT <= the last readout, and an SD that such an interval allows."""
    curves, protocol = ONE_ASL
    rng = np.random.default_rng(seed)
    wild = np.where(rng.random((24, 1)) < 0.5, curves, 0.005 * rng.normal(size=curves.shape)) * 10.0**size
    maps = maps_of("multi_delay", wild, protocol)
    latest = float(protocol.post_labeling_delay.max() + 1.8) + protocol.slice_delay
    good = maps["state"] == 0
    assert all(np.array_equal(np.isfinite(maps[name]), good) for name in shelf()["multi_delay"].maps)
    assert np.all((maps["att"] >= 0) & (maps["att"] <= latest), where=good)
    assert np.all((maps["sd_att"] >= 0) & (maps["sd_att"] <= latest / 2), where=good)


def test_more_pairs_make_a_narrower_posterior() -> None:
    cbf, att = np.linspace(20, 100, 200), np.linspace(0.6, 1.8, 200)
    widths = []
    for repeats in (1, 4, 16):
        protocol = example.asl_protocol(200, 1e-3, repeats=repeats)
        maps = maps_of(
            "multi_delay", example.asl_curves(protocol, cbf, att, 1e-3, 54), protocol, noise_weight=500.0
        )
        widths.append((np.median(maps["sd_cbf"]), np.median(maps["sd_att"])))
    for once, four_times in pairwise(widths):
        assert np.allclose(np.divide(once, four_times), 2.0, rtol=0.1)
