"""From the difference signal to flow: M0 at full recovery, efficiency under suppression, single-delay formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference.kinetics import single_delay

Array = NDArray[Any]

PULSE = 0.95
"""Share of the label's magnetisation that one pulse of background suppression leaves."""


def recovered(signal: float, repetition_time: float, t1: float) -> float:
    """M0 = S/(1 - e^{-TR/T1}), at any TR; s. Raises ValueError for TR <= 0. Source: Alsop et al. 2015."""
    if not repetition_time > 0:
        raise ValueError(f"a repetition time of {repetition_time} s leaves no magnetisation")
    return float(signal / (1 - np.exp(-repetition_time / t1)))


def suppressed_efficiency(efficiency: float, pulses: int) -> float:
    """a 0.95^n: labelling efficiency under n pulses of background suppression. Source: Garcia et al. 2005."""
    return efficiency * PULSE**pulses


def blood_from_reference(
    signal: float,
    *,
    repetition_time: float,
    echo_time: float,
    t1: float,
    t2: float,
    t2_blood: float,
    partition_coefficient: float,
) -> float:
    """M0 of arterial blood from a reference tissue (CSF, white matter), at the readout's echo time.

    M0a = S / (1 - e^{-TR/T1}) / lambda * e^{TE (1/T2 - 1/T2b)}; times in s (T2* for gradient echoes).
    Source: Chappell, MacIntosh and Okell, Introduction to Perfusion Quantification using ASL, 2018, ch. 6.
    """
    full = recovered(signal, repetition_time, t1) / partition_coefficient
    return float(full * np.exp(echo_time * (1 / t2 - 1 / t2_blood)))


def quantified(
    labeling: str,
    difference: float,
    m0: float,
    delay: float,
    duration: float,
    *,
    efficiency: float,
    t1_blood: float,
    partition_coefficient: float,
    m0_repetition_time: float,
    t1_tissue: float,
) -> float:
    """CBF in ml/100g/min of one delay from the signals themselves, M0 corrected for its repetition time.

    difference, m0 : signal. delay : s, PLD or TI with the slice's delay. duration : s.
    Source: Alsop et al. 2015, Magn Reson Med 73:102, eqs. 1-2 and the paragraph on M0 at short TR.
    """
    return single_delay(
        labeling,
        difference / recovered(m0, m0_repetition_time, t1_tissue),
        delay,
        duration,
        efficiency=efficiency,
        t1_blood=t1_blood,
        partition_coefficient=partition_coefficient,
    )
