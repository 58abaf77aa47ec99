"""What every DSC kernel is told beside the curves: sampling, arterial input, density factor, blood volume."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

NAN = float("nan")


class DscProtocol(NamedTuple):
    """The acquisition of one DSC series, for kernels.

    repetition_time : s. aif : (t,) float64, 1/s, on the same times as the curves.
    density_factor : kappa/rho, ml/g (1 for relative maps). reference : (t,) float64, 1/s, the mean curve
    of non-enhancing brain, for leakage correction. blood_volume : (n,) float32, ml/100g, the CBV that MTT
    uses; NaN where there is none; None before it is known. typical_volume : its median over the brain.
    baseline : volumes (first, stop) before the bolus. echo_time : s, and baseline_signal : (n,) float32, of the echo
    that signal recovery is told from. single_echo : (n, t) float32, 1/s, the curves of that echo alone; None where
    the curves themselves are of one echo. residue : whether the residue functions themselves are wanted.
    """

    repetition_time: float
    aif: NDArray[Any]
    density_factor: float
    reference: NDArray[Any]
    blood_volume: NDArray[Any] | None = None
    typical_volume: float = NAN
    baseline: tuple[int, int] = (0, 1)
    echo_time: float = NAN
    baseline_signal: NDArray[Any] | None = None
    single_echo: NDArray[Any] | None = None
    residue: bool = False

    def rows(self, block: slice) -> DscProtocol:
        """The same protocol for some of the voxels."""
        return self._replace(
            **{name: value[block] for name in VOXELWISE if (value := getattr(self, name)) is not None}
        )


VOXELWISE = ("blood_volume", "baseline_signal", "single_echo")
"""The fields that have a row for each voxel."""
