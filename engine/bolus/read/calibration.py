"""What an ASL series is calibrated by: the kind of M0, its image, and how that was acquired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, cast

import numpy as np

from bolus.read.echoes import ECHO_TIME, of_the_echo
from bolus.read.sidecar import Sidecar, Span, seconds
from bolus.series import Scan, Volume

M0Type = Literal["Separate", "Included", "Estimate", "Absent"]
M0_TYPES = ("Separate", "Included", "Estimate", "Absent")
PREPARATION = seconds(0.0, 60.0)
FLIP_ANGLE = Span("degrees", 0.0, 180.0)
POSITIVE = Span("", 0.0, 1e12)
OTHERWISE = "Give an m0scan or an M0Estimate."


class Serving(NamedTuple):
    """How the volumes that serve as M0 were acquired: s (one time, or one each), degrees, s; None where unsaid."""

    repetition_time: float | tuple[float, ...] | None = None
    flip_angle: float | None = None
    echo_time: float | None = None


def calibration_fields(
    sidecar: Sidecar,
    context: Sequence[str],
    m0: Volume | None,
    m0_sidecar: Sidecar | None,
    suppression: bool,
    look_locker: bool,
    echo_time: float | None,
    warnings: list[str],
) -> tuple[M0Type, Volume | float | None, Serving]:
    """The kind of calibration, its image or number, and how it was acquired; E_META where it cannot be used.

    m0 : (x, y, z) or (x, y, z, k), averaged unless its volumes differ in repetition time; of several echo times those
    of the series', `echo_time`, s.
    """
    m0_type = cast(M0Type, sidecar.choice("M0Type", M0_TYPES, "Say where the calibration comes from."))
    if m0_type != "Separate" and m0 is not None:
        warnings.append(f"M0Type is {m0_type}: the calibration image {m0.path.name} was not used")
    if m0_type != "Included" and "m0scan" in context:
        warnings.append(f"M0Type is {m0_type}: the m0scan volumes of the series were not used")
    if m0_type == "Estimate":
        return m0_type, sidecar.number("M0Estimate", POSITIVE), Serving()
    if m0_type == "Separate":
        if m0 is None:
            mend = "Put the *_m0scan.nii.gz beside the series, and name the series in its IntendedFor."
            raise sidecar.refusal("M0Type", "Separate with an m0scan, and none belongs to this series", mend)
        asked = m0_sidecar or Sidecar(m0.path, {}, {})
        volumes = m0.data.shape[3] if m0.data.ndim == 4 else 1
        chosen = of_the_echo(asked, volumes, echo_time, warnings)
        serving = _of_volumes(asked, chosen, look_locker)
        if not all(chosen):
            m0 = replace(m0, data=np.asfortranarray(m0.data[..., chosen]))
        return m0_type, m0 if isinstance(serving.repetition_time, tuple) else _averaged(m0), serving
    kind = "m0scan" if m0_type == "Included" else "control"
    if m0_type == "Included" and kind not in context:
        mend = "Mark the calibration volumes in *_aslcontext.tsv, or correct M0Type."
        expected = "Included with m0scan rows in the aslcontext table; it has none"
        raise sidecar.refusal("M0Type", expected, mend)
    if m0_type == "Absent":
        _check_controls(sidecar, context, suppression, look_locker)
    return m0_type, None, _of_volumes(sidecar, [each == kind for each in context], look_locker)


def calibration_doubts(scan: Scan, sidecar: Sidecar, m0_sidecar: Sidecar) -> list[str]:
    """Which of several calibration images was taken, or that the only one is distorted otherwise than the series."""
    key = "PhaseEncodingDirection"
    ours, its = sidecar.values.get(key), m0_sidecar.values.get(key)
    first, *others = [path.name for path in scan.m0]
    if others:
        how = f", phase-encoded along {its} as the series is" if its and its == ours else ""
        return [f"of {len(scan.m0)} calibration images {first} was used{how}; not used: {', '.join(others)}"]
    if ours and its and ours != its:
        return [
            f"{first} is phase-encoded along {its}, the series along {ours}: they are distorted differently"
        ]
    return []


def _check_controls(sidecar: Sidecar, context: Sequence[str], suppression: bool, look_locker: bool) -> None:
    """Whether the mean control image can stand in for M0."""
    if suppression:
        expected = "a calibration: with background suppression the control images are none"
    elif look_locker:
        expected = "a calibration: Look-Locker readouts saturate the control images"
    elif "control" not in context:
        expected = "a calibration: there is no control image to stand in"
    else:
        return
    raise sidecar.refusal("M0Type", expected, OTHERWISE)


def _of_volumes(sidecar: Sidecar, serving: Sequence[bool], look_locker: bool) -> Serving:
    times = _each(sidecar, "RepetitionTimePreparation", PREPARATION, serving)
    angles = set(_stated(sidecar, "FlipAngle", FLIP_ANGLE, serving)) if look_locker else set()
    echoes = set(_stated(sidecar, "EchoTime", ECHO_TIME, serving))
    return Serving(
        times if len(set(times)) > 1 else times[0],
        angles.pop() if len(angles) == 1 else None,
        echoes.pop() if len(echoes) == 1 else None,
    )


def _each(sidecar: Sidecar, key: str, span: Span, serving: Sequence[bool]) -> tuple[float, ...]:
    """The value of each volume that serves as M0."""
    values = sidecar.per_volume(key, span, serving)
    return tuple(value for value, use in zip(values, serving, strict=True) if use)


def _stated(sidecar: Sidecar, key: str, span: Span, serving: Sequence[bool]) -> tuple[float, ...]:
    """The same, where it is said at all: a list may have 0 for the calibration volumes."""
    value = sidecar.values.get(key)
    said = isinstance(value, list) and len(value) == len(serving)
    zero = said and not any(item for item, use in zip(value or [], serving, strict=True) if use)
    return () if value is None or zero else _each(sidecar, key, span, serving)


def _averaged(m0: Volume) -> Volume:
    if m0.data.ndim == 3:
        return m0
    mean = m0.data.mean(axis=3, dtype=np.float64)
    return replace(m0, data=np.asfortranarray(mean, np.float32))
