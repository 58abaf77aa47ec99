"""Of several echoes of an ASL series or its calibration, the one that is quantified: that of the shortest time.

No combination of echoes is a published standard for blood flow, and T2* cancels in (control - label)/M0 of one echo.
"""

from __future__ import annotations

from collections.abc import Sequence

from bolus.errors import BolusError, Code
from bolus.read.sidecar import Sidecar, seconds
from bolus.series import Scan

ECHO_TIME = seconds(0.0, 0.5)
OTHER_ECHO = "otherEcho"
"""What a volume of a longer echo is called in place of its type."""
SAME = 1e-4
"""s; echo times that differ by less are one, for sidecars round."""
NOTABLE = 1e-3
"""s; from here on T2* decay between two echoes is worth a warning: 2 % at 50 ms."""


def shortest_echo(scan: Scan, sidecars: Sequence[Sidecar]) -> tuple[int, list[str]]:
    """Which image of a scan has the shortest echo time, and what is said of the others.

    Raises E_META where an echo time is missing or two are equal.
    """
    if len(sidecars) == 1:
        return 0, []
    times = [sidecar.number("EchoTime", ECHO_TIME) for sidecar in sidecars]
    first, second = sorted(times)[:2]
    if second - first < SAME:
        seen = f"EchoTime {', '.join(f'{time:g}' for time in times)} s of {len(times)} echoes"
        mend = "Correct EchoTime, or give runs of one echo time a run entity instead of echo."
        raise BolusError(Code.META, scan.images[0], seen, "one echo of the shortest time", mend)
    chosen = times.index(first)
    others = ", ".join(f"{path.name} ({times[n]:g} s)" for n, path in enumerate(scan.images) if n != chosen)
    said = f"of {len(times)} echoes that of the shortest time, {scan.images[chosen].name} ({first:g} s), was used"
    return chosen, [f"{said}; not used: {others}"]


def one_echo(
    sidecar: Sidecar, context: Sequence[str], excited: Sequence[str], warnings: list[str]
) -> tuple[tuple[str, ...], float | None]:
    """Volume types, OTHER_ECHO for those of a longer echo than the shortest; and that echo's time (s), if it is said.

    excited : the types that show a label. Calibration volumes of another echo go as well, unless all are.
    """
    value = sidecar.values.get("EchoTime")
    if value is None:
        return tuple(context), None
    said = value if isinstance(value, list) and len(value) == len(context) else [value] * len(context)
    asked = [
        kind in excited or (kind == "m0scan" and item != 0) for kind, item in zip(context, said, strict=True)
    ]
    times = sidecar.per_volume("EchoTime", ECHO_TIME, asked)
    each = list(zip(context, times, strict=True))
    shortest = min((time for kind, time in each if kind in excited), default=None)
    if shortest is None:
        return tuple(context), None
    other = [time > 0 and abs(time - shortest) > SAME for time in times]
    m0 = [aside for kind, aside in zip(context, other, strict=True) if kind == "m0scan"]
    if m0 and all(m0):
        warnings.append("the m0scan volumes are of another echo time than the series: T2* does not cancel")
        other = [aside and kind != "m0scan" for kind, aside in zip(context, other, strict=True)]
    if any(other):
        longer = sorted({time for time, aside in zip(times, other, strict=True) if aside})
        warnings.append(
            f"the volumes of the shortest echo time, {shortest:g} s, were used; {sum(other)} of other ones "
            f"({', '.join(f'{time:g}' for time in longer)} s) were set aside"
        )
    kinds = (OTHER_ECHO if aside else kind for kind, aside in zip(context, other, strict=True))
    return tuple(kinds), shortest


def of_the_echo(sidecar: Sidecar, volumes: int, echo_time: float | None, warnings: list[str]) -> list[bool]:
    """Which volumes of a calibration image are of the echo time (s) of its series, or of the nearest to it."""
    value = sidecar.values.get("EchoTime")
    if value is None:
        return [True] * volumes
    times = sidecar.per_volume("EchoTime", ECHO_TIME, [True] * volumes)
    wanted = min(times) if echo_time is None else min(times, key=lambda time: abs(time - echo_time))
    if echo_time is not None and abs(wanted - echo_time) > NOTABLE:
        warnings.append(
            f"the calibration has an echo time of {wanted:g} s, the series {echo_time:g} s: T2* does not cancel"
        )
    chosen = [abs(time - wanted) < SAME for time in times]
    if not all(chosen):
        warnings.append(
            f"{volumes - sum(chosen)} calibration volumes of other echo times than {wanted:g} s were set aside"
        )
    return chosen
