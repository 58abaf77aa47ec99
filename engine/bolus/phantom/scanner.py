"""The scanner: tissue signals painted over the head, with noise, as the numbers that a scanner stores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY_MATTER = 1000.0
"""The signal of a relative signal of 1."""
LARGEST = 32767
CLEAR_OF_NOISE = 8.0
STEPS_IN_NOISE = 16


def acquire(
    labels: NDArray[np.uint8],
    signal: NDArray[Any],
    noise: float,
    random: np.random.Generator,
    dtype: type = np.int16,
) -> tuple[NDArray[Any], float]:
    """Magnitude images of the tissues' signals, and the slope that turns what is stored into signal.

    labels : (x, y, z). signal : (classes, t), relative to grey matter. noise : standard deviation in each of
    the two channels, so that magnitudes are Rician. Gives (x, y, z, t) int16, never clipped, its steps as
    fine as the range or the noise allows, or float32 with slope 1; Fortran order.
    Gudbjartsson and Patz, Magn Reson Med 1995;34:910.
    """
    whole = dtype is np.int16
    finest = GREY_MATTER * (signal.max() + CLEAR_OF_NOISE * noise) / LARGEST
    # Below the noise there is nothing to keep: finer steps would only make the file larger.
    slope = float(np.float32(max(finest, GREY_MATTER * noise / STEPS_IN_NOISE))) if whole else 1.0
    flat = labels.ravel(order="F")
    stored: NDArray[Any] = np.empty((flat.size, signal.shape[1]), dtype, order="F")
    level = (GREY_MATTER / slope * signal).astype(np.float32)
    sigma = np.float32(GREY_MATTER / slope * noise)
    for volume in range(signal.shape[1]):
        values = level[:, volume][flat]
        if noise:
            real, imaginary = sigma * random.standard_normal((2, flat.size), np.float32)
            values = np.sqrt((values + real) ** 2 + imaginary**2)
        stored[:, volume] = np.rint(values) if whole else values
    return stored.reshape((*labels.shape, -1), order="F"), slope


def paint(labels: NDArray[np.uint8], values: list[float]) -> NDArray[np.float32]:
    """The value of its class in every voxel: (x, y, z) float32, Fortran order."""
    return np.asfortranarray(np.asarray(values, np.float32)[labels])
