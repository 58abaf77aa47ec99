"""Standard deviations of a deconvolution's maps by resampling, in each voxel, what its residue function leaves over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.device import Device
from bolus_kernels.dsc.deconvolution.circulant import transfer
from bolus_kernels.dsc.deconvolution.toeplitz import convolution, rank
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import inlined, kernel
from bolus_kernels.method import RESIDUE, STANDARD_DEVIATION, Method
from bolus_kernels.tiles import TILE, time_major

Array = NDArray[Any]
Volume = Callable[[Array, DscProtocol], Array]
"""What gives the blood volume that MTT uses: (curves (n, t), protocol) -> (n,) ml/100g."""
MOST = 5.0
"""TE dR2* beyond which no signal is left to speak of."""


def bootstrap(
    method: Method,
    volume: Volume,
    curves: Array,
    protocol: DscProtocol,
    parameters: Mapping[str, Any],
    device: Device,
    voxels: NDArray[np.int64],
    replicates: int,
    seed: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """The SD of every map of a deconvolution over curves made of its own fit and its residuals, drawn with replacement.

    curves : (n, t) float32, 1/s. voxels : (n,) where each stands in its scan: with `seed` and the replicate's number
    it fixes the draws, so that the cut into blocks and the number of threads change nothing. Gives sd_cbf :
    ml/100g/min, sd_mtt : s, sd_tmax : s, each (n,) float32; NaN where fewer than half of the replicates have a
    solution. Each replicate has its own S0 over protocol.baseline, and its MTT is with its own blood volume; residuals
    are weighed by what the logarithm makes of the signal's noise (`noise_gain`). The SDs are conditional on the
    arterial input, and hold noise alone, not what the method's own smoothing takes off. Raises ValueError for a
    method without residues.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 9.4 (1993).
    """
    first = method.function(curves, protocol._replace(residue=True), parameters, device)
    if RESIDUE not in first:
        raise ValueError(f"{method.name} gives no residue functions to resample from")
    # voxel after voxel, so that sums over time have one order, however many voxels there are
    given = np.ascontiguousarray(curves, np.float64)
    fitted, freedom = fit(given, np.ascontiguousarray(first[RESIDUE], np.float64), protocol, parameters)
    gain = noise_gain(fitted, protocol)
    left = (given - fitted) / gain
    left -= left.mean(axis=1, keepdims=True)
    left *= np.sqrt(curves.shape[1] / freedom)[:, None]
    rows = time_major(fitted), time_major(left), time_major(gain), np.asarray(voxels, np.int64)
    sums = {name: np.zeros((3, len(curves))) for name in method.maps}
    made = np.empty_like(rows[0])
    for replicate in range(replicates):
        _resample(*rows, replicate, seed, *protocol.baseline, made)
        again = protocol._replace(blood_volume=volume(made.T, protocol))
        maps = method.function(made.T, again, parameters, device)
        for name, moments in sums.items():
            off = maps[name].astype(np.float64) - first[name]
            good = np.isfinite(off)
            off[~good] = 0
            moments += good, off, off**2
    return {STANDARD_DEVIATION + name: _deviation(moments, replicates) for name, moments in sums.items()}


def fit(
    curves: Array, residues: Array, protocol: DscProtocol, parameters: Mapping[str, Any]
) -> tuple[Array, Array]:
    """The curves that residue functions stand for, (n, t) 1/s, and the degrees of freedom they leave over, (n,).

    curves : (n, t) float64, 1/s. residues : (n, L) float64, 1/s: L = t on the triangle of sSVD, 2t on the circle.
    The fit is H C with a symmetric H, and the residuals of white noise have tr (1 - H)^T (1 - H) degrees of freedom.
    On the circle H is a filter: its gain at each frequency is the fit's over the padded curve's, whatever the
    method, and of H only the corner (t, t) meets the curve.
    """
    times = curves.shape[1]
    if residues.shape[1] == times:
        matrix = convolution(protocol, parameters["smoothing"] == "on")
        kept = rank(np.linalg.svd(matrix, compute_uv=False), parameters["threshold"])
        return np.einsum("ij,nj->ni", matrix, residues), np.full(len(curves), float(times - kept))
    with np.errstate(divide="ignore", invalid="ignore"):  # curves that are not finite, or zero
        given = np.fft.rfft(curves, 2 * times)
        found = np.fft.rfft(residues) * transfer(protocol)
        gain = np.nan_to_num(np.clip((found / given).real, 0.0, 1.0))
    row = np.fft.irfft(gain, 2 * times)[:, :times]
    inside = np.concatenate([[times], 2 * np.arange(times - 1, 0, -1)])
    freedom = times - 2 * times * row[:, 0] + (row**2 * inside).sum(axis=1)
    return np.fft.irfft(found, 2 * times)[:, :times], np.maximum(freedom, 1.0)


def noise_gain(fitted: Array, protocol: DscProtocol) -> Array:
    """What the logarithm makes of the signal's noise at each sample, e^(TE dR2*), (n, t); fitted : (n, t) 1/s.

    One everywhere for the slope over several echoes.
    """
    if protocol.single_echo is not None or not np.isfinite(protocol.echo_time):
        return np.ones_like(fitted)
    return np.asarray(np.exp(np.clip(protocol.echo_time * fitted, -MOST, MOST)))


def _deviation(moments: Array, replicates: int) -> NDArray[np.float32]:
    """The SD of what was added up in moments : (3, n), count, sum and sum of squares; NaN from too few."""
    count, total, square = moments
    enough = count >= max(2, replicates / 2)
    count = np.where(enough, count, np.nan)
    variance = (square - total**2 / count) / (count - 1)
    return np.asarray(np.sqrt(np.maximum(variance, 0)), np.float32)


@inlined
def _mixed(x: Any) -> Any:
    """A 64-bit number whose every bit depends on every bit of x; Steele, Lea and Flood, OOPSLA 453 (2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def _resample(
    fitted: Any,
    left: Any,
    gain: Any,
    voxels: Any,
    replicate: int,
    seed: int,
    first: int,
    stop: int,
    made: Any,
) -> None:
    """made = fitted + gain residuals drawn with replacement, (t, n) 1/s, less their mean before the bolus.

    That mean is what S0 takes over from the noise. A draw is a number made of all that names it, so that it is the
    same wherever and whenever it is drawn.
    """
    times, n = fitted.shape
    step, half, low = np.uint64(0x9E3779B97F4A7C15), np.uint64(32), np.uint64(0xFFFFFFFF)
    series = _mixed(_mixed(np.uint64(seed) + step) + np.uint64(replicate) + step)
    states, offset = np.empty(TILE, np.uint64), np.empty(TILE, np.float32)
    pool, noise = np.empty((times, TILE), np.float32), np.empty((times, TILE), np.float32)
    for begin in range(0, n, TILE):
        end = min(begin + TILE, n)
        pool[:, : end - begin] = left[:, begin:end]
        offset[:] = 0
        for v in range(end - begin):
            states[v] = _mixed(series + np.uint64(voxels[begin + v]) * step)
        for t in range(times):
            share = np.float32(1 / (stop - first)) if first <= t < stop else np.float32(0)
            for v in range(end - begin):
                states[v] += step
                drawn = ((_mixed(states[v]) & low) * np.uint64(times)) >> half
                noise[t, v] = gain[t, begin + v] * pool[np.int64(drawn), v]
                offset[v] += share * noise[t, v]
        for t in range(times):
            for v in range(end - begin):
                made[t, begin + v] = fitted[t, begin + v] + (noise[t, v] - offset[v])
