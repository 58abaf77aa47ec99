"""The reference of what is read off a curve, first pass and summary, against numerical integrals and known shapes."""

import numpy as np
import pytest
from scipy.integrate import quad

from benchmarks import example, simulate
from benchmarks.reference import first_pass, summary

TR = 1.5
TIMES = TR * np.arange(60)
ANYWHERE = slice(0, 60)
LIMITS = first_pass.Limits(0.5, 0.5, 3.0, 15.0)
STEADY = 640.0


@pytest.mark.parametrize(("alpha", "beta", "onset"), [(3.0, 1.5, 12.0), (0.7, 6.0, 9.3), (8.0, 0.4, 15.1)])
def test_the_area_of_a_gamma_variate_meets_quadrature(alpha: float, beta: float, onset: float) -> None:
    made = first_pass.GammaVariate(2.5, alpha, beta, onset)
    area, _ = quad(lambda t: made.at(np.array(t)).item(), onset, onset + 60 * beta, epsabs=1e-12, limit=200)
    assert made.area == pytest.approx(area, rel=1e-7)


@pytest.mark.parametrize(("alpha", "beta", "onset"), [(3.0, 1.5, 12.0), (1.5, 4.0, 9.2), (6.0, 0.9, 14.4)])
@pytest.mark.parametrize("cutoff", [0.2, 0.6])
def test_a_gamma_variate_is_found_whole_from_its_first_pass(
    alpha: float, beta: float, onset: float, cutoff: float
) -> None:
    truth = first_pass.GammaVariate(3.0, alpha, beta, onset)
    found, _ = first_pass.gamma_variate(truth.at(TIMES), TR, ANYWHERE, cutoff)
    assert found.area == pytest.approx(truth.area, rel=1e-5)
    assert found[1:] == pytest.approx(truth[1:], rel=1e-3)


def test_the_first_pass_ends_with_the_unbroken_run_above_the_cutoff() -> None:
    curve = np.array([0, 0, 0, 8, 8, 8, 3, 3, 3, 0, 0, 0, 20.0])
    within = slice(1, 9)
    assert [first_pass.window(curve, within, cutoff) for cutoff in (0.6, 0.5, 0.3, 0.2)] == [
        (4, 6),
        (4, 7),
        (4, 8),
        (4, 9),
    ]


def test_the_first_pass_is_sought_around_the_input_s() -> None:
    aif = simulate.arterial(TIMES)  # its peak at 16.5 s, a tenth of it after 12 s
    assert first_pass.sought(aif, TR, LIMITS) == slice(6, 22)
    assert first_pass.sought(aif, TR, LIMITS._replace(earlier=30.0, later=90.0)) == slice(0, 60)


def test_the_second_pass_does_not_count() -> None:
    """Recirculation adds a sixth of the height again; the area of the first pass stays."""
    first = 200 * simulate.gamma_variate(TIMES, 12.0, 3.0, 1.5)
    both = first + 32 * simulate.gamma_variate(TIMES, 24.0, 3.0, 3.0)
    alone, found = (first_pass.gamma_variate(curve, TR, ANYWHERE, 0.4)[0].area for curve in (first, both))
    assert found == pytest.approx(alone, rel=0.01)
    assert both.sum() > 1.3 * first.sum()


def test_no_start_of_a_random_search_does_better() -> None:
    rng = np.random.default_rng(12)
    clean = np.stack([simulate.tissue(TIMES, 60.0, mtt, 1.0) for mtt in (2.0, 4.0, 8.0)])
    for curve in simulate.noisy_relaxation(clean, 50.0, 0.03, 7, 13):
        fit, stop = first_pass.gamma_variate(curve, TR, ANYWHERE, 0.5)
        least = np.sum((fit.at(TIMES[:stop]) - curve[:stop]) ** 2)
        alpha, beta = np.exp(rng.uniform(np.log([[0.5], [0.2]]), np.log([[10.0], [20.0]]), (2, 40000)))
        onset = rng.uniform(0, TIMES[first_pass.window(curve, ANYWHERE, 0.5)[0]], 40000)
        g = first_pass.shape(TIMES[:stop], alpha[:, None], beta[:, None], onset[:, None])
        gain = np.maximum(g @ curve[:stop], 0) ** 2 / np.maximum((g * g).sum(axis=1), 1e-200)
        assert least <= np.sum(curve[:stop] ** 2) - gain.max() + 1e-9


def test_the_onset_does_not_stop_at_a_sample() -> None:
    """The best fit before the sample it would have to cross, from a start beyond it, leaves less than the one after."""
    curve = example.dsc(81, 20260)[0][80].astype(float)
    within = slice(6, 22)
    fit, stop = first_pass.gamma_variate(curve, TR, within, 0.5)
    assert 12.9 < fit.onset / TR < 13.0
    assert np.sum((fit.at(TIMES[:stop]) - curve[:stop]) ** 2) == pytest.approx(24.1388, abs=1e-3)


@pytest.mark.parametrize("blood_volume", [1.0, 4.0, 9.0])
def test_first_pass_volume_is_what_was_simulated(blood_volume: float) -> None:
    """An input that is one gamma variate, short transits: tissue is nearly one itself."""

    def once(t: np.ndarray) -> np.ndarray:
        return 200 * simulate.gamma_variate(t, 12.0, 3.0, 1.5)

    curve = simulate.tissue(TIMES, 60 * blood_volume / 2.0, 2.0, 0.0, "gamma", once)
    found = first_pass.blood_volume(curve, once(TIMES), TR, simulate.KAPPA_RHO, LIMITS)
    assert found == pytest.approx(blood_volume, rel=0.02)


def test_a_curve_that_never_rises_has_no_first_pass_volume() -> None:
    assert np.isnan(first_pass.blood_volume(-np.ones(60), simulate.arterial(TIMES), TR, 1.0, LIMITS))


def rising(onset: float, powers: tuple[int, int]) -> np.ndarray:
    """Zero until the onset, then two powers of the time since; falling after 24 s."""
    since = np.maximum(np.minimum(TIMES, 48.0 - TIMES) - onset, 0.0)
    return np.asarray(0.3 * since ** powers[0] + 0.02 * since ** powers[1])


@pytest.mark.parametrize("kind", ["smooth", "linear"])
def test_arrival_on_a_sample_fits_best_there(kind: str) -> None:
    curve = rising(12.0, summary.ONSETS[kind])[:17]
    misfits = [summary.misfit(curve, k, summary.ONSETS[kind]) for k in range(14)]
    assert int(np.argmin(misfits)) == 8 and misfits[8] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("kind", ["smooth", "linear"])
def test_arrival_between_samples_is_found_to_six_tenths_of_a_volume(kind: str) -> None:
    for onset in np.arange(12.0, 15.0, 0.25):
        curve = rising(onset, summary.ONSETS[kind])
        found = TR * summary.arrival(curve, 3, int(np.argmax(curve)), summary.ONSETS[kind])
        assert abs(found - onset) <= 0.6 * TR


def test_the_fit_of_arrival_never_falls_first() -> None:
    """The free fit would start downwards; the best with g1 = 0 is worse than it and better than no rise at all."""
    curve = np.array([0.0, 0.0, 0.0, -2.0, -1.0, 4.0, 12.0])
    since = np.maximum(np.arange(7) - 2.0, 0)
    free = np.linalg.lstsq(np.column_stack([np.ones(7), since, since**2]), curve)
    assert free[0][1] < 0
    bound = np.linalg.lstsq(np.column_stack([np.ones(7), since**2]), curve)
    assert summary.misfit(curve, 2, (1, 2)) == pytest.approx(bound[1][0])


def test_a_parabola_has_its_vertex_where_it_has() -> None:
    k = np.arange(9.0)
    assert summary.vertex(5 - (k - 4.3) ** 2, 4) == pytest.approx(0.3)
    assert summary.vertex(k, 4) == 0.0 and summary.vertex(k, 0) == 0.0 and summary.vertex(k, 8) == 0.0


def test_recovery_and_height_are_those_of_the_signal() -> None:
    """A fall to 40 % at the peak, back to 85 % between 30 and 60 s after it."""
    signal = np.full(60, STEADY)
    signal[8:13] = STEADY * np.array([0.95, 0.8, 0.6, 0.4, 0.6])
    signal[13:20] = 0.9 * STEADY
    signal[20:] = 0.85 * STEADY
    signal[:6:2] *= 1.01
    curve = -np.log(signal / STEADY) / 0.03
    found = summary.summary(curve, TR, (0, 6), curve, STEADY, 0.03, (30.0, 60.0), (1, 2))
    assert found.peakheight == pytest.approx(0.6 * STEADY)
    assert found.psr == pytest.approx(75.0)
    assert found.cnr == pytest.approx(curve[11] / np.std(curve[:6], ddof=1))
    assert found.bat + found.ttp == pytest.approx(11 * TR, abs=TR / 2)
    echo = summary.summary(curve, TR, (0, 6), 0.5 * curve, STEADY, 0.03, (30.0, 60.0), (1, 2))
    assert echo.peakheight == pytest.approx((1 - np.sqrt(0.4)) * STEADY)
    assert echo[:2] == found[:2] and echo.cnr == found.cnr


def test_the_late_window_ends_with_the_series_and_tells_recovery_from_five_volumes_on() -> None:
    assert summary.late(60, TR, 10, 30.0, 60.0) == slice(30, 51)
    assert summary.late(60, TR, 30, 30.0, 60.0) == slice(50, 60)
    assert summary.late(60, TR, 45, 30.0, 60.0) == slice(65, 65)
    curve = np.where(np.arange(60) == 35, 10.0, 0.1)
    found = [
        summary.summary(curve[:n], TR, (0, 6), curve[:n], STEADY, 0.03, (30.0, 60.0), (1, 2))
        for n in (59, 60)
    ]
    assert np.isnan(found[0].psr) and found[1].psr == pytest.approx(
        100 * (np.exp(-0.003) - np.exp(-0.3)) / (1 - np.exp(-0.3))
    )
    assert found[0].bat == found[1].bat and found[0].peakheight == found[1].peakheight


def test_a_curve_that_only_falls_has_no_arrival() -> None:
    found = summary.summary(-TIMES, TR, (0, 6), -TIMES, STEADY, 0.03, (30.0, 60.0), (1, 2))
    assert np.isnan(found).all()
