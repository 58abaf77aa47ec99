"""The first pass: gamma variates come back, whatever follows them; where there is none, the voxel says so."""

from functools import cache

import numpy as np
import pytest
from scipy.optimize import least_squares

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels.device import cpu
from bolus_kernels.dsc.first_pass.double import exponential, logarithm
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

STEP = 1.5
TIME = STEP * np.arange(60)
FINE = 0.005 * np.arange(40000)
PROTOCOL = DscProtocol(STEP, simulate.gamma_variate(TIME, 9.0, 3.0, 1.5), 0.7, np.ones(60))


def run(curves, protocol=PROTOCOL, **parameters):
    known = shelf()["gamma_variate"]
    return known.function(
        np.asfortranarray(curves, np.float32), protocol, known.defaults() | parameters, cpu()
    )


def bolus(time, shapes):
    return np.stack([height * simulate.gamma_variate(time, *shape) for height, *shape in shapes])


def area(curves):
    return curves.sum(axis=1) * FINE[1]


def test_a_gamma_variate_gives_back_its_area_with_whatever_comes_after_it():
    shapes = [(9, 10.2, 2.5, 2.0), (40, 12.9, 1.2, 3.1), (3, 8.4, 6.0, 0.9), (20, 11.0, 0.8, 4.0)]
    expected = 70 * area(bolus(FINE, shapes)) / area(simulate.gamma_variate(FINE, 9.0, 3.0, 1.5)[None])
    curves = bolus(TIME, shapes)
    np.testing.assert_allclose(run(curves)["cbv"], expected, rtol=1e-3)
    late = curves + 0.15 * curves.max(axis=1, keepdims=True) * (TIME > 36)
    np.testing.assert_allclose(run(late)["cbv"], expected, rtol=1e-3)


def test_the_area_is_proportional_to_the_curve_and_to_the_inverse_of_the_input():
    curves = bolus(TIME, [(9, 10.2, 2.5, 2.0), (40, 12.9, 1.2, 3.1)])
    once = run(curves)["cbv"]
    np.testing.assert_allclose(run(7 * curves)["cbv"], 7 * once, rtol=1e-5)
    np.testing.assert_allclose(
        run(curves, PROTOCOL._replace(aif=4 * PROTOCOL.aif))["cbv"], once / 4, rtol=1e-5
    )


def test_no_fit_from_many_other_starts_leaves_less():
    rng = np.random.default_rng(4)
    curves = bolus(TIME, [(9, 10.2, 2.5, 2.0), (9, 12.9, 1.2, 3.1), (9, 11.0, 3.0, 1.5), (9, 12.0, 0.8, 6.0)])
    curves = np.repeat(curves, 3, axis=0)
    curves = (curves + rng.normal(0, 0.6, curves.shape)).astype(np.float32).astype(np.float64)
    unit = 70 / area(simulate.gamma_variate(FINE, 9.0, 3.0, 1.5)[None])[0]
    for curve, found in zip(curves, run(curves, beyond=1.0)["cbv"], strict=True):
        smooth = np.convolve(curve, [0.25, 0.5, 0.25], "same")
        peak = 4 + int(smooth[4:30].argmax())
        stop = peak + int(np.flatnonzero(smooth[peak:] < 0.5 * smooth[peak])[0])

        def shape(x, stop=stop):
            return simulate.gamma_variate(TIME[:stop], x[2], x[0], x[1])

        def left(x, curve=curve, shape=shape, stop=stop):
            g = shape(x)
            return curve[:stop] - g * (g @ curve[:stop]) / max(g @ g, 1e-30)

        low, high = np.array([0.5, 0.2, TIME[4]]), np.array([10, 20, TIME[peak]])
        starts = low * (high / low) ** rng.uniform(size=(40, 3))
        best = min(
            (least_squares(left, start, bounds=(low, high)) for start in starts), key=lambda fit: fit.cost
        ).x
        g = shape(best)
        height = g @ curve[:stop] / (g @ g)
        fine = simulate.gamma_variate(FINE, best[2], best[0], best[1])
        assert found == pytest.approx(unit * height * fine.sum() * FINE[1], rel=2e-3)


def test_the_best_onset_is_found_where_it_lies_just_before_a_sample():
    """In these a curve of small alpha fits best, near a sample that just does not count; other minima lie close by."""
    voxels = [80, 720, 824]
    curves, protocol = example.dsc(max(voxels) + 1, 20260)
    found = run(curves[voxels], protocol)["cbv"]
    truth = judged("gamma_variate", curves[voxels], protocol, shelf()["gamma_variate"].defaults())["cbv"]
    np.testing.assert_allclose(found, truth, rtol=1e-3)
    np.testing.assert_allclose(found, [10.377, 2.9158, 1.3258], rtol=1e-3)
    few, protocol = example.dsc(1231, 20260)  # four samples after t0, the first of them at once
    assert run(few[1230:], protocol)["cbv"] == pytest.approx(0.79, rel=1e-3)


@cache
def tissue():
    """Tissue of every residue, MTT 2-10 s and delays of -1 to 4 s that sees the first pass alone, and its CBV."""

    def once(t):
        return 200 * simulate.gamma_variate(t, 12.0, 3.0, 1.5)

    rng = np.random.default_rng(6)
    kinds = [
        (cbf, mtt, delay, name)
        for name in simulate.RESIDUES
        for cbf, mtt, delay in rng.uniform((10, 2, -1), (100, 10, 4), (12, 3))
    ]
    curves = np.stack([simulate.tissue(TIME, *kind, input_function=once) for kind in kinds])
    volume = np.array([cbf * mtt / 60 for cbf, mtt, *_ in kinds])
    return curves, volume, PROTOCOL._replace(aif=once(TIME), density_factor=simulate.KAPPA_RHO)


@pytest.mark.parametrize(
    ("contrast", "error", "far", "refused"),
    [
        (5, 0.20, 1.7, 0.25),
        (10, 0.12, 1.5, 0.03),
        (20, 0.08, 1.35, 0.0),
        (50, 0.07, 1.25, 0.0),
        (1e6, 0.07, 1.2, 0.0),
    ],
)
def test_a_first_pass_in_noise_has_its_volume_or_a_state(contrast, error, far, refused):
    """Median error, the 98th percentile, and how many are refused, by the ratio of a curve's peak to its noise."""
    curves, truth, protocol = tissue()
    curves, truth = np.tile(curves, (10, 1)), np.tile(truth, 10)
    noise = curves.max(axis=1, keepdims=True) / contrast
    maps = run(curves + np.random.default_rng(8).normal(0, noise, curves.shape), protocol)
    good = maps["state"] == State.GOOD
    assert np.mean(~good) <= refused
    ratio = maps["cbv"][good] / truth[good]
    assert np.median(np.abs(ratio - 1)) <= error
    assert np.quantile(ratio, 0.98) <= far


def test_noise_alone_has_no_first_pass():
    noise = np.random.default_rng(9).normal(0, 1.0, (500, 60))
    assert np.mean(run(noise)["state"] == State.NO_SOLUTION) > 0.8


def test_a_tail_that_is_guessed_is_refused():
    """Cut off after its peak, a broad bolus has most of its area where nothing was measured."""
    shape = (9, 12.0, 0.6, 15.0)
    (curve,) = bolus(TIME, [shape])
    cut = np.where(TIME > 25.0, 0.0, curve)
    for beyond, state in ((0.3, State.NO_SOLUTION), (1.0, State.GOOD)):
        assert run(cut[None], beyond=beyond)["state"] == [state]
    assert run(bolus(TIME, [(9, 10.2, 2.5, 2.0)]), beyond=0.3)["state"] == [State.GOOD]


def test_what_comes_long_after_the_input_is_no_first_pass():
    """Recirculation, a motion, a drift: higher than the bolus, and later than any tissue is."""
    first, late = bolus(TIME, [(9, 11.0, 2.5, 2.0), (20, 45.0, 2.5, 2.0)])
    alone, both = (run(curve[None])["cbv"] for curve in (first, first + late))
    np.testing.assert_allclose(both, alone, rtol=1e-6)
    assert run((first + late)[None], later=60.0)["cbv"] > 1.5 * alone


@pytest.mark.parametrize("x", [1e-300, 3e-9, 0.7, 1.0, 1.4142, 1.4143, 12.0, 1e300])
def test_the_logarithm_and_the_exponential_are_those_of_double_precision(x):
    assert logarithm(x) == pytest.approx(np.log(x), rel=1e-13)
    for y in (np.log(x), -np.log(x) / 700):
        assert exponential(y) == pytest.approx(np.exp(y), rel=3e-13)


def test_where_there_is_no_first_pass_the_voxel_has_a_state():
    curves = np.zeros((4, 60), np.float32)
    curves[1] = -1 - TIME
    curves[2, 30] = 5.0
    curves[3] = simulate.gamma_variate(TIME, 9.0, 3.0, 1.5)
    maps = run(curves)
    assert maps["state"].tolist() == [State.NO_SOLUTION] * 3 + [State.GOOD]
    assert maps["cbv"][3] == pytest.approx(70, rel=1e-5)


def test_an_input_without_a_first_pass_leaves_every_voxel_with_a_state():
    maps = run(bolus(TIME, [(9, 10.2, 2.5, 2.0)]), PROTOCOL._replace(aif=np.zeros(60)))
    assert maps["state"].tolist() == [State.NO_SOLUTION] and np.isnan(maps["cbv"]).all()
