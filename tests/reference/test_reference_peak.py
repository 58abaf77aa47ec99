"""The reference's interpolation of a residue: through its samples, one wave as it is, no higher time missed."""

import numpy as np
import pytest

from benchmarks.reference.peak import highest, interpolated


@pytest.mark.parametrize("length", [6, 40, 120])
def test_the_interpolation_goes_through_the_samples(length: int) -> None:
    residue = np.random.default_rng(1).normal(size=length)
    assert np.allclose(interpolated(residue, np.arange(length)), residue, atol=1e-12)


@pytest.mark.parametrize("shift", [-0.45, -0.1, 0.0, 0.3])
def test_a_wave_is_continued_as_itself(shift: float) -> None:
    t = np.arange(40)
    value, at = highest(2 + 3 * np.cos(2 * np.pi * (t - 7 - shift) / 40))
    assert value == pytest.approx(5, abs=1e-12)
    assert at == pytest.approx(7 + shift, abs=1e-6)


def test_the_wave_of_every_second_sample_has_no_phase() -> None:
    assert np.allclose(
        interpolated(np.tile([1.0, -1.0], 10), np.linspace(0, 20, 77)), np.cos(np.pi * np.linspace(0, 20, 77))
    )


def test_no_time_is_higher() -> None:
    for residue in np.random.default_rng(2).normal(size=(20, 30)):
        value, at = highest(residue)
        dense = interpolated(residue, np.arange(0, 30, 1e-3))
        assert dense.max() <= value <= dense.max() + 1e-5
        assert interpolated(residue, np.array([at]))[0] == pytest.approx(value, abs=1e-9)
