"""Laws that every DSC method of the shelf keeps, by being there: dose, delay, convolution, volume, thresholds."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

from benchmarks import example, simulate
from benchmarks.reference import dsc
from benchmarks.reference.judge import allowed, judged
from bolus_kernels import device
from bolus_kernels.method import AIC, RESIDUE, STANDARD_DEVIATION, Method
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

law: Callable[..., Any] = settings(max_examples=15, deadline=None, derandomize=True, database=None)
powers = st.integers(-4, 4).map(lambda k: 2.0**k)
factors = st.floats(0.1, 10.0)

TR = example.REPETITION_TIME
TIMES = example.volume_times()
CURVES, PROTOCOL = example.dsc(24, 50)
NOISY, _ = example.dsc(24, 50, snr=10.0)
"""Bounds of what is refused matter to curves like these."""
SHARP = np.zeros(len(TIMES))
SHARP[3:5] = 40.0, 10.0
"""An arterial input so short that nothing needs to be damped."""

PARAMETRIC = {"bayes"}
"""A residue of a given shape, continuous in delay: no matrix is inverted, and each map is its own mean."""
CAUSAL = {"ssvd"}
"""A matrix that knows no delay below zero."""
UNDAMPED: dict[str, dict[str, Any]] = {
    "ssvd": {"threshold": 0.0, "smoothing": "off"},
    "csvd": {"threshold": 0.0},
    "osvd": {"oscillation_index": 1.0},
}
"""What makes a method keep all it can; the others see for themselves that there is no noise."""
RETURNED = {"ssvd": (0.45, 1.0), "csvd": (0.55, 1.0), "osvd": (0.6, 1.1), "tikhonov": (0.65, 1.1)}
"""Share of the flow that comes back through the broad input of an artery, at the defaults and without noise."""
NO_CURVE = {"psr", "peakheight"}
"""Maps of the signal itself, which is not proportional to the dose."""

KNOWN = [known for known in shelf().values() if known.contrast == "dsc"]
INVERTING = [k for k in KNOWN if k.family == "deconvolution" and k.name not in PARAMETRIC]
CIRCULANT = [known for known in INVERTING if known.name not in CAUSAL]
NUMBERS = [(known, name) for known in KNOWN for name in known.parameters]


def over(methods: list[Method]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("known", methods, ids=[known.name for known in methods])


def maps_of(known: Method, curves: Array, protocol: Any, **parameters: Any) -> dict[str, Array]:
    values = np.asfortranarray(curves, np.float32)
    return known.function(values, protocol, known.defaults() | parameters, device.cpu())


@cache
def at_defaults(name: str) -> dict[str, Array]:
    """The maps at the defaults, which every example of a law is held against."""
    return maps_of(shelf()[name], CURVES, PROTOCOL)


def agree(known: Method, found: dict[str, Array], expected: dict[str, Array], rtol: float = 2e-5) -> None:
    """To rounding; a posterior's means to 2 % of an SD, and its SDs to 2 %."""
    for name in set(known.maps) & set(expected):
        sd = expected.get(STANDARD_DEVIATION + name)
        if name.startswith(STANDARD_DEVIATION):
            assert np.allclose(found[name], expected[name], rtol=0.02, equal_nan=True), name
        elif sd is not None:
            assert np.nanmax(np.abs(found[name] - expected[name]) / sd) <= 0.02, name
        else:
            atol = rtol * float(np.nanmax(np.abs(expected[name])))
            assert np.allclose(found[name], expected[name], rtol=rtol, atol=atol, equal_nan=True), name


def times(maps: dict[str, Array], factor: float, *scaled: str) -> dict[str, Array]:
    """The maps that are named, and their SDs, times a factor; the others as they are."""
    return {
        name: values * factor if name.removeprefix(STANDARD_DEVIATION) in scaled else values
        for name, values in maps.items()
        if name not in NO_CURVE
    }


def volumes(factor: float) -> dict[str, Any]:
    """What the protocol says of blood volume, times a factor."""
    return {
        "typical_volume": factor * PROTOCOL.typical_volume,
        "blood_volume": np.float32(factor) * np.asarray(PROTOCOL.blood_volume),
    }


@over(KNOWN)
@law
@given(factor=powers)
def test_the_dose_changes_nothing_but_the_signal(known: Method, factor: float) -> None:
    once = at_defaults(known.name)
    dosed = PROTOCOL._replace(aif=factor * PROTOCOL.aif, reference=factor * PROTOCOL.reference)
    more = maps_of(known, factor * CURVES, dosed)
    agree(known, more, times(once, 1.0))
    for name in NO_CURVE & set(known.maps):
        assert factor == 1 or np.all(more[name] != once[name])
    if AIC in once:  # N ln RSS: another unit of the curve
        assert np.allclose(more[AIC] - once[AIC], 2 * len(TIMES) * np.log(factor), atol=1e-2)


@over(KNOWN)
@law
@given(factor=powers)
def test_twice_the_contrast_in_tissue_is_twice_the_flow_and_volume(known: Method, factor: float) -> None:
    more = maps_of(known, factor * CURVES, PROTOCOL._replace(**volumes(factor)))
    agree(known, more, times(at_defaults(known.name), factor, "cbf", "cbv", "k1", "k2"))


@over(KNOWN)
@law
@given(factor=powers)
def test_twice_the_contrast_in_the_artery_is_half_the_flow_and_volume(known: Method, factor: float) -> None:
    more = maps_of(known, CURVES, PROTOCOL._replace(aif=factor * PROTOCOL.aif, **volumes(1 / factor)))
    agree(known, more, times(at_defaults(known.name), 1 / factor, "cbf", "cbv"))


@over(KNOWN)
@law
@given(factor=factors)
def test_the_density_factor_is_a_factor(known: Method, factor: float) -> None:
    denser = PROTOCOL._replace(density_factor=factor * PROTOCOL.density_factor, **volumes(factor))
    agree(known, maps_of(known, CURVES, denser), times(at_defaults(known.name), factor, "cbf", "cbv"))


@over(INVERTING)
def test_volume_is_flow_times_transit_time(known: Method) -> None:
    maps = maps_of(known, CURVES, PROTOCOL)
    volume = np.asarray(PROTOCOL.blood_volume)
    assert np.allclose(maps["cbf"] * maps["mtt"] / 60, volume, rtol=1e-6, equal_nan=True)


@over(INVERTING)
@law
@given(mtt=st.floats(2.0, 8.0), cbf=st.floats(10.0, 150.0), shift=st.integers(-2, 8))
def test_deconvolving_a_convolved_residue_returns_it(
    known: Method, mtt: float, cbf: float, shift: int
) -> None:
    """A sum over samples is undone exactly: the flow, its time, and the residue from end to end."""
    shift = max(shift, 0) if known.name in CAUSAL else shift
    residue = np.zeros(2 * len(TIMES))
    residue[:30] = cbf / 6000 / PROTOCOL.density_factor * np.exp(-TIMES[:30] / mtt)
    residue = np.roll(residue, shift)
    curve = (dsc.circulant(SHARP, TR) @ residue)[None, : len(TIMES)]
    protocol = PROTOCOL.rows(slice(0, 1))._replace(aif=SHARP, residue=True)
    found = maps_of(known, curve, protocol, **UNDAMPED.get(known.name, {}))
    assert found["cbf"][0] == pytest.approx(cbf, rel=2e-5)
    assert found["tmax"][0] == pytest.approx(shift * TR, abs=1e-5)
    length = found[RESIDUE].shape[1]
    assert np.allclose(found[RESIDUE][0], residue[:length], atol=2e-5 * residue.max())


@over(INVERTING)
@law
@given(
    mtt=st.floats(3.0, 8.0),
    cbf=st.floats(20.0, 100.0),
    delay=st.floats(0.0, 3.0),
    residue=st.sampled_from(["linear", "gamma"]),
)
def test_most_of_the_flow_comes_back_through_a_broad_artery(
    known: Method, mtt: float, cbf: float, delay: float, residue: str
) -> None:
    """Integrated finely: the defaults damp, but not more than this."""
    curve = simulate.tissue(TIMES, cbf, mtt, delay, residue)[None]
    share = maps_of(known, curve, PROTOCOL.rows(slice(0, 1)))["cbf"][0] / cbf
    least, most = RETURNED.get(known.name, (0.5, 1.1))
    assert least <= share <= most


@over([known for known in KNOWN if known.name in PARAMETRIC])
@law
@given(
    mtt=st.floats(2.5, 8.0),
    cbf=st.floats(20.0, 100.0),
    delay=st.floats(-1.0, 4.0),
    residue=st.sampled_from(sorted(simulate.RESIDUES)),
)
def test_the_truth_lies_within_the_posterior(
    known: Method, mtt: float, cbf: float, delay: float, residue: str
) -> None:
    """Whatever the shape; nearly so where none of the bank is like it."""
    curve = simulate.tissue(TIMES, cbf, mtt, delay, residue)[None]
    protocol = PROTOCOL.rows(slice(0, 1))._replace(typical_volume=cbf * mtt / 60)
    maps = maps_of(known, curve, protocol)
    unlike = 0.15 if residue == "biexponential" else 0.0
    assert abs(np.log(maps["cbf"][0] / cbf)) <= 3 * maps["sd_cbf"][0] / maps["cbf"][0] + unlike
    assert abs(np.log(maps["mtt"][0] / mtt)) <= 3 * maps["sd_mtt"][0] / maps["mtt"][0] + unlike
    assert maps["cbv"][0] == pytest.approx(cbf * mtt / 60, rel=0.1)
    assert abs(maps["tmax"][0] - delay) <= 0.7


@over(CIRCULANT)
@pytest.mark.parametrize("artery", ["sharp", "broad"])
@law
@given(shift=st.integers(-5, 10), seed=st.integers(0, 10_000))
def test_shifting_tissue_by_volumes_shifts_tmax_and_nothing_else(
    known: Method, artery: str, shift: int, seed: int
) -> None:
    """A curve that is zero at both ends. oSVD's index does not close the circle, so it is told to keep all it can."""
    if known.name == "osvd":
        artery = "sharp"
    curve, k = np.zeros(len(TIMES)), np.arange(30)
    curve[10:40] = 0.3 * np.random.default_rng(seed).random(30) + simulate.gamma_variate(k, 1, 3, 2) * 9
    protocol = PROTOCOL.rows(slice(0, 2))._replace(aif=SHARP if artery == "sharp" else PROTOCOL.aif)
    parameters = {"oscillation_index": 1.0} if known.name == "osvd" else {}
    maps = maps_of(known, np.stack([curve, np.roll(curve, shift)]), protocol, **parameters)
    assert maps["cbf"][1] == pytest.approx(maps["cbf"][0], rel=1e-5)
    turn = 2 * len(TIMES) * TR
    later = (maps["tmax"][1] - maps["tmax"][0] - shift * TR) / turn
    assert later == pytest.approx(round(later), abs=1e-5)


@pytest.mark.parametrize("name", ["uncorrected", "bsw"])
@law
@given(first=st.floats(-3, 3), second=st.floats(-3, 3))
def test_blood_volume_and_leakage_are_linear_in_the_curve(name: str, first: float, second: float) -> None:
    known = shelf()[name]
    one, other = (maps_of(known, half, PROTOCOL) for half in (CURVES[:12], CURVES[12:]))
    both = maps_of(known, first * CURVES[:12] + second * CURVES[12:], PROTOCOL)
    for key in known.maps:
        scale = 3 * np.abs([one[key], other[key]]).max()
        assert np.allclose(both[key], first * one[key] + second * other[key], rtol=0, atol=3e-5 * scale)


@pytest.mark.parametrize("name", ["bsw", "bidirectional"])
@law
@given(more=st.floats(0.2, 2), leak=st.floats(-0.03, 0.03), kep=st.floats(0.005, 0.18))
def test_leakage_that_is_put_in_is_found_and_taken_out(
    name: str, more: float, leak: float, kep: float
) -> None:
    """What went out, integrated finely from a reference that is straight between its samples."""
    known, m = shelf()[name], PROTOCOL.reference
    kep = 0.0 if name == "bsw" else kep
    leak = np.copysign(max(abs(leak), 0.003), leak)
    fine = 0.01 * np.arange(round(TIMES[-1] / 0.01) + 1)
    grown = cumulative_trapezoid(np.interp(fine, TIMES, m) * np.exp(kep * fine), dx=0.01, initial=0.0)
    held = (grown * np.exp(-kep * fine))[:: round(TR / 0.01)]
    found = maps_of(known, (more * m - leak * held)[None], PROTOCOL.rows(slice(0, 1)))
    assert found["k1"][0] == pytest.approx(more, rel=5e-3)
    assert found["k2"][0] == pytest.approx(leak, rel=1e-2)
    if name == "bidirectional":
        assert found["kep"][0] == pytest.approx(kep, rel=2e-2, abs=5e-4)
    volume = dsc.blood_volume(m, PROTOCOL.aif, TR, PROTOCOL.density_factor)
    assert found["cbv"][0] == pytest.approx(more * volume, rel=2e-3)


def test_a_leakage_model_with_more_freedom_leaves_no_more_unexplained() -> None:
    aic = [maps_of(shelf()[name], CURVES, PROTOCOL)[AIC] for name in ("uncorrected", "bsw", "bidirectional")]
    assert np.all(aic[1] <= aic[0] + 2.01) and np.all(aic[2] <= aic[1] + 2.01)


def test_recovery_is_that_of_the_one_echo_and_arrival_that_of_the_curve() -> None:
    """Multi-echo curves without T1, and the signal of an echo that has it."""
    known = shelf()["summary"]
    protocol = PROTOCOL._replace(single_echo=np.asfortranarray(0.7 * CURVES[::-1]))
    found, alone = maps_of(known, CURVES, protocol), maps_of(known, CURVES, PROTOCOL)
    truth = judged("summary", CURVES, protocol, known.defaults())
    for name, limit in allowed("summary", truth, known.defaults()).items():
        assert np.all(np.abs(found[name] - truth[name]) <= limit), name
        assert np.array_equal(found[name], alone[name]) == (name not in NO_CURVE)


@pytest.mark.parametrize(("known", "name"), NUMBERS, ids=[f"{known.name}-{name}" for known, name in NUMBERS])
def test_a_number_on_the_way_to_either_end_changes_the_map(known: Method, name: str) -> None:
    curves, parameter = np.asfortranarray(np.concatenate([CURVES, NOISY])), known.parameters[name]
    protocol = example.repeated(PROTOCOL, 2)
    needed = {"leakage": "project"} if name == "k2_spread" else {}
    usual = maps_of(known, curves, protocol, **needed)
    for end in {parameter.low, parameter.high} - {parameter.default}:
        other = maps_of(known, curves, protocol, **needed, **{name: 0.5 * (parameter.default + end)})
        assert any(not np.array_equal(usual[key], other[key], equal_nan=True) for key in known.maps), end
