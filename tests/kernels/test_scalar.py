"""Functions of one number in single precision, against double precision over all the sizes a number may have."""

import numba
import numpy as np
import pytest

from bolus_kernels import scalar

SIZES = np.geomspace(1e-30, 1e30, 20001).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "at", "truth", "within"),
    [
        ("log", SIZES, np.log, 2e-7),
        ("exp", np.linspace(-80, 80, 20001, dtype=np.float32), np.exp, 3e-7),
        ("inverse_root", SIZES, lambda x: 1 / np.sqrt(x), 3e-7),
    ],
)
def test_it_is_as_near_as_it_says(name: str, at: np.ndarray, truth: object, within: float) -> None:
    function = getattr(scalar, name)

    @numba.njit
    def each(values, found):
        for i in range(values.size):
            found[i] = function(values[i])

    found = np.empty_like(at)
    each(at, found)
    exact = truth(at.astype(np.float64))
    assert np.all(np.abs(found - exact) <= within * np.abs(exact))
