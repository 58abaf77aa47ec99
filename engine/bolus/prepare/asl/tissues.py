"""How much of each voxel is grey matter, white matter and fluid, from the probability maps that came with a scan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bolus.series import Series

NAMES = ("GM", "WM", "CSF")


def tissues_of(series: Series, rows: NDArray[np.int64]) -> Mapping[str, NDArray[np.float32]]:
    """The probability (n,) of each tissue whose map was given; fluid is the rest where only GM and WM were.

    rows : (n,) positions of voxels in the Fortran-ordered grid. What is not a number counts as nothing.
    """
    found = {}
    for name in NAMES:
        if given := series.given.get(f"label-{name}_probseg"):
            values = given.scaled().reshape(-1, order="F")[rows]
            found[name] = np.clip(np.nan_to_num(values, nan=0.0), 0, 1).astype(np.float32)
    if found.keys() == {"GM", "WM"}:
        found["CSF"] = np.clip(1 - found["GM"] - found["WM"], 0, 1).astype(np.float32)
    return found
