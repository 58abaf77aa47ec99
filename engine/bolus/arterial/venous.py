"""The venous output: late curves of the largest area, by which an arterial input with partial volume is scaled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.arterial.candidates import clipped, foremost, smoothed
from bolus.arterial.quality import first_moment, mean_of, width
from bolus.series import AIF
from bolus_kernels.dsc.traits import Shape

Array = NDArray[Any]

WIDEST, LEAST_HEIGHT = 3.0, 0.25
FEWEST, FULL = 5, 0.9
HALF = 0.5
"""A vein's curve is low and its recirculation high: only above half its peak is it surely the first pass."""
SANE_SCALE = (0.8, 10.0)


@dataclass(frozen=True)
class Vein:
    """The venous output: its curve (t,) 1/s, its area (1), its voxels, how it was found."""

    curve: NDArray[np.float64]
    area: float
    voxels: Array
    how: str


def vein_from_mask(curves: Array, time: Array) -> Vein | None:
    """The mean of the curves (n, t), 1/s, of a mask's voxels, or None where none can be used. time : (t,) s."""
    chosen = np.flatnonzero(np.isfinite(curves).all(1))
    if chosen.size == 0:
        return None
    curve = mean_of(curves, chosen)
    return Vein(curve, float(np.trapezoid(curve, time)), chosen, "mask")


def find_vein(
    curves: Array,
    time: Array,
    baseline: tuple[int, int],
    artery: AIF,
    brain: Array,
    ceiling: Array | None = None,
    shape: Shape | None = None,
) -> Vein | None:
    """The voxels of the largest area among curves that pass no earlier than the brain's mean; None without any.

    curves : (n, t), 1/s. time : (t,) s. brain : (t,) 1/s, the mean curve. ceiling : (n,) 1/s, above it noise hides
    the signal. shape : of the curves, where it is known already. Voxels are chosen by their areas over the even
    volumes and measured by those over the odd ones, each with its own baseline: the largest of many noisy areas is
    too large, but its other half does not know that it was chosen.
    """
    among = foremost(curves, "area", shape=shape)
    if ceiling is not None:
        among = among[~clipped(curves[among], ceiling[among])]
    among = among[_venous(curves[among], time, artery, brain)]
    if among.size < FEWEST:
        return None
    chosen_by, measured_by = _halves(np.asarray(curves[among], np.float64), baseline)
    full = chosen_by >= FULL * np.sort(chosen_by)[-FEWEST:].mean()
    chosen = np.sort(among[full])
    area = 2 * float(time[1] - time[0]) * float(measured_by[full].mean())
    return (
        Vein(mean_of(curves, chosen), area, chosen, "late curves of the largest area") if area > 0 else None
    )


def scaled_to_vein(artery: AIF, vein: Vein) -> AIF:
    """The artery's curve times the vein's area over its own, for no artery fills its voxel but a large vein does.

    The vein lags, so the end of the series cuts more of it off: the artery's area leaves out as much.
    Its quality gains VofScale, VofArea, VofVoxels and VofLag (s); a scale out of reason is a warning.
    Source: Calamante, Prog Nucl Magn Reson Spectrosc 74:1 (2013), partial volume of the input function.
    """
    step = artery.time[1] - artery.time[0]
    lag = max(0.0, _passed(vein.curve, artery.time) - _passed(artery.concentration, artery.time))
    count = artery.time.size - round(lag / step)
    scale = vein.area / float(np.trapezoid(artery.concentration[:count], dx=step))
    quality = dict(artery.quality) | {
        "VofScale": scale, "VofArea": vein.area, "VofVoxels": float(vein.voxels.size), "VofLag": lag,
    }  # fmt: skip
    for name in ("PeakHeight", "Area"):
        quality[name] *= scale
    low, high = SANE_SCALE
    doubts = artery.warnings
    if not low <= scale <= high:
        doubts += (f"the vein's area is {scale:.2g} times the artery's; expected {low:g} to {high:g}",)
    how = f"{artery.how}, scaled to the vein ({vein.how})"
    return replace(
        artery, concentration=scale * artery.concentration, how=how, quality=quality, warnings=doubts
    )


def _venous(curves: Array, time: Array, artery: AIF, brain: Array) -> NDArray[np.bool_]:
    """Which curves (n, t) are high, pass no earlier than the brain's mean curve (t,), and are not too broad."""
    smooth = smoothed(curves)
    (own,) = smoothed(artery.concentration[None])
    found = smooth.max(1) >= LEAST_HEIGHT * own.max()
    earliest, widest = _passed(brain, time), WIDEST * width(own, time)
    for row in np.flatnonzero(found):
        found[row] = _passed(smooth[row], time) >= earliest and width(smooth[row], time) <= widest
    return np.asarray(found)


def _passed(curve: Array, time: Array) -> float:
    return first_moment(curve, time, HALF)


def _halves(curves: NDArray[np.float64], baseline: tuple[int, int]) -> tuple[Array, Array]:
    """The sums of curves (n, t) over even and over odd volumes, above the mean of the baseline's even or odd ones."""
    before = np.zeros(curves.shape[1], bool)
    before[slice(*baseline)] = True
    even = np.arange(curves.shape[1]) % 2 == 0
    sums = []
    for half in (even, ~even):
        level = curves[:, half & before].mean(1)
        sums.append((curves[:, half] - level[:, None]).sum(1))
    return sums[0], sums[1]
