"""The spatial prior of ASL: its weights against a plain text, its laws, and what it gains on a phantom."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.asl.spatial import choice, smoothing
from bolus_kernels.asl.spatial.lattice import LANES, lattice, spread, window
from bolus_kernels.asl.spatial.spatial import Spatial, spatial
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]

SHAPE, SIZE = (26, 24, 5), np.array([3.5, 3.5, 5.0])
FLOWS, ARRIVALS, LOOKS, T1 = (60.0, 20.0, 105.0), (0.9, 1.4, 0.7), (1.0, 0.8, 1.2), (1.3, 1.1, 1.5)
NOISE = 9e-3


class Case:
    """A slab of two tissues side by side with a ball of high flow between them; noise as in one scan of ten minutes."""

    def __init__(self, repeats: int = 4, labeling: Any = "PCASL") -> None:
        self.voxels = np.argwhere(np.ones(SHAPE, np.bool_))
        away = (self.voxels - np.array(SHAPE) / 2) * SIZE
        kind = np.where((away**2).sum(1) < 12.0**2, 2, (away[:, 0] > 0).astype(int))
        self.cbf, self.att = np.array(FLOWS)[kind], np.array(ARRIVALS)[kind]
        self.kind, n = kind, len(kind)
        duration = 0.8 if labeling == "PASL" else 1.8
        self.protocol = example.asl_protocol(
            n, NOISE, labeling=labeling, repeats=repeats, t1_tissue=np.array(T1)[kind], duration=duration
        )
        self.curves = example.asl_curves(self.protocol, self.cbf, self.att, NOISE, 5)
        noise = np.random.default_rng(6).normal(0, 0.01, (n, 2))
        self.structure = (np.array(LOOKS)[kind][:, None] * [1.0, 0.9] + noise).astype(np.float32)


@cache
def case(repeats: int = 4, labeling: str = "PCASL") -> Case:
    return Case(repeats, labeling)


def run(made: Case, threads: int = 1, rows: Any = slice(None), **changed: Any) -> Spatial:
    given = {"curves": made.curves[rows], "structure": made.structure[rows]} | changed
    protocol = made.protocol._replace(
        t1_tissue=made.protocol.t1_tissue[rows], slice_delay=made.protocol.slice_delay[rows]
    )
    return spatial(
        given["curves"],
        given.get("protocol", protocol),
        made.voxels[rows],
        SIZE,
        given["structure"],
        shelf()["multi_delay"].defaults(),
        cpu(threads),
    )


@cache
def found(labeling: str = "PCASL") -> Spatial:
    return run(case(4, labeling))


def voxelwise(made: Case) -> dict[str, Array]:
    known = shelf()["multi_delay"]
    return known.function(made.curves, made.protocol, known.defaults(), cpu())


def same(first: Spatial, second: Spatial) -> bool:
    return all(first.maps[name].tobytes() == second.maps[name].tobytes() for name in first.maps)


def rmse(values: Array, truth: Array) -> float:
    return float(np.sqrt(np.mean((values - truth) ** 2)))


def test_averages_are_those_of_a_plain_text() -> None:
    """Every voxel by every other, in double precision; holes among them, lines of more than one stretch."""
    rng = np.random.default_rng(1)
    voxels = np.argwhere(rng.random((2 * LANES + 5, 4, 3)) < 0.7)
    n, size, radius = len(voxels), np.array([2.0, 3.0, 4.0]), 7.5
    grid = lattice(voxels, size, 10.0)
    looks, kinetics, certain = rng.normal(0, 0.4, (n, 3)), rng.normal(0, 1, (n, 3)), rng.uniform(0, 1, n)
    values = rng.normal(0, 1, (n, 4))
    rows = np.column_stack([np.ones(n), looks, kinetics, certain])
    around = window(grid, radius).without_centre()
    mean, count = smoothing.average(grid, around, spread(grid, rows), spread(grid, values), cpu())
    for v in rng.choice(n, 60, replace=False):
        near = 1 - (((voxels - voxels[v]) * size / radius) ** 2).sum(1)
        near[v] = 0
        unlike = ((looks - looks[v]) ** 2).sum(1)
        other = ((kinetics - kinetics[v]) ** 2).sum(1) * certain[v]
        weight = np.maximum(near, 0) * np.maximum(1 - unlike, 0) * np.clip(2 - other, 0, 1)
        assert np.allclose(mean[v], weight @ values / max(weight.sum(), 1e-20), atol=1e-5)
        assert count[v] == pytest.approx(weight.sum() ** 2 / max((weight**2).sum(), 1e-20), rel=1e-4)


@pytest.mark.parametrize(("labeling", "gain"), [("PCASL", 5.0), ("PASL", 6.0)])
def test_the_error_falls_and_edges_stay(labeling: str, gain: float) -> None:
    made, maps = case(4, labeling), found(labeling).maps
    alone = voxelwise(made)
    assert not maps["state"].any()
    for kind in (0, 1):
        tissue = made.kind == kind
        assert gain * rmse(maps["cbf"][tissue], made.cbf[tissue]) <= rmse(
            alone["cbf"][tissue], made.cbf[tissue]
        )
        assert abs(np.mean(maps["cbf"][tissue]) / FLOWS[kind] - 1) <= 0.05
    ball = made.kind == 2
    assert abs(np.mean(maps["cbf"][ball]) / FLOWS[2] - 1) <= 0.05


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_intervals_cover_the_truth_in_each_tissue(labeling: str) -> None:
    made, maps = case(4, labeling), found(labeling).maps
    for kind in range(3):
        tissue = made.kind == kind
        away = np.abs(maps["cbf"] - made.cbf)[tissue]
        assert np.mean(away <= 1.96 * maps["sd_cbf"][tissue]) >= 0.9, kind


def test_a_flow_that_no_image_shows_is_kept_by_its_kinetics() -> None:
    made = case()
    maps = run(made, structure=np.zeros((len(made.cbf), 0), np.float32)).maps
    ball = made.kind == 2
    assert np.mean(maps["cbf"][ball]) >= 85


def test_texture_of_flow_widens_the_prior() -> None:
    made = case()
    rng = np.random.default_rng(9)
    rough = made.cbf * (1 + 0.4 * rng.normal(size=made.cbf.size))
    curves = example.asl_curves(made.protocol, rough, made.att, NOISE, 5)
    textured = run(made, curves=curves)
    assert textured.chosen["Texture"] >= 0.15 > found().chosen["Texture"]
    assert np.mean(np.abs(textured.maps["cbf"] - rough) <= 1.96 * textured.maps["sd_cbf"]) >= 0.85


def test_threads_and_a_second_run_change_nothing() -> None:
    assert same(found(), run(case()))
    assert same(found(), run(case(), threads=3))


def test_the_place_of_the_head_does_not_matter() -> None:
    made = case()
    moved = spatial(
        made.curves, made.protocol, made.voxels + np.array([7, -3, 11]), SIZE, made.structure,
        shelf()["multi_delay"].defaults(), cpu(),
    )  # fmt: skip
    assert same(found(), moved)


def test_a_voxel_that_cannot_be_computed_is_no_ones_neighbour() -> None:
    """Broken values give what a hole in the mask gives."""
    made = case()
    broken, kept = np.array([100, 1500, 2000]), np.ones(len(made.cbf), np.bool_)
    kept[broken] = False
    curves, structure, t1 = made.curves.copy(), made.structure.copy(), made.protocol.t1_tissue.copy()
    curves[broken[0], 3], structure[broken[1], 0], t1[broken[2]] = np.nan, np.inf, 0.0
    holed = run(made, curves=curves, structure=structure, protocol=made.protocol._replace(t1_tissue=t1))
    assert holed.maps["state"][broken].tolist() == [
        State.NOT_FINITE,
        State.NOT_FINITE,
        State.NO_SOLUTION,
    ]
    without = run(made, rows=kept)
    for name, values in holed.maps.items():
        assert np.array_equal(values[kept], without.maps[name])
        assert name == "state" or np.isnan(values[broken]).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_voxels(n: int) -> None:
    made = case()
    maps = run(made, rows=slice(0, n)).maps
    assert all(len(values) == n for values in maps.values()) and not maps["state"].any()
    assert all(np.isfinite(values).all() for values in maps.values())


def test_a_scan_without_repeats_is_thinned() -> None:
    made = case(1)
    maps = run(made).maps
    for kind in range(3):
        tissue = made.kind == kind
        assert abs(np.mean(maps["cbf"][tissue]) / FLOWS[kind] - 1) <= 0.15
        assert np.mean(np.abs(maps["cbf"] - made.cbf)[tissue] <= 1.96 * maps["sd_cbf"][tissue]) >= 0.8


def test_later_slices_are_fitted_at_their_own_delay() -> None:
    made = case()
    late = (0.1 * made.voxels[:, 2]).astype(np.float32)
    protocol: AslProtocol = made.protocol._replace(slice_delay=late)
    curves = example.asl_curves(protocol, made.cbf, made.att, NOISE, 5)
    maps = run(made, curves=curves, protocol=protocol).maps
    for layer in (0, SHAPE[2] - 1):
        grey = (made.kind == 0) & (made.voxels[:, 2] == layer)
        assert abs(np.mean(maps["cbf"][grey]) / FLOWS[0] - 1) <= 0.06
        assert abs(np.mean(maps["att"][grey]) - ARRIVALS[0]) <= 0.06


def test_what_was_chosen_is_told_and_from_the_lists() -> None:
    chosen = found().chosen
    assert chosen["LooksTolerance"] in choice.LOOKS and chosen["KineticsTolerance"] in choice.KINETICS
    assert 0 <= chosen["Texture"] <= choice.TEXTURES[-1]


def test_three_images_are_too_many() -> None:
    made = case()
    with pytest.raises(ValueError, match="at most 2 structural images"):
        run(made, structure=np.zeros((len(made.cbf), 3), np.float32))
