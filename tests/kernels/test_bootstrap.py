"""Bootstrap SDs against the spread over repeated noise, and their independence of blocks and order."""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from bolus_kernels import device
from bolus_kernels.dsc.deconvolution.bootstrap import bootstrap, fit
from bolus_kernels.dsc.leakage.design import volume_weights
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.linear import weighted_sums
from bolus_kernels.shelf import shelf

Array = NDArray[Any]

TIMES = example.volume_times()
METHODS = ["csvd", "osvd", "ssvd", "tikhonov"]
TISSUES, REPEATS, LOOKED_AT = 40, 200, 3


def area(curves: Array, protocol: DscProtocol) -> Array:
    return weighted_sums(curves, volume_weights(protocol)[None])[0].astype(np.float32)


def spread(name: str, curves: Array, protocol: DscProtocol, voxels: Array, count: int) -> dict[str, Array]:
    known = shelf()[name]
    return bootstrap(known, area, curves, protocol, known.defaults(), device.cpu(), voxels, count)


@cache
def noisy(snr: float) -> tuple[Array, DscProtocol]:
    """Tissues of many kinds, each measured again and again; (tissues * repeats, t) and protocol."""
    _, protocol = example.dsc(1, 61)
    rng = np.random.default_rng(62)
    clean = np.stack(
        [
            simulate.tissue(TIMES, rng.uniform(15, 90), rng.uniform(2.5, 9), rng.uniform(-1, 4), str(kind))
            for kind in rng.choice(sorted(simulate.RESIDUES), TISSUES)
        ]
    )
    many = np.repeat(clean, REPEATS, 0)
    curves = simulate.noisy_relaxation(many, snr, example.ECHO_TIME, example.BASELINE, 63).astype(np.float32)
    return curves, protocol._replace(blood_volume=area(curves, protocol))


@pytest.mark.parametrize(
    ("name", "snr"), [(name, 50.0) for name in METHODS] + [("osvd", 20.0), ("csvd", 100.0)]
)
def test_the_spread_is_that_of_repeated_noise(name: str, snr: float) -> None:
    """Median over tissues of SD / Monte Carlo SD within 20 %."""
    curves, protocol = noisy(snr)
    maps = shelf()[name].function(curves, protocol, shelf()[name].defaults(), device.cpu())
    some = (REPEATS * np.arange(TISSUES)[:, None] + np.arange(LOOKED_AT)).ravel()
    told = protocol._replace(blood_volume=protocol.blood_volume[some])  # type: ignore[index]
    found = spread(name, curves[some], told, some, 60)
    for key in ("cbf", "mtt"):
        truth = maps[key].reshape(TISSUES, REPEATS).astype(np.float64).std(axis=1, ddof=1)
        ratio = found[f"sd_{key}"] / np.repeat(truth, LOOKED_AT)
        assert abs(np.median(ratio) - 1) <= 0.2, key
    late = maps["tmax"].reshape(TISSUES, REPEATS).astype(np.float64).std(axis=1, ddof=1)
    assert abs(np.median(found["sd_tmax"]) / np.median(late) - 1) <= 0.35


@pytest.mark.parametrize("name", ["csvd", "ssvd"])
def test_noise_is_told_from_what_the_fit_leaves_over(name: str) -> None:
    """sqrt(sum of squares / degrees of freedom) is the SD of noise that was added to a curve the method can fit."""
    rng = np.random.default_rng(64)
    _, protocol = example.dsc(1, 65)
    noise = rng.normal(0, 1, (2000, len(TIMES)))
    told = protocol._replace(residue=True, blood_volume=np.ones(2000, np.float32))
    known = shelf()[name]
    residue = known.function(noise.astype(np.float32), told, known.defaults(), device.cpu())["residue"]
    good = np.isfinite(residue).all(axis=1)
    assert good.mean() > 0.9
    fitted, freedom = fit(noise[good], residue[good].astype(np.float64), told, known.defaults())
    assert np.isclose(np.mean((noise[good] - fitted) ** 2 * len(TIMES) / freedom[:, None]), 1.0, atol=0.02)


@pytest.mark.parametrize("name", METHODS)
def test_blocks_give_what_the_whole_gives(name: str) -> None:
    curves, protocol = example.dsc(300, 66)
    voxels = 7 + 3 * np.arange(300)
    whole = spread(name, curves, protocol, voxels, 3)
    cuts = [slice(*ends) for ends in pairwise([0, 1, 3, 130, 257, 300])]
    parts = [spread(name, curves[cut], protocol.rows(cut), voxels[cut], 3) for cut in cuts]
    for key, values in whole.items():
        assert values.dtype == np.float32 and np.isfinite(values).all()
        assert values.tobytes() == np.concatenate([part[key] for part in parts]).tobytes(), key


def test_the_draw_depends_on_the_voxel_and_on_the_seed() -> None:
    curves, protocol = example.dsc(1, 67)
    curves, protocol = np.repeat(curves, 2, 0), protocol._replace(blood_volume=np.ones(2, np.float32))
    known = shelf()["csvd"]
    seeds = [
        bootstrap(known, area, curves, protocol, known.defaults(), device.cpu(), np.array([3, 4]), 20, seed)
        for seed in (0, 0, 1)
    ]
    assert seeds[0]["sd_cbf"].tobytes() == seeds[1]["sd_cbf"].tobytes()
    assert seeds[0]["sd_cbf"][0] != seeds[0]["sd_cbf"][1]
    assert seeds[0]["sd_cbf"][0] != seeds[2]["sd_cbf"][0]


def test_noise_that_several_echoes_add_is_even_over_time() -> None:
    """The slope over echoes has no signal of its own to weigh the noise by: another spread than one echo's."""
    curves, protocol = example.dsc(20, 68)
    alone = spread("csvd", curves, protocol, np.arange(20), 20)["sd_cbf"]
    several = spread("csvd", curves, protocol._replace(single_echo=curves), np.arange(20), 20)["sd_cbf"]
    assert (alone != several).all() and np.isfinite(several).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_voxel_without_a_map_has_no_spread_and_harms_no_neighbour(bad: float) -> None:
    curves, protocol = example.dsc(30, 69)
    good = spread("csvd", curves, protocol, np.arange(30), 5)
    curves[4, 9] = bad
    curves[5] = 0.0
    found = spread("csvd", curves, protocol, np.arange(30), 5)
    for key, values in found.items():
        assert np.isnan(values[4:6]).all()
        assert np.array_equal(np.delete(values, [4, 5]), np.delete(good[key], [4, 5]))


def test_a_method_without_residues_is_refused() -> None:
    curves, protocol = example.dsc(2, 70)
    with pytest.raises(ValueError, match="no residue functions"):
        known = shelf()["uncorrected"]
        bootstrap(known, area, curves, protocol, known.defaults(), device.cpu(), np.arange(2), 2)


def test_a_peak_between_samples_has_the_spread_of_its_own() -> None:
    """Where noise is low, the sampled peak stays where it is, and the time of the other moves with the noise."""
    curves, protocol = noisy(100.0)
    known = shelf()["csvd"]
    chosen = known.defaults() | {"peak": "interpolated"}
    some = REPEATS * np.arange(TISSUES)
    told = protocol._replace(blood_volume=protocol.blood_volume[some])  # type: ignore[index]
    found = bootstrap(known, area, curves[some], told, chosen, device.cpu(), some, 60)
    usual = spread("csvd", curves[some], told, some, 60)
    maps = known.function(curves, protocol, chosen, device.cpu())
    for key in ("cbf", "tmax"):
        truth = maps[key].reshape(TISSUES, REPEATS).astype(np.float64).std(axis=1, ddof=1)
        assert abs(np.median(found[f"sd_{key}"] / truth) - 1) <= 0.2, key
    assert (usual["sd_tmax"] == 0).mean() > 0.1
    assert (found["sd_tmax"] > 0).all()
