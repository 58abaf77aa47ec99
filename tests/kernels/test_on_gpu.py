"""On a GPU: every method equal to the CPU on random input, memory that is spent, many streams, no leaks.

`pytest -m cuda --require-cuda` runs these, and fails without a GPU.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.example import BASELINE, ECHO_TIME, example
from benchmarks.example import dsc as dsc_example
from benchmarks.gpu.methods import SAME, SHARE, difference
from bolus.compute import compute
from bolus.turns import turns
from bolus_kernels.cuda import launch
from bolus_kernels.device import Device, cpu, cuda_name, cupy, free_memory, release_memory
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.deconvolution.circulant import spectrum
from bolus_kernels.dsc.deconvolution.tensor_cuda import by_tensor_cores, from_signal
from bolus_kernels.dsc.echo import Echo, shares
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import AIC
from bolus_kernels.shelf import shelf
from tests.engine.test_retreat import dsc, same
from tests.engine.test_together import asl
from tests.kernels import (
    simulated_mode,
    simulated_partial_volume,
    simulated_relaxation,
    simulated_spatial,
    simulated_tissue_posterior,
)
from tests.kernels.simulated_gpu import OF_READOUTS, methods, variants
from tests.kernels.simulated_gpu import read_out_often as often

pytestmark = [pytest.mark.cuda, pytest.mark.filterwarnings("default")]
"""What CuPy or Numba find remarkable about a driver is no fault of a kernel: it is shown."""
VOXELS, FEWER = 20000, {"bayes": 2000, "gamma_variate": 5000, "kinetic_model": 4000}
SCANS, WARM, SPARE = 1000, 20, 16 << 20
"""Scans in a row, those after which nothing more may be taken, and bytes of that which are the driver's own affair."""
BESIDE = {
    "mode": (simulated_mode.modes_on, 1e-4),
    "spatial": (simulated_spatial.passes_on, 1e-4),
    "regression": (simulated_partial_volume.regressed, 1e-4),
    "tissue_posterior": (simulated_tissue_posterior.solved, 1e-4),
    "relaxation": (simulated_relaxation.converted, 1e-5),
    "from the signal to maps": (simulated_relaxation.chained, 1e-4),
}
"""What runs on a GPU beside the methods of the shelf, and how equal it is, of a value or of the map's mean size."""


@pytest.fixture
def gpu():
    return Device("cuda", cuda_name())


def random_case(known):
    """Curves with noise of their own, some of them broken or turned over."""
    curves, protocol = example(
        known, FEWER.get(known.name, VOXELS), seed=int(np.random.default_rng().integers(1e6))
    )
    curves[5::97, 3] = np.nan
    curves[7::40] *= -1
    if isinstance(protocol, DscProtocol) and known.family == "deconvolution":
        protocol = protocol._replace(residue=True)
    return curves, protocol


@pytest.mark.parametrize("known", methods(), ids=lambda known: known.name)
def test_every_method_gives_what_the_cpu_gives_on_random_input(known, gpu):
    """All maps to 1e-4 in 99.9 % of voxels: another truncation, or another state, would not be."""
    cases = [(random_case(known), parameters) for parameters in variants(known).values()]
    if known.name in OF_READOUTS:
        cases.append((often(known), known.defaults()))
    for given, parameters in cases:
        found, expected = (known.function(*given, parameters, where) for where in (gpu, cpu()))
        apart = difference(found, expected, [*known.maps, AIC])
        assert (apart <= SAME).mean() >= SHARE, parameters
        assert not np.isfinite(found[next(iter(known.maps))][5::97]).any()


@pytest.mark.parametrize("name", BESIDE)
def test_so_does_what_is_no_method(name, gpu):
    run, promised = BESIDE[name]
    found, expected = run(gpu), run(cpu())
    assert set(found) == set(expected)
    for key, values in expected.items():
        finite = np.isfinite(values)
        np.testing.assert_array_equal(np.isfinite(found[key]), finite, err_msg=key)
        if np.issubdtype(values.dtype, np.integer):
            np.testing.assert_array_equal(found[key], values, err_msg=key)
        else:
            size = np.abs(values[finite]).mean()
            np.testing.assert_allclose(
                found[key][finite], values[finite], rtol=promised, atol=promised * size, err_msg=key
            )


@pytest.mark.parametrize("volumes", [40, 60, 120])
def test_tensor_cores_give_what_float64_gives(volumes, gpu):
    """From curves, through cuts of the launcher, and from the stored signal: max f to 1e-5, and its place."""
    curves, protocol = dsc_example(VOXELS, 3, volumes=volumes)
    signal = np.rint(2000 * np.exp(-ECHO_TIME * curves.T)).astype(np.int16)
    echo, rows = Echo(signal, 1.0, 0.0, ECHO_TIME), np.arange(0, VOXELS, 2)
    (share,) = shares((echo,), (0, BASELINE))
    shown = relaxation((echo,), rows, (0, BASELINE)).values
    basis = spectrum(protocol).largest(20)
    matrix, turn = basis.synthesis @ basis.analysis, volumes
    for given, launched in (
        (curves, lambda filled: by_tensor_cores(curves, matrix, turn, filled, gpu)),
        (shown, lambda filled: from_signal(share, rows, (0, BASELINE), matrix, turn, filled, gpu)),
    ):
        n, length = len(given), len(matrix)
        filled = (
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.uint8),
            np.zeros((n, length), np.float32),
        )
        launched(filled)
        truth = given.astype(np.float64) @ matrix.T
        top, place = truth.max(axis=1), truth.argmax(axis=1)
        assert not filled[2].any() and (top > 0).all()
        np.testing.assert_allclose(filled[0], top, rtol=1e-5)
        assert (filled[1] == place - np.where(place >= turn, length, 0)).mean() >= SHARE
        assert (np.abs(filled[3] - truth) <= 1e-5 * top[:, None]).all()


def test_cuts_side_by_side_give_what_one_launch_gives(gpu, monkeypatch):
    known = shelf()["osvd"]
    given = example(known, VOXELS)
    whole = known.function(*given, known.defaults(), gpu)
    monkeypatch.setattr(launch, "CUT", 777)
    cut = known.function(*given, known.defaults(), gpu)
    for name, values in whole.items():
        np.testing.assert_array_equal(cut[name], values, err_msg=name)


def test_many_streams_at_once_give_what_one_gives(gpu):
    known = shelf()["csvd"]
    given = [example(known, VOXELS, seed=seed) for seed in range(24)]

    def on_a_stream(one):
        with cupy().cuda.Stream(non_blocking=True):
            return known.function(*one, known.defaults(), gpu)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(on_a_stream, given))
    for maps, one in zip(found, given, strict=True):
        expected = known.function(*one, known.defaults(), gpu)
        for name, values in expected.items():
            np.testing.assert_array_equal(maps[name], values, err_msg=name)


def test_scans_that_wait_together_have_the_maps_that_each_has_alone(gpu):
    scans = [asl(seed, "asl.mode=true", noise=seed) for seed in (2, 3, 5, 7) * 4]
    whose = turns(replace(gpu, threads=8))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: whose.compute(*one, gpu), scans))
    for maps, (curves, chosen) in zip(found, scans, strict=True):
        alone = compute(curves, chosen, gpu)
        same(maps, alone)
        assert maps.device == alone.device == gpu.name


def test_a_spent_memory_makes_cuts_smaller_and_then_leaves_it_to_the_cpu(gpu):
    curves, chosen = dsc("dsc.deconvolution=csvd,osvd")
    expected, pool = compute(curves, chosen, cpu()), cupy().get_default_memory_pool()
    release_memory()
    try:
        pool.set_limit(size=pool.used_bytes() + 1024)
        maps = compute(curves, chosen, gpu)
    finally:
        pool.set_limit(size=0)
    same(maps, expected)
    assert "cpu" in maps.device and any("was spent" in warning for warning in maps.warnings)
    assert compute(curves, chosen, gpu).device == gpu.name


def test_a_thousand_scans_leave_the_memory_as_it_was(gpu):
    curves, chosen = dsc("dsc.deconvolution=csvd,osvd", "dsc.leakage=bsw")

    def left_after(scans):
        for _ in range(scans):
            compute(curves, chosen, gpu)
        release_memory()
        return free_memory(gpu)

    warm = left_after(WARM)
    assert left_after(SCANS) >= warm - SPARE
