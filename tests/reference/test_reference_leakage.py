"""The reference of the leakage models against simulated leakage and fine numerical integration."""

import numpy as np
import pytest
from scipy.integrate import quad, trapezoid

from benchmarks import simulate
from benchmarks.reference import alignment, leakage

TR = 1.5
TIMES = TR * np.arange(60)
AIF = simulate.arterial(TIMES)
M = simulate.tissue(TIMES, *simulate.REFERENCE)
ITSELF = (alignment.Shape(M, 0),)


@pytest.mark.parametrize(("k1", "k2"), [(1.0, 0.0), (0.8, 0.02), (1.3, -0.01)])
def test_bsw_returns_what_was_put_in(k1: float, k2: float) -> None:
    integral = np.array([trapezoid(M[: i + 1], dx=TR) for i in range(60)])
    fit = leakage.bsw(k1 * M - k2 * integral, M, TR, ITSELF)
    assert fit.k1 == pytest.approx(k1, rel=1e-10)
    assert fit.k2 == pytest.approx(k2, abs=1e-11)
    assert np.allclose(fit.corrected, k1 * M, atol=1e-10)


def test_bsw_leaves_least_squares_residuals_orthogonal() -> None:
    curve = simulate.noisy_relaxation(0.7 * M[None], 30.0, 0.03, 8, 3)[0]
    fit = leakage.bsw(curve, M, TR, ITSELF)
    left = fit.corrected - fit.k1 * M  # = curve - (K1 m - K2 integral m)
    assert abs(left @ M) < 1e-9 * np.linalg.norm(M) * np.linalg.norm(left)


@pytest.mark.parametrize("kep", [0.0, 0.03, 0.7, 2.0])
def test_what_has_leaked_meets_adaptive_quadrature(kep: float) -> None:
    """m straight between its samples; with kep = 0 the trapezoid rule itself."""
    held = leakage.retained(M, TR, np.array([kep]))[0]
    for k in (1, 9, 14, 59):
        pieces = [
            quad(lambda s, end: np.interp(s, TIMES, M) * np.exp(-kep * (end - s)), low, low + TR, TIMES[k])[0]
            for low in TIMES[:k]
        ]
        assert held[k] == pytest.approx(sum(pieces), rel=1e-10, abs=1e-12)
    if kep == 0:
        assert np.allclose(held[1:], [trapezoid(M[: k + 1], dx=TR) for k in range(1, 60)], rtol=1e-13)


@pytest.mark.parametrize("k2", [-0.01, 0.02])
@pytest.mark.parametrize("kep", [0.0, 0.01, 0.08, 0.3])
def test_bidirectional_returns_leakage_that_was_simulated(k2: float, kep: float) -> None:
    """Integrated at 5 ms, where the fit takes m straight between samples: right to what that costs."""
    fit = leakage.bidirectional(simulate.leaky(TIMES, *simulate.REFERENCE, k2, kep), M, TR, ITSELF, 0.5)
    assert fit.k2 == pytest.approx(k2, rel=0.06)
    assert fit.kep == pytest.approx(kep, rel=0.06, abs=1e-4)
    assert trapezoid(fit.corrected) == pytest.approx(trapezoid(M), rel=3e-3)


def test_bidirectional_finds_the_least_of_all_kep() -> None:
    rng = np.random.default_rng(9)
    for seed in range(3):
        clean = simulate.leaky(TIMES, rng.uniform(20, 90), rng.uniform(2, 8), rng.normal(0, 0.01), 0.05, 1.0)
        curve = simulate.noisy_relaxation(clean[None], 50.0, 0.03, 7, seed)[0]
        fit = leakage.bidirectional(curve, M, TR, ITSELF, 0.5)
        for held in leakage.retained(M, TR, np.linspace(0, 0.5, 1501)):
            design = np.column_stack([M, -held])
            left = curve - design @ np.linalg.lstsq(design, curve)[0]
            assert fit.aic <= leakage.aic(left, 3) + 1e-8


def test_aic_of_gaussian_noise_is_its_likelihood() -> None:
    """-2 ln L + 2 p with the variance at its best, less the constant N (1 + ln 2 pi)."""
    left = np.random.default_rng(10).normal(0, 3.0, 60)
    variance = np.mean(left**2)
    log_likelihood = -0.5 * np.sum(left**2 / variance + np.log(2 * np.pi * variance))
    expected = -2 * log_likelihood + 2 * 3 - 60 * (1 + np.log(2 * np.pi))
    assert leakage.aic(left, 3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("k2", "kep", "best"), [(0.0, 0.0, "uncorrected"), (0.03, 0.0, "bsw"), (0.06, 0.1, "bidirectional")]
)
def test_aic_mostly_picks_the_model_that_made_the_curve(k2: float, kep: float, best: str) -> None:
    clean, won = simulate.leaky(TIMES, *simulate.REFERENCE, k2, kep), []
    for curve in clean + np.random.default_rng(11).normal(0, 0.3, (30, 60)):
        fits = {
            "uncorrected": leakage.uncorrected(curve, ITSELF),
            "bsw": leakage.bsw(curve, M, TR, ITSELF),
            "bidirectional": leakage.bidirectional(curve, M, TR, ITSELF, 0.5),
        }
        won.append(min(fits, key=lambda name: fits[name].aic))
    assert won.count(best) >= 18


def test_shapes_are_the_reference_moved_and_the_artery_behind_other_transits() -> None:
    """Truth at 5 ms: tissue of other delays and transit times, of the blood volume of the reference."""
    assert [len(alignment.shapes(M, AIF, TR, name)) for name in ("none", "delay", "transit")] == [1, 12, 372]
    found = alignment.shapes(M, AIF, TR, "transit")
    assert [shape.parameters for shape in found] == [0, *11 * [1], *360 * [3]]
    late = simulate.tissue(TIMES, *simulate.REFERENCE, delay=2.0)
    assert np.abs(found[5].curve - late).max() <= 0.03 * late.max()
    for shape in found:  # what comes after the last volume is not in it
        assert 0.75 * trapezoid(M) <= trapezoid(shape.curve) <= 1.03 * trapezoid(M)
    bank = np.array([shape.curve for shape in found])
    for mtt, delay in ((3.1, 1.0), (9.0, 3.0)):
        other = simulate.tissue(TIMES, 60 * 3.0 / mtt, mtt, delay, "gamma")
        fits = bank @ other / np.linalg.norm(bank, axis=1) / np.linalg.norm(other)
        assert fits.max() > 0.998 > fits[0]


def test_an_aligned_fit_takes_late_tissue_for_late_and_not_for_leaky() -> None:
    late = simulate.leaky(TIMES, 40.0, 6.0, 0.01, 0.0, 3.0)
    plain, aligned = (
        leakage.bsw(late, M, TR, alignment.shapes(M, AIF, TR, name)) for name in ("none", "transit")
    )
    assert abs(aligned.k2 - 0.01) < 0.2 * abs(plain.k2 - 0.01)
