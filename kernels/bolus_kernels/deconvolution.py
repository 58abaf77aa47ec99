"""Deconvolution of DSC curves by the circulant SVD: cSVD with one threshold, oSVD with one per voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc import DscProtocol
from bolus_kernels.jit import finite_kernel, kernel
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE, gather, multiply, padded, time_major

NEVER_KEPT = 1e-6
"""Singular values below this share of the largest are rounding, not signal."""
ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-3e38)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)
WU = "Wu et al., Magn Reson Med 50:164 (2003)"
MAPS = {"cbf": "ml/100g/min", "mtt": "s", "tmax": "s"}


class Spectrum(NamedTuple):
    """The SVD of the zero-padded block-circulant matrix, which the Fourier basis diagonalises.

    Conjugate pairs in falling order of singular value. size : (k,) float64, s/s = dt |A_k|.
    analysis : (2k, t) float64, curve -> coefficients; synthesis : (L, 2k) float64, coefficients -> residue;
    rows and columns 2i and 2i + 1 are cosine and sine of pair i. L = 2t.
    """

    size: NDArray[np.float64]
    analysis: NDArray[np.float64]
    synthesis: NDArray[np.float64]


def spectrum(protocol: DscProtocol) -> Spectrum:
    """Diagonalise D_ij = dt a_((i-j) mod L) of Wu 2003, eq. 8-9, for one arterial input of t samples.

    Raises ValueError for an arterial input that is all zero or not finite.
    """
    aif = np.asarray(protocol.aif, np.float64)
    times, length = aif.size, 2 * aif.size
    transfer = protocol.repetition_time * np.fft.rfft(aif, length)
    size = np.abs(transfer)
    if not (np.isfinite(size).all() and size.max() > 0):
        raise ValueError("the arterial input function is zero or not finite")
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > NEVER_KEPT * size.max()]
    multiplicity = np.where((order == 0) | (order == length // 2), 1.0, 2.0)
    angle = 2 * np.pi * order[:, None] / length
    inverse = (multiplicity / length / transfer[order])[:, None] * np.exp(-1j * angle * np.arange(times))
    analysis = np.stack([inverse.real, -inverse.imag], 1).reshape(-1, times)
    waves = np.stack([np.cos(angle * np.arange(length)), np.sin(angle * np.arange(length))], 1)
    return Spectrum(size[order], analysis, np.ascontiguousarray(waves.reshape(-1, length).T))


@method(
    "csvd",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS,
    parameters={"threshold": (0.1, "1", 0.0, 1.0)},
    paper=WU,
    equation="CBF = 6000 (kappa/rho) max f, f = D+ C, D block-circulant (L = 2N), singular values >= threshold * max",
)
def csvd(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, float], device: Device
) -> VoxelMaps:
    """Delay-insensitive deconvolution by block-circulant SVD with one threshold for all voxels.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. parameters: threshold, share of the
    largest singular value. Raises ValueError for an unusable arterial input. Source: Wu 2003, eq. 8-10.
    """
    basis = spectrum(protocol)
    kept = np.repeat(basis.size >= parameters["threshold"] * basis.size[0], 2)
    inverse = padded(basis.synthesis[:, kept] @ basis.analysis[kept], np.float32)
    maps = empty_maps(METHODS["csvd"], curves.shape[0])
    _csvd(time_major(curves), inverse, maps["cbf"], maps["tmax"], maps["state"])
    return _finish(maps, protocol)


@method(
    "osvd",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS,
    parameters={"oscillation_index": (0.035, "1", 0.001, 1.0)},
    paper=WU,
    equation="as csvd, with the most singular pairs for which OI = sum |f_k - 2 f_k-1 + f_k-2| / (L max f) <= limit",
)
def osvd(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, float], device: Device
) -> VoxelMaps:
    """Block-circulant deconvolution that keeps, per voxel, as many singular pairs as the oscillation allows.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. Every truncation is tried, because the
    oscillation index is not monotone in it. parameters: oscillation_index, the limit. Raises ValueError for
    an unusable arterial input. Source: Wu 2003, eq. 8-11.
    """
    basis = spectrum(protocol)
    maps = empty_maps(METHODS["osvd"], curves.shape[0])
    length, coefficients = basis.synthesis.shape
    analysis, waves = padded(basis.analysis, np.float64), padded(basis.synthesis, np.float32)
    limit = np.float32(parameters["oscillation_index"] * length)
    _osvd(
        time_major(curves),
        analysis,
        waves,
        coefficients // 2,
        limit,
        maps["cbf"],
        maps["tmax"],
        maps["state"],
    )
    return _finish(maps, protocol)


def _finish(maps: VoxelMaps, protocol: DscProtocol) -> VoxelMaps:
    """Turn max f into CBF, its position into Tmax, and CBV / CBF into MTT (the central volume theorem)."""
    if protocol.blood_volume is None:
        raise ValueError("the blood volume must be known before the mean transit time is")
    times = protocol.aif.size
    position = maps["tmax"]
    position -= np.where(position >= times, np.float32(2 * times), ZERO)
    maps["tmax"] = position * np.float32(protocol.repetition_time)
    maps["cbf"] *= np.float32(6000.0 * protocol.density_factor)
    maps["mtt"] = np.float32(60) * protocol.blood_volume / maps["cbf"]
    return maps


@kernel
def _peak(
    residue: Any, length: int, begin: int, width: int, finite: Any, top: Any, at: Any, state: Any
) -> None:
    """The largest value of each residue of a tile and where it stands."""
    best, position = np.full(TILE, LOWEST), np.zeros(TILE, np.float32)
    for j in range(0, length, 2):  # the length is twice the number of samples
        index = np.float32(j)
        for v in range(TILE):
            even, odd = residue[j, v], residue[j + 1, v]
            higher, at_higher = (odd, index + ONE) if odd > even else (even, index)
            better = higher > best[v]
            position[v] = at_higher if better else position[v]
            best[v] = higher if better else best[v]
    for v in range(width):
        if not finite[v]:
            state[begin + v] = NOT_FINITE
        elif not best[v] > ZERO:
            state[begin + v] = NO_SOLUTION
        else:
            top[begin + v], at[begin + v] = best[v], position[v]


@kernel
def _csvd(curves: Any, inverse: Any, top: Any, at: Any, state: Any) -> None:
    times, n = curves.shape
    tile, residue = (
        np.empty((inverse.shape[1], TILE), np.float32),
        np.empty((inverse.shape[0], TILE), np.float32),
    )
    finite = np.empty(TILE, np.bool_)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        gather(curves, begin, width, tile, finite)
        multiply(inverse, tile, residue)
        _peak(residue, 2 * times, begin, width, finite, top, at, state)


@kernel
def _osvd(
    curves: Any, analysis: Any, waves: Any, pairs: int, limit: Any, top: Any, at: Any, state: Any
) -> None:
    times, n = curves.shape
    by_pair = np.ascontiguousarray(waves.T)
    tile, exact = (
        np.empty((analysis.shape[1], TILE), np.float64),
        np.empty((analysis.shape[0], TILE), np.float64),
    )
    finite, kept = np.empty(TILE, np.bool_), np.empty(TILE, np.int32)
    coefficients = np.empty(exact.shape, np.float32)
    residue = np.empty((waves.shape[0], TILE), np.float32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        gather(curves, begin, width, tile, finite)
        multiply(analysis, tile, exact)
        for i in range(coefficients.shape[0]):
            for v in range(TILE):
                coefficients[i, v] = exact[i, v]
        _most_pairs(coefficients, by_pair, pairs, 2 * times, limit, residue, kept)
        for i in range(2 * pairs):
            pair = np.int32(i // 2)
            for v in range(TILE):
                coefficients[i, v] = coefficients[i, v] if pair < kept[v] else ZERO
        multiply(waves, coefficients, residue)
        _peak(residue, 2 * times, begin, width, finite, top, at, state)


@finite_kernel
def _most_pairs(
    coefficients: Any, waves: Any, pairs: int, length: int, limit: Any, residue: Any, kept: Any
) -> None:
    """Add conjugate pairs one at a time; note the last number of them that still obeyed the limit.

    Four samples a step and a row of voxels at a time: sums stay in registers, differences are shared. Rows are
    named by constants, or by a range from a constant up: otherwise signs are tested and nothing vectorises.
    """
    rough, top = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    residue[:] = 0
    kept[:] = 0
    last = residue[length - 2 - (length - 2) % 4 : length]  # two rows, or four: the length is even
    for pair in range(pairs):
        a, b = coefficients[2 * pair], coefficients[2 * pair + 1]
        c, s = waves[2 * pair], waves[2 * pair + 1]
        c0, c1, s0, s1 = c[0], c[1], s[0], s[1]
        for v in range(TILE):
            x0 = residue[0, v] + c0 * a[v] + s0 * b[v]
            x1 = residue[1, v] + c1 * a[v] + s1 * b[v]
            residue[0, v], residue[1, v] = x0, x1
            top[v], rough[v] = max(x0, x1), ZERO
        for j in range(0, length - 5, 4):
            c2, c3, c4, c5 = c[j + 2], c[j + 3], c[j + 4], c[j + 5]
            s2, s3, s4, s5 = s[j + 2], s[j + 3], s[j + 4], s[j + 5]
            for v in range(TILE):
                f0, f1 = residue[j, v], residue[j + 1, v]
                x2 = residue[j + 2, v] + c2 * a[v] + s2 * b[v]
                x3 = residue[j + 3, v] + c3 * a[v] + s3 * b[v]
                x4 = residue[j + 4, v] + c4 * a[v] + s4 * b[v]
                x5 = residue[j + 5, v] + c5 * a[v] + s5 * b[v]
                residue[j + 2, v], residue[j + 3, v] = x2, x3
                residue[j + 4, v], residue[j + 5, v] = x4, x5
                d1, d2, d3, d4, d5 = f1 - f0, x2 - f1, x3 - x2, x4 - x3, x5 - x4
                rough[v] += (abs(d2 - d1) + abs(d3 - d2)) + (abs(d4 - d3) + abs(d5 - d4))
                top[v] = max(max(max(max(top[v], x2), x3), x4), x5)
        if last.shape[0] == 4:
            c2, c3, s2, s3 = c[length - 2], c[length - 1], s[length - 2], s[length - 1]
            for v in range(TILE):
                f0, f1 = last[0, v], last[1, v]
                x2 = last[2, v] + c2 * a[v] + s2 * b[v]
                x3 = last[3, v] + c3 * a[v] + s3 * b[v]
                last[2, v], last[3, v] = x2, x3
                rough[v] += abs((x2 - f1) - (f1 - f0)) + abs((x3 - x2) - (x2 - f1))
                top[v] = max(max(top[v], x2), x3)
        for v in range(TILE):
            if top[v] > ZERO and rough[v] <= limit * top[v]:
                kept[v] = pair + 1
