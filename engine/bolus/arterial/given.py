"""The arterial input that a person gave: the mean under a mask, or a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.quality import described, mean_of, refusal
from bolus.series import AIF, GivenAIF

Array = NDArray[Any]


def from_mask(curves: Array, time: Array, file: str) -> AIF:
    """The mean of the curves (n, t), 1/s, of a mask's voxels; raises BolusError E_AIF when none can be used."""
    chosen = np.flatnonzero(np.isfinite(curves).all(1))
    if chosen.size == 0:
        raise refusal(file, f"no usable curve under the AIF mask ({len(curves)} voxels)", "at least one")
    return described(mean_of(curves, chosen), chosen, time, "mask", file)


def from_table(given: GivenAIF, time: Array, baseline: tuple[int, int], echo_time: float) -> AIF:
    """A given curve at the scan's times (t,) s, its signal turned into delta R2* with the scan's baseline.

    Both times count from the first volume of the file, dummy scans included.
    Raises BolusError E_AIF when the table does not cover the scan, or its signal is not positive.
    """
    step = time[1] - time[0]
    if given.time[0] > time[0] + step or given.time[-1] < time[-1] - step:
        seen = f"times {given.time[0]:g} to {given.time[-1]:g} s"
        raise refusal(str(given.path), seen, f"the scan's {time[0]:g} to {time[-1]:g} s")
    values = np.interp(time, given.time, given.values)
    if given.column == "signal":
        if not (values > 0).all():
            raise refusal(str(given.path), "a signal of zero or less", "a positive signal throughout")
        values = -np.log(values / values[slice(*baseline)].mean()) / echo_time
    return described(values, np.empty(0, np.int64), time, f"table ({given.column})", str(given.path))
