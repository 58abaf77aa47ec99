"""The steady state of a DSC series: when the bolus comes, which volumes before it are baseline, what is odd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.series import Series, Volume
from bolus.voxels import refuse, some_of
from bolus_kernels.dsc.traits import mean_curve

FEWEST_BASELINE, FEWEST_AFTER = 3, 5
LEAST_DROP = 0.01
MARGIN = 8
"""Of so many baseline volumes the last is left out, and one at least: arteries fill before the brain does."""
NORMAL_BEND = 1.4826 / np.sqrt(6)
"""From the median size of a second difference in time to a standard deviation of normal noise."""
TOUCHED, DISTURBED, SPIKE = 0.05, 0.1, 0.3
PRELOAD, SECOND, UNFINISHED = 0.2, 0.4, 0.35
"""All in parts of the fall: of arrival; of what is left out of a baseline; of one odd volume; of an earlier and a
later bolus (recirculation is under a quarter); of what is still missing at the end."""
CLEAR = 3.5
"""Of a fall, in standard deviations of a volume: single volumes are passed over, which takes a third of the noise."""
SHORT = 0.25
"""In a series of which the bolus fills more, the slope of all volumes is the bolus's own, no drift."""
DROPOUT = 2.0
"""A volume whose mean differs from its neighbours' by this factor holds another image, or none."""
UNTIL_THE_END = (
    "the series ends while the bolus is still passing: blood volumes and transit times are too low"
)

Mean = NDArray[np.float64]


@dataclass(frozen=True)
class Steady:
    """The volumes (first, stop) before the bolus whose mean is S0, and what is doubtful about the series."""

    baseline: tuple[int, int]
    doubts: tuple[str, ...] = ()


def mean_signal(image: Volume, raw: NDArray[Any], rows: NDArray[np.int64]) -> Mean:
    """The mean signal (t,) of enough of the voxels `rows` without NaN, from a series (t, N) as stored."""
    rows = some_of(rows)
    if raw.dtype.kind == "f":
        rows = rows[np.isfinite(raw[:, rows]).all(axis=0)]
    if rows.size == 0:
        return np.zeros(len(raw))
    return np.asarray(image.slope * mean_curve(raw.T, rows) + image.inter)


def steady_state(series: Series, mean: Mean, dropped: int = 0) -> Steady:
    """Baseline and doubts of a series, from the mean signal (t,) of its brain, `dropped` volumes of it left out.

    The bolus is the deepest fall below the trend of the series, single volumes passed over. Going back from it, the
    first volume within two standard deviations of the noise (at least 5 % of the fall) of the level before is the
    last one before arrival. Of what is before, the longest run near that level is the baseline: not the first
    volumes where they are brighter, not a volume that was moved in, and not the last before arrival.
    Raises BolusError: E_DATA when no fall is clear of noise or a volume holds no signal, E_TOO_FEW when fewer than
    3 volumes are left before arrival or fewer than 5 from the deepest fall on.
    """
    calm = _without_single_volumes(mean)
    noise = NORMAL_BEND * float(np.median(np.abs(np.diff(mean, 2))))
    _check_dropouts(series, mean, calm, dropped)
    drift = _drift(calm)
    middle = float(np.median(calm - drift))
    lowest = int(np.argmin(calm - drift))
    drop = middle - float(calm[lowest] - drift[lowest])
    if not drop > max(LEAST_DROP * middle, CLEAR * noise):
        seen = (
            f"a mean signal around {np.median(mean):.4g} that falls by {drop:.2g} at most (noise {noise:.2g})"
        )
        raise refuse(
            series, Code.DATA, seen, "a bolus of contrast agent: a fall of 1 % and more, clear of noise",
            "Check that this is the DSC series, and that contrast agent was given during it.",
        )  # fmt: skip
    if np.mean(calm - drift < middle - drop / 4) > SHORT:
        drift[:] = 0.0
    flat, calm = mean - drift, calm - drift
    arrival, level = _arrival(calm, lowest, noise)
    drop = level - float(calm[lowest])
    doubts = []
    if arrival > 0 and level - calm[:arrival].min() > max(PRELOAD * drop, CLEAR * noise):
        arrival, level = _arrival(calm, int(np.argmin(calm[:arrival])), noise)
        doubts.append(_two(lowest + dropped))
    elif (later := _fallen_again(calm, lowest, max(SECOND * drop, 2 * CLEAR * noise))) is not None:
        doubts.append(_two(later + dropped))
    near = np.abs(flat[:arrival] - level) <= max(4 * noise, DISTURBED * drop)
    first, stop = _longest_run(near)
    if stop == arrival and stop - first > FEWEST_BASELINE:
        stop -= max(1, (stop - first) // MARGIN)
    if stop - first < FEWEST_BASELINE or mean.size - lowest < FEWEST_AFTER:
        seen = f"the bolus from volume {arrival + 1} to {lowest + 1} of {mean.size} (dummy scans dropped)"
        raise refuse(
            series, Code.TOO_FEW, seen, f"{FEWEST_BASELINE} volumes before it and {FEWEST_AFTER} after",
            "Check the order of volumes and dsc.dummy_scans.",
        )  # fmt: skip
    bright = first if not near[:first].any() and (flat[:first] > level).all() else 0
    odd = np.abs(flat - calm) > max(6 * noise, SPIKE * drop)
    odd[:arrival] |= ~near
    doubts += _too_bright(bright, dropped) + _odd(np.flatnonzero(odd[bright:]) + bright + dropped)
    if level - float(np.median(calm[-FEWEST_BASELINE:])) > UNFINISHED * drop:
        doubts.append(UNTIL_THE_END)
    return Steady((first, stop), tuple(doubts))


def _without_single_volumes(mean: Mean) -> Mean:
    """Each volume replaced by the median of itself and its two neighbours; at the ends by its neighbour."""
    padded = np.concatenate([mean[1:2], mean, mean[-2:-1]])
    return np.asarray(np.median(np.stack([padded[:-2], mean, padded[2:]]), axis=0))


def _drift(mean: Mean) -> Mean:
    """The slow change of the signal, zero on average: the median slope (Sen, J Am Stat Assoc 63:1379, 1968)."""
    earlier, later = np.triu_indices(mean.size, 1)
    slope = np.median((mean[later] - mean[earlier]) / (later - earlier))
    return np.asarray(slope * (np.arange(mean.size) - (mean.size - 1) / 2))


def _arrival(calm: Mean, lowest: int, noise: float) -> tuple[int, float]:
    """The first volume of the bolus whose deepest volume is `lowest`, and the level before it."""
    level = float(np.median(calm[: max(FEWEST_BASELINE, lowest // 2)]))
    tolerance = max(2 * noise, TOUCHED * (level - float(calm[lowest])))
    arrival = lowest
    while arrival > 0 and calm[arrival - 1] < level - tolerance:
        arrival -= 1
    return arrival, float(np.median(calm[: max(FEWEST_BASELINE, arrival)]))


def _fallen_again(calm: Mean, lowest: int, least: float) -> int | None:
    """Where, after the deepest fall, the signal lies `least` below what it had come back to."""
    back = np.maximum.accumulate(calm[lowest:]) - calm[lowest:]
    return lowest + int(np.argmax(back)) if back.max() > least else None


def _longest_run(near: NDArray[np.bool_]) -> tuple[int, int]:
    """The longest stretch (first, stop) of volumes that are true, the last of equal ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    if starts.size == 0:
        return 0, 0
    longest = starts.size - 1 - int(np.argmax((stops - starts)[::-1]))
    return int(starts[longest]), int(stops[longest])


def _check_dropouts(series: Series, mean: Mean, calm: Mean, dropped: int) -> None:
    inside = slice(1, mean.size)  # before the steady state a first volume may well be twice as bright
    odd = (mean[inside] * DROPOUT < calm[inside]) | (mean[inside] > DROPOUT * calm[inside])
    if odd.any():
        volume = 1 + int(np.argmax(odd))
        seen = (
            f"volume {volume + dropped} (counted from 0) with a mean of {mean[volume]:.4g} in the brain "
            f"between neighbours of {calm[volume]:.4g}"
        )
        raise refuse(
            series,
            Code.DATA,
            seen,
            "a signal in every volume",
            "Convert the scan again; a frame was lost or replaced.",
        )


def _too_bright(count: int, dropped: int) -> list[str]:
    if count == 0:
        return []
    return [
        f"the first {count} volumes are brighter than the steady state; they are not in the baseline, "
        f"but they are in the curves: drop them with dsc.dummy_scans = {dropped + count}"
    ]


def _odd(volumes: NDArray[np.int64]) -> list[str]:
    if volumes.size == 0:
        return []
    listed = ", ".join(map(str, volumes[:8]))
    return [
        f"volumes unlike their neighbours ({listed}, counted from 0): motion or an artefact; they are not in the "
        "baseline, but they are in the curves"
    ]


def _two(volume: int) -> str:
    return (
        f"two boluses, the second at volume {volume} (counted from 0): blood volume and flow are of both together; "
        "if one was a preload, leave its volumes out with dsc.dummy_scans"
    )
