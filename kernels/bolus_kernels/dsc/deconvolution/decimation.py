"""The Fourier transform of zero-padded curves from those of every second or fourth sample, at half the cost or less."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.dsc.deconvolution.circulant import Spectrum
from bolus_kernels.dsc.deconvolution.fourier import analyse, fold_some, folded, only_finite
from bolus_kernels.jit import part
from bolus_kernels.tiles import TILE

STEPS = (1, 2, 4)


class Decimated(NamedTuple):
    """What takes a curve c of N samples to a spectrum's coefficients, by its D parts c_(r + D m), r = 0 ... D - 1.

        sum_n c_n e^(-i pi k n/N) = sum_r e^(-i pi k r/N) sum_m c_(r + D m) e^(-i pi k m/M),  M = N/D

    The inner sums, of cosines and of sines, repeat after 2M frequencies, and that of 2M - k is the conjugate of that of
    k. So each part is transformed, folded, at no more than M + 1 frequencies.

    forth : (2, 2g, q) float32, the folded waves of all parts. rows : (k, 2) int64, where among the 4g sums of a part
    the cosine and the sine that a pair needs stand. turns : (k, D, 4) float32, what takes those of a part to the pair's
    coefficients: of the cosine's cosine and sine, of the sine's cosine and sine.
    """

    forth: NDArray[np.float32]
    rows: NDArray[np.int64]
    turns: NDArray[np.float32]


def decimated(basis: Spectrum) -> Decimated:
    """The transform to all coefficients of a spectrum, in as many parts as make it cheapest."""
    return min((_in_parts(basis, step) for step in STEPS if basis.times % step == 0), key=_cost)


def _in_parts(basis: Spectrum, step: int) -> Decimated:
    times = basis.times // step
    inner = basis.frequency % (2 * times)
    mirrored = inner > times
    inner[mirrored] = 2 * times - inner[mirrored]
    needed, which = np.unique(inner, return_inverse=True)
    waves = folded(times, needed)
    turn = basis.inverse[:, None] * np.exp(-1j * np.outer(basis.angle, np.arange(step)))
    sign = np.where(mirrored, -1, 1)[:, None]
    turns = np.stack([turn.real, sign * turn.imag, -turn.imag, sign * turn.real], axis=2)
    return Decimated(waves.forth.astype(np.float32), waves.rows[which], turns.astype(np.float32))


def _cost(way: Decimated) -> int:
    """Multiplications a curve."""
    return int(way.turns.shape[1] * way.forth.size + way.turns.size)


@part
def transform(
    curves: Any, begin: int, width: int, forth: Any, rows: Any, turns: Any, halves: Any, sums: Any,
    coefficients: Any, finite: Any,
) -> None:  # fmt: skip
    """The coefficients of `width` curves of (t, n), side by side; a curve that is not finite becomes zero.

    halves : (2, q, TILE) and sums : (D, 4g, TILE), for work. coefficients : (2k, TILE), cosine and sine in turn.
    finite : (TILE,) bool.
    """
    step = turns.shape[1]
    total = np.zeros(TILE, np.float32)
    for r in range(step):
        fold_some(curves, begin, width, r, step, halves, total)
        analyse(forth, halves, sums[r])
    flat = coefficients.ravel()
    for i in range(rows.shape[0]):
        to = flat[2 * i * TILE : (2 * i + 2) * TILE]
        to[:] = 0
        if step == 1:
            cosine, sine, w = sums[0, rows[i, 0]], sums[0, rows[i, 1]], turns[i, 0]
            w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
            for v in range(TILE):
                c, s = cosine[v], sine[v]
                to[v] += w0 * c + w1 * s
                to[v + TILE] += w2 * c + w3 * s
        for r in range(0, step - 1, 2):
            _turn_two(sums[r], sums[r + 1], rows[i], turns[i, r], turns[i, r + 1], to)
    only_finite(total, finite, coefficients)


@part
def _turn_two(first: Any, second: Any, rows: Any, w: Any, x: Any, to: Any) -> None:
    """Add what two parts give to a pair: what is added to is read and written half as often as for one at a time."""
    c0, s0, c1, s1 = first[rows[0]], first[rows[1]], second[rows[0]], second[rows[1]]
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    for v in range(TILE):
        a, b, c, d = c0[v], s0[v], c1[v], s1[v]
        to[v] += (w0 * a + w1 * b) + (x0 * c + x1 * d)
        to[v + TILE] += (w2 * a + w3 * b) + (x2 * c + x3 * d)
