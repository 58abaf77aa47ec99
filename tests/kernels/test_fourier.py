"""The folded transform against NumPy's, forth and back, for even and odd numbers of samples."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bolus_kernels.dsc.deconvolution.circulant import Spectrum, spectrum
from bolus_kernels.dsc.deconvolution.decimation import decimated, transform
from bolus_kernels.dsc.deconvolution.fourier import analyse, fold, folded, synthesise
from bolus_kernels.dsc.deconvolution.oscillation import clear_of_thirds, smooth_until
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.tiles import TILE

Array = NDArray[Any]

sizes = pytest.mark.parametrize("times", [3, 4, 5, 7, 60, 61, 64])


def forth(curves: Array, frequency: Array) -> Array:
    """The sums of curves (t, n) with e^(-i angle), (k, n): n curves of a tile, and zeros beside them."""
    waves = folded(len(curves), frequency)
    halves, finite = np.empty((2, waves.forth.shape[2], TILE)), np.empty(TILE, np.bool_)
    coefficients = np.empty((2 * waves.forth.shape[1], TILE))
    fold(curves, 0, curves.shape[1], halves, finite)
    analyse(waves.forth, halves, coefficients)
    assert finite.all()
    cosine, sine = coefficients[waves.rows.T]
    return np.asarray(cosine - 1j * sine)[:, : curves.shape[1]]


def back(cosine: Array, sine: Array, frequency: Array, times: int) -> Array:
    """The sums of cosines and sines with coefficients (k, TILE), (2t, TILE)."""
    waves = folded(times, frequency)
    coefficients = np.zeros((2 * waves.forth.shape[1], TILE))
    coefficients[waves.rows[:, 0]], coefficients[waves.rows[:, 1]] = cosine, sine
    made = np.full((2 * times, TILE), np.nan)
    synthesise(waves.back, coefficients, np.empty((4, 4, TILE)), made)
    return made


@sizes
@pytest.mark.parametrize("width", [1, 77, TILE])
def test_forth_is_the_transform_of_the_padded_curve(times: int, width: int) -> None:
    rng = np.random.default_rng(70 + times)
    curves = rng.normal(size=(times, width)).astype(np.float32)
    frequency = rng.permutation(times + 1)
    expected = np.fft.rfft(curves.astype(np.float64), 2 * times, axis=0)[frequency]
    assert np.abs(forth(curves, frequency) - expected).max() <= 1e-12


@sizes
def test_some_frequencies_are_those_of_all(times: int) -> None:
    curves = np.random.default_rng(71).normal(size=(times, TILE)).astype(np.float32)
    everything = forth(curves, np.arange(times + 1))
    for chosen in ([0], [1], [times], [1, 3, 2], [2, 0]):
        assert np.abs(forth(curves, np.array(chosen)) - everything[chosen]).max() <= 1e-12


@pytest.mark.parametrize(("times", "step"), [(12, 2), (30, 2), (60, 4), (61, 1), (64, 4)])
@pytest.mark.parametrize("width", [77, TILE])
def test_coefficients_of_a_spectrum_from_every_second_or_fourth_sample(
    times: int, step: int, width: int
) -> None:
    rng = np.random.default_rng(75 + times)
    aif, curves = rng.random(times), rng.normal(size=(times, width)).astype(np.float32)
    curves[3, 1] = np.nan
    basis = spectrum(DscProtocol(1.5, aif, 1.0, aif))
    way = decimated(basis)
    assert way.turns.shape[1] == step
    halves, finite = np.empty((2, way.forth.shape[2], TILE), np.float32), np.empty(TILE, np.bool_)
    sums = np.empty((way.turns.shape[1], 2 * way.forth.shape[1], TILE), np.float32)
    coefficients = np.full((2 * basis.size.size, TILE), np.nan, np.float32)
    transform(curves, 0, width, *way, halves, sums, coefficients, finite)
    curves[:, 1] = 0
    assert not finite[1] and finite[0] and finite[2:].all()
    expected = basis.analysis @ curves
    assert np.abs(coefficients[:, :width] - expected).max() <= 1e-5 * np.abs(expected).max()
    assert not coefficients[:, width:].any()


@sizes
def test_back_is_the_inverse_transform(times: int) -> None:
    rng = np.random.default_rng(72 + times)
    frequency = rng.permutation(times + 1)
    wave = rng.normal(size=(2 * times, TILE))
    transform = np.fft.rfft(wave, axis=0)[frequency] / times
    transform[(frequency == 0) | (frequency == times)] /= 2
    assert np.abs(back(transform.real, -transform.imag, frequency, times) - wave).max() <= 1e-12


@sizes
def test_there_and_back_is_the_padded_curve(times: int) -> None:
    curves = np.random.default_rng(73).normal(size=(times, TILE)).astype(np.float32)
    frequency = np.arange(times + 1)
    weight = np.where((frequency == 0) | (frequency == times), 0.5, 1.0)[:, None] / times
    transform = weight * forth(curves, frequency)
    made = back(transform.real, -transform.imag, frequency, times)
    assert np.abs(made[:times] - curves).max() <= 1e-12
    assert np.abs(made[times:]).max() <= 1e-12


@sizes
@pytest.mark.parametrize("growth", [1.0, 1.1, 1.5])
def test_no_sum_of_more_waves_than_said_is_smooth(times: int, growth: float) -> None:
    rng, length = np.random.default_rng(74 + times), 2 * times
    order = np.argsort(np.arange(times + 1) + 4 * rng.random(times + 1))
    bend = (2 - 2 * np.cos(np.pi / times * order)).astype(np.float32)
    size = growth ** np.arange(times + 1)
    coefficients = np.asarray(
        np.repeat(size, 2)[:, None] * rng.normal(size=(2 * times + 2, TILE)), np.float32
    )
    coefficients[1::2][order == times] = 0  # this sine is zero at every sample
    turns = np.outer(np.pi / times * order, np.arange(length))
    waves = np.stack([np.cos(turns), np.sin(turns)], 1)
    added = np.einsum("kij,kiv->kjv", waves, coefficients.reshape(-1, 2, TILE).astype(np.float64))
    wave = np.cumsum(added, axis=0)
    limit = 0.035 * length
    smooth = np.abs(np.diff(wave, 2, axis=1)).sum(axis=1) <= limit * wave.max(axis=1)
    until = np.empty(TILE, np.int32)
    clear = clear_of_thirds(Spectrum(times, order, np.ones(order.size), np.ones(order.size, complex)))
    smooth_until(coefficients, bend, clear, length, np.float32(limit), until)
    assert not (smooth & (np.arange(times + 1)[:, None] >= until)).any()
    assert until.max() < times or growth < 1.5 or times < 60
