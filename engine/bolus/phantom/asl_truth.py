"""ASL truth: the labelled blood that every tissue holds at every delay, by fine numerical integration."""

from __future__ import annotations

import math

import numpy as np

from bolus.phantom.design import Labeling
from bolus.phantom.tissue import PARTITION_COEFFICIENT, T1_BLOOD, Tissue

STEP = 0.005
LABELING_EFFICIENCY: dict[Labeling, float] = {"PCASL": 0.85, "PASL": 0.98}
LABELING_DURATION: dict[Labeling, float] = {"PCASL": 1.8, "PASL": 0.8}
"""s; for PASL what QUIPSS II cuts the bolus to (BolusCutOffDelayTime)."""
DELAYS: dict[Labeling, tuple[float, ...]] = {
    "PCASL": (0.2, 0.6, 1.0, 1.4, 1.8, 2.2, 2.6, 3.0),
    "PASL": (0.9, 1.3, 1.7, 2.1, 2.5, 2.9, 3.3, 3.7),
}
"""s, as BIDS says PostLabelingDelay: after labelling (PCASL), after the inversion (PASL)."""
REPEATS = 4
ECHO_TIME = 0.0135
REPETITION_TIME = 6.0
M0_REPETITION_TIME = 10.0


def difference(tissue: Tissue, labeling: Labeling, delay: float) -> float:
    """Control minus label of one tissue class at one delay (s), as a fraction of its magnetisation M0.

    The general kinetic model, 2 M0a f integral of c(s) r(t - s) m(t - s) ds, by the midpoint rule over the
    time during which labelled blood arrives. Buxton et al., Magn Reson Med 1998;40:383, equations 1 to 3.
    """
    if not tissue.cbf > 0 or math.isnan(tissue.att):
        return 0.0
    duration = LABELING_DURATION[labeling]
    now = delay + duration if labeling == "PCASL" else delay
    arriving = min(now, tissue.att + duration) - tissue.att
    if arriving <= 0:
        return 0.0
    steps = math.ceil(arriving / STEP)
    step = arriving / steps
    time = tissue.att + step * (np.arange(steps) + 0.5)
    # Labelled blood decays on its way: for one transit time (PCASL), or since the one inversion (PASL).
    decaying = np.full(steps, tissue.att) if labeling == "PCASL" else time
    delivery = LABELING_EFFICIENCY[labeling] * np.exp(-decaying / T1_BLOOD)
    flow = tissue.cbf / 6000
    clearance = np.exp(-(now - time) * flow / PARTITION_COEFFICIENT)
    decay = np.exp(-(now - time) / tissue.t1)
    return float(2 / PARTITION_COEFFICIENT * flow * step * np.sum(delivery * clearance * decay))


def recovered(tissue: Tissue, repetition_time: float) -> float:
    """Signal of a tissue one repetition time (s) after its saturation, relative to the M0 of grey matter."""
    return tissue.m0 * (1 - math.exp(-repetition_time / tissue.t1))
