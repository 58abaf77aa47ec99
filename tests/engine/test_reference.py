"""The reference tissue of leakage correction: brain that does not enhance, without vessels."""

import numpy as np

from bolus.prepare.reference import reference_curve
from tests.engine.made import TIME, bolus


def test_the_reference_leaves_out_what_enhances():
    curves = np.tile(bolus(15, 8), (50, 1)).astype(np.float32)
    curves[:10] -= np.float32(0.02) * TIME.astype(np.float32) ** 1.5
    curves[10:12] = np.nan
    curves += np.random.default_rng(3).normal(0, 0.2, curves.shape).astype(np.float32)
    mean, count = reference_curve(curves, (0, 9))
    assert count == 38
    np.testing.assert_allclose(mean, curves[12:].mean(0), rtol=1e-5, atol=1e-5)
    mean, count = reference_curve(curves, (0, 9), np.arange(50) < 20)
    assert count == 8
    np.testing.assert_allclose(mean, curves[12:20].mean(0), rtol=1e-5, atol=1e-5)


def test_the_reference_leaves_out_vessels():
    curves = np.tile(bolus(15, 8), (50, 1)).astype(np.float32)
    curves[::2] *= np.float32(0.5)
    curves[:8] = bolus(14, 70, 1.5)
    mean, count = reference_curve(curves, (0, 9))
    assert count == 42
    np.testing.assert_allclose(mean, curves[8:].mean(0), rtol=1e-5, atol=1e-6)
