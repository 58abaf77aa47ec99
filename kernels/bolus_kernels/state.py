"""The state of a voxel: 0 is good, everything else says why its maps are NaN."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class State(IntEnum):
    """Why a voxel has no value; a failed voxel is a value, never a zero."""

    GOOD = 0
    NOT_FINITE = 1
    MISSING_SAMPLE = 2
    NO_BASELINE = 3
    NO_SIGNAL = 4
    NO_SOLUTION = 5
    NO_CALIBRATION = 6
    NO_ARRIVAL = 7
    NO_RECOVERY = 8


MEANINGS: dict[State, str] = {
    State.GOOD: "good",
    State.NOT_FINITE: "the series holds NaN or infinity here",
    State.MISSING_SAMPLE: "a sample is zero, negative or saturated, so its logarithm does not exist",
    State.NO_BASELINE: "the baseline before the bolus is zero or negative",
    State.NO_SIGNAL: "every sample has the same value",
    State.NO_SOLUTION: "no solution of the model with a positive flow",
    State.NO_CALIBRATION: "the calibration image (M0) is zero, negative or not finite here",
    State.NO_ARRIVAL: "the given arterial transit time is zero, negative or not finite here",
    State.NO_RECOVERY: "the series ends too soon after the peak to tell signal recovery; other maps have values",
}

OF_ONE_MAP = {"psr": State.NO_RECOVERY}
"""Map -> a state that takes the value of this map alone."""


def without_value(name: str, state: NDArray[np.uint8]) -> NDArray[Any]:
    """Where map `name` of a method is NaN, (n,) bool; state : (n,), what the method gives beside its maps."""
    excused = [code for other, code in OF_ONE_MAP.items() if other != name]
    return np.asarray(~np.isin(state, [State.GOOD, *excused]))
