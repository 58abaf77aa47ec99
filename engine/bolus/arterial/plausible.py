"""Whether an arterial input looks like one: its width, height, arrival and area against the brain's own curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.quality import arrival
from bolus.series import AIF

Array = NDArray[Any]

NARROWEST, BROADEST = 2.5, 18.0
LEAST_HEIGHT, LEAST_AREA = 2.0, 1.5
FEWEST_VOXELS = 3
LATEST = 0.5
"""Repetition times."""


def doubts(aif: AIF, brain: Array, ceiling: float = np.inf) -> tuple[str, ...]:
    """A sentence for each way in which a curve is unlike an artery's; none when it could be one.

    brain : (t,) 1/s, the mean curve of the brain. ceiling : 1/s, above it noise hides the signal. Blood is 15 to 20
    times the mean brain; an artery of twice the height or 1.5 times the area fills hardly any of its voxel.
    """
    time, quality = aif.time, aif.quality
    breadth, height, area = (quality[name] for name in ("FullWidthHalfMaximum", "PeakHeight", "Area"))
    brain_height, brain_area = float(brain.max()), float(np.trapezoid(brain, time))
    late = arrival(aif.concentration, time) - arrival(brain, time) if brain_height > 0 else 0.0
    found = [
        (
            not NARROWEST <= breadth <= BROADEST,
            f"a width of {breadth:.3g} s at half maximum, not {NARROWEST:g} to {BROADEST:g} s",
        ),
        (
            height < LEAST_HEIGHT * brain_height,
            f"a peak of only {height / brain_height:.2g} times the brain's",
        ),
        (area < LEAST_AREA * brain_area, f"an area of only {area / brain_area:.2g} times the brain's"),
        (late > LATEST * (time[1] - time[0]), f"it arrives {late:.2g} s after the brain's mean curve"),
        (
            height >= ceiling,
            f"its peak of {height:.3g} 1/s is cut off: from {ceiling:.3g} 1/s the signal is within 3 standard "
            "deviations of zero",
        ),
        (0 < aif.voxels.size < FEWEST_VOXELS, f"only {aif.voxels.size} voxels"),
    ]
    return tuple(f"the arterial input is doubtful: {what}" for is_so, what in found if is_so)
