"""ASL kinetics as scalar functions, one text for CPU and GPU: the tissue's response to labelled blood.

Blood that arrives at s leaves e^(-(time - s)/T1') in the tissue. What it brings has decayed since its labelling:
for `arrival` in continuous labelling, for s in pulsed. Both are e^(q s) times what does not depend on s, with
q = 1/T1' (continuous) or 1/T1' - 1/T1b (pulsed), and the integral over the delivered part of the bolus is
`carried * delivered(early, reach, lead, full)`: exponentials of the arrival or of the delay, never of both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bolus_kernels.jit import inlined
from bolus_kernels.scalar import exp

_f = np.float32
ZERO, ONE = _f(0), _f(1)
C2, C3, C4, C5, C6, C7 = _f(1 / 2), _f(1 / 6), _f(1 / 24), _f(1 / 120), _f(1 / 720), _f(1 / 5040)
SERIES_BELOW = _f(0.35)
"""Seven terms of (e^x - 1)/x are exact to 2e-8 below it; above it the subtraction loses at most half a digit."""


@inlined
def grown(time: Any, rate: Any) -> Any:
    """The integral of e^(rate s) over s from 0 to time : s; accurate at any rate, at 0 too."""
    x = rate * time
    series = time * (ONE + x * (C2 + x * (C3 + x * (C4 + x * (C5 + x * (C6 + x * C7))))))
    near = abs(x) < SERIES_BELOW
    return series if near else (exp(x) - ONE) / (ONE if near else rate)


@inlined
def of_arrival(arrival: Any, rate_blood: Any, rate_tissue: Any, rate: Any) -> Any:
    """`early` and `carried`: what the response needs to know of the arrival, rate being q."""
    return -grown(arrival, -rate), exp(arrival * (rate_tissue - rate_blood))


@inlined
def of_delay(time: Any, duration: Any, rate_tissue: Any, rate: Any) -> Any:
    """`reach`, `lead` and `full`: what the response needs to know of the delay, rate being q."""
    fade = exp(-time * rate_tissue)
    return fade * exp(rate * time), fade * grown(time, rate), fade * grown(duration, rate)


@inlined
def delivered(early: Any, reach: Any, lead: Any, full: Any) -> Any:
    """The integral up to now, nothing before the front of the bolus and no more than all of it."""
    return max(ZERO, min(reach * early + lead, full))


@inlined
def depleted(full: Any, full_before: Any, left_before: Any, fade: Any, kept: Any) -> Any:
    """Label that a readout finds, from what would be there had no readout come before: m_k = I_k + E (cos a m - I).

    full : I_k; full_before, left_before : I and m at the readout before, both 0 at the first; fade : E = e^(-dt/T1')
    since then; kept : cos a, what the pulse of the one before leaves. What arrived after it, I_k - E I, lost nothing.
    Source: Gunther, Bock and Schad, Magn Reson Med 46:974 (2001).
    """
    return full + fade * (kept * left_before - full_before)


@inlined
def pcasl(time: Any, arrival: Any, duration: Any, rate_blood: Any, rate_tissue: Any) -> Any:
    """Magnetisation per 2 a M0a f after continuous labelling, s.

    time since labelling began, arrival (ATT), duration (tau) : s; rate_blood = 1/T1b, rate_tissue = 1/T1' : 1/s;
    all float32. Source: Buxton et al., Magn Reson Med 40:383 (1998), eq. 5 (three cases in one expression).
    """
    early, carried = of_arrival(arrival, rate_blood, rate_tissue, rate_tissue)
    reach, lead, full = of_delay(time, duration, rate_tissue, rate_tissue)
    return carried * delivered(early, reach, lead, full)


@inlined
def pasl(time: Any, arrival: Any, duration: Any, rate_blood: Any, rate_tissue: Any) -> Any:
    """Magnetisation per 2 a M0a f after pulsed labelling of a bolus of known duration, s.

    time since labelling (TI), arrival (ATT), duration (TI1) : s; rates : 1/s; all float32.
    Source: Buxton et al., Magn Reson Med 40:383 (1998), eq. 3, as an integral over the delivered bolus.
    """
    early, carried = of_arrival(arrival, rate_blood, rate_tissue, rate_tissue - rate_blood)
    reach, lead, full = of_delay(time, duration, rate_tissue, rate_tissue - rate_blood)
    return carried * delivered(early, reach, lead, full)
