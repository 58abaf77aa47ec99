"""A DSC sidecar -> how the series was acquired, held against the image's own header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bolus.errors import BolusError, Code
from bolus.read.sidecar import Sidecar, Span, seconds
from bolus.series import DSC, Volume

# A gradient echo below 1 ms or a volume faster than 0.1 s is no DSC series; above, it is milliseconds.
ECHO_TIME = seconds(0.001, 1.0, closed=True)
REPETITION_TIME = seconds(0.1, 30.0, closed=True)
FLIP_ANGLE = Span("degrees", 0.0, 180.0)
FIELD_STRENGTH = Span("T", 0.0, 20.0)
# A converter that knows no repetition time writes 1 second.
UNSET_STEP = 1.0
TOLERANCE = 0.01


def dsc_fields(sidecars: Sequence[Sidecar], images: Sequence[Volume]) -> tuple[DSC, list[str]]:
    """Echo times (s), repetition time (s), flip angle (degrees) and field strength (T) of a DSC series.

    A sidecar and an image for each echo. Returns the acquisition and what is doubtful in it. Raises E_META for a
    field that is missing, outside its range, contradicted by the header's time between volumes or by another echo.
    """
    echoes, doubts = [], []
    for sidecar, image in zip(sidecars, images, strict=True):
        echoes.append(_fields(sidecar))
        doubts += _against_header(sidecar, image, echoes[-1].repetition_time)
    first = echoes[0]
    for sidecar, echo, before in zip(sidecars[1:], echoes[1:], echoes, strict=False):
        if echo.repetition_time != first.repetition_time:
            expected = f"{first.repetition_time:g} s, as the first echo has"
            raise sidecar.refusal("RepetitionTime", expected, "Echoes of one shot have one RepetitionTime.")
        if not echo.echo_time > before.echo_time:
            expected = f"more than {before.echo_time[0]:g} s, the echo before it"
            mend = "Give each echo its own EchoTime, in a sidecar of its own (echo-1, echo-2, ... by time)."
            raise sidecar.refusal("EchoTime", expected, mend)
    return replace(first, echo_time=tuple(echo.echo_time[0] for echo in echoes)), doubts


def _fields(sidecar: Sidecar) -> DSC:
    if "RepetitionTime" not in sidecar.values and "VolumeTiming" in sidecar.values:
        mend = "Give RepetitionTime if volumes are evenly spaced; uneven spacing is not processed."
        raise sidecar.refusal("VolumeTiming", "RepetitionTime (s) instead", mend)
    return DSC(
        echo_time=(sidecar.number("EchoTime", ECHO_TIME),),
        repetition_time=sidecar.number("RepetitionTime", REPETITION_TIME),
        flip_angle=sidecar.optional("FlipAngle", FLIP_ANGLE),
        magnetic_field_strength=sidecar.optional("MagneticFieldStrength", FIELD_STRENGTH),
    )


def _against_header(sidecar: Sidecar, image: Volume, repetition_time: float) -> list[str]:
    step = image.time_step
    if step is None or abs(step - repetition_time) <= TOLERANCE * repetition_time:
        return []
    if abs(step / 1000 - repetition_time) <= TOLERANCE * repetition_time:
        return [f"the header says {step:g} s between volumes: milliseconds; RepetitionTime was used"]
    if step == UNSET_STEP:
        return [
            "the header says 1 s between volumes, as converters do that know none; RepetitionTime was used"
        ]
    seen = f"RepetitionTime = {repetition_time:g} s, and {step:g} s between volumes in the header (pixdim[4])"
    mend = "RepetitionTime is the time from one volume to the next, not of one shot: correct the wrong one."
    raise BolusError(
        Code.META, sidecar.origin["RepetitionTime"], seen, "the same time in sidecar and header", mend
    )
