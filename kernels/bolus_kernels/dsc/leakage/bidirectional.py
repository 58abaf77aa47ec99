"""Blood volume corrected for contrast agent that leaks into the tissue and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.leakage.alignment import ALIGNMENTS
from bolus_kernels.dsc.leakage.design import design, fit, volume_weights
from bolus_kernels.dsc.leakage.projection import akaike
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.dsc.retention import retained
from bolus_kernels.jit import kernel, part
from bolus_kernels.linear import chosen_sums, weighted_sums
from bolus_kernels.method import AIC, METHODS, VoxelMaps, empty_maps, method, refuse_infinite
from bolus_kernels.tiles import TILE

TERMS = 36
"""Of a Chebyshev series over kep, a multiple of 4: what is retained is in it to 1e-10."""
SCAN = 49
"""Values of kep that are compared before the best of them is refined."""
COARSE = np.linspace(-1.0, 1.0, 32)
"""Where in -1..1 kep stands while the shape of the blood is chosen."""
ZERO, ONE, TWO, HALF = 0.0, 1.0, 2.0, 0.5


class Retention(NamedTuple):
    """What is retained of the reference at any kep, as Chebyshev series in the place x of kep in -1..1.

    moments : (TERMS, t), whose sums with a curve are the series of I_kep . curve. mixed, across : (b, TERMS), of
    I_kep . s and of the squared norm of what s leaves of I_kep, for shapes s of norm 1. area : (TERMS,), of the
    area of I_kep in ml/100g. waves : (SCAN, TERMS), the series' terms at evenly spaced x. weights : (b, SCAN), one
    over `across` there.
    """

    moments: NDArray[np.float64]
    mixed: NDArray[np.float64]
    across: NDArray[np.float64]
    area: NDArray[np.float64]
    waves: NDArray[Any]
    weights: NDArray[np.float64]


@method(
    "bidirectional",
    contrast="dsc",
    family="volume",
    maps={"cbv": "ml/100g", "k1": "1", "k2": "1/s", "kep": "1/s"},
    parameters={"kep_most": (0.2, "1/s", 0.01, 2.0)},
    choices={"alignment": ALIGNMENTS[:2]},  # another transit time and kep cannot be told apart
    cuda=True,
    paper="Leu et al., AJNR Am J Neuroradiol 37:1440 (2016)",
    equation="dR2*(t) = K1 m(t) - K2 integral_0^t m(s) e^(-kep (t-s)) ds; CBV from dR2* + K2 integral m e^(-kep (t-s))",
)
def bidirectional(
    curves: NDArray[Any], protocol: DscProtocol, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Blood volume after subtracting leakage that also washes back, fitted to non-enhancing brain.

    curves : (n, t) float32, 1/s. Gives cbv : ml/100g, k1 : 1, k2 : 1/s (positive where T1 shortening lifts the
    signal), kep : 1/s and aic : 1, each (n,) float32, and state : (n,) uint8. K1 and K2 by linear least squares;
    kep is the best of 0..kep_most. parameters: kep_most; alignment, what stands for m beside K1, as in `bsw`.
    Raises ValueError for a reference curve that is zero.
    Source: Leu 2016, eq. 1-5; OSIPI M.LC1.002; variable projection after Golub and Pereyra,
    SIAM J Numer Anal 10:413 (1973).
    """
    most, alignment, volume = parameters["kep_most"], parameters["alignment"], volume_weights(protocol)
    blood = design(protocol, alignment, ())
    coarse = kep_at(COARSE[: 1 if alignment == "none" else None], most, protocol)
    held = retention(protocol, most, blood.rows, volume)
    maps = empty_maps(METHODS["bidirectional"], curves.shape[0])
    with np.errstate(invalid="ignore", over="ignore"):
        found = fit(curves, design(protocol, alignment, tuple(coarse.tolist())), volume, device)
        told, length = chosen_sums(curves, blood.rows, found.shape, device), blood.length[0, found.shape]
        best = np.empty((5, curves.shape[0]))
        moments = weighted_sums(curves, held.moments, device)
        if device.kind == "cuda":
            from bolus_kernels.dsc.leakage.cuda import best_washout

            best_washout(moments, told, found.shape, held[1:], best, device)
        else:
            _best(moments, told, found.shape, *held[1:], best)
        place, leaked, mixed, area, gain = best
        maps["cbv"], maps["k1"], maps["k2"], maps["kep"] = np.array(
            [
                found.area - leaked * area,
                (told - leaked * mixed) / length,
                -leaked,
                kep_at(place, most, protocol),
            ],
            np.float32,
        )
        residual = found.energy - told**2 - gain
        maps[AIC] = akaike(residual, found.energy, volume.size, 3 + blood.chosen[found.shape])
    return refuse_infinite(maps)


def kep_at(place: NDArray[np.float64], most: float, protocol: DscProtocol) -> NDArray[np.float64]:
    """kep (1/s) at a place in -1..1: 0..most, dense where it is small against the length of the series."""
    scale = protocol.repetition_time * len(protocol.aif) / 4
    return np.asarray(np.expm1((place + 1) / 2 * np.log1p(most * scale)) / scale)


def retention(
    protocol: DscProtocol, most: float, shapes: NDArray[np.float64], volume: NDArray[np.float64]
) -> Retention:
    """The series of one scan, kept for its next block; shapes : (b, t) of norm 1, volume : (t,) weights of the area."""
    nodes = np.cos(np.pi * (np.arange(TERMS) + 0.5) / TERMS)
    m = np.asarray(protocol.reference, np.float64)
    curves = retained(m, protocol.repetition_time, kep_at(nodes, most, protocol))
    terms = chebyshev.chebvander(nodes, TERMS - 1)
    series = terms.T * (2 / TERMS)  # the terms are orthogonal over these nodes
    series[0] /= 2
    moments, mixed = series @ curves, curves @ shapes.T
    across = series @ ((curves**2).sum(1)[:, None] - mixed**2)
    waves = chebyshev.chebvander(np.linspace(-1, 1, SCAN), TERMS - 1)
    return Retention(
        moments, np.ascontiguousarray((series @ mixed).T), np.ascontiguousarray(across.T), moments @ volume, waves,
        1 / np.ascontiguousarray((waves @ across).T),
    )  # fmt: skip


@kernel
def _best(
    moments: Any,
    told: Any,
    shape: Any,
    mixed: Any,
    across: Any,
    area: Any,
    waves: Any,
    weights: Any,
    best: Any,
) -> None:
    """Fill best : (5, n) with the place of kep, -K2, I . s, the area of I, and how much the leakage explains.

    The gain (I . c - (I . s) (s . c))^2 / across is largest where the residual sum is least. moments : (TERMS, n).
    """
    terms, n = moments.shape
    numerator, denominator = np.zeros((terms, TILE)), np.zeros((terms, TILE))
    blood, volume = np.zeros((terms, TILE)), np.empty((terms, TILE))
    top, at, total = np.empty(TILE), np.empty(TILE), np.empty(TILE)
    middle, left, centre, right = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    work = np.empty((2, TILE))
    for k in range(terms):
        volume[k] = area[k]
    for begin in range(0, n, TILE):
        width = min(TILE, n - begin)
        for k in range(terms):
            for v in range(width):
                b = shape[begin + v]
                blood[k, v] = mixed[b, k]
                numerator[k, v] = moments[k, begin + v] - mixed[b, k] * told[begin + v]
                denominator[k, v] = across[b, k]
        top[:], at[:] = -ONE, ZERO
        for g in range(waves.shape[0]):
            total[:] = ZERO
            for k in range(0, terms, 4):
                row0, row1, row2, row3 = numerator[k], numerator[k + 1], numerator[k + 2], numerator[k + 3]
                w0, w1, w2, w3 = waves[g, k], waves[g, k + 1], waves[g, k + 2], waves[g, k + 3]
                for v in range(TILE):
                    total[v] += w0 * row0[v] + w1 * row1[v] + w2 * row2[v] + w3 * row3[v]
            place = TWO * g / (waves.shape[0] - 1) - ONE
            for v in range(width):
                gain = total[v] * total[v] * weights[shape[begin + v], g]
                at[v] = place if gain > top[v] else at[v]
                top[v] = gain if gain > top[v] else top[v]
        step = TWO / (waves.shape[0] - 1)
        for _ in range(3):
            for v in range(TILE):
                middle[v] = min(max(at[v], step - ONE), ONE - step)
            _gain(numerator, denominator, middle, -step, total, work, left)
            _gain(numerator, denominator, middle, ZERO, total, work, centre)
            _gain(numerator, denominator, middle, step, total, work, right)
            for v in range(TILE):
                slope, bend = HALF * (right[v] - left[v]), left[v] - TWO * centre[v] + right[v]
                ends = ONE if slope > ZERO else -ONE
                shift = -slope / bend if bend < -abs(slope) else ends
                at[v] = middle[v] + step * shift
            step /= 8
        _value(numerator, at, ZERO, total, work)
        _value(denominator, at, ZERO, middle, work)
        _value(blood, at, ZERO, left, work)
        _value(volume, at, ZERO, right, work)
        for v in range(width):
            leaked = total[v] / middle[v]
            best[0, begin + v], best[1, begin + v] = at[v], leaked
            best[2, begin + v], best[3, begin + v], best[4, begin + v] = left[v], right[v], leaked * total[v]


@part
def _gain(numerator: Any, denominator: Any, at: Any, shift: Any, below: Any, work: Any, gain: Any) -> None:
    """Numerator squared over denominator, both series of each voxel, at at + shift."""
    _value(numerator, at, shift, gain, work)
    _value(denominator, at, shift, below, work)
    for v in range(TILE):
        gain[v] = gain[v] * gain[v] / below[v]


@part
def _value(series: Any, at: Any, shift: Any, value: Any, work: Any) -> None:
    """A Chebyshev series of each voxel (terms, TILE) at at + shift (Clenshaw, Math Tables Aids Comput 9:118 (1955))."""
    next_, after = work[0], work[1]
    next_[:], after[:] = ZERO, ZERO
    for k in range(series.shape[0] - 1, 0, -1):
        row = series[k]
        for v in range(TILE):
            now = row[v] + TWO * (at[v] + shift) * next_[v] - after[v]
            after[v] = next_[v]
            next_[v] = now
    for v in range(TILE):
        value[v] = series[0, v] + (at[v] + shift) * next_[v] - after[v]
