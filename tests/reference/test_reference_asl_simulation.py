"""The ASL phantom and its scanner: partial volume, laws of the signal, noise, what the hard phantom hides."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.asl import brain as asl_brain
from benchmarks.asl import hard as asl_hard
from benchmarks.asl import simulate as simulate_asl
from benchmarks.reference import asl, calibration, kinetics, partial_volume

SHAPE = (64, 64, 4)


@pytest.fixture(scope="module")
def slab() -> asl_brain.Brain:
    return asl_brain.brain(SHAPE)


def middle(brain: asl_brain.Brain, tissue: str) -> tuple[int, ...]:
    """One pure voxel of the tissue, away from the late territory."""
    places = np.argwhere(asl_brain.pure(brain, tissue, 1.0) & ~brain.late)
    return tuple(places[len(places) // 2])


def test_fractions_are_shares_of_a_voxel_and_do_not_hang_on_how_finely_they_are_drawn(slab: Any) -> None:
    shares = np.array(list(slab.fractions.values()))
    assert shares.min() >= 0
    assert shares.sum(axis=0).max() <= 1 + 1e-12
    partial = (slab.fractions["gm"] > 0.02) & (slab.fractions["gm"] < 0.98)
    assert partial.sum() > 0.2 * asl_brain.mask(slab).sum()
    finer = asl_brain.brain(SHAPE, finer=6)
    assert np.sqrt(np.mean((finer.fractions["gm"] - slab.fractions["gm"])[partial] ** 2)) < 0.05
    assert finer.fractions["gm"].sum() == pytest.approx(slab.fractions["gm"].sum(), rel=0.01)
    for tissue in slab.tissues:
        assert asl_brain.pure(slab, tissue).sum() >= 10


@pytest.mark.parametrize("acquisition", [simulate_asl.PCASL, simulate_asl.PASL], ids=["PCASL", "PASL"])
def test_a_voxels_signal_is_the_kinetic_model_of_its_tissues_by_their_shares(
    slab: Any, acquisition: Any
) -> None:
    made = simulate_asl.difference(slab, acquisition)
    readouts = kinetics.times(
        acquisition.labeling, np.array(acquisition.delays), np.array(acquisition.duration)
    )
    partial = tuple(np.argwhere((slab.fractions["gm"] > 0.3) & (slab.fractions["wm"] > 0.3))[7])
    for voxel in (middle(slab, "gm"), middle(slab, "rim"), partial):
        expected = np.zeros(len(readouts))
        for name, tissue in slab.tissues.items():
            apparent = kinetics.apparent_t1(tissue.t1, tissue.cbf / 6000, tissue.partition_coefficient)
            shape = kinetics.kinetic(
                acquisition.labeling,
                readouts,
                slab.att[name][voxel],
                np.array(acquisition.duration),
                efficiency=acquisition.efficiency,
                t1_blood=1.65,
                t1_apparent=apparent,
                partition_coefficient=tissue.partition_coefficient,
            )
            expected += slab.fractions[name][voxel] * tissue.magnetisation * tissue.cbf / 6000 * shape
        assert made[voxel] == pytest.approx(expected, rel=1e-5)
    assert np.all(made[middle(slab, "csf")] == 0)


def test_noise_has_the_size_that_the_ratio_says_and_repeats_differ_by_noise_alone(slab: Any) -> None:
    noisy = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, snr=150.0), seed=1)
    clean = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, repeats=1))
    error = noisy.control - noisy.label - np.tile(clean.control - clean.label, (1, 1, 1, 4))
    assert error.std() == pytest.approx(850 / 150 * np.sqrt(2), rel=0.01)
    assert abs(error.mean()) < 0.02
    again = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, snr=150.0), seed=1)
    assert np.array_equal(again.label, noisy.label)


def test_a_later_slice_is_a_longer_delay_and_suppression_spares_the_difference(slab: Any) -> None:
    late = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, slice_interval=0.05, repeats=1))
    assert late.slice_delay.tolist() == pytest.approx([0, 0.05, 0.1, 0.15])
    shifted = replace(simulate_asl.PCASL, delays=tuple(d + 0.15 for d in simulate_asl.PCASL.delays))
    whole = simulate_asl.difference(slab, shifted)
    assert np.allclose((late.control - late.label)[:, :, 3], whole[:, :, 3], atol=1e-3)
    quiet = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, static_share=0.1, pulses=2, repeats=1))
    loud = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, repeats=1))
    assert np.allclose(quiet.control, 0.1 * loud.control, rtol=1e-6)
    assert np.allclose(quiet.control - quiet.label, 0.9025 * (loud.control - loud.label), atol=1e-3)
    assert quiet.efficiency == pytest.approx(0.85 * 0.9025)


def test_short_recovery_of_m0_is_undone_with_the_t1_map(slab: Any) -> None:
    short = simulate_asl.acquire(slab, replace(simulate_asl.PCASL, m0_repetition_time=2.0, repeats=1))
    for name in ("gm", "wm", "rim"):
        voxel = middle(slab, name)
        found = calibration.recovered(short.m0[voxel], 2.0, asl_brain.mixed_t1(slab)[voxel])
        assert found == pytest.approx(slab.tissues[name].magnetisation, rel=1e-6)


def test_the_coils_sensitivity_cancels_between_difference_and_m0(slab: Any) -> None:
    shape = slab.late.shape
    shaded = slab._replace(sensitivity=asl_hard.bias_field(shape, slab.voxel, 0.3))
    one, two = (
        simulate_asl.curves(b, simulate_asl.acquire(b, replace(simulate_asl.PASL, repeats=1)))[0]
        for b in (slab, shaded)
    )
    assert np.ptp(shaded.sensitivity) == pytest.approx(0.6)
    assert np.allclose(one, two, atol=2e-6)


@pytest.mark.parametrize("acquisition", [simulate_asl.PCASL, simulate_asl.PASL], ids=["PCASL", "PASL"])
def test_the_reference_recovers_the_truth_of_pure_voxels(slab: Any, acquisition: Any) -> None:
    scan = simulate_asl.acquire(slab, replace(acquisition, repeats=1, slice_interval=0.04))
    for name in ("gm", "wm", "rim"):
        voxels = np.zeros(slab.late.shape, bool)
        voxels[middle(slab, name)] = True
        curves, protocol = simulate_asl.curves(slab, scan, voxels)
        found = asl.multi_delay(
            curves[0], protocol._replace(noise_variance=1e-12), 0, asl.Prior(1.3, 1.0, 200.0, 10.0)
        )
        assert found.cbf == pytest.approx(slab.tissues[name].cbf, abs=0.1)
        assert found.att == pytest.approx(slab.att[name][voxels][0], abs=2e-3)


def test_arteries_add_their_blood_to_the_voxels_they_run_through(slab: Any) -> None:
    vessels = asl_brain.with_arteries(slab)
    added = simulate_asl.difference(vessels, simulate_asl.PCASL) - simulate_asl.difference(
        slab, simulate_asl.PCASL
    )
    assert 50 < np.count_nonzero(vessels.abv) < 0.1 * vessels.abv.size
    assert np.all(added[vessels.abv == 0] == 0)
    t = 1.8 + np.array(simulate_asl.PCASL.delays)
    voxel = tuple(np.argwhere(vessels.abv > 0.02)[0])
    arrival = vessels.arrival[voxel]
    expected = np.where(
        (t > arrival) & (t < arrival + 1.8),
        850 * vessels.abv[voxel] * 2 * 0.85 / 0.9 * np.exp(-arrival / 1.65),
        0,
    )
    assert added[voxel] == pytest.approx(expected, abs=1e-9)


def test_partial_volume_regression_recovers_pure_grey_matter_on_the_phantom() -> None:
    """One blood, each tissue its own partition coefficient; relaxation in blood, as the formula assumes."""
    tissues = {name: tissue._replace(t1=1.65) for name, tissue in asl_brain.PHYSICAL.items()}
    brain = asl_brain.brain(SHAPE, tissues=tissues)
    quiet = replace(simulate_asl.PCASL, delays=(2.2,), repeats=1)
    scan = simulate_asl.acquire(brain, quiet)
    gm, wm, csf = (brain.fractions[name] for name in ("gm", "wm", "csf"))
    tumour = brain.fractions["rim"] + brain.fractions["core"]
    clear = np.argwhere((gm > 0.3) & (wm > 0.2) & ~brain.late)
    difference = (scan.control - scan.label)[..., 0]
    found = []
    for voxel in clear[::4]:
        x, y, z = (int(k) for k in voxel)
        around = (slice(max(x - 2, 0), x + 3), slice(max(y - 2, 0), y + 3), z)
        if tumour[around].any() or brain.late[around].any():
            continue
        signals = partial_volume.tissue_signals(difference, (gm, wm), (x, y, z))
        m0 = partial_volume.tissue_signals(scan.m0, (gm, wm, csf), (x, y, z))
        found.append(
            partial_volume.tissue_flows(
                "PCASL",
                signals,
                m0,
                2.2,
                1.8,
                efficiency=0.85,
                t1_blood=1.65,
                m0_repetition_time=np.inf,
            )
        )
    assert len(found) > 20
    grey, white = np.array(found).T
    assert np.allclose(grey, 60.0, rtol=0.03)
    assert np.allclose(white, 22.0, rtol=0.03)


def test_no_structural_image_shows_the_lesions_of_the_hard_phantom() -> None:
    easy = asl_brain.brain()
    hard, plain = asl_hard.harden(easy), asl_hard.harden(easy, lesions=())
    assert np.array_equal(
        simulate_asl.magnetisation(hard), hard.sensitivity * simulate_asl.magnetisation(easy)
    )
    assert all(np.array_equal(hard.fractions[name], easy.fractions[name]) for name in easy.fractions)
    assert np.array_equal(asl_brain.mixed_t1(hard), asl_brain.mixed_t1(easy))
    ball = 4 / 3 * np.pi * 9.0**3 / np.prod(asl_brain.VOXEL)
    for number, lesion in enumerate(asl_hard.LESIONS, 1):
        inside = hard.lesions == number
        assert inside.sum() == pytest.approx(ball, rel=0.1)
        assert asl_brain.mask(hard)[inside].all()
        for name in ("gm", "wm"):
            assert np.allclose(hard.cbf[name][inside], lesion.flow * plain.cbf[name][inside])
            assert np.allclose(hard.att[name][inside], plain.att[name][inside] + lesion.delay)
            assert np.array_equal(hard.cbf[name][hard.lesions == 0], plain.cbf[name][hard.lesions == 0])
    for name in ("gm", "wm"):
        inside = asl_brain.pure(hard, name)
        relative = hard.cbf[name][inside] / easy.cbf[name][inside]
        assert relative.mean() == pytest.approx(1.0, abs=0.02)
        assert relative.std() == pytest.approx(0.2, abs=0.02)
    assert (hard.sensitivity.min(), hard.sensitivity.max()) == pytest.approx((0.7, 1.3))
