"""An ASL sidecar and its table of volumes -> how the series was acquired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, cast

from bolus.errors import BolusError, Code
from bolus.read.sidecar import Sidecar, Span, seconds
from bolus.read.slices import slice_timing
from bolus.series import ASL, Volume

M0Type = Literal["Separate", "Included", "Estimate", "Absent"]
TYPES = ("PCASL", "CASL", "PASL")
M0_TYPES = ("Separate", "Included", "Estimate", "Absent")
DELAY = DURATION = seconds(0.0, 20.0)
PREPARATION = seconds(0.0, 60.0)
EFFICIENCY = Span("", 0.0, 1.0, "percent", 0.01)
FIELD_STRENGTH = Span("T", 0.0, 20.0)
PULSES = Span("pulses", 0.0, 20.0, closed=True)
POSITIVE = Span("", 0.0, 1e12)


def asl_fields(
    sidecar: Sidecar, context: Sequence[str], slices: int, m0: Volume | None, m0_sidecar: Sidecar | None
) -> tuple[ASL, list[str]]:
    """Labelling, delays (s), durations (s), calibration and slice times (s) of an ASL series.

    `context` holds the type of each volume; `m0` is the separate calibration image, if there is one.
    Returns the acquisition and what is doubtful in it. Raises E_META for a field that is missing, outside
    its range or contradicted by another, E_SHAPE where controls and labels do not pair.
    Source: BIDS 1.10, arterial spin labeling perfusion data.
    """
    _refuse_encoded(sidecar)
    warnings: list[str] = []
    labeling = cast(
        Literal["PCASL", "CASL", "PASL"],
        sidecar.choice(
            "ArterialSpinLabelingType", TYPES, "Velocity-selective labelling is not processed yet."
        ),
    )
    used = [kind != "m0scan" for kind in context]
    delays = sidecar.per_volume("PostLabelingDelay", DELAY, used)
    durations = _durations(sidecar, labeling, delays, used, warnings)
    _check_pairs(sidecar, context, delays, durations)
    suppression = sidecar.flag("BackgroundSuppression", "It changes the labelling efficiency: say which.")
    m0_type = cast(M0Type, sidecar.choice("M0Type", M0_TYPES, "Say where the calibration comes from."))
    _check_m0(sidecar, m0_type, context, m0, suppression, warnings)
    acquisition = ASL(
        labeling=labeling,
        context=tuple(context),
        post_labeling_delay=delays,
        labeling_duration=durations,
        m0_type=m0_type,
        m0=sidecar.number("M0Estimate", POSITIVE) if m0_type == "Estimate" else _separate(m0_type, m0),
        m0_repetition_time=_m0_repetition_time(sidecar, m0_type, context, m0_sidecar),
        labeling_efficiency=sidecar.optional("LabelingEfficiency", EFFICIENCY),
        background_suppression=suppression,
        background_suppression_pulses=_pulses(sidecar, suppression),
        magnetic_field_strength=sidecar.number("MagneticFieldStrength", FIELD_STRENGTH),
        slice_timing=slice_timing(sidecar, slices, warnings),
    )
    return acquisition, warnings


def _refuse_encoded(sidecar: Sidecar) -> None:
    mend = "Leave this scan out for now; single-readout scans of the session are processed."
    if sidecar.values.get("LookLocker") not in (None, False):
        raise sidecar.refusal("LookLocker", "false: Look-Locker readouts are not processed yet", mend)
    for key, value in sidecar.values.items():
        if value and any(word in key.lower() for word in ("hadamard", "timeencod")):
            raise sidecar.refusal(key, "none: time-encoded labelling is not processed yet", mend)


def _durations(
    sidecar: Sidecar, labeling: str, delays: Sequence[float], used: Sequence[bool], warnings: list[str]
) -> tuple[float, ...]:
    if labeling != "PASL":
        return sidecar.per_volume("LabelingDuration", DURATION, used)
    unknown = "Without a cut-off the duration of a PASL bolus is unknown, and CBF with it."
    if not sidecar.flag("BolusCutOffFlag", unknown):
        raise sidecar.refusal("BolusCutOffFlag", "true, with BolusCutOffDelayTime (s)", unknown)
    technique = sidecar.values.get("BolusCutOffTechnique")
    if technique is None:
        warnings.append(
            "BolusCutOffTechnique is missing; BolusCutOffDelayTime was taken as TI1 (QUIPSS II, Q2TIPS)"
        )
    elif technique not in ("QUIPSSII", "Q2TIPS"):
        raise sidecar.refusal(
            "BolusCutOffTechnique", "QUIPSSII or Q2TIPS, which fix the bolus duration", unknown
        )
    times = sidecar.numbers("BolusCutOffDelayTime", DURATION)
    if list(times) != sorted(times):
        raise sidecar.refusal("BolusCutOffDelayTime", "times that rise", "Give the first saturation first.")
    inversion = {delay for delay, use in zip(delays, used, strict=True) if use}
    if len(inversion) == 1 and times[0] >= max(inversion):
        expected = f"less than the inversion time (PostLabelingDelay = {max(inversion):g} s)"
        raise sidecar.refusal("BolusCutOffDelayTime", expected, "Check which of the two is TI1 and which TI.")
    return tuple(times[0] if use else 0.0 for use in used)


def _check_pairs(
    sidecar: Sidecar, context: Sequence[str], delays: Sequence[float], durations: Sequence[float]
) -> None:
    timing = list(zip(delays, durations, strict=True))
    kinds = {
        kind: Counter(when for when, each in zip(timing, context, strict=True) if each == kind)
        for kind in ("control", "label")
    }
    for when in sorted(kinds["control"].keys() | kinds["label"].keys()):
        controls, labels = kinds["control"][when], kinds["label"][when]
        if controls != labels:
            seen = f"{controls} control and {labels} label volumes with a delay of {when[0]:g} s"
            mend = "Drop the lone volume from image, table and sidecar, or correct the delays."
            raise BolusError(Code.SHAPE, sidecar.path, seen, "as many labels as controls at each delay", mend)


def _check_m0(
    sidecar: Sidecar,
    m0_type: M0Type,
    context: Sequence[str],
    m0: Volume | None,
    suppression: bool,
    warnings: list[str],
) -> None:
    if m0_type == "Separate" and m0 is None:
        mend = "Put the *_m0scan.nii.gz beside the series, and name the series in its IntendedFor."
        raise sidecar.refusal("M0Type", "Separate with an m0scan, and none belongs to this series", mend)
    if m0_type == "Included" and "m0scan" not in context:
        mend = "Mark the calibration volumes in *_aslcontext.tsv, or correct M0Type."
        raise sidecar.refusal(
            "M0Type", "Included with m0scan rows in the aslcontext table; it has none", mend
        )
    if m0_type == "Absent" and suppression:
        mend = "Give an m0scan or an M0Estimate."
        expected = "a calibration: with background suppression the control images are none"
        raise sidecar.refusal("M0Type", expected, mend)
    if m0_type == "Absent" and "control" not in context:
        mend = "Give an m0scan or an M0Estimate."
        raise sidecar.refusal("M0Type", "a calibration: there is no control image to stand in", mend)
    if m0_type != "Separate" and m0 is not None:
        warnings.append(f"M0Type is {m0_type}: the calibration image {m0.path.name} was not used")
    if m0_type != "Included" and "m0scan" in context:
        warnings.append(f"M0Type is {m0_type}: the m0scan volumes of the series were not used")


def _separate(m0_type: M0Type, m0: Volume | None) -> Volume | None:
    return m0 if m0_type == "Separate" else None


def _m0_repetition_time(
    sidecar: Sidecar, m0_type: M0Type, context: Sequence[str], m0_sidecar: Sidecar | None
) -> float | None:
    """The repetition time (s) of whatever serves as M0: at a short one the tissue has not recovered."""
    key = "RepetitionTimePreparation"
    if m0_type == "Estimate":
        return None
    if m0_type == "Separate" and m0_sidecar is not None:
        times = set(m0_sidecar.numbers(key, PREPARATION))
        asked = m0_sidecar
    else:
        serving = "m0scan" if m0_type == "Included" else "control"
        times = set(sidecar.per_volume(key, PREPARATION, [kind == serving for kind in context])) - {0.0}
        asked = sidecar
    if len(times) > 1:
        expected = f"one time for all calibration volumes, not {len(times)}"
        raise asked.refusal(key, expected, "Average calibration volumes of one repetition time only.")
    return times.pop()


def _pulses(sidecar: Sidecar, suppression: bool) -> int | None:
    if not suppression:
        return None
    if "BackgroundSuppressionNumberPulses" in sidecar.values:
        pulses = sidecar.number("BackgroundSuppressionNumberPulses", PULSES)
        if not pulses.is_integer():
            raise sidecar.refusal("BackgroundSuppressionNumberPulses", "a whole number", "Count the pulses.")
        return int(pulses)
    times = sidecar.values.get("BackgroundSuppressionPulseTime")
    return len(times) if isinstance(times, list) else None
