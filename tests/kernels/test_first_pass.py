"""The first pass: gamma variates come back, whatever follows them; where there is none, the voxel says so."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from benchmarks import simulate
from bolus_kernels.device import cpu
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
    curves = bolus(TIME, [(9, 10.2, 2.5, 2.0), (9, 12.9, 1.2, 3.1), (9, 11.0, 3.0, 1.5)])
    curves = (curves + rng.normal(0, 0.6, curves.shape)).astype(np.float32).astype(np.float64)
    unit = 70 / area(simulate.gamma_variate(FINE, 9.0, 3.0, 1.5)[None])[0]
    for curve, found in zip(curves, run(curves)["cbv"], strict=True):
        peak = int(curve.argmax())
        below = np.flatnonzero(curve[peak:] < 0.5 * curve[peak])
        stop = peak + int(below[0])

        def shape(x, stop=stop):
            return simulate.gamma_variate(TIME[:stop], x[2], x[0], x[1])

        def left(x, curve=curve, shape=shape, stop=stop):
            g = shape(x)
            return curve[:stop] - g * (g @ curve[:stop]) / max(g @ g, 1e-30)

        fits = []
        for _ in range(40):
            start = [
                np.exp(rng.uniform(-0.6, 2.2)),
                np.exp(rng.uniform(-1.5, 2.9)),
                rng.uniform(0, TIME[peak]),
            ]
            fits.append(least_squares(left, start, bounds=([0.5, 0.2, 0], [10, 20, TIME[peak]])))
        best = min(fits, key=lambda fit: fit.cost).x
        g = shape(best)
        height = g @ curve[:stop] / (g @ g)
        fine = simulate.gamma_variate(FINE, best[2], best[0], best[1])
        assert found == pytest.approx(unit * height * fine.sum() * FINE[1], rel=2e-3)


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
