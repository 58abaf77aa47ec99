"""The arterial input of a population: a published shape at the scan's own arrival, for scans without an artery."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.quality import described
from bolus.series import AIF

Array = NDArray[Any]

SHAPE, SCALE = 3.0, 1.5
"""First pass (t-t0)^3 e^{-(t-t0)/1.5 s}: Ostergaard et al., Magn Reson Med 36:715 (1996), simulations."""
# What follows, from Parker et al., Magn Reson Med 56:993 (2006), table 1, told from the first peak and its area:
# A2/A1 = 0.330/0.809, T2 - T1 = 0.19454 min, sigma2 = 0.132 min; alpha/A1 = 1.050/0.809 /min, beta = 0.1685 /min,
# s = 38.078 /min, tau - T1 = 0.31254 min.
SECOND_AREA, SECOND_AFTER, SECOND_WIDTH = 0.4079, 11.67, 7.92
STEADY, WASHOUT, ONSET_RATE, STEADY_AFTER = 0.02163, 0.002808, 0.6346, 18.75
BLOOD_OVER_BRAIN = 17.6
"""The area of blood over that of the mean brain: 100 kappa/rho (0.705 ml/g) over 4 ml/100g."""
WARNING = (
    "the arterial input is a population's: flow and volume are relative to a mean brain of 4 ml/100g, and transit "
    "times carry the model's width"
)


def from_population(time: Array, onset: float, brain: Array, file: str) -> AIF:
    """A population's bolus, its onset (s) that of the scan, its area 17.6 times the mean brain's (t,) 1/s.

    A model has a shape and no height: with this one a mean brain has 4 ml/100g, and a warning says that maps are
    relative to it. time : (t,) s. Raises BolusError E_AIF where the brain has no bolus.
    Source: Ostergaard et al., Magn Reson Med 36:715 (1996); Parker et al., Magn Reson Med 56:993 (2006).
    """
    shape = population(np.asarray(time, np.float64) - onset)
    area = BLOOD_OVER_BRAIN * float(np.trapezoid(brain, time))
    values = shape * (area / float(np.trapezoid(shape, time)))
    how = "population (Ostergaard 1996, Parker 2006)"
    found = described(values, np.empty(0, np.int64), time, how, file, Onset=onset)
    return AIF(found.time, found.concentration, found.voxels, how, found.quality, (WARNING,))


def population(since: Array) -> NDArray[np.float64]:
    """First pass of area 1 s, second pass and washout of a population, (t,), `since` onset (s)."""
    from scipy.special import expit
    from scipy.stats import gamma

    after = since - SHAPE * SCALE  # the first peak
    first = gamma.pdf(since, SHAPE + 1, scale=SCALE)
    second = SECOND_AREA * np.exp(-0.5 * ((after - SECOND_AFTER) / SECOND_WIDTH) ** 2)
    second /= SECOND_WIDTH * np.sqrt(2 * np.pi)
    steady = STEADY * np.exp(-WASHOUT * after) * expit(ONSET_RATE * (after - STEADY_AFTER))
    # The first pass begins at once; the rest of a measured curve may not begin before it.
    return np.asarray(first + gamma.cdf(since, SHAPE + 1, scale=SCALE) * (second + steady))
