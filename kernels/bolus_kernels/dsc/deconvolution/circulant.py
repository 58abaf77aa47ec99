"""What the SVD family shares: the spectrum of the block-circulant matrix, the residue's peak, and the maps from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import part
from bolus_kernels.method import RESIDUE, VoxelMaps
from bolus_kernels.state import State
from bolus_kernels.tiles import TILE

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


def transfer(protocol: DscProtocol) -> NDArray[np.complex128]:
    """dt A_k, k = 0 ... t, of the arterial input padded with zeros to L = 2t: its circulant matrix's eigenvalues.

    Raises ValueError for an arterial input that is all zero or not finite. Source: Wu 2003, eq. 8-9.
    """
    aif = np.asarray(protocol.aif, np.float64)
    values = protocol.repetition_time * np.fft.rfft(aif, 2 * aif.size)
    if not (np.isfinite(values).all() and values.any()):
        raise ValueError("the arterial input function is zero or not finite")
    return np.asarray(values)


def multiplicity(times: int) -> NDArray[np.float64]:
    """How many of the L = 2t frequencies stand behind each of 0 ... t, (t + 1,): conjugate pairs count twice."""
    return np.concatenate([[1.0], np.full(times - 1, 2.0), [1.0]])


def spectrum(protocol: DscProtocol) -> Spectrum:
    """Diagonalise D_ij = dt a_((i-j) mod L) of Wu 2003, eq. 8-9, for one arterial input of t samples.

    Raises ValueError for an arterial input that is all zero or not finite.
    """
    values = transfer(protocol)
    times, size = values.size - 1, np.abs(values)
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > NEVER_KEPT * size.max()]
    inverse = multiplicity(times)[order] / (2 * times) / values[order]
    return Spectrum(times, order, size[order], inverse)


def residues(protocol: DscProtocol, n: int, length: int) -> NDArray[np.float32]:
    """Room for the residue functions of n voxels, (length, n), where the protocol asks for them; else for none."""
    return np.empty((length, n if protocol.residue else 0), np.float32)


def finish(maps: VoxelMaps, protocol: DscProtocol, written: NDArray[np.float32]) -> VoxelMaps:
    """Turn max f into CBF, its position into Tmax, CBV / CBF into MTT; written : (L, n or 0), the residues, 1/s.

    Source: Stewart, J Physiol 15:1 (1893), the central volume theorem. Raises ValueError without a blood volume.
    """
    if protocol.blood_volume is None:
        raise ValueError("the blood volume must be known before the mean transit time is")
    maps["tmax"] *= np.float32(protocol.repetition_time)
    maps["cbf"] *= np.float32(6000.0 * protocol.density_factor)
    maps["mtt"] = np.float32(60) * protocol.blood_volume / maps["cbf"]
    if protocol.residue:
        written[:, maps["state"] != State.GOOD] = np.nan
        maps[RESIDUE] = written.T
    return maps


@part
def peak(
    residue: Any, turn: int, begin: int, width: int, finite: Any, written: Any, top: Any, at: Any, state: Any
) -> None:
    """The largest value of each residue of a tile and where it stands; from sample `turn` on, it is before zero.

    residue : (L, TILE), L even. written : (at most L, n) takes the residues, where n is not zero.
    """
    length = residue.shape[0]
    best, position, flat = np.full(TILE, LOWEST), np.zeros(TILE, np.float32), residue.ravel()
    for j in range(0, length, 2):
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
            late = np.float32(length) if position[v] >= turn else ZERO
            top[begin + v], at[begin + v] = best[v], position[v] - late
    if written.shape[1] > 0:
        for j in range(written.shape[0]):
            written[j, begin : begin + width] = residue[j, :width]
