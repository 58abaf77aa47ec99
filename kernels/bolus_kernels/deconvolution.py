"""Deconvolution of DSC curves by the circulant SVD: cSVD with one threshold, oSVD with one per voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc import DscProtocol
from bolus_kernels.fourier import analyse, fold, folded, synthesise
from bolus_kernels.jit import kernel, part
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.oscillation import most_pairs, smooth_until
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE, time_major

NEVER_KEPT = 1e-6
"""Singular values below this share of the largest are rounding, not signal."""
ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-3e38)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)
WU = "Wu et al., Magn Reson Med 50:164 (2003)"
MAPS = {"cbf": "ml/100g/min", "mtt": "s", "tmax": "s"}


class Spectrum(NamedTuple):
    """The SVD of the zero-padded block-circulant matrix, which the Fourier basis diagonalises.

    Conjugate pairs in falling order of singular value. times : t, half the padded length L.
    frequency : (k,) int64, cycles per L. size : (k,) float64, s/s = dt |A_k|, the singular values.
    inverse : (k,) complex128, what takes the sum of a curve with e^(-i angle) to its coefficient of e^(i angle).
    """

    times: int
    frequency: NDArray[np.int64]
    size: NDArray[np.float64]
    inverse: NDArray[np.complex128]

    def largest(self, pairs: int) -> Spectrum:
        """The same for the pairs of largest singular value alone."""
        return Spectrum(self.times, self.frequency[:pairs], self.size[:pairs], self.inverse[:pairs])

    @property
    def angle(self) -> NDArray[np.float64]:
        """What a pair turns from one sample to the next, (k,) rad."""
        return np.asarray(np.pi / self.times * self.frequency)

    @property
    def analysis(self) -> NDArray[np.float64]:
        """Curve -> coefficients, (2k, t); rows 2i and 2i + 1 are cosine and sine of pair i."""
        rows = self.inverse[:, None] * np.exp(-1j * np.outer(self.angle, np.arange(self.times)))
        return np.stack([rows.real, -rows.imag], 1).reshape(-1, self.times)

    @property
    def synthesis(self) -> NDArray[np.float64]:
        """Coefficients -> residue, (L, 2k); columns in the order of the rows of `analysis`."""
        angle = np.outer(self.angle, np.arange(2 * self.times))
        waves = np.stack([np.cos(angle), np.sin(angle)], 1)
        return np.ascontiguousarray(waves.reshape(-1, 2 * self.times).T)


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
    multiplicity = np.where((order == 0) | (order == times), 1.0, 2.0)
    return Spectrum(times, order, size[order], multiplicity / length / transfer[order])


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
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Delay-insensitive deconvolution by block-circulant SVD with one threshold for all voxels.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. parameters: threshold, share of the
    largest singular value. Raises ValueError for an unusable arterial input. Source: Wu 2003, eq. 8-10.
    """
    basis = spectrum(protocol)
    basis = basis.largest(int(np.sum(basis.size >= parameters["threshold"] * basis.size[0])))
    forth, back, rows = folded(basis.times, basis.frequency)
    maps = empty_maps(METHODS["csvd"], curves.shape[0])
    _csvd(
        time_major(curves), forth.astype(np.float32), back.astype(np.float32), rows,
        basis.inverse.astype(np.complex64), maps["cbf"], maps["tmax"], maps["state"],
    )  # fmt: skip
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
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Block-circulant deconvolution that keeps, per voxel, as many singular pairs as the oscillation allows.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. Every truncation is tried that is
    not sure to fail, because the oscillation index is not monotone in it. parameters: oscillation_index, the
    limit. Raises ValueError for an unusable arterial input. Source: Wu 2003, eq. 8-11.
    """
    basis = spectrum(protocol)
    forth, back, rows = folded(basis.times, basis.frequency)
    limit = np.float32(parameters["oscillation_index"] * 2 * basis.times)
    maps = empty_maps(METHODS["osvd"], curves.shape[0])
    _osvd(
        time_major(curves), forth, back.astype(np.float32), rows, basis.inverse, basis.angle.astype(np.float32),
        np.ascontiguousarray(basis.synthesis.T, np.float32), limit, maps["cbf"], maps["tmax"], maps["state"],
    )  # fmt: skip
    return _finish(maps, protocol)


def _finish(maps: VoxelMaps, protocol: DscProtocol) -> VoxelMaps:
    """Turn max f into CBF, its position into Tmax, and CBV / CBF into MTT (the central volume theorem)."""
    if protocol.blood_volume is None:
        raise ValueError("the blood volume must be known before the mean transit time is")
    maps["tmax"] *= np.float32(protocol.repetition_time)
    maps["cbf"] *= np.float32(6000.0 * protocol.density_factor)
    maps["mtt"] = np.float32(60) * protocol.blood_volume / maps["cbf"]
    return maps


@part
def _peak(residue: Any, begin: int, width: int, finite: Any, top: Any, at: Any, state: Any) -> None:
    """The largest value of each residue of a tile and where it stands, before zero in the second half."""
    length = residue.shape[0]
    best, position, flat = np.full(TILE, LOWEST), np.zeros(TILE, np.float32), residue.ravel()
    for j in range(0, length, 2):  # the length is twice the number of samples
        two, index = flat[j * TILE : (j + 2) * TILE], np.float32(j)
        for v in range(TILE):
            even, odd = two[v], two[v + TILE]
            higher, at_higher = (odd, index + ONE) if odd > even else (even, index)
            better = higher > best[v]
            position[v] += np.float32(better) * (at_higher - position[v])  # a choice would be a masked store
            best[v] = higher if better else best[v]
    for v in range(width):
        if not finite[v]:
            state[begin + v] = NOT_FINITE
        elif not best[v] > ZERO:
            state[begin + v] = NO_SOLUTION
        else:
            late = np.float32(length) if position[v] >= length // 2 else ZERO
            top[begin + v], at[begin + v] = best[v], position[v] - late


@kernel
def _csvd(curves: Any, forth: Any, back: Any, rows: Any, inverse: Any, top: Any, at: Any, state: Any) -> None:
    times, n = curves.shape
    halves = np.empty((2, forth.shape[2], TILE), np.float32)
    coefficients = np.empty((2 * forth.shape[1], TILE), np.float32)
    four = np.empty((4, 4, TILE), np.float32)
    residue, finite = np.empty((2 * times, TILE), np.float32), np.empty(TILE, np.bool_)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        fold(curves, begin, width, halves, finite)
        analyse(forth, halves, coefficients)
        for i in range(rows.shape[0]):
            cosine, sine = coefficients[rows[i, 0]], coefficients[rows[i, 1]]
            re, im = inverse[i].real, inverse[i].imag
            for v in range(TILE):
                c, s = cosine[v], sine[v]
                cosine[v], sine[v] = re * c + im * s, re * s - im * c
        synthesise(back, coefficients, four, residue)
        _peak(residue, begin, width, finite, top, at, state)


@kernel
def _osvd(
    curves: Any, forth: Any, back: Any, rows: Any, inverse: Any, angle: Any, waves: Any, limit: Any,
    top: Any, at: Any, state: Any,
) -> None:  # fmt: skip
    times, n = curves.shape
    pairs = rows.shape[0]
    halves = np.empty((2, forth.shape[2], TILE), np.float64)
    sums = np.empty((2 * forth.shape[1], TILE), np.float64)
    ranked = np.empty((2 * pairs, TILE), np.float32)
    coefficients = np.zeros(sums.shape, np.float32)
    four = np.empty((4, 4, TILE), np.float32)
    residue = np.empty((2 * times, TILE), np.float32)
    finite, kept = np.empty(TILE, np.bool_), np.empty(TILE, np.int32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        fold(curves, begin, width, halves, finite)
        analyse(forth, halves, sums)
        for i in range(pairs):
            cosine, sine, a, b = sums[rows[i, 0]], sums[rows[i, 1]], ranked[2 * i], ranked[2 * i + 1]
            re, im = inverse[i].real, inverse[i].imag
            for v in range(TILE):
                a[v], b[v] = re * cosine[v] + im * sine[v], re * sine[v] - im * cosine[v]
        until = smooth_until(ranked, angle, 2 * times, limit)
        most_pairs(ranked[: 2 * until], waves, limit, residue, kept)
        for i in range(pairs):
            cosine, sine, pair = coefficients[rows[i, 0]], coefficients[rows[i, 1]], np.int32(i)
            a, b = ranked[2 * i], ranked[2 * i + 1]
            for v in range(TILE):
                cosine[v], sine[v] = (a[v], b[v]) if pair < kept[v] else (ZERO, ZERO)
        synthesise(back, coefficients, four, residue)
        _peak(residue, begin, width, finite, top, at, state)
