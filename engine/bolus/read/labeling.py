"""How blood was labelled: the kind of label, its duration, where it was cut off, how it was read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from bolus.errors import BolusError, Code
from bolus.read.sidecar import Sidecar, Span, seconds

Labeling = Literal["PCASL", "CASL", "PASL", "VSASL"]
CutOff = Literal["QUIPSS", "QUIPSSII", "Q2TIPS"]
TYPES = ("PCASL", "CASL", "PASL", "VSASL")
TECHNIQUES = ("QUIPSS", "QUIPSSII", "Q2TIPS")
DURATION = seconds(0.0, 20.0)
FLIP_ANGLE = Span("degrees", 0.0, 89.0)
ENCODING_WORDS = ("hadamard", "timeencod", "walsh")
UNEVEN = 0.02
"""How far Look-Locker readouts may be from equal steps, as a share of a step: sidecars round."""
UNKNOWN = "Without a cut-off the duration of the bolus is unknown, and CBF with it."
BOLUS_DURATION = "asl.bolus_duration"
"""The recipe's key by which a user may say it."""
EXCITED = ("control", "label", "deltam")
"""Volume types that show a label, and so have a delay."""


class Bolus(NamedTuple):
    """The labelled blood: its duration (s) per volume, how it was ended, its parts (s), a word for an encoding.

    `stated` where the duration is what a user says of a bolus that nothing ended.
    """

    duration: tuple[float, ...]
    cut_off: CutOff | None = None
    parts: tuple[float, ...] = ()
    encoded: str | None = None
    stated: bool = False


def labeling_of(sidecar: Sidecar) -> Labeling:
    """What labels the blood; VSASL (velocity-selective) is no word of BIDS yet, but the only one there is."""
    return cast(
        Labeling, sidecar.choice("ArterialSpinLabelingType", TYPES, "Take it from the scan's protocol.")
    )


def bolus_of(
    sidecar: Sidecar,
    labeling: Labeling,
    delays: Sequence[float],
    used: Sequence[bool],
    stated: float | None,
    warnings: list[str],
) -> Bolus:
    """Duration and end of the bolus, by the kind of label; adds to `warnings` what is doubtful.

    delays : s, one per volume. stated : s, of a pulsed bolus that nothing ends. Raises E_META where the duration is
    not said.
    """
    if labeling == "PASL" and sidecar.flag("BolusCutOffFlag", UNKNOWN):
        return _pulsed(sidecar, delays, used, warnings)
    if labeling == "PASL":
        return _not_cut_off(sidecar, delays, used, stated, warnings)
    if labeling == "VSASL":
        return Bolus(_velocity_selective(sidecar, delays, used))
    encoded = next((key for key, value in sidecar.values.items() if value and _is_encoding(key)), None)
    parts = _parts(sidecar, used)
    if parts:
        return Bolus(tuple(sum(parts) if use else 0.0 for use in used), None, parts, encoded)
    return Bolus(sidecar.per_volume("LabelingDuration", DURATION, used), None, (), encoded)


def look_locker(
    sidecar: Sidecar, delays: Sequence[float], durations: Sequence[float], used: Sequence[bool]
) -> tuple[float | None, tuple[float, ...] | None]:
    """Time between the readouts after one labelling (s) and their flip angles (degrees); (None, None) without.

    delays, durations : s, one per volume, as are the angles. Raises E_META where readouts are too few, unevenly
    spaced or of angles that do not say which pulses one label met.
    Source: Gunther, Bock, Schad, Magn Reson Med 46:974 (2001); several labels of an angle each as in QUASAR, Petersen,
    Lim, Golay, Magn Reson Med 55:219 (2006).
    """
    flag = sidecar.values.get("LookLocker")
    if flag is None or not sidecar.flag("LookLocker", "Say whether one label was read out several times."):
        return None, None
    angles = sidecar.per_volume("FlipAngle", FLIP_ANGLE, used)
    times = np.array(sorted({delay for delay, use in zip(delays, used, strict=True) if use}))
    steps = np.diff(times)
    if steps.size == 0 or np.ptp(steps) > UNEVEN * steps.mean():
        expected = "several times at equal steps, for LookLocker is true"
        mend = "Give the time of each readout, or set LookLocker to false."
        raise sidecar.refusal("PostLabelingDelay", expected, mend)
    interval = float(steps.mean())
    met: dict[float, dict[float, set[float]]] = {}
    for delay, duration, angle, use in zip(delays, durations, angles, used, strict=True):
        if use:
            met.setdefault(duration, {}).setdefault(delay, set()).add(angle)
    for readouts in met.values():
        _check_pulses(sidecar, readouts, interval)
    return interval, angles


def _check_pulses(sidecar: Sidecar, readouts: dict[float, set[float]], interval: float) -> None:
    """Whether flip angles by delay (s) say which pulses one label met: one of each readout, or all of one."""
    kinds = {frozenset(angles) for angles in readouts.values()}
    if len(kinds) == 1:
        return
    if any(len(kind) > 1 for kind in kinds):
        expected = "one angle at each readout, or at each the same angles, one for each label"
        raise sidecar.refusal("FlipAngle", expected, "Leave the volumes of labels that were read out alike.")
    if len(readouts) != round((max(readouts) - min(readouts)) / interval) + 1:
        expected = "an angle that is known of every readout, where each has its own"
        raise sidecar.refusal("FlipAngle", expected, "Leave the volumes of all readouts of a label.")


def _pulsed(sidecar: Sidecar, delays: Sequence[float], used: Sequence[bool], warnings: list[str]) -> Bolus:
    technique = sidecar.values.get("BolusCutOffTechnique")
    if technique is None:
        warnings.append(
            "BolusCutOffTechnique is missing; BolusCutOffDelayTime was taken as TI1 (QUIPSS II, Q2TIPS)"
        )
    else:
        technique = sidecar.choice("BolusCutOffTechnique", TECHNIQUES, UNKNOWN)
    times = _cut_off_times(sidecar)
    inversion = {delay for delay, use in zip(delays, used, strict=True) if use}
    if len(inversion) == 1 and times[0] >= max(inversion):
        expected = f"less than the inversion time (PostLabelingDelay = {max(inversion):g} s)"
        raise sidecar.refusal("BolusCutOffDelayTime", expected, "Check which of the two is TI1 and which TI.")
    if technique != "QUIPSS":
        return Bolus(tuple(times[0] if use else 0.0 for use in used), cast(CutOff | None, technique))
    if len(inversion) > 1:
        expected = f"QUIPSSII or Q2TIPS for {len(inversion)} inversion times"
        mend = (
            "QUIPSS saturates the tissue itself, which the kinetic model of several delays does not follow."
        )
        raise sidecar.refusal("BolusCutOffTechnique", expected, mend)
    since = [delay - times[-1] if use else 0.0 for delay, use in zip(delays, used, strict=True)]
    return Bolus(tuple(since), "QUIPSS")  # the image shows what arrived after the saturation of the tissue


def _not_cut_off(
    sidecar: Sidecar,
    delays: Sequence[float],
    used: Sequence[bool],
    stated: float | None,
    warnings: list[str],
) -> Bolus:
    """A pulsed bolus that ends by itself: as long as the inverted blood took, which no field of a sidecar says."""
    if stated is None:
        mend = f"{UNKNOWN} If it is known how long the bolus lasts, set {BOLUS_DURATION} (s)."
        raise sidecar.refusal("BolusCutOffFlag", "true, with BolusCutOffDelayTime (s)", mend)
    inversion = {delay for delay, use in zip(delays, used, strict=True) if use}
    taken = f"the bolus was taken to last {stated:g} s ({BOLUS_DURATION})"
    if len(inversion) == 1:
        if stated >= max(inversion):
            seen = f"{BOLUS_DURATION} = {stated:g} and one inversion time, {max(inversion):g} s"
            mend = "Set it to what the bolus lasts, or give several inversion times."
            raise BolusError(Code.RECIPE, sidecar.path, seen, "a bolus that ends before the readout", mend)
        taken += ", the TI1 of a formula that is made for a bolus cut off then"
    warnings.append(
        f"BolusCutOffFlag is false: {taken}. Nothing in the scan made that true, and CBF depends on it"
    )
    return Bolus(tuple(stated if use else 0.0 for use in used), stated=True)


def _velocity_selective(sidecar: Sidecar, delays: Sequence[float], used: Sequence[bool]) -> tuple[float, ...]:
    """Until a second selective pulse ends the bolus (BolusCutOffDelayTime), else until the readout."""
    if "BolusCutOffFlag" not in sidecar.values and "LabelingDuration" in sidecar.values:
        return sidecar.per_volume("LabelingDuration", DURATION, used)
    if sidecar.flag("BolusCutOffFlag", UNKNOWN):
        first = _cut_off_times(sidecar)[0]
        return tuple(first if use else 0.0 for use in used)
    return tuple(delays)


def _cut_off_times(sidecar: Sidecar) -> tuple[float, ...]:
    times = sidecar.numbers("BolusCutOffDelayTime", DURATION)
    if list(times) != sorted(times):
        raise sidecar.refusal("BolusCutOffDelayTime", "times that rise", "Give the first saturation first.")
    return times


def _parts(sidecar: Sidecar, used: Sequence[bool]) -> tuple[float, ...]:
    """The parts of a time-encoded label, where LabelingDuration lists one less than there are encodings.

    Encodings come in multiples of four (Hadamard's orders), and each cycle of volumes has them all.
    """
    listed: Any = sidecar.values.get("LabelingDuration")
    if not isinstance(listed, list) or len(listed) == len(used):
        return ()
    encodings = len(listed) + 1
    if encodings % 4 or sum(used) % encodings:
        return ()
    return sidecar.numbers("LabelingDuration", DURATION)


def _is_encoding(key: str) -> bool:
    return any(word in key.lower() for word in ENCODING_WORDS)
