"""The arterial transit time of every voxel where it is known: from a map that came with the scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.prepare.asl.columns import Columns
from bolus.recipe import Recipe
from bolus.series import ASL, Series
from bolus.voxels import refuse


def transit_time(
    series: Series,
    acquisition: ASL,
    recipe: Recipe,
    columns: Columns,
    rows: NDArray[Any],
    warnings: list[str],
) -> tuple[NDArray[np.float32] | None, Mapping[str, Any]]:
    """Transit time (n,) s of every voxel of the brain, NaN where the map has none, and how a sidecar tells it.

    None where it is to be fitted. Raises BolusError E_META where it shall be given and is not, E_RECIPE for a
    labelling that only the single-delay formulas follow.
    """
    given = series.given.get("att")
    if recipe["asl.transit_time"] == "fitted":
        if given is not None:
            warnings.append(f"{given.path.name} was not used: asl.transit_time = fitted")
        return None, {}
    if given is None:
        expected = "a map *_att.nii.gz (s) in --derivatives, in the grid of the series"
        mend = "Give one, or set asl.transit_time to fitted."
        raise refuse(series, Code.META, "asl.transit_time = given, and no att map", expected, mend)
    read = given.scaled().reshape(-1, order="F")[rows]
    known = np.isfinite(read) & (read > 0)
    latest = float((columns.delay + (0 if acquisition.labeling == "PASL" else columns.duration)).max())
    if late := int((read[known] > latest).sum()):
        warnings.append(
            f"{given.path.name}: in {late} brain voxels the label arrives after the last readout, {latest:g} s"
        )
    return np.where(known, read, np.float32(np.nan)), {"ArterialTransitTime": {"Source": given.path.name}}
