"""Hadamard encodings, calibration, partial volume, outlier volumes and quality numbers against what must hold."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import hadamard as scipy_hadamard

from benchmarks.reference import (
    asl_quality,
    calibration,
    hadamard,
    kinetics,
    partial_volume,
    rejection,
    scrub,
)

MATRICES = {
    "sylvester 4": hadamard.sylvester(4),
    "sylvester 8": hadamard.sylvester(8),
    "walsh 8": hadamard.walsh(8),
    "walsh 16": hadamard.walsh(16),
    "paley 12": hadamard.paley(),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_an_encoding_is_a_hadamard_matrix_whose_volumes_decode_to_the_sub_boli(matrix: np.ndarray) -> None:
    n = len(matrix)
    assert np.array_equal(matrix @ matrix.T, n * np.eye(n))
    assert np.all(matrix[:, 0] == 1)
    assert np.all(matrix[0] == 1)
    differences = np.random.default_rng(1).uniform(-1, 8, n - 1)
    volumes = hadamard.encode(matrix, differences, 1000.0)
    assert volumes[0] == 1000.0  # all control
    assert np.all((volumes[1:] < 1000) == (differences @ (matrix[1:, 1:] < 0).T > 0))
    assert np.allclose(hadamard.decode(matrix, volumes), differences, atol=1e-9)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_decoding_spreads_the_noise_evenly(matrix: np.ndarray) -> None:
    """SD of a sub-bolus 2/sqrt(N) of a volume's: what (N - 1) separate pairs reach with N/2 times the volumes."""
    n = len(matrix)
    rows = np.array([hadamard.decode(matrix, unit) for unit in np.eye(n)])
    assert np.allclose(np.sqrt(np.sum(rows**2, axis=0)), 2 / np.sqrt(n))


def test_natural_and_walsh_order_are_the_same_rows() -> None:
    assert np.array_equal(hadamard.sylvester(8), scipy_hadamard(8))
    changes = np.sum(np.diff(hadamard.walsh(8), axis=1) != 0, axis=1)
    assert changes.tolist() == list(range(8))
    assert np.array_equal(hadamard.walsh(8), hadamard.walsh(8).T)
    with pytest.raises(ValueError, match="power of two"):
        hadamard.sylvester(12)


def test_the_first_sub_bolus_waits_longest() -> None:
    assert hadamard.delays(1.0, [0.9, 0.5, 0.3]).tolist() == pytest.approx([1.8, 1.3, 1.0])


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_calibration_undoes_the_readouts_recovery_and_is_linear(labeling: str) -> None:
    given: dict[str, Any] = {"efficiency": 0.85, "t1_blood": 1.65, "partition_coefficient": 0.9}
    cbf, m0, tr, t1 = 63.0, 1234.0, 2.0, 1.3
    t = 1.8 if labeling == "PASL" else 3.2
    shape = kinetics.kinetic(labeling, np.array(t), np.array(0.5), np.array(1.4), t1_apparent=1.65, **given)
    measured = m0 * (1 - np.exp(-tr / t1))

    def flow(scale: float = 1.0, gain: float = 1.0) -> float:
        return calibration.quantified(
            labeling,
            scale * gain * m0 * cbf / 6000 * float(shape),
            gain * measured,
            1.8,
            1.4,
            m0_repetition_time=tr,
            t1_tissue=t1,
            **given,
        )

    assert flow() == pytest.approx(cbf if labeling == "PCASL" else cbf * (1.8 - 0.5) / 1.4, rel=1e-9)
    assert flow(scale=2.0) == pytest.approx(2 * flow(), rel=1e-12)
    assert flow(gain=7.0) == pytest.approx(flow(), rel=1e-12)
    with pytest.raises(ValueError, match="repetition time"):
        calibration.recovered(1.0, 0.0, t1)


def test_quantified_and_unquantified_ratios_differ_by_m0_and_slice_delay_alone() -> None:
    given: dict[str, Any] = {
        "efficiency": 0.85,
        "t1_blood": 1.65,
        "partition_coefficient": 0.9,
        "m0_repetition_time": 6.0,
        "t1_tissue": 1.3,
    }
    lesion = calibration.quantified("PCASL", 9.0, 1100.0, 2.3, 1.8, **given)
    reference = calibration.quantified("PCASL", 5.0, 900.0, 1.8, 1.8, **given)
    invariant = 900 / 1100 * np.exp(0.5 / 1.65)
    assert (lesion / reference) / (9 / 5) == pytest.approx(invariant, rel=1e-12)
    assert np.exp(0.5 / 1.65) == pytest.approx(1.354, abs=1e-3)


def test_a_reference_tissue_gives_the_magnetisation_of_blood() -> None:
    """CSF made with lambda 1.15 of blood of 800, seen at 12 ms after 3 s."""
    seen = 800 * np.exp(-0.012 / 0.15) * 1.15 * np.exp(-0.012 / 0.75 + 0.012 / 0.15) * (1 - np.exp(-3 / 4.3))
    found = calibration.blood_from_reference(
        seen,
        repetition_time=3.0,
        echo_time=0.012,
        t1=4.3,
        t2=0.75,
        t2_blood=0.15,
        partition_coefficient=1.15,
    )
    assert found == pytest.approx(800 * np.exp(-0.012 / 0.15), rel=1e-12)
    assert calibration.suppressed_efficiency(0.85, 2) == pytest.approx(0.85 * 0.9025)


def fractions(seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    gm = random.uniform(0, 1, (9, 9, 2))
    return gm, (1 - gm) * random.uniform(0.7, 1, gm.shape)


def test_partial_volume_regression_is_exact_where_each_tissue_is_constant() -> None:
    gm, wm = fractions()
    image = 7.0 * gm + 2.0 * wm
    image[:, :, 1] *= 3
    for voxel, scale in (((4, 4, 0), 1), ((0, 8, 0), 1), ((4, 0, 1), 3)):  # in the middle, in corners, beside
        found = partial_volume.tissue_signals(image, (gm, wm), voxel)
        assert found == pytest.approx([7.0 * scale, 2.0 * scale])


def test_partial_volume_regression_is_linear_and_says_what_it_cannot_know() -> None:
    gm, wm = fractions()
    one, two = np.random.default_rng(3).normal(size=(2, *gm.shape))
    both = np.array(
        [partial_volume.tissue_signals(image, (gm, wm), (4, 4, 0)) for image in (one, two, one + 2 * two)]
    )
    assert np.allclose(both[2], both[0] + 2 * both[1])
    grey, white = partial_volume.tissue_signals(one, (gm, np.zeros_like(gm)), (4, 4, 0))
    assert np.isfinite(grey)
    assert np.isnan(white)
    assert np.isnan(partial_volume.tissue_signals(one, (gm, 0.5 * gm), (4, 4, 0))).all()
    hidden = np.where(np.arange(9)[:, None, None] == 4, 1e6, 7.0 * gm + 2.0 * wm)
    found = partial_volume.tissue_signals(hidden, (gm, wm), (3, 4, 0), mask=hidden < 1e5)
    assert found == pytest.approx([7.0, 2.0])


def test_regressed_tissues_are_quantified_each_with_its_own_constants() -> None:
    """A voxel of both, made by the kinetic model with the lambda of each: both flows come back."""
    gm, wm = fractions()
    differences, m0 = np.zeros(gm.shape), np.zeros(gm.shape)
    for p, cbf, tissue in ((gm, 60.0, partial_volume.GREY), (wm, 22.0, partial_volume.WHITE)):
        shape = kinetics.kinetic(
            "PCASL",
            np.array(3.6),
            np.array(0.9),
            np.array(1.8),
            efficiency=0.85,
            t1_blood=1.65,
            t1_apparent=1.65,
            partition_coefficient=tissue.partition_coefficient,
        )
        m0 += p * 1000 * tissue.partition_coefficient * (1 - np.exp(-4.0 / tissue.t1))
        differences += p * 1000 * tissue.partition_coefficient * cbf / 6000 * float(shape)
    found = partial_volume.tissue_flows(
        "PCASL",
        partial_volume.tissue_signals(differences, (gm, wm), (4, 4, 0)),
        partial_volume.tissue_signals(m0, (gm, wm), (4, 4, 0)),
        1.8,
        1.8,
        efficiency=0.85,
        t1_blood=1.65,
        m0_repetition_time=4.0,
    )
    assert found == (pytest.approx(60.0), pytest.approx(22.0))


def brain(repeats: int = 24, noise: float = 25.0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(4)
    tissue = np.repeat(np.eye(3), [600, 500, 200], axis=0)
    truth = tissue @ [60.0, 22.0, 0.0]
    return truth[:, None] + random.normal(0, noise, (1300, repeats)), truth, tissue


@pytest.mark.parametrize(("method", "gone"), [("score", [5, 11]), ("enable", [11])])
def test_outlier_volumes_go_and_good_ones_stay_whatever_their_order(method: str, gone: list[int]) -> None:
    series, _, tissue = brain()
    gm, wm, csf = tissue.T
    spoilt = series.copy()
    spoilt[:, 5] += 90  # a global shift
    spoilt[:, 11] += np.random.default_rng(5).normal(0, 250, 1300)  # one volume full of noise
    keep = {
        "score": lambda s: rejection.score(s, gm, wm, csf),
        "enable": lambda s: rejection.enable(s, gm, wm),
    }[method]
    stay = keep(spoilt)
    assert not stay[gone].any()
    assert stay.sum() >= 16
    order = np.random.default_rng(6).permutation(24)
    assert np.array_equal(keep(spoilt[:, order]), stay[order])
    assert np.array_equal(keep(3.0 * spoilt), stay)


def test_the_mean_without_rejected_volumes_is_nearer_the_truth() -> None:
    series, truth, tissue = brain()
    series[:, 7] += np.random.default_rng(7).normal(-40, 200, 1300)
    stay = rejection.score(series, *tissue.T)
    before, after = (np.sqrt(np.mean((series[:, s].mean(axis=1) - truth) ** 2)) for s in (stay | True, stay))
    assert after < 0.7 * before


def test_scrub_is_between_the_repeats_and_the_structure_and_ignores_a_wild_repeat() -> None:
    repeats = 60 + np.random.default_rng(8).normal(0, 20, 30)
    assert scrub.scrub(repeats, 0.0, 1e9) == pytest.approx(repeats.mean(), abs=4.0)
    assert scrub.scrub(repeats, 35.0, 1e-9) == pytest.approx(35.0, abs=1e-3)
    assert 35 < scrub.scrub(repeats, 35.0, 20.0) < repeats.mean()
    wild = repeats.copy()
    wild[3] = 1e5
    assert scrub.scrub(wild, 0.0, 1e9) == pytest.approx(scrub.scrub(repeats, 0.0, 1e9), abs=3.0)
    assert scrub.scrub(5 * repeats, 5 * 35.0, 25 * 20.0) == pytest.approx(
        5 * scrub.scrub(repeats, 35.0, 20.0)
    )
    assert scrub.scrub(repeats[::-1], 35.0, 20.0) == pytest.approx(scrub.scrub(repeats, 35.0, 20.0))
    assert scrub.scrub(np.full(5, 42.0), 60.0, 1.0) == 42.0


def test_scrub_finds_the_minimum_of_its_own_loss() -> None:
    repeats = np.append(60 + np.random.default_rng(9).normal(0, 20, 15), [300.0, -200.0])
    found = scrub.scrub(repeats, 40.0, 60.0)
    sigma = np.median(np.abs(repeats - np.median(repeats))) / 0.674489750196
    f = np.linspace(found - 3, found + 3, 60_001)
    away = np.abs(repeats - f[:, None]) / sigma
    huber = np.where(away < 1.345, away**2 / 2, 1.345 * away - 1.345**2 / 2).sum(axis=1)
    assert f[np.argmin(huber + (f - 40) ** 2 / 120)] == pytest.approx(found, abs=2e-4)


def test_structure_is_learned_from_the_scan_and_scrub_beats_the_mean() -> None:
    series, truth, tissue = brain(12, 30.0)
    series[::7, 3] += 400
    learned = scrub.structure(series, tissue)
    assert np.abs(learned.expected - truth).max() < 3
    assert learned.variance < 20  # the truth has no spread inside a tissue
    found = np.array(
        [scrub.scrub(y, e, learned.variance) for y, e in zip(series, learned.expected, strict=True)]
    )
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.5 * np.sqrt(np.mean((series.mean(axis=1) - truth) ** 2))


def test_quality_numbers() -> None:
    _, truth, tissue = brain()
    gm, wm, csf = tissue.T
    everywhere = np.ones(len(truth), bool)

    def qei(cbf: np.ndarray) -> float:
        return asl_quality.quality_evaluation_index(cbf, gm, wm, csf, everywhere)

    perfect = 25 * (2.5 * gm + wm)
    assert qei(perfect) == pytest.approx((1 - np.exp(-3.0126)) ** (1 / 3), rel=1e-9)
    assert qei(4 * perfect) == pytest.approx(qei(perfect))
    noisy = [perfect + np.random.default_rng(10).normal(0, sd, len(gm)) for sd in (10.0, 40.0, 200.0)]
    assert qei(perfect) > qei(noisy[0]) > qei(noisy[1]) > qei(noisy[2])
    assert qei(-perfect) == 0.0
    grey = gm > 0.5
    assert asl_quality.spatial_variation(noisy[1], grey) == pytest.approx(40 / 62.5, rel=0.1)
    assert asl_quality.negative_share(np.array([-1.0, 2.0, 3.0, -4.0]), np.array([1, 1, 1, 0], bool)) == 1 / 3
    assert asl_quality.temporal_snr(np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)


def test_the_smoothing_of_qei_has_the_width_it_says() -> None:
    point = np.zeros((31, 31, 31))
    point[15, 15, 15] = 1.0
    spread = asl_quality.smoothed(point, (1e-3, 1e-3, 2e-3))
    assert spread.sum() == pytest.approx(1.0, rel=1e-3)
    assert spread[15, 15, 15] / spread[18, 15, 15] == pytest.approx(2 ** (4 * (3 / 5) ** 2), rel=1e-2)
    assert spread[15, 15, 15] / spread[15, 15, 17] == pytest.approx(2 ** (4 * (4 / 5) ** 2), rel=1e-2)
