"""Variable projection: which of many candidates tells a curve best, and Akaike's criterion of a fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.jit import kernel
from bolus_kernels.tiles import FINITE, TILE, gather, time_major

COMPONENTS = 24
"""Orthogonal curves that the candidates are told in: the rest of them is below a thousandth of their norm."""
FLOOR = 1e-6
"""A residual sum below this share of the curve's own says nothing: fits as good as that are equally good."""
TWO, THREE = 2 * TILE, 3 * TILE


class Candidates(NamedTuple):
    """Curves of norm 1 in groups, told in few components, float32: basis (COMPONENTS, t), parts (g, b, COMPONENTS).

    factor : (b,), what multiplies the residual sum that the b-th of a group leaves: its price. size : how many
    there are in a group, without the one that makes b even.
    """

    basis: NDArray[np.float32]
    parts: NDArray[np.float32]
    factor: NDArray[np.float32]
    size: int


def candidates(curves: NDArray[np.float64], price: NDArray[np.float64]) -> Candidates:
    """Candidates from curves (g, b, t), each of norm 1; price : (b,), parameters beyond those that all have.

    A parameter is worth as much as Akaike's criterion holds: the factor is e^(2 price / t).
    """
    groups, count, times = curves.shape
    across = np.linalg.svd(curves.reshape(-1, times), full_matrices=False)[2][:COMPONENTS]
    basis = np.zeros((COMPONENTS, times), np.float32)
    parts = np.zeros((groups, count + count % 2, COMPONENTS), np.float32)
    factor = np.full(parts.shape[1], np.inf, np.float32)
    basis[: len(across)] = across
    parts[:, :count, : len(across)] = curves @ across.T
    factor[:count] = np.exp(2 * price / times)
    return Candidates(basis, parts, factor, count)


def least_residual(
    curves: NDArray[Any],
    known: Candidates,
    left: NDArray[np.float64],
    energy: NDArray[np.float64],
    device: Device,
) -> NDArray[np.int32]:
    """The candidate (n,), as group * size + b, of the least factor[b] (left[group] - (candidate . curve)^2).

    curves : (n, t) float32. left : (g, n), what each group leaves of energy : (n,), the curve's sum of squares.
    In single precision; the first of equals; 0 for a curve that is not finite.
    """
    choice = np.zeros(curves.shape[0], np.int32)
    rest, floor = left.astype(np.float32), (FLOOR * energy).astype(np.float32)
    if device.kind == "cuda":
        from bolus_kernels.cuda import linear as on_cuda

        on_cuda.least_residual(curves, known.basis, known.parts, rest, floor, known.factor, choice, device)
    else:
        _least_residual(time_major(curves), known.basis, known.parts, rest, floor, known.factor, choice)
    group, b = np.divmod(choice, np.int32(known.parts.shape[1]))
    return np.asarray(group * known.size + b, np.int32)


def akaike(
    residual: NDArray[np.float64], energy: NDArray[np.float64], times: int, parameters: NDArray[np.float64]
) -> NDArray[np.float32]:
    """AIC = t ln(RSS/t) + 2 p, (n,), of residual sums (n,) left of energy (n,) by `parameters` (n,) parameters.

    Source: Akaike, IEEE Trans Autom Control 19:716 (1974), for Gaussian noise of unknown size.
    """
    least = np.maximum(residual, FLOOR * energy + np.finfo(np.float32).tiny)
    return (times * np.log(least / times) + 2 * parameters).astype(np.float32)


@kernel
def _least_residual(
    curves: Any, basis: Any, parts: Any, left: Any, floor: Any, factor: Any, choice: Any
) -> None:
    times, n = curves.shape
    tile, finite = np.empty((times, TILE), np.float32), np.empty(TILE, np.bool_)
    told, sums = np.empty(COMPONENTS * TILE, np.float32), np.empty(2 * TILE, np.float32)
    rest, least, best = np.zeros(2 * TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.int32)
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        gather(curves, begin, width, tile, finite)
        told[:] = 0
        for t in range(times):
            row = tile[t]
            for j in range(0, COMPONENTS, 4):
                four = told[j * TILE : (j + 4) * TILE]
                w0, w1, w2, w3 = basis[j, t], basis[j + 1, t], basis[j + 2, t], basis[j + 3, t]
                for v in range(TILE):
                    c = row[v]
                    four[v], four[v + TILE] = four[v] + w0 * c, four[v + TILE] + w1 * c
                    four[v + TWO], four[v + THREE] = four[v + TWO] + w2 * c, four[v + THREE] + w3 * c
        least[:], best[:] = FINITE, 0
        for v in range(width):
            rest[v + TILE] = floor[begin + v]
        for g in range(parts.shape[0]):
            for v in range(width):
                rest[v] = left[g, begin + v]
            for b in range(0, parts.shape[1], 2):
                sums[:] = 0
                one, two = parts[g, b], parts[g, b + 1]
                for j in range(0, COMPONENTS, 4):
                    four = told[j * TILE : (j + 4) * TILE]
                    a0, a1, a2, a3 = one[j], one[j + 1], one[j + 2], one[j + 3]
                    b0, b1, b2, b3 = two[j], two[j + 1], two[j + 2], two[j + 3]
                    for v in range(TILE):
                        p0, p1, p2, p3 = four[v], four[v + TILE], four[v + TWO], four[v + THREE]
                        sums[v] += a0 * p0 + a1 * p1 + a2 * p2 + a3 * p3
                        sums[v + TILE] += b0 * p0 + b1 * p1 + b2 * p2 + b3 * p3
                price, dearer = factor[b], factor[b + 1]
                number = np.int32(g * parts.shape[1] + b)
                for v in range(TILE):
                    first = price * max(rest[v] - sums[v] * sums[v], rest[v + TILE])
                    second = dearer * max(rest[v] - sums[v + TILE] * sums[v + TILE], rest[v + TILE])
                    lower, which = (second, number + np.int32(1)) if second < first else (first, number)
                    best[v] = which if lower < least[v] else best[v]
                    least[v] = lower if lower < least[v] else least[v]
        for v in range(width):
            choice[begin + v] = best[v] if finite[v] else 0
