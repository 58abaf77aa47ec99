"""Signals of pure tissues by linear regression over the neighbours of each voxel in its slice."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.asl.partial_volume.layout import (
    ALIKE,
    LEAST_SEEN,
    LEAST_SHARE,
    LEAST_SQUARES,
    ONE,
    ZERO,
    layout,
)
from bolus_kernels.device import Device
from bolus_kernels.jit import kernel, part
from bolus_kernels.tiles import TILE, time_major

AT_ONCE = 5
"""Neighbours that share one pass over what they are added to."""


class Pure(NamedTuple):
    """signals : (k, n, t) float32, of each tissue alone. variance : (k, n) float32, over that of one voxel's signal."""

    signals: NDArray[np.float32]
    variance: NDArray[np.float32]


def pure_signals(
    signals: NDArray[Any],
    shares: NDArray[Any],
    voxels: NDArray[np.int64],
    shape: tuple[int, int, int],
    reach: int,
    device: Device,
) -> Pure:
    """What each tissue would give alone: signal = sum over tissues of share x pure signal, by least squares.

    signals : (n, t) float32, any unit, every column by itself. shares : (n, k) float32, 0...1. voxels : (n,), places
    in a Fortran-ordered grid of `shape`, each once. The (2 reach + 1)^2 voxels around one in its slice take part,
    those that are not finite or not among `voxels` left out. NaN where the voxel holds less than 0.1 of the tissue,
    and where its neighbours cannot tell the tissue from the others.
    Source: Asllani, Borogovac and Brown, Magn Reson Med 60:1362 (2008), eqs. 6-7; orthogonalised as by Bjorck,
    BIT 7:1 (1967), so that single precision is enough.
    """
    count, times = signals.shape
    kinds = shares.shape[1]
    good = np.isfinite(signals.sum(axis=1)) & np.isfinite(shares.sum(axis=1))
    laid = layout(voxels, good, shape, reach)
    found = np.full((kinds, times, count), np.nan, np.float32)
    variance = np.full((kinds, count), np.nan, np.float32)
    told = time_major(signals), time_major(shares)
    if device.kind == "cuda":
        from bolus_kernels.asl.partial_volume.cuda import launch

        launch(*told, laid, found, variance, device)
    else:
        _regress(*told, laid.row, laid.jumps, laid.margin, found, variance)
    return Pure(found.transpose(0, 2, 1), variance)


@kernel
def _regress(signals: Any, shares: Any, row: Any, jumps: Any, margin: int, found: Any, variance: Any) -> None:
    kinds, places, near = shares.shape[0], row.shape[1], jumps.size
    images = np.zeros((signals.shape[0], places), np.float32)
    fractions = np.zeros((kinds, places), np.float32)
    around = np.zeros((kinds, near, TILE), np.float32)
    apart = np.zeros((kinds, near + -near % AT_ONCE, TILE), np.float32)
    squares, total = np.zeros((kinds, TILE), np.float32), np.zeros(TILE, np.float32)
    lane = np.zeros(TILE, np.int64)
    for z in range(row.shape[0]):
        _lay(row[z], signals, images)
        _lay(row[z], shares, fractions)
        for begin in range(margin, places - TILE - margin, TILE):
            voxels, first = row[z, begin : begin + TILE], begin - margin
            some = False
            for v in range(TILE):
                some = some or voxels[v] >= 0
            if some:
                for k in range(kinds):
                    _look(fractions[k], first, jumps, around[k])
                for k in range(kinds):
                    _orthogonalise(around, k, apart, squares)
                    told = _tell(voxels, around[k, near // 2], squares[kinds - 1], variance[k], lane)
                    for t in range(signals.shape[0] if told > 0 else 0):
                        _add(images[t], first, jumps, apart[kinds - 1], total)
                        for v in range(TILE):
                            total[v] /= max(squares[kinds - 1, v], LEAST_SQUARES)
                        for i in range(told):
                            found[k, t, voxels[lane[i]]] = total[lane[i]]


@part
def _lay(row: Any, values: Any, images: Any) -> None:
    """Values (m, n) of a slice's voxels at their places (m, places), zero where none is."""
    for m in range(values.shape[0]):
        for p in range(row.size):
            images[m, p] = values[m, row[p]] if row[p] >= 0 else ZERO


@part
def _look(fractions: Any, first: int, jumps: Any, around: Any) -> None:
    for w in range(jumps.size):
        seen = fractions[first + jumps[w] : first + jumps[w] + TILE]
        for v in range(TILE):
            around[w, v] = seen[v]


@part
def _orthogonalise(around: Any, k: int, apart: Any, squares: Any) -> None:
    """Fill `apart` with the shares of every tissue, k last, less what those before explain; squares : their sums.

    The last over its sum of squares is the row of the pseudo-inverse that belongs to tissue k.
    """
    kinds, near = around.shape[0], around.shape[1]
    whole, dot = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for made in range(kinds):
        which = k if made == kinds - 1 else (made if made < k else made + 1)
        whole[:] = ZERO
        for w in range(near):
            for v in range(TILE):
                apart[made, w, v] = around[which, w, v]
                whole[v] += around[which, w, v] * around[which, w, v]
        for m in range(made):
            dot[:] = ZERO
            for w in range(near):
                for v in range(TILE):
                    dot[v] += apart[made, w, v] * apart[m, w, v]
            for v in range(TILE):
                dot[v] = dot[v] / squares[m, v] if squares[m, v] > ZERO else ZERO
            for w in range(near):
                for v in range(TILE):
                    apart[made, w, v] -= dot[v] * apart[m, w, v]
        squares[made] = ZERO
        for w in range(near):
            for v in range(TILE):
                squares[made, v] += apart[made, w, v] * apart[made, w, v]
        for v in range(TILE):
            seen = whole[v] > LEAST_SEEN and squares[made, v] > ALIKE * whole[v]
            squares[made, v] = squares[made, v] if seen else ZERO


@part
def _tell(voxels: Any, share: Any, squares: Any, variance: Any, lane: Any) -> Any:
    """Fill the variance where something can be said of a tissue; `lane` lists where, and the count is given."""
    count = 0
    for v in range(TILE):
        if voxels[v] >= 0 and share[v] >= LEAST_SHARE and squares[v] >= LEAST_SQUARES:
            variance[voxels[v]] = ONE / squares[v]
            lane[count] = v
            count += 1
    return count


@part
def _add(image: Any, first: int, jumps: Any, weights: Any, total: Any) -> None:
    """The weighted sum over all neighbours; what is left of the last five weighs nothing, wherever it lies."""
    total[:] = ZERO
    last = jumps.size - 1
    for w in range(0, weights.shape[0], AT_ONCE):
        at0, at1, at2 = first + jumps[w], first + jumps[min(w + 1, last)], first + jumps[min(w + 2, last)]
        at3, at4 = first + jumps[min(w + 3, last)], first + jumps[min(w + 4, last)]
        i0, i1, i2 = image[at0 : at0 + TILE], image[at1 : at1 + TILE], image[at2 : at2 + TILE]
        i3, i4 = image[at3 : at3 + TILE], image[at4 : at4 + TILE]
        w0, w1, w2, w3, w4 = weights[w], weights[w + 1], weights[w + 2], weights[w + 3], weights[w + 4]
        for v in range(TILE):
            total[v] += w0[v] * i0[v] + w1[v] * i1[v] + w2[v] * i2[v] + w3[v] * i3[v] + w4[v] * i4[v]
