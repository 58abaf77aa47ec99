"""Blood volume of DSC curves, uncorrected and corrected for contrast agent that leaks into the tissue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc import DscProtocol
from bolus_kernels.linear import weighted_sums
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method, refuse_infinite


@method(
    "uncorrected",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g"},
    paper="Rosen et al., Magn Reson Med 14:249 (1990)",
    equation="CBV = 100 (kappa/rho) integral C / integral C_a",
)
def uncorrected(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume as the area under the curve over the area under the arterial input.

    curves : (n, t) float32, 1/s. Gives cbv : (n,) float32, ml/100g and state : (n,) uint8. Areas by the
    trapezoid rule over the whole series. Raises ValueError for an arterial input without area.
    Source: Rosen 1990, eq. 8, with the density factor of Calamante et al., Magn Reson Med 41:1136 (1999).
    """
    maps = empty_maps(METHODS["uncorrected"], curves.shape[0])
    (maps["cbv"],) = weighted_sums(curves, volume_weights(protocol)[None]).astype(np.float32)
    return refuse_infinite(maps)


@method(
    "bsw",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g", "k1": "1", "k2": "1/s"},
    paper="Boxerman, Schmainda and Weisskoff, AJNR Am J Neuroradiol 27:859 (2006)",
    equation="dR2*(t) = K1 m(t) - K2 integral_0^t m; CBV from dR2* + K2 integral m",
)
def bsw(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume after subtracting leakage, fitted to the mean curve of non-enhancing brain.

    curves : (n, t) float32, 1/s. Gives cbv : ml/100g, k1 : 1, k2 : 1/s (positive where T1 shortening lifts
    the signal), each (n,) float32, and state : (n,) uint8. Linear least squares: K1, K2 and the corrected
    area are all weighted sums of the curve. Raises ValueError for a reference curve that is zero.
    Source: Boxerman 2006, eq. A5-A8; OSIPI M.LC1.001.
    """
    reference = np.asarray(protocol.reference, np.float64)
    accumulated = cumulative(reference, protocol.repetition_time)
    design = np.stack([reference, -accumulated], 1)
    if np.linalg.matrix_rank(design) < 2:
        raise ValueError("the reference curve of non-enhancing brain is zero: no leakage can be told from it")
    fit = np.linalg.pinv(design)
    area = volume_weights(protocol)
    weights = np.stack([area + (area @ accumulated) * fit[1], fit[0], fit[1]])
    maps = empty_maps(METHODS["bsw"], curves.shape[0])
    maps["cbv"], maps["k1"], maps["k2"] = weighted_sums(curves, weights).astype(np.float32)
    return refuse_infinite(maps)


def cumulative(curve: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The integral from the start to each sample by the trapezoid rule; curve : (t,), step : s."""
    return np.concatenate([[0.0], np.cumsum((curve[1:] + curve[:-1]) * (step / 2))])


def volume_weights(protocol: DscProtocol) -> NDArray[np.float64]:
    """The weights (t,) whose sum with a curve (1/s) is its blood volume in ml/100g."""
    aif = np.asarray(protocol.aif, np.float64)
    trapezoid = np.ones(aif.size)
    trapezoid[[0, -1]] = 0.5
    area = trapezoid @ aif
    if not (np.isfinite(area) and area > 0):
        raise ValueError("the arterial input function has no area")
    return 100.0 * protocol.density_factor / area * trapezoid
