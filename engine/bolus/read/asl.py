"""An ASL sidecar and its table of volumes -> how the series was acquired."""

from __future__ import annotations

from collections.abc import Sequence

from bolus.read.calibration import calibration_fields
from bolus.read.echoes import one_echo
from bolus.read.labeling import EXCITED, bolus_of, labeling_of, look_locker
from bolus.read.sidecar import Sidecar, Span, seconds
from bolus.read.slices import slice_timing
from bolus.series import ASL, Volume

DELAY = seconds(0.0, 20.0)
EFFICIENCY = Span("", 0.0, 1.0, "percent", 0.01)
FIELD_STRENGTH = Span("T", 0.0, 20.0)
PULSES = Span("pulses", 0.0, 20.0, closed=True)
PULSE_TIME = seconds(0.0, 20.0, closed=True)
UNUSED = {"cbf": "were quantified elsewhere and", "noRF": "hold no signal and"}


def asl_fields(
    sidecar: Sidecar,
    context: Sequence[str],
    shape: Sequence[int],
    m0: Volume | None,
    m0_sidecar: Sidecar | None,
    bolus_duration: float | None = None,
) -> tuple[ASL, list[str]]:
    """Labelling, delays (s), durations (s), calibration and slice times (s) of an ASL series (x, y, z).

    `context` holds the type of each volume; `m0` is the separate calibration image, if there is one;
    `bolus_duration` (s) is what a user says of a pulsed bolus that was not cut off.
    Returns the acquisition and what is doubtful in it. Raises E_META for a field that is missing, outside
    its range or contradicted by another.
    Source: BIDS 1.10, arterial spin labeling perfusion data.
    """
    warnings = [
        f"{context.count(kind)} {kind} volumes {why} were not used"
        for kind, why in UNUSED.items()
        if kind in context
    ]
    context, echo_time = one_echo(sidecar, context, EXCITED, warnings)
    labeling = labeling_of(sidecar)
    used = [kind in EXCITED for kind in context]
    delays = sidecar.per_volume("PostLabelingDelay", DELAY, used)
    bolus = bolus_of(sidecar, labeling, delays, used, bolus_duration, warnings)
    interval, flip_angle = look_locker(sidecar, delays, bolus.duration, used)
    suppression = sidecar.flag("BackgroundSuppression", "It changes the labelling efficiency: say which.")
    m0_type, image, serving = calibration_fields(
        sidecar, context, m0, m0_sidecar, suppression, interval is not None, echo_time, warnings
    )
    timing, axis = slice_timing(sidecar, shape, warnings)
    acquisition = ASL(
        labeling=labeling,
        context=tuple(context),
        post_labeling_delay=delays,
        labeling_duration=bolus.duration,
        m0_type=m0_type,
        m0=image,
        m0_repetition_time=serving.repetition_time,
        labeling_efficiency=sidecar.optional("LabelingEfficiency", EFFICIENCY),
        background_suppression=suppression,
        background_suppression_pulses=_pulses(sidecar, suppression),
        magnetic_field_strength=sidecar.number("MagneticFieldStrength", FIELD_STRENGTH),
        slice_timing=timing,
        slice_axis=axis,
        bolus_cut_off=bolus.cut_off,
        bolus_stated=bolus.stated,
        sub_bolus_duration=bolus.parts,
        time_encoded=bolus.encoded,
        look_locker_interval=interval,
        flip_angle=flip_angle,
        m0_flip_angle=serving.flip_angle,
        m0_echo_time=serving.echo_time,
    )
    return acquisition, warnings


def _pulses(sidecar: Sidecar, suppression: bool) -> int | None:
    """How many inversions the label went through; None where the sidecar does not say."""
    if not suppression:
        return None
    key, times = "BackgroundSuppressionNumberPulses", "BackgroundSuppressionPulseTime"
    listed = len(sidecar.numbers(times, PULSE_TIME)) if sidecar.values.get(times) else None
    if key not in sidecar.values:
        return listed
    pulses = sidecar.number(key, PULSES)
    if not pulses.is_integer():
        raise sidecar.refusal(key, "a whole number", "Count the pulses.")
    if listed not in (None, int(pulses)):
        expected = f"{listed}, as many as {times} has"
        raise sidecar.refusal(key, expected, "Correct the one that is wrong: each pulse costs label.")
    return int(pulses)
