"""The echoes of a DSC series as the kernel takes them, each with the level at which it is clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.series import DSC, Series
from bolus.voxels import by_time
from bolus_kernels.dsc.echo import Echo

FEWEST_CLIPPED, CLOSE, MOVING = 20, 0.98, 0.5


def echoes_of(series: Series, acquisition: DSC, dummies: int) -> tuple[Echo, ...]:
    """Every echo from the first volume that is kept, (t, N) in its stored dtype, not copied."""
    pairs = zip(series.images, acquisition.echo_time, strict=True)
    return tuple(
        Echo(by_time(image)[dummies:], image.slope, image.inter, echo_time, ceiling(image.data.dtype))
        for image, echo_time in pairs
    )


def ceiling(dtype: np.dtype[Any]) -> float:
    """The stored value at which samples of a type are clipped: the largest of whole numbers."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf


def clipped(
    echoes: Sequence[Echo], rows: NDArray[np.int64], volume: int
) -> tuple[tuple[Echo, ...], list[str]]:
    """The echoes with the level at which a receiver or converter clipped them, where one shows, and what to say.

    rows : (n,) voxels of the brain. volume : of the baseline, where the signal is highest.
    """
    found, doubts = [], []
    for echo in echoes:
        level, count = _clipping(echo.series[volume][rows], echo.series[volume + 1][rows])
        if level < echo.saturation:
            doubts.append(
                f"{count} voxels of the brain lie at {level:g}, where the series is clipped: they are left out"
            )
            echo = echo._replace(saturation=level)
        found.append(echo)
    return tuple(found), doubts


def _clipping(now: NDArray[Any], later: NDArray[Any]) -> tuple[float, int]:
    """The level at which voxels pile up and stay while others move with the noise, and how many; or infinity."""
    top = now.max()
    at_top = now == top
    count = int(np.count_nonzero(at_top & (later == top)))
    close = int(np.count_nonzero(now > CLOSE * top)) - int(np.count_nonzero(at_top))
    if count < FEWEST_CLIPPED or close > count:
        return np.inf, 0
    others = ~at_top
    still = np.count_nonzero((now == later) & others) >= MOVING * np.count_nonzero(others)
    return (np.inf, 0) if still else (float(top), count)
