"""Deconvolution of DSC curves by the circulant SVD: cSVD with one threshold, oSVD with one per voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.between import PEAKS, look_elsewhere, rise, room_for, try_waiting
from bolus_kernels.dsc.deconvolution.between_spans import look_among
from bolus_kernels.dsc.deconvolution.circulant import (
    MAPS,
    NO_SOLUTION,
    NOT_FINITE,
    WU,
    ZERO,
    finish,
    peak,
    residues,
    spectrum,
)
from bolus_kernels.dsc.deconvolution.decimation import decimated, transform
from bolus_kernels.dsc.deconvolution.fourier import analyse, fold, folded, synthesise
from bolus_kernels.dsc.deconvolution.oscillation import (
    GROUP,
    MARGIN,
    SPAN,
    most_pairs,
    place_of,
    smooth_until,
    spans,
    unfold,
)
from bolus_kernels.dsc.deconvolution.series import between
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import kernel
from bolus_kernels.method import METHODS, VoxelMaps, empty_maps, method
from bolus_kernels.tiles import TILE, time_major


@method(
    "csvd",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS,
    parameters={"threshold": (0.1, "1", 0.0, 1.0)},
    choices={"peak": PEAKS},
    paper=WU,
    cuda=True,
    equation="CBF = 6000 (kappa/rho) max f, f = D+ C, D block-circulant (L = 2N), singular values >= threshold * max",
)
def csvd(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Delay-insensitive deconvolution by block-circulant SVD with one threshold for all voxels.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. parameters: threshold, share of the
    largest singular value; peak, whether f is looked at where it was sampled, as published, or anywhere. Raises
    ValueError for an unusable arterial input. Source: Wu 2003, eq. 8-10.
    """
    basis = spectrum(protocol)
    basis = basis.largest(int(np.sum(basis.size >= parameters["threshold"] * basis.size[0])))
    interpolated = parameters["peak"] == "interpolated"
    maps, written = empty_maps(METHODS["csvd"], len(curves)), residues(protocol, len(curves), 2 * basis.times)
    if device.kind == "cuda":
        from bolus_kernels.dsc.deconvolution.cuda import by_matrix, by_pairs

        if interpolated:
            by_pairs(curves, basis.analysis, basis.synthesis, basis.frequency, maps, written, device)
        else:
            by_matrix(curves, basis.synthesis @ basis.analysis, basis.times, maps, written, device)
        return finish(maps, protocol, written)
    forth, back, rows = folded(basis.times, basis.frequency)
    finer = between(basis.times, basis.frequency, rows) if interpolated else None
    _csvd(
        time_major(curves), forth.astype(np.float32), back.astype(np.float32), rows,
        basis.inverse.astype(np.complex64), finer, written, maps["cbf"], maps["tmax"], maps["state"],
    )  # fmt: skip
    return finish(maps, protocol, written)


@method(
    "osvd",
    contrast="dsc",
    family="deconvolution",
    maps=MAPS,
    parameters={"oscillation_index": (0.035, "1", 0.001, 1.0)},
    choices={"peak": PEAKS},
    paper=WU,
    cuda=True,
    equation="as csvd, with the most singular pairs for which OI = sum |f_k - 2 f_k-1 + f_k-2| / (L max f) <= limit",
)
def osvd(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Block-circulant deconvolution that keeps, per voxel, as many singular pairs as the oscillation allows.

    curves : (n, t) float32, 1/s. Gives cbf : ml/100g/min, mtt : s, tmax : s (negative where tissue leads
    the arterial input), each (n,) float32, and state : (n,) uint8. Every truncation is tried that is
    not sure to fail, because the oscillation index is not monotone in it. parameters: oscillation_index, the
    limit; peak as for csvd: the index itself is always that of the samples. Raises ValueError for an unusable
    arterial input. Source: Wu 2003, eq. 8-11.
    """
    basis = spectrum(protocol)
    limit = np.float32(parameters["oscillation_index"] * 2 * basis.times)
    interpolated = parameters["peak"] == "interpolated"
    maps, written = empty_maps(METHODS["osvd"], len(curves)), residues(protocol, len(curves), 2 * basis.times)
    if device.kind == "cuda":
        from bolus_kernels.dsc.deconvolution.pairs_cuda import by_oscillation

        by_oscillation(
            curves,
            basis.analysis,
            basis.synthesis,
            limit,
            basis.frequency,
            interpolated,
            maps,
            written,
            device,
        )
        return finish(maps, protocol, written)
    finer = None
    if interpolated:
        ranked = np.arange(2 * basis.frequency.size).reshape(-1, 2)
        finer = between(basis.times, basis.frequency, ranked, in_turn=True)
    _osvd(
        time_major(curves), *decimated(basis), *spans(basis), limit, finer, written,
        maps["cbf"], maps["tmax"], maps["state"],
    )  # fmt: skip
    return finish(maps, protocol, written)


@kernel
def _csvd(
    curves: Any, forth: Any, back: Any, rows: Any, inverse: Any, finer: Any, written: Any, top: Any, at: Any,
    state: Any,
) -> None:  # fmt: skip
    times, n = curves.shape
    if finer is not None:
        room = room_for(finer)
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
        peak(residue, times, begin, width, finite, written, top, at, state)
        if finer is not None:
            rise(finer, coefficients, begin, width, top, at, room)
            look_elsewhere(finer, coefficients, residue, begin, width, top, at, room)
    if finer is not None:
        try_waiting(finer, top, at, room)


@kernel
def _osvd(
    curves: Any, forth: Any, rows: Any, turns: Any, table: Any, place: Any, groups: Any, weight: Any,
    bend: Any, clear: Any, limit: Any, finer: Any, written: Any, top: Any, at: Any, state: Any,
) -> None:  # fmt: skip
    """In single precision, as the curves are: their own rounding is magnified by small singular values just as much."""
    times, n = curves.shape
    halves = np.empty((2, forth.shape[2], TILE), np.float32)
    waves = np.empty(table.shape, np.float32)
    waves[:] = table  # memory that is aligned for whole registers: a fifth faster
    inner = np.empty((turns.shape[1], 2 * forth.shape[1], TILE), np.float32)
    ranked, pairs = (
        np.empty((2 * rows.shape[0], TILE), np.float32),
        np.zeros(2 * GROUP * groups[-1], np.float32),
    )
    finite, until = np.empty(TILE, np.bool_), np.empty(TILE, np.int32)
    sums, parts = (
        np.empty((waves.shape[0], 8 * SPAN), np.float32),
        np.zeros(2 * MARGIN + 4 * SPAN, np.float32),
    )
    column = ranked.ravel()
    if finer is not None:
        room = room_for(finer)
        flows = np.empty((TILE, waves.shape[0], 4 * SPAN), np.float32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        transform(curves, begin, width, forth, rows, turns, halves, inner, ranked, finite)
        smooth_until(ranked, bend, clear, 2 * times, limit, until)
        for v in range(width):
            pairs[: 2 * GROUP * groups[until[v]]] = ZERO
            for i in range(until[v]):
                to, of = 2 * place[i], 2 * TILE * i + v
                pairs[to], pairs[to + 1] = column[of], column[of + TILE]
            most, left = most_pairs(pairs, until[v], waves, place, groups, weight, bend, limit, parts, sums)
            if not finite[v]:
                state[begin + v] = NOT_FINITE
            elif left == 0:
                state[begin + v] = NO_SOLUTION
            else:
                top[begin + v], at[begin + v] = most, np.float32(place_of(most, times, sums))
            if written.shape[1] > 0:
                unfold(sums, written[:, begin + v])
            if finer is not None:
                room.tile.kept[v] = left
                for i in range(sums.shape[0]):
                    to, of = flows[v, i], sums[i]
                    for j in range(4 * SPAN):
                        to[j] = of[j]
        if finer is not None:
            room.tile.kept[width:] = 0
            rise(finer, ranked, begin, width, top, at, room)
            look_among(finer, ranked, flows, times, begin, width, top, at, room)
    if finer is not None:
        try_waiting(finer, top, at, room)
