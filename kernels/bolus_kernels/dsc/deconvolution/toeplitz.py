"""Deconvolution of DSC curves by the standard SVD: a triangular Toeplitz matrix, one threshold, no negative delays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.circulant import MAPS, NEVER_KEPT, finish, peak, residues
from bolus_kernels.dsc.deconvolution.fourier import by_fours, product
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import kernel
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.tiles import TILE, gather, time_major


@method(
    "ssvd",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS,
    parameters={"threshold": (0.2, "1", 0.0, 1.0)},
    choices={"smoothing": ("on", "off")},
    cuda=True,
    paper="Ostergaard et al., Magn Reson Med 36:715 (1996)",
    equation="CBF = 6000 (kappa/rho) max f, f = A+ C, A lower triangular Toeplitz, singular values >= threshold * max",
)
def ssvd(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Standard SVD with one threshold for all voxels; its flow depends on when tissue is reached.

    With noise-free tissue of MTT 4 s sampled every 1.5 s: +40 % at 2 s early, -15 % at 1 to 2 s late.
    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (never negative), each (n,)
    float32, and state : (n,) uint8. parameters: threshold, share of the largest singular value; smoothing, of
    the arterial input. Raises ValueError for an unusable arterial input. Source: Ostergaard 1996.
    """
    matrix = convolution(protocol, parameters["smoothing"] == "on")
    u, size, vh = np.linalg.svd(matrix)
    kept = rank(size, parameters["threshold"])
    inverse = (vh[:kept].T / size[:kept]) @ u[:, :kept].T
    times = len(matrix)
    maps, written = empty_maps(METHODS["ssvd"], len(curves)), residues(protocol, len(curves), times)
    if device.kind == "cuda":
        from bolus_kernels.dsc.deconvolution.cuda import by_matrix

        by_matrix(curves, inverse, times, maps, written, device)
        return finish(maps, protocol, written)
    padded = np.zeros((by_fours(times), by_fours(times)), np.float32)
    padded[:times, :times] = inverse
    _ssvd(time_major(curves), padded, written, maps["cbf"], maps["tmax"], maps["state"])
    return finish(maps, protocol, written)


def convolution(protocol: DscProtocol, smoothing: bool) -> NDArray[np.float64]:
    """A_ij = dt a~_(i-j) for i >= j, else 0, (t, t), with a~_k = (a_(k-1) + 4 a_k + a_(k+1))/6 where smoothed.

    Before the series the arterial input is 0, after it its last value. Raises ValueError for an arterial
    input that is all zero or not finite. Source: Ostergaard 1996.
    """
    from scipy.linalg import toeplitz  # takes longer to import than all kernels together

    aif = np.asarray(protocol.aif, np.float64)
    if not (np.isfinite(aif).all() and aif.any()):
        raise ValueError("the arterial input function is zero or not finite")
    if smoothing:
        aif = (np.r_[0.0, aif[:-1]] + 4 * aif + np.r_[aif[1:], aif[-1]]) / 6
    return np.asarray(protocol.repetition_time * toeplitz(aif, np.zeros(aif.size)))


def rank(size: NDArray[Any], threshold: float) -> int:
    """How many singular values, in falling order, are kept."""
    return int(np.sum((size >= threshold * size[0]) & (size > NEVER_KEPT * size[0])))


@kernel
def _ssvd(curves: Any, inverse: Any, written: Any, top: Any, at: Any, state: Any) -> None:
    n, rows = curves.shape[1], inverse.shape[0]
    tile, residue = np.empty((rows, TILE), np.float32), np.empty((rows, TILE), np.float32)
    finite = np.empty(TILE, np.bool_)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        gather(curves, begin, width, tile, finite)
        product(inverse, tile, residue)
        peak(residue, rows, begin, width, finite, written, top, at, state)
