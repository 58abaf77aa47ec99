"""Which volumes make a difference, with which sign: pairs of control and label, or the parts of an encoded label."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code
from bolus.prepare.asl.encoding import part_delays, part_durations, signs_of
from bolus.recipe import NONE, Recipe
from bolus.series import ASL, Array, Series, Volume
from bolus.voxels import by_time, refuse
from bolus_kernels.asl.pairs import combined

TIMES_DIFFER = 0.01
"""Share by which a stated label duration may be off the sum of its parts: protocols round."""


class Columns(NamedTuple):
    """Differences as weighted sums of volumes.

    weights : (t, volumes) float64. delay, duration : (t,) float64, s, of the label that each one shows; where it is
    read out several times (Look-Locker) first : (t,) float64, s, the delay of its first readout; angle : (t,) float64,
    degrees, of this one (0 without); pulses : (t, k) float64, degrees, of all of them in their order (k = 0 without).
    """

    weights: NDArray[np.float64]
    delay: NDArray[np.float64]
    duration: NDArray[np.float64]
    first: NDArray[np.float64]
    angle: NDArray[np.float64]
    pulses: NDArray[np.float64]

    @property
    def alike(self) -> tuple[NDArray[np.float64], ...]:
        """What columns that repeat each other share, (t,) each."""
        return self.delay, self.duration, self.angle

    def bright(self) -> list[int]:
        """The volumes that count positively anywhere: what an image of the brain can be averaged from."""
        return [int(volume) for volume in np.flatnonzero((self.weights > 0).any(0))]

    def volumes(self) -> int:
        """How many volumes enter any difference."""
        return int((self.weights != 0).any(0).sum())


def columns_of(series: Series, acquisition: ASL, recipe: Recipe, warnings: list[str]) -> Columns:
    """One column for each pair, each `deltam` volume and each part of an encoded label, in the order of volumes.

    Raises BolusError: E_SHAPE where controls and labels do not pair or a cycle of encodings is not whole, E_META
    where the series shows no label, or is encoded and the recipe does not say how.
    """
    if recipe["asl.encoding"] == NONE:
        _check_plain(series, acquisition)
        found = [*_pairs(series, acquisition), *_differences(acquisition)]
    else:
        found = [*_parts(series, acquisition, recipe, warnings), *_differences(acquisition)]
    if not found:
        seen = f"volume types {sorted(set(acquisition.context))}"
        raise refuse(series, Code.META, seen, "control and label, or deltam", "Check *_aslcontext.tsv.")
    found.sort(key=lambda column: column[0])
    weights = np.zeros((len(found), len(acquisition.context)))
    for row, (_, volumes, *_) in zip(weights, found, strict=True):
        for volume, weight in volumes.items():
            row[volume] = weight
    timing = np.array([times for _, _, *times in found])
    delay, duration, first, angle = timing.T
    pulses = _pulses(acquisition, delay, duration, first, angle)
    return Columns(weights, delay, duration, first, angle, pulses)


def differences(image: Volume, columns: Columns, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Every column of every voxel (t, n) float32, in the signal's unit."""
    found = combined(by_time(image), rows, image.slope * columns.weights)
    for row, balance in zip(found, columns.weights.sum(1), strict=True):
        if abs(balance) > 1e-9:  # where as many count negatively the intercept cancels
            row += np.float32(image.inter * balance)
    return found


Column = tuple[int, dict[int, float], float, float, float, float]


def _pulses(acquisition: ASL, delay: Array, duration: Array, first: Array, angle: Array) -> Array:
    """Angles (t, k) of all readouts of each column's label: its own angle where labels have one each, else by delay."""
    if acquisition.look_locker_interval is None:
        return np.empty((len(delay), 0))
    number = np.rint((delay - first) / acquisition.look_locker_interval).astype(np.int64)
    pulses = np.repeat(angle[:, None], number.max() + 1, axis=1)
    for begin, tau in np.unique(np.stack([first, duration], axis=1), axis=0):
        its = np.flatnonzero((first == begin) & (duration == tau))
        shown = np.unique(np.stack([number[its], angle[its]], axis=1), axis=0)
        if len(shown) == np.unique(shown[:, 0]).size and np.ptp(shown[:, 1]) > 0:
            pulses[its] = 0.0
            for k, one in shown:
                pulses[its, int(k)] = one
    return pulses


def _timed(acquisition: ASL, *kinds: str) -> Iterator[tuple[tuple[float, float, float], list[int]]]:
    """The volumes of some types, in their order, with delay, duration (s) and flip angle (degrees) that they share."""
    angles = acquisition.flip_angle

    def timing(volume: int) -> tuple[float, float, float]:
        angle = 0.0 if angles is None else angles[volume]
        return acquisition.post_labeling_delay[volume], acquisition.labeling_duration[volume], angle

    chosen = [volume for volume, kind in enumerate(acquisition.context) if kind in kinds]
    for when, volumes in groupby(sorted(chosen, key=timing), key=timing):
        yield when, list(volumes)


def _first(acquisition: ASL) -> dict[float, float]:
    """The least delay (s) of the labels of each duration (s)."""
    first: dict[float, float] = {}
    times = zip(
        acquisition.context, acquisition.post_labeling_delay, acquisition.labeling_duration, strict=True
    )
    for kind, delay, duration in times:
        if kind in ("control", "label", "deltam"):
            first[duration] = min(delay, first.get(duration, delay))
    return first


def _pairs(series: Series, acquisition: ASL) -> Iterator[Column]:
    first = _first(acquisition)
    for (delay, duration, angle), volumes in _timed(acquisition, "control", "label"):
        controls = [volume for volume in volumes if acquisition.context[volume] == "control"]
        labels = [volume for volume in volumes if acquisition.context[volume] == "label"]
        if len(controls) != len(labels):
            seen = f"{len(controls)} control and {len(labels)} label volumes with a delay of {delay:g} s"
            seen += f" and a flip angle of {angle:g} degrees" if angle else ""
            mend = (
                "Drop the lone volume from image, table and sidecar, or correct the delays; "
                "of a time-encoded series say asl.encoding in the recipe."
            )
            raise _of_table(series, seen, "as many labels as controls at each delay", mend)
        for control, label in zip(controls, labels, strict=True):
            weights = {control: 1.0, label: -1.0}
            yield control, weights, delay, duration, first[duration], angle


def _differences(acquisition: ASL) -> Iterator[Column]:
    first = _first(acquisition)
    for (delay, duration, angle), volumes in _timed(acquisition, "deltam"):
        for volume in volumes:
            yield volume, {volume: 1.0}, delay, duration, first[duration], angle


def _parts(series: Series, acquisition: ASL, recipe: Recipe, warnings: list[str]) -> Iterator[Column]:
    """dM_b = (2/N) sum_i H_ib S_i over each cycle of N volumes (Gunther 2007; Teeuwisse et al. 2014)."""
    if acquisition.labeling not in ("PCASL", "CASL"):
        seen = f"asl.encoding = {recipe['asl.encoding']}, and ArterialSpinLabelingType {acquisition.labeling}"
        raise refuse(
            series, Code.RECIPE, seen, "PCASL or CASL, whose label has parts", "Set asl.encoding = none."
        )
    signs = signs_of(recipe)
    size = len(signs)
    groups = list(_timed(acquisition, "control", "label"))
    for (delay, *_), volumes in groups:
        if len(volumes) % size:
            seen = f"{len(volumes)} volumes for an encoding of {size} with a delay of {delay:g} s"
            mend = "Check asl.encoding_size, and that the conversion kept every volume."
            raise _of_table(series, seen, f"whole cycles of {size} volumes", mend)
    durations = part_durations(series, acquisition, recipe, size)
    for (delay, stated, angle), volumes in groups:
        if abs(stated - durations.sum()) > TIMES_DIFFER * stated:
            warnings.append(
                f"LabelingDuration is {stated:g} s, and the parts of the label last {durations.sum():g} s together"
            )
        delays = part_delays(delay, durations)
        first = part_delays(_first(acquisition)[stated], durations)
        timing = np.stack([delays, durations, first], axis=1).tolist()
        for begin in range(0, len(volumes), size):
            cycle = volumes[begin : begin + size]
            for part in range(1, size):
                weights = dict(zip(cycle, (2 / size * signs[:, part]).tolist(), strict=True))
                its_delay, its_duration, its_first = timing[part - 1]
                yield cycle[0], weights, its_delay, its_duration, its_first, angle


def _check_plain(series: Series, acquisition: ASL) -> None:
    seen = None
    if acquisition.sub_bolus_duration:
        seen = f"LabelingDuration with {len(acquisition.sub_bolus_duration)} parts of a label"
    elif acquisition.time_encoded:
        seen = f"{acquisition.time_encoded} in the sidecar"
    if seen:
        expected = "one label per volume, or asl.encoding in the recipe"
        mend = "Set asl.encoding and asl.encoding_size: BIDS has no field for the matrix of a time-encoded label."
        raise refuse(series, Code.META, seen, expected, mend)


def _of_table(series: Series, seen: str, expected: str, mend: str) -> BolusError:
    return BolusError(Code.SHAPE, series.scan.context or series.scan.images[0], seen, expected, mend)
