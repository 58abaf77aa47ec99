"""What every DSC kernel is told beside the curves: sampling, arterial input, density factor, blood volume."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray


class DscProtocol(NamedTuple):
    """The acquisition of one DSC series, for kernels.

    repetition_time : s. aif : (t,) float64, 1/s, on the same times as the curves.
    density_factor : kappa/rho, ml/g (1 for relative maps). reference : (t,) float64, 1/s, the mean curve
    of non-enhancing brain, for leakage correction. blood_volume : (n,) float32, ml/100g, the CBV that MTT
    uses; NaN where there is none; None before it is known.
    """

    repetition_time: float
    aif: NDArray[Any]
    density_factor: float
    reference: NDArray[Any]
    blood_volume: NDArray[Any] | None = None

    def rows(self, block: slice) -> DscProtocol:
        """The same protocol for some of the voxels."""
        if self.blood_volume is None:
            return self
        return self._replace(blood_volume=self.blood_volume[block])
