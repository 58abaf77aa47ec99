"""From an image to the rows of its mask and back: which voxels, as columns of a matrix, as a volume again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.brain import brain_mask
from bolus.errors import BolusError, Code
from bolus.series import Series, Volume

BRAIN = "label-brain_mask"
ENOUGH, RUN = 8192, 32
"""Voxels that stand for all: their mean curve has hardly any noise left, and more take longer; so many in a run."""


def by_time(volume: Volume) -> NDArray[Any]:
    """A view (t, N) of a series in its stored dtype: nothing is copied, N runs as in the file."""
    return volume.data.reshape(-1, volume.data.shape[3], order="F").T


def rows_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The positions (n,) of a mask's voxels in the order of the file."""
    return np.flatnonzero(mask.reshape(-1, order="F"))


def some_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Enough of the positions (n,) of many voxels, evenly from all of them, in runs of neighbours.

    Neighbours share the lines of memory that a volume is read by: apart, each would cost a line of its own.
    """
    step = 1 + rows.size // ENOUGH
    if step == 1:
        return rows
    return rows[: rows.size // RUN * RUN].reshape(-1, RUN)[::step].ravel()


def given_mask(series: Series, name: str) -> NDArray[np.bool_] | None:
    """A mask that came with the series, (x, y, z) bool, or None."""
    volume = series.given.get(name)
    return None if volume is None else np.asarray(volume.scaled() > 0.5)


def brain_of(series: Series, image: NDArray[Any]) -> NDArray[np.bool_]:
    """The brain mask given, else the one found on a mean image (x, y, z)."""
    mask = given_mask(series, BRAIN)
    first = series.images[0]
    return brain_mask(image, first.grid.zooms, str(first.path)) if mask is None else mask


def volume_of(values: NDArray[Any], rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Values (n,) at their places in an image (x, y, z) that is 0 elsewhere, as FSL and ANTs expect."""
    flat = np.zeros(int(np.prod(shape)), values.dtype)
    flat[rows] = values
    return flat.reshape(shape, order="F")


def constant(value: float | str | bool | tuple[float, ...], unit: str, source: str) -> Mapping[str, Any]:
    """How a sidecar tells one number that went into a map."""
    return {"Value": value, "Units": unit, "Source": source}


def refuse(series: Series, code: Code, seen: str, expected: str, mend: str) -> BolusError:
    """A refusal that names the series' image."""
    return BolusError(code, series.scan.images[0], seen, expected, mend)
