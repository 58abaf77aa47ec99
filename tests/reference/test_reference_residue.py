"""The reference of the residue's posterior against direct convolution, quadrature, a finer grid and known truth."""

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, quad
from scipy.linalg import null_space
from scipy.optimize import lsq_linear
from scipy.signal import fftconvolve

from benchmarks import simulate
from benchmarks.reference import residue
from benchmarks.reference.shapes import BELIEVED, SHAPES

TR = 1.5
TIMES = TR * np.arange(60)
AIF = simulate.arterial(TIMES)
SAMPLES = tuple(AIF.tolist())
PRIOR = residue.Prior(60.0, 0.8, 4.5, 0.6, (0.5, 24.0), 1.0, 2.5, (-3.0, 8.0), 0.0125)
BASELINE = slice(0, 7)


def smooth(t: np.ndarray) -> np.ndarray:
    """The arterial input between its samples, as the reference takes it."""
    return residue.arterial(t, AIF, TR)


def test_the_arterial_input_goes_through_its_samples_and_near_the_truth_between_them() -> None:
    fine = np.linspace(0.0, TIMES[-1], 5001)
    truth = simulate.arterial(fine)
    assert np.allclose(smooth(TIMES), AIF, atol=1e-9)
    assert not smooth(np.array([-1.0])).any() and np.all(smooth(TIMES[-1] + np.array([0.0, 9.0])) == AIF[-1])
    error, straight = (np.linalg.norm(a - truth) for a in (smooth(fine), np.interp(fine, TIMES, AIF)))
    assert error < straight / 2
    cubic = TIMES**3 - 40 * TIMES**2
    inner = np.linspace(TIMES[2], TIMES[-3], 301)
    assert np.allclose(residue.arterial(inner, cubic, TR), inner**3 - 40 * inner**2, rtol=1e-9, atol=1e-6)


def posterior(curve: np.ndarray, prior: residue.Prior = PRIOR) -> residue.Posterior:
    return residue.bayes(curve, AIF, TR, simulate.KAPPA_RHO, BASELINE, prior)


@pytest.mark.parametrize(
    ("shape", "name"), [("gamma 1", "exponential"), ("box", "box"), ("linear", "linear")]
)
def test_the_bank_meets_direct_convolution(shape: str, name: str) -> None:
    bank = residue.bank(SAMPLES, TR, PRIOR.mtt_within, PRIOR.delay_within)
    rows = np.flatnonzero(bank.shape == [one.name for one in SHAPES].index(shape))
    for row in rows[:: len(rows) // 5]:
        direct = simulate.tissue(TIMES, 1.0, bank.mtt[row], bank.delay[row], name, smooth)
        unit = 6000 * simulate.KAPPA_RHO * direct
        assert np.allclose(bank.curves[row], unit, atol=2e-3 * unit.max())


@pytest.mark.parametrize("place", range(len(SHAPES)))
def test_every_template_is_the_convolution_with_its_survival(place: int) -> None:
    """By sums at 2.5 ms; a step of the residue counts as it lies between two of them."""
    bank = residue.bank(SAMPLES, TR, PRIOR.mtt_within, PRIOR.delay_within)
    step = 0.0025
    fine = step * np.arange(round((TIMES[-1] + 3.1) / step))
    rows = np.flatnonzero(bank.shape == place)
    for row in rows[777 :: len(rows) // 3]:
        mtt, delay = bank.mtt[row], bank.delay[row]
        within = SHAPES[place].survival(np.maximum(fine, 0) / mtt)
        if SHAPES[place].name == "box":
            within = np.clip((mtt - fine) / step + 0.5, 0, 1)
        within[0] /= 2
        sums = fftconvolve(step * smooth(fine), within)[: fine.size]
        truth = np.interp(TIMES - delay, fine, sums, left=0.0)
        assert np.allclose(bank.curves[row], truth, atol=2e-3 * truth.max())


@pytest.mark.parametrize("floor", [0.0, 0.0125, 0.05])
def test_one_template_meets_adaptive_quadrature(floor: float) -> None:
    """A bank cut down to one point of MTT and delay: what remains is the integral over the flow."""
    prior = PRIOR._replace(floor=floor, mtt_within=(4.0, 4.0 + 1e-9), delay_within=(1.0, 1.0 + 1e-9))
    curve = simulate.noisy_relaxation(simulate.tissue(TIMES, 50.0, 4.0, 1.0)[None], 30.0, 0.03, 7, 21)[0]
    found = posterior(curve, prior)
    bank = residue.bank(SAMPLES, TR, prior.mtt_within, prior.delay_within)
    shapes = np.stack([bank.curves[bank.shape == shape][0] for shape in range(len(SHAPES))])
    shapes -= shapes.mean(axis=1, keepdims=True)
    c = curve - curve.mean()
    along, norm = shapes @ c, np.sum(shapes**2, axis=1)
    left = np.min(c @ c - along**2 / norm)
    variance = np.sqrt((left / 54) ** 2 + (floor * (curve.max() - curve[:7].mean())) ** 4)

    def density(x: float, shape: int, power: int) -> float:
        flow = np.exp(x) / (6000 * simulate.KAPPA_RHO)
        misfit = np.sum((c - flow * shapes[shape]) ** 2) - left
        each = np.exp(-misfit / (2 * variance) - 0.5 * ((x - np.log(60)) / 0.8) ** 2)
        return float(BELIEVED[shape] * each * x**power)

    integrals = np.array(
        [
            [
                quad(density, 2.5, 5.5, (s, power), limit=400, epsabs=1e-9, epsrel=1e-10)[0]
                for power in range(3)
            ]
            for s in range(len(shapes))
        ]
    )
    mass, first, second = integrals.sum(axis=0)
    mean, alone = first / mass, np.sum((integrals[:, 0] / mass) ** 2)
    spread = np.sqrt(second / mass - mean**2 + 0.01**2 * alone)
    assert found.cbf == pytest.approx(np.exp(mean), rel=1e-6)
    assert found.sd_cbf == pytest.approx(np.exp(mean) * spread, rel=1e-4)
    assert found.sd_mtt == pytest.approx(found.mtt * 0.01 * np.sqrt(alone), rel=1e-4)
    assert found.mtt == pytest.approx(4.0, rel=1e-6) and found.tmax == pytest.approx(1.0, rel=1e-6)


def test_a_finer_grid_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the noise that a scan has, and without any, where the posterior is narrowest."""
    clean = [simulate.tissue(TIMES, 60.0, 4.0, 1.0, name) for name in sorted(simulate.RESIDUES)]
    curves = [*simulate.noisy_relaxation(np.array(clean[:3]), 50.0, 0.03, 7, 22), *clean]
    usual = np.array([posterior(curve) for curve in curves])
    for cached in (residue.bank, residue._projected):
        cached.cache_clear()
    monkeypatch.setattr(residue, "TRANSIT_TIMES", 3 * residue.TRANSIT_TIMES // 2)
    monkeypatch.setattr(residue, "DELAYS", 3 * residue.DELAYS // 2)
    fine = np.array([posterior(curve) for curve in curves])
    for cached in (residue.bank, residue._projected):
        cached.cache_clear()
    assert np.max(np.abs(usual - fine)[:, :5] / fine[:, 5:]) <= 0.03
    assert np.max(np.abs(usual / fine - 1)[:, 5:]) <= 0.05


@pytest.mark.parametrize("name", sorted(simulate.RESIDUES))
@pytest.mark.parametrize(("cbf", "mtt", "delay"), [(60.0, 4.0, 1.0), (25.0, 7.0, 3.0), (100.0, 3.0, -1.0)])
def test_the_truth_of_a_noise_free_curve_is_within_its_interval(
    name: str, cbf: float, mtt: float, delay: float
) -> None:
    prior = PRIOR._replace(cbf=60 * cbf * mtt / 60 / 4.5)
    found = posterior(simulate.tissue(TIMES, cbf, mtt, delay, name), prior)
    assert abs(np.log(found.cbf / cbf)) <= 2.5 * found.sd_cbf / found.cbf
    assert abs(np.log(found.mtt / mtt)) <= 2.5 * found.sd_mtt / found.mtt
    assert found.cbv == pytest.approx(cbf * mtt / 60, rel=0.03)
    assert found.tmax == pytest.approx(delay, abs=0.3)


def test_intervals_of_voxels_drawn_from_the_prior_cover_the_truth() -> None:
    """Flow, transit time, delay and shape as the prior has them; 95 % intervals, three binomial SDs."""
    rng, n = np.random.default_rng(23), 60
    bank = residue.bank(SAMPLES, TR, PRIOR.mtt_within, PRIOR.delay_within)
    density = np.exp(-0.5 * (np.log(bank.mtt / 4.5) / 0.6) ** 2 - 0.5 * ((bank.delay - 1.0) / 2.5) ** 2)
    drawn = rng.choice(len(density), n, p=bank.weight * density / np.sum(bank.weight * density))
    cbf = 60 * np.exp(0.8 * rng.normal(size=n))
    curves = cbf[:, None] / 6000 / simulate.KAPPA_RHO * bank.curves[drawn]
    curves += rng.normal(0, 0.7, curves.shape)
    found = [posterior(curve, PRIOR._replace(floor=0.005)) for curve in curves]
    errors = {
        "cbf": [np.log(f.cbf / cbf[i]) * f.cbf / f.sd_cbf for i, f in enumerate(found)],
        "mtt": [np.log(f.mtt / bank.mtt[drawn[i]]) * f.mtt / f.sd_mtt for i, f in enumerate(found)],
        "cbv": [(f.cbv - cbf[i] * bank.mtt[drawn[i]] / 60) / f.sd_cbv for i, f in enumerate(found)],
        "tmax": [(f.tmax - bank.delay[drawn[i]]) / f.sd_tmax for i, f in enumerate(found)],
    }
    for name, values in errors.items():
        assert 0.865 <= np.mean(np.abs(values) <= 1.96) <= 1.0, name


def test_a_constant_and_projected_leakage_change_nothing() -> None:
    m = simulate.tissue(TIMES, *simulate.REFERENCE)
    leak = np.concatenate([[0.0], np.cumsum((m[1:] + m[:-1]) / 2) * TR])
    curve = simulate.tissue(TIMES, 60.0, 4.0, 1.0, "gamma")
    curve = curve + np.random.default_rng(24).normal(0, 0.1, 60)
    plain, moved = (
        residue.bayes(c, AIF, TR, simulate.KAPPA_RHO, BASELINE, PRIOR._replace(floor=0.0), m)
        for c in (curve, curve + 0.7 - 0.01 * leak)
    )
    assert np.allclose(plain, moved, rtol=1e-8)
    without = posterior(curve - 0.01 * leak)
    assert abs(without.cbv - 4.0) > abs(plain.cbv - 4.0)


def returning(m: np.ndarray, kep: float) -> np.ndarray:
    """integral_0^t m(s) e^{-kep (t-s)} ds, m straight between its samples; by the trapezoid rule at 10 ms."""
    step = 0.01
    fine = step * np.arange(round(TIMES[-1] / step) + 1)
    kernel = step * np.exp(-kep * fine)
    kernel[0] /= 2
    return np.asarray(fftconvolve(np.interp(fine, TIMES, m), kernel)[: fine.size : round(TR / step)])


def second_direction(m: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What is projected out (t, 2); the unit vector u (t,) by power iteration; the variance of u at K2 of SD 1."""
    out = np.column_stack([np.ones(len(m)), cumulative_trapezoid(m, TIMES, initial=0.0)])
    free = null_space(out.T)
    held = np.array([returning(m, kep) for kep in np.linspace(0.0, 0.2, 21)]) @ free
    u = held[-1]
    for _ in range(300):
        u = held.T @ (held @ u)
        u = u / np.linalg.norm(u)
    return out, free @ u, float(np.mean((held @ u) ** 2))


@pytest.mark.parametrize("k2_spread", [0.0, 0.002, 0.01, 1e4])
def test_leakage_that_comes_back_is_a_covariance(k2_spread: float) -> None:
    """One MTT and delay, every shape: sigma2 + v u u' written out and inverted, the flow by adaptive quadrature."""
    prior = PRIOR._replace(
        floor=0.0, mtt_within=(4.0, 4.0 + 1e-9), delay_within=(1.0, 1.0 + 1e-9), k2_spread=k2_spread
    )
    m = simulate.tissue(TIMES, *simulate.REFERENCE)
    clean = simulate.tissue(TIMES, 50.0, 4.0, 1.0) - 0.01 * returning(m, 0.08)
    curve = simulate.noisy_relaxation(clean[None], 30.0, 0.03, 7, 21)[0]
    found = residue.bayes(curve, AIF, TR, simulate.KAPPA_RHO, BASELINE, prior, m)
    bank = residue.bank(SAMPLES, TR, prior.mtt_within, prior.delay_within)
    shapes = np.stack([bank.curves[bank.shape == shape][0] for shape in range(len(SHAPES))])
    out, u, size = second_direction(m)
    least = [np.r_[np.full(3, -np.inf), 0.0], np.full(4, np.inf)]
    fits = [lsq_linear(np.column_stack([out, u, g]), curve, least, tol=1e-14) for g in shapes]
    variance = min(2 * fit.cost for fit in fits) / (len(curve) - 7)
    free = null_space(out.T)
    covariance = variance * np.eye(len(curve)) + k2_spread**2 * size * np.outer(u, u)
    precision = free @ np.linalg.inv(free.T @ covariance @ free) @ free.T
    flows = np.exp(np.linspace(2.5, 5.5, 2001)) / (6000 * simulate.KAPPA_RHO)
    fixed = curve @ precision @ curve
    squares = np.array([[fixed, g @ precision @ curve, g @ precision @ g] for g in shapes])
    lowest = min(np.min(s[0] - 2 * flows * s[1] + flows**2 * s[2]) for s in squares)

    def density(x: float, shape: int, power: int) -> float:
        flow = np.exp(x) / (6000 * simulate.KAPPA_RHO)
        misfit = squares[shape] @ [1, -2 * flow, flow**2] - lowest
        return float(BELIEVED[shape] * np.exp(-misfit / 2 - 0.5 * ((x - np.log(60)) / 0.8) ** 2) * x**power)

    powers, each = range(3), range(len(shapes))
    integrals = np.array(
        [[quad(density, 2.5, 5.5, (s, p), limit=400, epsabs=1e-9)[0] for p in powers] for s in each]
    )
    mass, first, second = integrals.sum(axis=0)
    share = integrals[:, 0] / mass
    spread = np.sqrt(second / mass - (first / mass) ** 2 + 0.01**2 * share @ share)
    assert found.cbf == pytest.approx(np.exp(first / mass), rel=1e-5)
    assert found.sd_cbf == pytest.approx(np.exp(first / mass) * spread, rel=1e-4)
    assert found.cth == pytest.approx(4.0 * share @ [shape.spread for shape in SHAPES], rel=1e-4)


def test_leakage_that_comes_back_as_expected_stays_within_the_interval() -> None:
    m = simulate.tissue(TIMES, *simulate.REFERENCE)
    _, u, size = second_direction(m)
    curve = simulate.tissue(TIMES, 60.0, 4.0, 1.0, "gamma") + np.random.default_rng(24).normal(0, 0.3, 60)

    def volume(moved: float, k2_spread: float) -> tuple[float, float]:
        prior = PRIOR._replace(k2_spread=k2_spread)
        found = residue.bayes(curve + moved * u, AIF, TR, simulate.KAPPA_RHO, BASELINE, prior, m)
        return found.cbv, found.sd_cbv

    one = 0.01 * np.sqrt(size)
    still, spread = volume(0.0, 0.01)
    for moved in (-one, one):
        assert abs(volume(moved, 0.01)[0] - still) < spread
        certain, narrow = volume(0.0, 0.0)
        assert abs(volume(moved, 0.0)[0] - certain) > narrow
    free = [volume(moved, 1e6)[0] for moved in (0.0, one)]
    assert free[1] == pytest.approx(free[0], rel=1e-3)


def test_a_curve_of_noise_alone_returns_the_prior() -> None:
    found = posterior(1e-9 * np.random.default_rng(25).normal(size=60), PRIOR._replace(cbf=1e-11, floor=1.0))
    assert found.mtt == pytest.approx(4.5, rel=0.1) and found.sd_mtt / found.mtt == pytest.approx(
        0.6, rel=0.1
    )
    assert found.tmax == pytest.approx(1.3, abs=0.4)
