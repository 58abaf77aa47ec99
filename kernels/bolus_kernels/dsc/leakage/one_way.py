"""Blood volume of DSC curves, uncorrected and corrected for contrast agent that leaks one way into the tissue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.leakage.alignment import ALIGNMENTS
from bolus_kernels.dsc.leakage.design import design, fit, volume_weights
from bolus_kernels.dsc.leakage.projection import akaike
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.linear import weighted_sums
from bolus_kernels.method import AIC, METHODS, VoxelMaps, empty_maps, method, refuse_infinite


@method(
    "uncorrected",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g"},
    choices={"alignment": ALIGNMENTS},
    cuda=True,
    paper="Rosen et al., Magn Reson Med 14:249 (1990)",
    equation="CBV = 100 (kappa/rho) integral C / integral C_a",
)
def uncorrected(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume as the area under the curve over the area under the arterial input.

    curves : (n, t) float32, 1/s. Gives cbv : (n,) float32, ml/100g and state : (n,) uint8; and aic : (n,) float32,
    of C = K1 m, where alignment says what stands for m, as in `bsw`; none where the reference curve is zero. Areas by
    the trapezoid rule over the whole series. Raises ValueError for an arterial input without area.
    Source: Rosen 1990, eq. 8, with the density factor of Calamante et al., Magn Reson Med 41:1136 (1999).
    """
    volume = volume_weights(protocol)
    maps = empty_maps(METHODS["uncorrected"], curves.shape[0])
    with np.errstate(invalid="ignore", over="ignore"):
        if np.any(protocol.reference):
            columns = design(protocol, parameters["alignment"], ())
            found = fit(curves, columns, volume, device)
            maps["cbv"] = found.area.astype(np.float32)
            maps[AIC] = akaike(found.residual, found.energy, volume.size, 1 + columns.chosen[found.shape])
        else:
            (maps["cbv"],) = weighted_sums(curves, volume[None], device).astype(np.float32)
    return refuse_infinite(maps)


@method(
    "bsw",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g", "k1": "1", "k2": "1/s"},
    choices={"alignment": ALIGNMENTS},
    cuda=True,
    paper="Boxerman, Schmainda and Weisskoff, AJNR Am J Neuroradiol 27:859 (2006)",
    equation="dR2*(t) = K1 m(t) - K2 integral_0^t m; CBV from dR2* + K2 integral m",
)
def bsw(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume after subtracting leakage, fitted to the mean curve of non-enhancing brain.

    curves : (n, t) float32, 1/s. Gives cbv : ml/100g, k1 : 1, k2 : 1/s (positive where T1 shortening lifts
    the signal) and aic : 1, each (n,) float32, and state : (n,) uint8. Linear least squares for K1 and K2.
    parameters: alignment, what stands for m beside K1: m itself, or per voxel the one of `shapes` of least Akaike
    criterion; what leaks is m. Raises ValueError for a reference curve that is zero.
    Source: Boxerman 2006, eq. A5-A8; OSIPI M.LC1.001.
    """
    columns, volume = design(protocol, parameters["alignment"], (0.0,)), volume_weights(protocol)
    maps = empty_maps(METHODS["bsw"], curves.shape[0])
    with np.errstate(invalid="ignore", over="ignore"):
        found = fit(curves, columns, volume, device)
        corrected = found.area + found.k2 * columns.size[0] * (volume @ columns.line[0])
        maps["cbv"], maps["k1"], maps["k2"] = np.array([corrected, found.k1, found.k2], np.float32)
        maps[AIC] = akaike(found.residual, found.energy, volume.size, 2 + columns.chosen[found.shape])
    return refuse_infinite(maps)
