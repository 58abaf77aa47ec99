"""What the correction of partial volume needs of each tissue: its M0 image, relaxation, partition and arrival."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.prepare.asl.calibration import Measured, recovered
from bolus.prepare.asl.relaxation import t1_of_pure
from bolus.recipe import NONE, Recipe
from bolus.series import ASL, PureTissue, Series
from bolus.voxels import refuse

PARTITION = {"GM": 0.98, "WM": 0.82, "CSF": 1.15}
"""ml/g; Herscovitch and Raichle, J Cereb Blood Flow Metab 5:65 (1985), and of fluid as the reference tissue has it."""
LATER = {"GM": 0.0, "WM": 0.3}
"""s, by how much later than `att_mean` blood arrives; Chappell et al., Magn Reson Med 65:1173 (2011)."""


def pure_tissues(
    series: Series,
    acquisition: ASL,
    recipe: Recipe,
    measured: list[Measured],
    m0: NDArray[np.float32],
    rows: NDArray[np.int64],
    tissues: Mapping[str, NDArray[np.float32]],
    excited: float,
    warnings: list[str],
) -> Mapping[str, PureTissue]:
    """GM and WM as partial volume correction takes them; none where the recipe does not ask for it.

    m0 : (n,), of the voxels in `rows`, as the difference was divided by it. tissues : name -> (n,). excited : the
    readout's share of the calibration's signal. Raises BolusError E_META where a probability map is missing.
    """
    if recipe["asl.partial_volume"] == NONE:
        return {}
    missing = [f"label-{name}_probseg" for name in LATER if name not in tissues]
    if missing:
        mend = "Give them in --derivatives, in the grid of the series, or set asl.partial_volume to none."
        wish = recipe["asl.partial_volume"]
        expected = f"label-GM_probseg and label-WM_probseg, for asl.partial_volume = {wish}"
        raise refuse(series, Code.META, f"no {' and no '.join(missing)}", expected, mend)
    return {
        name: PureTissue(
            _image(recipe, measured, m0, rows, tissues, t1.value, excited),
            t1.value,
            PARTITION[name],
            LATER[name],
        )
        for name, t1 in t1_of_pure(acquisition, recipe, warnings).items()
    }


def _image(
    recipe: Recipe, measured: list[Measured], m0: NDArray[np.float32], rows: NDArray[np.int64],
    tissues: Mapping[str, NDArray[np.float32]], t1: float, excited: float,
) -> NDArray[np.float32]:  # fmt: skip
    """An M0 image (n,) in which the tissue of this T1 is recovered, whatever the others are.

    It is as it was measured, for smoothing and erosion mix tissues; where M0 is one number, of blood, it is what an
    image would show of it.
    """
    if recipe["asl.calibration"] != "voxelwise" or not measured:
        blood = m0 / np.float32(recipe["asl.partition_coefficient"])
        shown: Any = sum(np.float32(PARTITION[name]) * share for name, share in tissues.items())
        return np.asarray(blood * shown, np.float32)
    flat = [each._replace(image=each.image.reshape(-1, order="F")[rows]) for each in measured]
    return np.asarray(recovered(flat, np.float32(t1)) * np.float32(excited), np.float32)
