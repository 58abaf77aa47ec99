"""Arteries among veins, air, tumour vessels and partial volume: found, scaled, local, modelled, and doubted."""

from functools import cache

import numpy as np
import pytest
from scipy.signal import fftconvolve

from benchmarks import simulate
from bolus import arterial
from bolus.arterial.firstpass import fit
from bolus.arterial.model import SCALE, SHAPE, population
from bolus.arterial.quality import arrival, described, first_moment, width
from bolus.errors import Code

ECHO_TIME = 0.03
BLOOD = 6000 * simulate.KAPPA_RHO
FINDERS = ("kmeans", "peruzzo")


@cache
def templates(step, count, onset, slow):
    """Curves (few, t) of each kind, 1/s, by integration at 5 ms: an artery of 75, its veins, tissue, a tumour's vessels."""
    time = step * np.arange(count)

    def blood(t):
        first = simulate.gamma_variate(t, onset, 3.0, 1.5 * slow)
        second = 0.2 * simulate.gamma_variate(t, onset + 12 * slow, 3.0, 3.0 * slow)
        stays = 0.08 * (1 - np.exp(-np.maximum(np.asarray(t) - onset - 8 * slow, 0.0) / 8.0))
        return 75 * (first + second + stays)

    def made(cbf, mtt, delay, residue="gamma"):
        return simulate.tissue(time, cbf, mtt, delay, residue, blood)

    return {
        "artery": np.stack([blood(time - delay) for delay in (0.0, 0.3, 0.6, 0.9, 1.2)]),
        "vein": np.stack([made(BLOOD / 4.5, 4.5, delay) for delay in (1.5, 2.0, 2.5)]),
        "grey": np.stack([made(f, 4.0, d, "exponential") for f, d in ((45, 0.5), (60, 1.0), (75, 1.5))]),
        "white": np.stack([made(f, 5.0, d) for f, d in ((18, 0.5), (22, 1.5), (28, 2.5))]),
        "tumour": np.stack([0.4 * made(BLOOD / 3, 3.0, 0.7) + made(90, 5.0, 0.5, "exponential")]),
        "air": np.zeros((1, count)),
    }


COUNTS = {"artery": 60, "vein": 80, "grey": 2200, "white": 2200, "tumour": 40, "air": 300}


def head(seed=1, snr=50.0, step=1.5, onset=12.0, slow=1.0, blood=(0.4, 1.0), venous=(0.6, 1.0), **counts):
    """Noisy curves (n, t), kinds (n,), time, ceiling (n,), baseline and the true input; blood : share of an artery's voxel."""
    random = np.random.default_rng(seed)
    time = step * np.arange(round(90 / step))
    known = templates(step, time.size, onset, slow)
    kinds = np.repeat(list(COUNTS), [(COUNTS | counts)[name] for name in COUNTS])
    curves, level = np.empty((kinds.size, time.size)), random.uniform(0.9, 1.3, kinds.size)
    for name in COUNTS:
        rows = np.flatnonzero(kinds == name)
        curves[rows] = known[name][random.integers(len(known[name]), size=rows.size)]
        if name in ("artery", "vein"):
            share = random.uniform(*(blood if name == "artery" else venous), rows.size)[:, None]
            curves[rows] = share * curves[rows] + (1 - share) * known["grey"][1]
    level[kinds == "air"] = random.uniform(0.03, 0.3, (kinds == "air").sum())
    parts = random.normal(0, 1 / snr, (2, *curves.shape))
    signal = np.hypot(level[:, None] * np.exp(-ECHO_TIME * curves) + parts[0], parts[1])
    baseline = (0, int((onset - 1) / step))
    steady = signal[:, : baseline[1]].mean(1, keepdims=True)
    noisy = np.asfortranarray(-np.log(signal / steady) / ECHO_TIME, np.float32)
    ceiling = np.log(steady[:, 0] * snr / 3) / ECHO_TIME
    return noisy, kinds, time, ceiling, baseline, known["artery"][0]


def find(how, curves, time, allowed=None, ceiling=None):
    if how == "kmeans":
        return arterial.by_clustering(curves, time, "x", allowed, ceiling)
    return arterial.by_hierarchy(curves, time, curves.mean(0, dtype=float), "x", allowed, ceiling)


def mean_curve(curves, kinds):
    return curves[kinds != "air"].mean(0, dtype=float)


TRAPS = {
    "noise": {"snr": 20.0},
    "a long repetition time": {"step": 2.5},
    "an early bolus": {"onset": 6.0},
    "a slow bolus": {"slow": 1.8},
    "much air in the mask": {"air": 2500, "snr": 30.0},
    "few arteries": {"artery": 20},
    "small arteries": {"blood": (0.15, 0.5)},
    "a large tumour": {"tumour": 400},
    "many veins": {"vein": 300},
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(("how", "seed"), [("kmeans", 1), ("kmeans", 2), ("peruzzo", 1)])
def test_only_arteries_are_chosen(how, trap, seed):
    curves, kinds, time, ceiling, _, truth = head(seed, **TRAPS[trap])
    found = find(how, curves, time, ceiling=ceiling)
    assert found.voxels.size >= 5
    assert (kinds[found.voxels] == "artery").mean() >= 0.95
    assert found.quality["FullWidthHalfMaximum"] == pytest.approx(width(truth, time), rel=0.25)
    assert arterial.doubts(found, mean_curve(curves, kinds)) == ()


@pytest.mark.parametrize("trap", TRAPS)
def test_a_vein_gives_the_area_that_partial_volume_took(trap):
    curves, kinds, time, ceiling, baseline, truth = head(3, **TRAPS[trap])
    artery = find("kmeans", curves, time, ceiling=ceiling)
    vein = arterial.find_vein(curves, time, baseline, artery, mean_curve(curves, kinds), ceiling)
    assert (kinds[vein.voxels] == "vein").mean() >= 0.9
    scaled = arterial.scaled_to_vein(artery, vein)
    assert np.trapezoid(scaled.concentration) == pytest.approx(np.trapezoid(truth), rel=0.1)
    np.testing.assert_allclose(
        scaled.concentration, scaled.quality["VofScale"] * artery.concentration, rtol=1e-12
    )
    assert scaled.quality["Area"] == pytest.approx(np.trapezoid(scaled.concentration, time))
    assert scaled.quality["VofLag"] == pytest.approx(6.0, abs=2.5)
    assert scaled.warnings == () and "vein" in scaled.how


def test_without_veins_none_is_found():
    curves, _, time, _, baseline, _ = head(vein=0)
    artery = find("kmeans", curves, time)
    assert arterial.find_vein(curves, time, baseline, artery, curves.mean(0, dtype=float)) is None


def test_a_scale_out_of_reason_is_a_warning():
    curves, kinds, time, *_ = head()
    artery = find("kmeans", curves, time)
    vein = arterial.vein_from_mask(curves[kinds == "white"], time)
    (warning,) = arterial.scaled_to_vein(artery, vein).warnings
    assert "vein" in warning and "0.8" in warning
    assert arterial.vein_from_mask(np.full((3, time.size), np.nan), time) is None


@pytest.mark.parametrize("how", FINDERS)
@pytest.mark.parametrize(("snr", "most"), [(100.0, 0.03), (30.0, 0.1)])
def test_noise_does_not_raise_the_peak_of_what_is_chosen(how, snr, most):
    curves, _, time, _, _, _ = head(4, snr, blood=(1.0, 1.0), artery=120)
    found = find(how, curves, time)
    typical = templates(1.5, 60, 12.0, 1.0)["artery"][:, :].max(1)
    assert typical.min() * (1 - most) <= found.quality["PeakHeight"] <= typical.max() * (1 + most)


@pytest.mark.parametrize("how", FINDERS)
def test_the_voxels_are_the_same_each_time_and_in_any_order(how):
    curves, _, time, ceiling, *_ = head(5)
    first, again = (find(how, curves.copy(), time, ceiling=ceiling) for _ in range(2))
    np.testing.assert_array_equal(first.voxels, again.voxels)
    assert first.quality == again.quality
    order = np.random.default_rng(5).permutation(len(curves))
    mixed = find(how, np.asfortranarray(curves[order]), time, ceiling=ceiling[order])
    np.testing.assert_array_equal(np.sort(order[mixed.voxels]), first.voxels)


@pytest.mark.parametrize("how", FINDERS)
def test_arteries_are_sought_where_the_search_mask_allows(how, refused):
    curves, kinds, time, *_ = head(6)
    arteries = np.flatnonzero(kinds == "artery")
    allowed = np.ones(kinds.size, bool)
    allowed[arteries[:30]] = False
    found = find(how, curves, time, allowed)
    assert np.isin(found.voxels, arteries[30:]).all()
    nowhere = np.zeros(kinds.size, bool)
    nowhere[:10] = True
    error = refused(find, how, curves, time, nowhere)
    assert error.code is Code.AIF and "search" in error.seen


@pytest.mark.parametrize("how", FINDERS)
def test_flat_tops_are_left_out_unless_there_is_nothing_else(how):
    curves, kinds, time, *_ = head(7, snr=200.0, blood=(1.0, 1.0))
    arteries = np.flatnonzero(kinds == "artery")
    ceiling = np.full(kinds.size, 1e3)
    ceiling[arteries[::2]] = 45.0
    flat = np.asfortranarray(np.minimum(curves, ceiling[:, None].astype(np.float32)))
    found = find(how, flat, time, ceiling=ceiling)
    assert np.isin(found.voxels, arteries[1::2]).all() and found.quality["PeakHeight"] > 60
    ceiling[arteries] = 45.0
    flat = np.asfortranarray(np.minimum(curves, ceiling[:, None].astype(np.float32)))
    if how == "kmeans":
        found = find(how, flat, time, ceiling=ceiling)
        assert np.isin(found.voxels, arteries).all()
        (doubt,) = arterial.doubts(found, flat.mean(0, dtype=float), 44.9)
        assert "cut off" in doubt


def two_sides():
    """A head whose right side gets its blood 3 s later, and arteries on both; the front third has none of its own."""
    sides = [head(8, 100.0), head(9, 100.0, onset=15.0)]
    curves = np.asfortranarray(np.concatenate([each[0] for each in sides]))
    kinds = np.concatenate([each[1] for each in sides])
    random = np.random.default_rng(10)
    position = random.uniform((0, 0, 0), (60, 90, 30), (kinds.size, 3))
    position[:, 0] += np.repeat([0.0, 60.0], [each[1].size for each in sides])
    vessels = np.isin(kinds, ("artery", "vein", "tumour"))
    position[vessels, 1] *= 0.45
    position[0] = 0  # so that blocks begin there
    return curves, kinds, position, sides[0][2]


def test_each_neighbourhood_gets_its_own_input():
    curves, kinds, position, time = two_sides()
    everywhere = find("kmeans", curves, time)
    regions = arterial.local_inputs(curves, position, time, everywhere, "x")
    every = np.concatenate([region.rows for region in regions])
    np.testing.assert_array_equal(np.sort(every), np.arange(len(curves)))
    own = [region for region in regions if region.aif is not everywhere]
    assert len(own) >= 4 and sum(region.aif is everywhere for region in regions) == 1
    truth = first_moment(templates(1.5, 60, 12.0, 1.0)["artery"][2], time)
    for region in own:
        assert (kinds[region.aif.voxels] == "artery").mean() >= 0.7
        assert region.aif.quality["Area"] == pytest.approx(everywhere.quality["Area"], rel=1e-6)
        across = position[region.rows, 0].mean()
        if not 30 < across < 90:
            late = first_moment(region.aif.concentration, time) - truth
            assert late == pytest.approx(0.0 if across < 60 else 3.0, abs=0.7)
    again = arterial.local_inputs(curves, position, time, everywhere, "x")
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(regions, again, strict=True))


def test_a_population_s_bolus_has_the_scan_s_arrival_and_says_what_it_is_worth():
    time = 1.5 * np.arange(60)
    brain = simulate.tissue(time, 45.0, 4.0)
    found = arterial.from_population(time, 12.0, brain, "x")
    assert np.trapezoid(found.concentration, time) == pytest.approx(17.6 * np.trapezoid(brain, time))
    assert found.quality["TimeToPeak"] == pytest.approx(12 + SHAPE * SCALE, abs=0.8)
    assert found.concentration[:8].max() == 0 and found.voxels.size == 0
    (warning,) = found.warnings
    assert "relative" in warning
    fine = np.arange(0, 600, 0.005)
    first = simulate.gamma_variate(fine, 0, SHAPE, SCALE)
    np.testing.assert_allclose(population(fine)[:400], (first / (first.sum() * 0.005))[:400], atol=2e-3)
    shifted = arterial.from_population(time, 18.0, brain, "x")
    assert first_moment(shifted.concentration, time) - first_moment(
        found.concentration, time
    ) == pytest.approx(6, abs=0.1)


def test_a_fit_gives_back_the_first_pass_and_what_returns():
    fine = np.arange(0, 90, 0.005)
    first = 60 * simulate.gamma_variate(fine, 11.3, 2.5, 1.7)
    late = 60 * simulate.gamma_variate(fine, 11.3 + 9, 2.5, 1.7)
    kept = np.exp(-fine / 15) / 15
    again = 0.35 * 0.005 * fftconvolve(late, kept)[: fine.size]
    found = fit((first + again)[::300], fine[::300])
    assert found.residual < 2e-3
    assert found.area == pytest.approx(first.sum() * 0.005, rel=0.01)
    assert found.recirculation == pytest.approx(0.35, rel=0.05)
    rough = np.random.default_rng(1).uniform(0, 1, 60)
    assert fit(rough, fine[::300]).residual > 0.1


def test_numbers_of_a_triangle_lie_between_samples():
    time = 2.0 * np.arange(20)
    triangle = np.maximum(1 - np.abs(time - 16) / 9, 0)
    assert width(triangle, time) == pytest.approx(9.0)
    assert arrival(triangle, time) == pytest.approx(16 - 0.8 * 9)
    assert first_moment(triangle, time) == pytest.approx(16)
    from_the_first_sample = triangle[8:]
    assert arrival(from_the_first_sample, time[8:]) == time[8]


@pytest.mark.parametrize(
    ("height", "slow", "onset", "ceiling", "voxels", "words"),
    [
        (75.0, 1.0, 12.0, np.inf, 8, ()),
        (75.0, 1.0, 12.0, 60.0, 8, ("cut off",)),
        (75.0, 1.0, 12.0, np.inf, 2, ("only 2 voxels",)),
        (75.0, 1.0, 19.0, np.inf, 8, ("arrives",)),
        (75.0, 5.0, 4.0, np.inf, 8, ("width",)),
        (75.0, 0.25, 12.0, np.inf, 8, ("width",)),
        (4.0, 1.0, 12.0, np.inf, 8, ("peak", "area")),
    ],
)
def test_what_is_unlike_an_artery_is_told(height, slow, onset, ceiling, voxels, words):
    time = 0.5 * np.arange(200)
    brain = simulate.tissue(time, 60.0, 4.0, 0.5, input_function=lambda t: simulate.arterial(t, 12.0, 75.0))
    curve = height * simulate.gamma_variate(time, onset, 3.0, 1.5 * slow)
    aif = described(curve, np.arange(voxels), time, "made", "x")
    told = arterial.doubts(aif, brain, ceiling)
    assert len(told) == len(words)
    assert all(word in sentence for word, sentence in zip(words, told, strict=True))
