"""The peak of a residue between its samples: the highest there is, at the delay that was put in, and only on request."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import RESIDUE
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]

TIMES = example.volume_times()
TR = example.REPETITION_TIME
FINER = 64
METHODS = ["csvd", "osvd", "tikhonov"]


def maps_of(
    name: str, curves: Array, protocol: DscProtocol, peak: str = "interpolated", **parameters: Any
) -> dict[str, Array]:
    known = shelf()[name]
    values = np.asfortranarray(curves, np.float32)
    return known.function(values, protocol, known.defaults() | {"peak": peak} | parameters, device.cpu())


def tops(residue: Array) -> Array:
    """The highest of FINER times a sample, to the top of the parabola there, (n,); residue : (n, L)."""
    length = residue.shape[1]
    fine = FINER * np.fft.irfft(waves_of(residue), FINER * length, axis=1)
    place = fine.argmax(axis=1)
    left, top, right = (
        np.take_along_axis(fine, (place + step)[:, None] % fine.shape[1], 1)[:, 0] for step in (-1, 0, 1)
    )
    return np.asarray(top - (left - right) ** 2 / (8 * (left - 2 * top + right)))


def at_times(residue: Array, t: Array) -> Array:
    """Each residue at its own time, (n,); residue : (n, L), t : (n,) in samples."""
    waves = waves_of(residue)
    waves[:, 1:] *= 2
    angle = 2 * np.pi / residue.shape[1] * t[:, None] * np.arange(waves.shape[1])
    return np.asarray((waves * np.exp(1j * angle)).sum(axis=1).real / residue.shape[1])


def waves_of(residue: Array) -> Array:
    """The Fourier transform; the last wave stands for itself and its conjugate where there are higher ones."""
    waves = np.fft.rfft(residue.astype(np.float64), axis=1)
    waves[:, -1] /= 2
    return waves


def no_higher(found: dict[str, Array], factor: float, step: float) -> None:
    """CBF is factor times the top, and that is what the residue has at Tmax; step : s between samples."""
    good = found["state"] == State.GOOD
    residue = found[RESIDUE][good]
    top, size = tops(residue), np.abs(residue).max(axis=1)
    assert np.all(top <= 2 * size)
    assert np.abs((found["cbf"][good] / factor - top) / size).max() <= 1e-5
    assert np.abs((at_times(residue, found["tmax"][good] / step) - top) / size).max() <= 1e-5


def impulse(times: int, n: int) -> DscProtocol:
    """With such an arterial input the residue of cSVD is the curve itself, of any frequency."""
    aif = np.zeros(times)
    aif[0] = 1.0
    return DscProtocol(1.0, aif, 1 / 6000, aif, np.ones(n, np.float32), residue=True)


@pytest.mark.parametrize("times", [3, 4, 20, 45, 60, 61, 128])
@pytest.mark.parametrize("band", [0.1, 0.3, 0.6, 1.0])
def test_no_time_of_any_curve_is_higher(times: int, band: float) -> None:
    """White noise below a share of the highest frequency, which a curve may end in the middle of."""
    n = 1000
    rng = np.random.default_rng(int(1000 * band) + times)
    waves = np.fft.rfft(rng.normal(size=(n, 2 * times)), axis=1)
    waves[:, max(2, int(band * times)) + 1 :] = 0
    curves = np.fft.irfft(waves, 2 * times, axis=1)[:, :times] + rng.normal(0, 0.01, (n, times))
    found = maps_of("csvd", curves, impulse(times, n), threshold=0.0)
    assert (found["state"] == State.GOOD).mean() > 0.8
    no_higher(found, 1.0, 1.0)


@cache
def many(snr: float | None) -> tuple[Array, DscProtocol]:
    """Curves for every method, which takes them as they are, and their protocol."""
    return example.dsc(3000, 31, snr)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("snr", [None, 50.0, 20.0])
def test_no_time_of_a_residue_is_higher(name: str, snr: float | None) -> None:
    curves, protocol = many(snr)
    found = maps_of(name, curves, protocol._replace(residue=True))
    no_higher(found, 6000 * protocol.density_factor, TR)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_the_peak_of_the_reference(name: str) -> None:
    curves, protocol = example.dsc(100, 32)
    found = maps_of(name, curves, protocol)
    truth = judged(name, curves, protocol, shelf()[name].defaults() | {"peak": "interpolated"})
    assert np.nanmax(np.abs(found["cbf"] / truth["cbf"] - 1)) <= 1e-5
    assert np.nanmax(np.abs(found["mtt"] / truth["mtt"] - 1)) <= 1e-5
    assert np.nanmax(np.abs(found["tmax"] - truth["tmax"])) <= 5e-3


@pytest.mark.parametrize("name", METHODS)
def test_residue_and_state_are_those_of_the_sampled_peak_and_flow_is_no_lower(name: str) -> None:
    curves, protocol = example.dsc(300, 33)
    curves[::7] *= -1
    protocol = protocol._replace(residue=True)
    usual, found = maps_of(name, curves, protocol, "sampled"), maps_of(name, curves, protocol)
    assert all(usual[key].tobytes() == found[key].tobytes() for key in ("state", RESIDUE))
    good = usual["state"] == State.GOOD
    assert (found["cbf"][good] >= usual["cbf"][good]).all()
    assert (found["cbf"][good] > usual["cbf"][good]).mean() > 0.9


@pytest.mark.parametrize("residue", sorted(simulate.RESIDUES))
def test_tissue_that_comes_later_by_part_of_a_volume_has_the_same_flow_and_that_delay(residue: str) -> None:
    _, protocol = example.dsc(1, 34)
    delays = np.arange(-2.0, 5.01, 0.25)
    curves = np.stack([simulate.tissue(TIMES, 60.0, 4.0, delay, residue) for delay in delays])
    protocol = protocol._replace(blood_volume=np.full(len(delays), 4.0, np.float32))
    found = maps_of("csvd", curves, protocol)
    assert np.ptp(found["cbf"] / 60) <= 0.003
    assert np.abs(np.diff(found["tmax"]) - 0.25).max() <= 0.02
    assert np.ptp(maps_of("csvd", curves, protocol, "sampled")["cbf"] / 60) > 5 * np.ptp(found["cbf"] / 60)


@pytest.mark.parametrize("name", METHODS)
def test_blocks_give_what_the_whole_gives(name: str) -> None:
    curves, protocol = example.dsc(700, 35, 20.0)
    whole = maps_of(name, curves, protocol)
    blocks = [slice(0, 97), slice(97, 98), slice(98, 500), slice(500, 700)]
    parts = [maps_of(name, curves[block], protocol.rows(block)) for block in blocks]
    for key, values in whole.items():
        assert values.tobytes() == np.concatenate([part[key] for part in parts]).tobytes(), key
