"""Deconvolution of DSC curves by Tikhonov regularisation of the circulant, as strong as each curve asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.between import PEAKS, look_elsewhere, rise, room_for, try_waiting
from bolus_kernels.dsc.deconvolution.circulant import MAPS, finish, multiplicity, peak, residues, transfer
from bolus_kernels.dsc.deconvolution.fourier import analyse, by_fours, fold, folded, product, synthesise
from bolus_kernels.dsc.deconvolution.series import between
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import kernel, part
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.tiles import TILE, time_major

STRENGTHS = 10.0 ** (-3 + np.arange(61) / 20)
"""mu / s_max, every strength that is tried: from hardly any to one that halves the largest component."""


@method(
    "tikhonov",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS,
    choices={"selection": ("gcv", "l_curve"), "peak": PEAKS},
    cuda=True,
    paper="Calamante, Gadian and Connelly, Magn Reson Med 50:1237 (2003)",
    equation="CBF = 6000 (kappa/rho) max f, f minimises |D f - C|^2 + mu^2 |f|^2, D block-circulant, mu per voxel",
)
def tikhonov(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Block-circulant deconvolution that damps small singular values, as much as each voxel's curve asks for.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. parameters: selection of mu, by generalised
    cross-validation (Golub, Heath and Wahba, Technometrics 21:215, 1979, eq. 1.4) or at the corner of the L-curve
    (Hansen, Computational Inverse Problems in Electrocardiology 119, 2001); peak as for csvd. Raises ValueError
    for an unusable arterial input.
    """
    values = transfer(protocol)
    times, largest = values.size - 1, np.abs(values).max()
    share = values / largest
    cornered, interpolated = parameters["selection"] == "l_curve", parameters["peak"] == "interpolated"
    strengths = STRENGTHS[1:-1] if cornered else STRENGTHS
    square = np.abs(share) ** 2
    table = (corner_table if cornered else gcv_table)(square, multiplicity(times), strengths)
    inverse = multiplicity(times) / (2 * times) / largest * share.conj()
    maps, written = empty_maps(METHODS["tikhonov"], len(curves)), residues(protocol, len(curves), 2 * times)
    if device.kind == "cuda":
        from bolus_kernels.dsc.deconvolution.cuda import by_strength

        by_strength(
            curves, inverse, square, table, strengths**2, cornered, interpolated, maps, written, device
        )
        return finish(maps, protocol, written)
    frequency = np.arange(times + 1)
    forth, back, rows = folded(times, frequency)
    finer = between(times, frequency, rows) if interpolated else None
    _tikhonov(
        time_major(curves), forth, back.astype(np.float32), rows, inverse, square.astype(np.float32),
        table, strengths**2, cornered, finer, written, maps["cbf"], maps["tmax"], maps["state"],
    )  # fmt: skip
    return finish(maps, protocol, written)


def gcv_table(
    square: NDArray[np.float64], count: NDArray[np.float64], strengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What takes |C_k|^2, k = 0 ... t, to the score of each strength, the least of which is chosen.

    square : (k,) (s/s_max)^2. count : (k,), how often each occurs. strengths : (m,) mu/s_max. Gives (m, k), and
    zeros up to fours; a row of zeros more would be the best score, so the last strength stands there again.
    Source: Golub, Heath and Wahba 1979, eq. 1.4.
    """
    mu = strengths[np.minimum(np.arange(by_fours(strengths.size)), strengths.size - 1), None]
    left = mu**2 / (square + mu**2)
    table = count * left**2 / (left @ count)[:, None] ** 2
    return np.pad(table, [(0, 0), (0, by_fours(square.size) - square.size)])


def corner_table(
    square: NDArray[np.float64], count: NDArray[np.float64], strengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What takes |C_k|^2, k = 0 ... t, to four numbers for each strength: rho, eta, d eta/d mu, 0.

    square : (k,) (s/s_max)^2. count : (k,), how often each occurs. strengths : (m,) mu/s_max. Gives (4m, k), and
    zeros up to fours. Source: Hansen 2001.
    """
    mu = strengths[:, None]
    both = square + mu**2
    residual, size = count * (mu**2 / both) ** 2, count * square / both**2
    table = np.stack([residual, size, -4 * mu * size / both, np.zeros_like(size)], 1)
    return np.pad(table.reshape(-1, square.size), [(0, 0), (0, by_fours(square.size) - square.size)])


@part
def _corner(four: Any, square: Any) -> None:
    """Put minus the curvature of the L-curve into the first row of four: rho, eta, d eta/d mu, 0; square : mu^2.

    It follows from d rho/d mu = -mu^2 d eta/d mu. Source: Hansen 2001, where mu^4 in the last bracket is printed mu^2.
    """
    mu = np.sqrt(square)
    for v in range(TILE):
        rho, eta, slope = four[0, v], four[1, v], four[2, v]
        bend = square * slope * rho + 2 * mu * eta * rho + square * square * eta * slope
        length = square * square * eta * eta + rho * rho
        four[0, v] = 2 * (eta * rho / slope) * (bend / (length * np.sqrt(length)))  # the slope is negative


@kernel
def _tikhonov(
    curves: Any, forth: Any, back: Any, rows: Any, inverse: Any, square: Any, table: Any, strengths: Any,
    cornered: bool, finer: Any, written: Any, top: Any, at: Any, state: Any,
) -> None:  # fmt: skip
    times, n = curves.shape
    halves = np.empty((2, forth.shape[2], TILE), np.float64)
    sums = np.empty((2 * forth.shape[1], TILE), np.float64)
    power = np.zeros((table.shape[1], TILE), np.float64)
    scores = np.empty((4, TILE), np.float64)
    least, chosen = np.empty(TILE, np.float64), np.empty(TILE, np.float64)
    coefficients = np.zeros(sums.shape, np.float32)
    four = np.empty((4, 4, TILE), np.float32)
    residue, finite = np.empty((2 * times, TILE), np.float32), np.empty(TILE, np.bool_)
    candidates = 1 if cornered else 4
    if finer is not None:
        room = room_for(finer)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        fold(curves, begin, width, halves, finite)
        analyse(forth, halves, sums)
        for i in range(rows.shape[0]):
            cosine, sine, to = sums[rows[i, 0]], sums[rows[i, 1]], power[i]
            for v in range(TILE):
                to[v] = cosine[v] * cosine[v] + sine[v] * sine[v]
        least[:], chosen[:] = np.inf, strengths[0]
        for r in range(0, table.shape[0], 4):
            product(table[r : r + 4], power, scores)
            if cornered:
                _corner(scores, strengths[r // 4])
            for i in range(candidates):
                score = scores[i]
                strength = strengths[min(r // 4 if cornered else r + i, strengths.size - 1)]
                for v in range(TILE):
                    better = score[v] < least[v]
                    least[v], chosen[v] = (score[v], strength) if better else (least[v], chosen[v])
        for i in range(rows.shape[0]):
            cosine, sine = sums[rows[i, 0]], sums[rows[i, 1]]
            to_cosine, to_sine = coefficients[rows[i, 0]], coefficients[rows[i, 1]]
            re, im = inverse[i].real, inverse[i].imag
            for v in range(TILE):
                share = np.float32(1) / (square[i] + np.float32(chosen[v]))
                to_cosine[v] = share * np.float32(re * cosine[v] + im * sine[v])
                to_sine[v] = share * np.float32(re * sine[v] - im * cosine[v])
        synthesise(back, coefficients, four, residue)
        peak(residue, times, begin, width, finite, written, top, at, state)
        if finer is not None:
            rise(finer, coefficients, begin, width, top, at, room)
            look_elsewhere(finer, coefficients, residue, begin, width, top, at, room)
    if finer is not None:
        try_waiting(finer, top, at, room)
