"""When each slice of an ASL volume was read out, by index along the third axis."""

from __future__ import annotations

from bolus.read.sidecar import Sidecar, seconds

READOUT = seconds(0.0, 20.0, closed=True)


def slice_timing(sidecar: Sidecar, slices: int, warnings: list[str]) -> tuple[float, ...] | None:
    """(slices,) s after the first slice was read out; None for a 3D readout, which has one time.

    Adds to `warnings` what is doubtful. Raises E_META where a 2D readout of several slices does not say its
    times, or says them along another axis. Source: BIDS 1.10, SliceTiming and SliceEncodingDirection.
    """
    readout = sidecar.choice(
        "MRAcquisitionType", ("2D", "3D"), "A 2D readout delays each slice by its own time."
    )
    if readout == "3D":
        if "SliceTiming" in sidecar.values:
            warnings.append("MRAcquisitionType is 3D: SliceTiming was not used")
        return None
    if slices == 1 and "SliceTiming" not in sidecar.values:
        return (0.0,)
    times = sidecar.numbers("SliceTiming", READOUT)
    if len(times) != slices:
        expected = f"{slices} times (s), one per slice ({len(times)} are given)"
        raise sidecar.refusal("SliceTiming", expected, "Give one time per slice of the image.")
    direction = sidecar.values.get("SliceEncodingDirection", "k")
    if direction not in ("k", "k-"):
        mend = "Reorient the image so that slices lie along its third axis."
        raise sidecar.refusal("SliceEncodingDirection", "k or k-: slices along the third axis", mend)
    if direction == "k-":
        times = times[::-1]
    first = min(times)
    return tuple(time - first for time in times)
