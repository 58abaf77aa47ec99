"""The columns that leakage is fitted with: what blood may look like, beside what has leaked of the reference."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.leakage.alignment import shapes
from bolus_kernels.dsc.leakage.projection import Candidates, candidates, least_residual
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.dsc.retention import retained
from bolus_kernels.linear import chosen_sums, sums_and_energy


class Design(NamedTuple):
    """Shapes of blood s_b beside leaked curves I_g, one for each kep, or none for the uncorrected curve (g = 1).

    line : (g, t), I_g of norm 1, and size : (g,) its norm. along : (g, b), line . s. length : (g, b), norm of what
    is left of s across the line, and rows : (g b, t) that of norm 1. chosen : (b,), parameters that chose s_b.
    """

    line: NDArray[np.float64]
    size: NDArray[np.float64]
    along: NDArray[np.float64]
    length: NDArray[np.float64]
    rows: NDArray[np.float64]
    chosen: NDArray[np.float64]
    known: Candidates


class Fit(NamedTuple):
    """Per voxel: area under the curve, which shape, K1 (1), K2 (1/s), the residual sum, the curve's sum of squares."""

    area: NDArray[np.float64]
    shape: NDArray[np.int32]
    k1: NDArray[np.float64]
    k2: NDArray[np.float64]
    residual: NDArray[np.float64]
    energy: NDArray[np.float64]


def design(protocol: DscProtocol, alignment: str, kep: tuple[float, ...]) -> Design:
    """The columns for some values of kep (1/s), kept for the next block of the same scan; no kep: no leakage.

    Raises ValueError for a reference curve or arterial input that is zero or not finite.
    """
    reference = np.ascontiguousarray(protocol.reference, np.float64)
    aif = np.ascontiguousarray(protocol.aif, np.float64)
    return _design(reference.tobytes(), aif.tobytes(), protocol.repetition_time, alignment, kep)


@lru_cache(maxsize=8)
def _design(reference: bytes, aif: bytes, step: float, alignment: str, kep: tuple[float, ...]) -> Design:
    m = np.frombuffer(reference)
    blood = shapes(m, np.frombuffer(aif), step, alignment)
    if kep:
        leaked = retained(m, step, np.array(kep))
        size = np.linalg.norm(leaked, axis=1)
        line = unit(leaked)
    else:
        line, size = np.zeros((1, m.size)), np.ones(1)
    along = line @ blood.curves.T
    across = blood.curves - along[..., None] * line[:, None]
    rows = unit(across)
    known = candidates(rows, blood.chosen)
    length = np.linalg.norm(across, axis=-1)
    return Design(line, size, along, length, rows.reshape(-1, m.size), blood.chosen, known)


def fit(curves: NDArray[Any], columns: Design, volume: NDArray[np.float64], device: Device) -> Fit:
    """Least squares of C = K1 s - K2 I with the pair of columns that Akaike's criterion prefers.

    curves : (n, t) float32, 1/s. volume : (t,), the weights of the area.
    """
    lines, shapes = columns.along.shape
    alone = lines * shapes == 1
    weights = np.stack([volume, *columns.line, *(columns.rows if alone else ())])
    sums, total = sums_and_energy(curves, weights, device)
    area, lined = sums[0], sums[1 : 1 + lines]
    left = total - lined**2
    group: Any = 0
    if alone:
        shape, told = np.zeros(total.size, np.int32), sums[-1]
        along, length, lined, left = columns.along[0, 0], columns.length[0, 0], lined[0], left[0]
    else:
        choice = least_residual(curves, columns.known, left, total, device)
        told = chosen_sums(curves, columns.rows, choice, device)
        group, shape = np.divmod(choice, np.int32(shapes))
        along, length = columns.along[group, shape], columns.length[group, shape]
        lined, left = lined[group, np.arange(group.size)], left[group, np.arange(group.size)]
    k1 = told / length
    k2 = (k1 * along - lined) / columns.size[group]
    return Fit(area, shape, k1, k2, left - told**2, total)


def unit(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Curves (..., t) divided by their norms. Raises ValueError where one is zero or not finite."""
    norm = np.linalg.norm(curves, axis=-1, keepdims=True)
    if not (np.isfinite(norm).all() and norm.min() > 0):
        raise ValueError("the reference curve of non-enhancing brain is zero: no leakage can be told from it")
    return np.asarray(curves / norm)


def volume_weights(protocol: DscProtocol) -> NDArray[np.float64]:
    """The weights (t,) whose sum with a curve (1/s) is its blood volume in ml/100g."""
    aif = np.asarray(protocol.aif, np.float64)
    trapezoid = np.ones(aif.size)
    trapezoid[[0, -1]] = 0.5
    area = trapezoid @ aif
    if not (np.isfinite(area) and area > 0):
        raise ValueError("the arterial input function has no area")
    return 100.0 * protocol.density_factor / area * trapezoid
