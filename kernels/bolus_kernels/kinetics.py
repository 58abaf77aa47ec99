"""ASL kinetics as scalar functions, one text for CPU and GPU: the tissue's response to labelled blood."""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.jit import inlined
from bolus_kernels.scalar import exp

_f = np.float32
ZERO, ONE, HALF, SIXTH, TWENTY_FOURTH = _f(0), _f(1), _f(1 / 2), _f(1 / 6), _f(1 / 24)
SERIES_BELOW = _f(0.02)


@inlined
def pcasl(time: Any, arrival: Any, duration: Any, rate_blood: Any, rate_tissue: Any) -> Any:
    """Magnetisation per 2 a M0a f after continuous labelling, s.

    time since labelling began, arrival (ATT), duration (tau) : s; rate_blood = 1/T1b, rate_tissue = 1/T1' : 1/s;
    all float32. Source: Buxton et al., Magn Reson Med 40:383 (1998), eq. 5 (three cases in one expression).
    """
    growth = exp(arrival * rate_tissue)
    fade = exp(-time * rate_tissue)
    fade_stop = exp((duration - time) * rate_tissue)
    shape = pcasl_shape(time, arrival, duration, growth, fade, fade_stop)
    return exp(-arrival * rate_blood) * shape / rate_tissue


@inlined
def pcasl_shape(time: Any, arrival: Any, duration: Any, growth: Any, fade: Any, fade_stop: Any) -> Any:
    """The bracket of eq. 5 from growth = e^(arrival/T1'), fade = e^(-time/T1'), fade_stop = e^(-(time-tau)/T1').

    Split so that a grid over arrival needs one exponential per node and none per delay.
    """
    rising = ONE - fade * growth
    falling = (fade_stop - fade) * growth
    shape = falling if time - duration > arrival else rising
    return shape if time > arrival else ZERO


@inlined
def pasl(time: Any, arrival: Any, duration: Any, rate_blood: Any, rate_tissue: Any) -> Any:
    """Magnetisation per 2 a M0a f after pulsed labelling of a bolus of known duration, s.

    time since labelling (TI), arrival (ATT), duration (TI1) : s; rates : 1/s; all float32.
    Source: Buxton et al., Magn Reson Med 40:383 (1998), eq. 3, as an integral over the delivered bolus.
    """
    difference = rate_blood - rate_tissue
    return exp(-time * rate_tissue) * pasl_shape(time, arrival, duration, difference)


@inlined
def pasl_shape(time: Any, arrival: Any, duration: Any, difference: Any) -> Any:
    """The integral of e^(-k s) over the delivered part of the bolus, k = 1/T1b - 1/T1'; its series near k = 0."""
    delivered = max(ZERO, min(time - arrival, duration))
    x = difference * delivered
    series = delivered * (ONE - x * (HALF - x * (SIXTH - x * TWENTY_FOURTH)))
    near = abs(difference) < SERIES_BELOW
    closed = (ONE - exp(-x)) / (ONE if near else difference)
    return exp(-difference * arrival) * (series if near else closed)
