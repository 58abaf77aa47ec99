"""The DSC reference against analytic facts and fine numerical integration."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from benchmarks import simulate
from benchmarks.reference import dsc, tikhonov

TR = 1.5
TIMES = TR * np.arange(60)
AIF = simulate.arterial(TIMES)


def rectangle(times: np.ndarray) -> np.ndarray:
    """An arterial input with a flat spectrum: well conditioned for deconvolution."""
    return np.where(np.arange(len(times)) == 3, 40.0, 0.0) + np.where(np.arange(len(times)) == 4, 10.0, 0.0)


def test_relaxation_undoes_the_exponential_of_the_signal() -> None:
    truth = simulate.tissue(TIMES, 60.0, 4.0)
    signal = 731.0 * np.exp(-0.03 * truth)
    assert np.allclose(dsc.relaxation(signal, slice(1, 8), 0.03), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("echo_times", [(0.01, 0.03), (0.008, 0.02, 0.045)])
def test_several_echoes_are_blind_to_t1(echo_times: tuple[float, ...]) -> None:
    """Leaked agent shortens T1 while T2* changes: one echo is wrong by several times what two are."""
    truth = simulate.leaky(TIMES, 60.0, 4.0, 0.01, 0.05)
    shortening = 0.3 * simulate.extravasated(TIMES, 0.05)
    signals = simulate.echoes(truth, shortening, echo_times)
    found = dsc.multi_echo_relaxation(signals, slice(0, 7), np.array(echo_times))
    assert np.allclose(found, truth, atol=1e-9)
    assert np.abs(dsc.relaxation(signals[0], slice(0, 7), echo_times[0]) - truth).max() > 1.0
    if len(echo_times) == 2:
        ratio = signals[0] / signals[0, :7].mean() / (signals[1] / signals[1, :7].mean())
        assert np.allclose(found, np.log(ratio) / 0.02, atol=1e-9)


@pytest.mark.parametrize("smoothed", [True, False])
def test_the_toeplitz_matrix_is_causal_convolution(smoothed: bool) -> None:
    rng = np.random.default_rng(8)
    aif, residue = rng.random(12), rng.random(12)
    blurred = [(([0.0, *aif][k]) + 4 * aif[k] + [*aif, aif[-1]][k + 1]) / 6 for k in range(12)]
    sums = [sum((blurred if smoothed else aif)[k - j] * residue[j] for j in range(k + 1)) for k in range(12)]
    assert np.allclose(dsc.toeplitz(aif, 0.7, smoothed) @ residue, 0.7 * np.array(sums), rtol=1e-13)


@pytest.mark.parametrize("threshold", [0.05, 0.2])
def test_ssvd_is_the_truncated_pseudo_inverse(threshold: float) -> None:
    curve = simulate.noisy_relaxation(simulate.tissue(TIMES, 60.0, 4.0)[None], 50.0, 0.03, 8, 1)[0]
    inverse = np.linalg.pinv(dsc.toeplitz(AIF, TR, True), rcond=threshold)
    assert np.allclose(dsc.ssvd(curve, AIF, TR, threshold, True), inverse @ curve, atol=1e-12)


def test_ssvd_returns_a_causal_residue_and_its_time() -> None:
    residue = 0.01 * np.exp(-np.maximum(TIMES - 3.0, 0) / 4.0) * (TIMES >= 3.0) * (TIMES < 60)
    found = dsc.ssvd(dsc.toeplitz(rectangle(TIMES), TR, False) @ residue, rectangle(TIMES), TR, 0.0, False)
    assert np.allclose(found, residue, atol=1e-12)
    assert dsc.tmax(found, TR, circular=False) == 3.0
    assert dsc.tmax(np.arange(60.0), TR, circular=False) == 59 * TR


@pytest.mark.parametrize("selection", ["gcv", "l_curve"])
def test_tikhonov_solves_its_normal_equations(selection: str) -> None:
    curve = simulate.noisy_relaxation(simulate.tissue(TIMES, 60.0, 4.0)[None], 50.0, 0.03, 8, 5)[0]
    d = dsc.circulant(AIF, TR)
    u, s, _ = np.linalg.svd(d)
    mu = s[0] * tikhonov.STRENGTHS[tikhonov.chosen(s, u.T @ dsc.padded(curve), selection)]
    expected = np.linalg.solve(d.T @ d + mu**2 * np.eye(120), d.T @ dsc.padded(curve))
    assert np.allclose(tikhonov.tikhonov(curve, AIF, TR, selection), expected, atol=1e-11)


def test_cross_validation_is_leaving_one_frequency_out() -> None:
    """G by the matrices of Golub, Heath and Wahba: |(I - A)c|^2 / trace(I - A)^2."""
    curve = simulate.noisy_relaxation(simulate.tissue(TIMES, 60.0, 4.0)[None], 50.0, 0.03, 8, 6)[0]
    d, c = dsc.circulant(AIF, TR), dsc.padded(curve)
    u, s, _ = np.linalg.svd(d)
    for mu in (3.0, 30.0, 200.0):
        left = np.eye(120) - d @ np.linalg.solve(d.T @ d + mu**2 * np.eye(120), d.T)
        expected = np.sum((left @ c) ** 2) / np.trace(left) ** 2
        assert tikhonov.cross_validation(s, u.T @ c, mu) == pytest.approx(expected, rel=1e-7)


def test_the_curvature_of_the_l_curve_is_that_of_its_points() -> None:
    """Three neighbours on (log |residual|, log |f|), by finite differences: the printed formula fails this."""
    curve = simulate.noisy_relaxation(simulate.tissue(TIMES, 60.0, 4.0)[None], 50.0, 0.03, 8, 7)[0]
    u, s, _ = np.linalg.svd(dsc.circulant(AIF, TR))
    along = u.T @ dsc.padded(curve)

    def point(log_mu: float) -> np.ndarray:
        left = tikhonov.damping(s, np.exp(log_mu))
        size = (1 - left) / s * along
        return np.log([np.linalg.norm(left * along), np.linalg.norm(size)])

    for mu in s[0] * tikhonov.STRENGTHS[1:-1:6]:
        before, at, after = (point(np.log(mu) + step) for step in (-1e-3, 0.0, 1e-3))
        (x1, y1), (x2, y2) = (after - before) / 2e-3, (after - 2 * at + before) / 1e-6
        expected = (x1 * y2 - x2 * y1) / (x1**2 + y1**2) ** 1.5
        assert tikhonov.curvature(s, along, mu) == pytest.approx(expected, abs=2e-5)


def test_the_circulant_times_a_padded_curve_is_the_convolution() -> None:
    rng = np.random.default_rng(1)
    aif, residue = rng.random(20), rng.random(20)
    product = dsc.circulant(aif, 0.7) @ np.concatenate([residue, np.zeros(20)])
    assert np.allclose(product[:39], 0.7 * np.convolve(aif, residue), rtol=1e-13)


def test_the_singular_values_are_those_of_the_fourier_basis() -> None:
    fourier = np.sort(TR * np.abs(np.fft.fft(AIF, 120)))[::-1]
    assert np.allclose(np.linalg.svd(dsc.circulant(AIF, TR), compute_uv=False), fourier, atol=1e-11)


def test_truncating_singular_values_is_a_masked_spectral_division() -> None:
    curve = simulate.noisy_relaxation(simulate.tissue(TIMES, 60.0, 4.0)[None], 50.0, 0.03, 8, 1)[0]
    spectrum = np.fft.fft(AIF, 120)
    keep = np.abs(spectrum) >= 0.1 * np.abs(spectrum).max()
    quotient = np.where(keep, np.fft.fft(curve, 120) / (TR * spectrum), 0)
    assert np.allclose(dsc.csvd(curve, AIF, TR, 0.1), np.fft.ifft(quotient).real, atol=1e-13)


@pytest.mark.parametrize("shift", [-2, 0, 3])
def test_a_well_conditioned_deconvolution_returns_what_was_convolved(shift: int) -> None:
    aif = rectangle(TIMES)
    residue = np.zeros(120)
    residue[:30] = 0.01 * np.exp(-TIMES[:30] / 4.0)
    residue = np.roll(residue, shift)
    curve = (dsc.circulant(aif, TR) @ residue)[:60]
    found = dsc.csvd(curve, aif, TR, 0.0)
    assert np.allclose(found, residue, atol=1e-12)
    assert dsc.tmax(found, TR) == shift * TR
    assert dsc.flow(found, simulate.KAPPA_RHO) == pytest.approx(60 * simulate.KAPPA_RHO, rel=1e-10)


def test_oscillation_of_an_impulse_is_known() -> None:
    impulse = np.zeros(16)
    impulse[5] = 3.0
    assert dsc.oscillation(impulse) == pytest.approx(4 / 16)  # |1| + |-2| + |1| over L


def test_oscillation_of_a_straight_line_is_zero() -> None:
    assert dsc.oscillation(np.linspace(1.0, 2.0, 32)) == pytest.approx(0.0, abs=1e-14)


def test_truncations_split_no_conjugate_pair() -> None:
    s = np.linalg.svd(dsc.circulant(AIF, TR), compute_uv=False)
    kept = list(dsc.truncations(AIF, TR))
    assert kept == sorted(kept, reverse=True)
    assert len(kept) == 61  # zero frequency, Nyquist and 59 pairs
    assert all(k == 120 or s[k - 1] / s[k] > 1 + 1e-9 for k in kept)


def test_osvd_keeps_the_most_that_oscillates_little_enough() -> None:
    curves = simulate.noisy_relaxation(np.tile(simulate.tissue(TIMES, 60.0, 4.0), (40, 1)), 20.0, 0.03, 8, 2)
    not_monotone = 0
    for curve in curves:
        residue, kept = dsc.osvd(curve, AIF, TR, 0.035)
        assert dsc.oscillation(residue) <= 0.035
        good = {}
        for k in dsc.truncations(AIF, TR):
            truncated = dsc.inverse(curve, AIF, TR)(k)
            good[k] = truncated.max() > 0 and dsc.oscillation(truncated) <= 0.035
        assert kept == max(k for k, ok in good.items() if ok)
        not_monotone += not all(ok for k, ok in good.items() if k <= kept)
    assert not_monotone > 0  # the trap this test is for


def test_osvd_of_nothing_positive_says_so() -> None:
    residue, kept = dsc.osvd(np.zeros(60), AIF, TR, 0.035)
    assert kept == 0 and np.isnan(residue).all()


@pytest.mark.parametrize("residue", sorted(simulate.RESIDUES))
def test_blood_volume_is_flow_times_transit_time(residue: str) -> None:
    """Long enough to see all of it, without recirculation: the central volume theorem, by quadrature."""
    times = 0.5 * np.arange(400)

    def first_pass(t: np.ndarray) -> np.ndarray:
        return 200 * simulate.gamma_variate(t, 12.0, 3.0, 1.5)

    curve = simulate.tissue(times, 60.0, 4.0, 1.0, residue, first_pass)
    cbv = dsc.blood_volume(curve, first_pass(times), 0.5, simulate.KAPPA_RHO)
    assert cbv == pytest.approx(4.0, rel=2e-3)
    assert dsc.transit_time(cbv, 60.0) == pytest.approx(4.0, rel=2e-3)


def test_fine_convolution_meets_the_closed_form() -> None:
    """t e^{-t/b} through e^{-t/m}: a textbook integral."""
    beta, mtt, rate = 2.0, 5.0, 1 / 5.0 - 1 / 2.0

    def ramp(t: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(t, 0) * np.exp(-np.maximum(t, 0) / beta))

    curve = simulate.tissue(TIMES, 60.0, mtt, 0.0, "exponential", ramp)
    integral = np.exp(-TIMES / mtt) * ((TIMES / rate - 1 / rate**2) * np.exp(rate * TIMES) + 1 / rate**2)
    assert np.allclose(curve, 0.01 / simulate.KAPPA_RHO * integral, atol=1e-7)


@pytest.mark.parametrize("residue", sorted(simulate.RESIDUES))
def test_each_residue_starts_at_one_and_has_its_mean_transit_time(residue: str) -> None:
    t = np.arange(0.0, 200.0, 0.005)
    values = simulate.RESIDUES[residue](t, 4.0)
    assert values[0] == 1.0
    assert np.all(np.diff(values) <= 1e-12)
    assert trapezoid(values, t) == pytest.approx(4.0, rel=1e-4)


def test_noise_has_the_size_it_was_asked_for() -> None:
    curves = simulate.noisy_relaxation(np.zeros((500, 60)), 50.0, 0.03, 8, 4)
    expected = np.sqrt(1 + 1 / 8) / 50.0 / 0.03  # a sample against the mean of eight
    assert curves[:, 8:].std() == pytest.approx(expected, rel=0.02)
