"""The arterial input of one DSC series: given, found, modelled or local as the recipe wishes, and judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus import arterial
from bolus.arterial import Vein
from bolus.errors import Code
from bolus.series import AIF, Region, Series
from bolus.voxels import given_mask, refuse, rows_of, some_of
from bolus_kernels.dsc.concentration import Relaxation
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.dsc.traits import Shape, mean_curve

Array = NDArray[Any]

AIF_MASK, SEARCH_MASK, VOF_MASK = "label-AIF_mask", "label-AIFsearch_mask", "label-VOF_mask"
LESION = "label-lesion_mask"
CLEAR_OF_NOISE, BRIGHT = 3.0, 0.3
NOWHERE = np.empty(0, np.int64)
NO_VEIN = "no vein was found: the arterial input is not scaled for partial volume"


@dataclass(frozen=True)
class ArterialInput:
    """The input of the whole brain, those of its regions (none unless local), and the voxels of the vein.

    Voxels, also those of the regions' inputs, are positions in the grid; a region's `rows` count the brain's curves.
    """

    aif: AIF
    regions: tuple[Region, ...] = ()
    vein: NDArray[np.int64] = field(default_factory=lambda: NOWHERE)

    @property
    def local(self) -> NDArray[np.int64]:
        """The voxels that any region's own input is the mean of, sorted."""
        own = [region.aif.voxels for region in self.regions if region.aif is not self.aif]
        return np.unique(np.concatenate([NOWHERE, *own]))


@dataclass(frozen=True)
class Brain:
    """What the search for arteries is told of one series.

    values : (n, t) float32, 1/s, of the brain's voxels `rows` (n,). time : (t,) s since the file's first volume.
    baseline : volumes (first, stop). echoes : as read, without dummy scans. relaxed : the curves of any other voxels.
    echo_time : s, of the echo that a table's signal belongs to. shape : of `values`, where it is known already.
    signal : (n,) before the bolus, where the series has one echo.
    """

    series: Series
    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    time: NDArray[np.float64]
    baseline: tuple[int, int]
    echoes: Sequence[Echo]
    relaxed: Callable[[NDArray[np.int64]], Relaxation]
    echo_time: float
    shape: Shape | None = None
    signal: NDArray[np.float32] | None = None


def arterial_input(brain: Brain, wish: str, vein: str) -> ArterialInput:
    """The arterial input as wished, scaled to a vein if wished, with a warning for all that is unlike an artery.

    wish : auto (a given table, else a given mask, else kmeans), tsv, mask, kmeans, peruzzo, population, or local.
    vein : none, auto (a given mask, else found) or mask. Arteries are sought inside a given search mask, else in the
    brain, and never in a lesion. Raises BolusError E_AIF where what is wished was not given, or nothing is found.
    """
    series, time = brain.series, brain.time
    mean, noise = _typical(brain)
    aif = _wished(brain, wish, mean, noise)
    venous = _vein(brain, vein, aif, mean, noise)
    ceiling = np.inf
    if aif.voxels.size:
        ceiling = float(np.median(_ceiling(brain, aif.voxels, noise)))
    if venous is not None:
        aif = arterial.scaled_to_vein(aif, venous)
        ceiling *= aif.quality["VofScale"]
    elif vein != "none":
        aif = replace(aif, warnings=(*aif.warnings, NO_VEIN))
    aif = replace(aif, warnings=(*aif.warnings, *arterial.doubts(aif, mean, ceiling)))
    regions: tuple[Region, ...] = ()
    if wish == "local":
        shape, zooms = series.images[0].grid.shape, series.images[0].grid.zooms
        position = np.stack(np.unravel_index(brain.rows, shape, order="F"), axis=1) * zooms
        allowed = _allowed(series, brain.rows, given_mask(series, SEARCH_MASK))
        top = _ceiling(brain, brain.rows, noise)
        found = arterial.local_inputs(brain.values, position, time, aif, _file(brain), allowed, top)
        regions = tuple(Region(r.rows, r.aif if r.aif is aif else _placed(r.aif, brain.rows)) for r in found)
    return ArterialInput(aif, regions, NOWHERE if venous is None else venous.voxels)


def _wished(brain: Brain, wish: str, mean: Array, noise: float) -> AIF:
    series, time = brain.series, brain.time
    mask = given_mask(series, AIF_MASK)
    if (wish == "tsv" and series.aif is None) or (wish == "mask" and mask is None):
        missing = "*_aif.tsv" if wish == "tsv" else "*_label-AIF_mask.nii.gz"
        raise _missing(series, f"dsc.aif = {wish}", missing, "set dsc.aif to auto or kmeans")
    if series.aif is not None and wish in ("auto", "tsv"):
        return arterial.from_table(series.aif, time, brain.baseline, brain.echo_time)
    if mask is not None and wish in ("auto", "mask"):
        rows = rows_of(mask)  # an artery may lie outside the brain mask
        found = arterial.from_mask(brain.relaxed(rows).values, time, str(series.given[AIF_MASK].path))
        return _placed(found, rows)
    if wish == "population":
        return arterial.from_population(time, float(time[brain.baseline[1]]), mean, _file(brain))
    search = given_mask(series, SEARCH_MASK)
    rows, values = brain.rows, brain.values
    if search is not None:
        rows = rows_of(search)
        values = brain.relaxed(rows).values
    allowed, ceiling = _allowed(series, rows), _ceiling(brain, rows, noise)
    if wish == "peruzzo":
        found = arterial.by_hierarchy(values, time, mean, _file(brain), allowed, ceiling)
    else:
        shape = brain.shape if search is None else None
        found = arterial.by_clustering(values, time, _file(brain), allowed, ceiling, shape)
    return _placed(found, rows)


def _vein(brain: Brain, wish: str, aif: AIF, mean: Array, noise: float) -> Vein | None:
    series = brain.series
    mask = given_mask(series, VOF_MASK)
    if wish == "mask" and mask is None:
        raise _missing(series, "dsc.vof = mask", "*_label-VOF_mask.nii.gz", "set dsc.vof to auto or none")
    if wish == "none":
        return None
    rows = brain.rows if mask is None else rows_of(mask)
    if mask is None:
        top = _ceiling(brain, rows, noise)
        found = arterial.find_vein(brain.values, brain.time, brain.baseline, aif, mean, top, brain.shape)
    else:
        found = arterial.vein_from_mask(brain.relaxed(rows).values, brain.time)
    return None if found is None else replace(found, voxels=rows[found.voxels])


def _allowed(series: Series, rows: Array, inside: Array | None = None) -> NDArray[np.bool_] | None:
    """Which rows (n,) lie inside a mask and outside the lesion, whose vessels are no input to the brain."""
    lesion = given_mask(series, LESION)
    allowed = inside
    if lesion is not None:
        allowed = ~lesion if inside is None else inside & ~lesion
    return None if allowed is None else allowed.reshape(-1, order="F")[rows]


def _typical(brain: Brain) -> tuple[NDArray[np.float64], float]:
    """The brain's mean curve (t,) and the noise of the longest echo's signal before the bolus, from enough voxels.

    The mean is that of what is bright before the bolus: of air and bone in a mask, only noise is known.
    """
    some = some_of(np.flatnonzero(np.isfinite(brain.values[:, 0])))
    before = _before(brain, brain.rows[some])
    level, noise = before.mean(axis=0), float(np.median(before.std(axis=0, ddof=1)))
    bright = some[level >= BRIGHT * np.quantile(level, 0.9)]
    return mean_curve(brain.values, bright), noise


def _ceiling(brain: Brain, rows: Array, noise: float) -> Array:
    """The delta R2* (n,), 1/s, at which the longest echo's signal is three noise standard deviations, no more."""
    echo, (first, stop) = _longest(brain), brain.baseline
    level: Array
    if rows is brain.rows and brain.signal is not None:
        level = brain.signal
    else:
        stored = sum(frame.take(rows).astype(np.float64) for frame in echo.series[first:stop])
        level = echo.slope * stored / (stop - first) + echo.inter
    with np.errstate(divide="ignore", invalid="ignore"):
        ceiling = np.log(level / (CLEAR_OF_NOISE * noise)) / echo.echo_time
    return np.where(np.isfinite(ceiling), ceiling, np.inf)


def _before(brain: Brain, rows: Array) -> NDArray[np.float64]:
    echo = _longest(brain)
    stored = echo.series[slice(*brain.baseline)].take(rows, axis=1)
    return np.asarray(echo.slope * stored + echo.inter, np.float64)


def _longest(brain: Brain) -> Echo:
    return max(brain.echoes, key=lambda echo: echo.echo_time)


def _placed(aif: AIF, rows: Array) -> AIF:
    return replace(aif, voxels=rows[aif.voxels])


def _file(brain: Brain) -> str:
    return str(brain.series.scan.images[0])


def _missing(series: Series, wish: str, missing: str, instead: str) -> Exception:
    return refuse(
        series, Code.AIF, f"{wish} and no {missing} for this scan", "one in a --derivatives folder",
        f"Add it, or {instead}.",
    )  # fmt: skip
