"""When each slice of an ASL volume was read out, by index along the axis that slices go along."""

from __future__ import annotations

from collections.abc import Sequence

from bolus.read.sidecar import Sidecar, seconds

READOUT = seconds(0.0, 20.0, closed=True)
PREPARATION = seconds(0.0, 60.0, closed=True)
AXES = ("i", "j", "k")
DIRECTIONS = tuple(f"{axis}{way}" for axis in AXES for way in ("", "-"))


def slice_timing(
    sidecar: Sidecar, shape: Sequence[int], warnings: list[str]
) -> tuple[tuple[float, ...] | None, int]:
    """(slices,) s after the first slice was read out, and the axis of the image (x, y, z) that slices go along.

    None for a 3D readout, which has one time. Slices of equal times (multiband) are as good as others. Adds to
    `warnings` what is doubtful. Raises E_META where a 2D readout of several slices does not say its times, or
    says other than one for each slice. Source: BIDS 1.10, SliceTiming and SliceEncodingDirection.
    """
    readout = sidecar.choice(
        "MRAcquisitionType", ("2D", "3D"), "A 2D readout delays each slice by its own time."
    )
    if readout == "3D":
        if "SliceTiming" in sidecar.values:
            warnings.append("MRAcquisitionType is 3D: SliceTiming was not used")
        return None, 2
    direction = sidecar.values.get("SliceEncodingDirection", "k")
    if direction not in DIRECTIONS:
        raise sidecar.refusal("SliceEncodingDirection", f"one of {', '.join(DIRECTIONS)}", "Correct it.")
    axis = AXES.index(direction[0])
    slices = shape[axis]
    if slices == 1 and "SliceTiming" not in sidecar.values:
        return (0.0,), axis
    times = sidecar.numbers("SliceTiming", READOUT)
    if len(times) != slices:
        expected = f"{slices} times (s), one per slice along {direction[0]} ({len(times)} are given)"
        raise sidecar.refusal("SliceTiming", expected, "Give one time per slice of the image.")
    _check_within_repetition(sidecar, max(times))
    first = min(times)
    since = tuple(time - first for time in times)
    return since[::-1] if direction.endswith("-") else since, axis


def _check_within_repetition(sidecar: Sidecar, last: float) -> None:
    key = "RepetitionTimePreparation"
    if key in sidecar.values:
        longest = max(sidecar.numbers(key, PREPARATION))
        if 0 < longest <= last:
            expected = f"times within the repetition time ({longest:g} s; here up to {last:g})"
            raise sidecar.refusal("SliceTiming", expected, "Give seconds, after the first slice of a volume.")
