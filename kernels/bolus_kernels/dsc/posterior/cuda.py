"""The posterior of residue functions on a GPU: one thread a voxel, the arithmetic of `residue` taken as it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import Scratch, finite, over_voxels
from bolus_kernels.device import Device
from bolus_kernels.dsc.posterior.bank import COMPONENTS
from bolus_kernels.dsc.posterior.correlate import correlate
from bolus_kernels.dsc.posterior.mass import Flow, Lattice, Room, room
from bolus_kernels.dsc.posterior.residue import ROUNDING, UNKNOWNS, voxel_posterior
from bolus_kernels.jit import part
from bolus_kernels.state import State

RESULTS = 10
ZERO, ONE, FAINT = np.float32(0), np.float32(1), np.float32(1e-30)
LEAST_NOISE, MOST_UNIT = np.float32(1e-10), np.float32(1e12)
NOT_FINITE, NO_SOLUTION = int(State.NOT_FINITE), int(State.NO_SOLUTION)


def posterior(
    curves: NDArray[Any],
    baseline: tuple[int, int],
    per_typical: np.float32,
    floor: np.float32,
    components: NDArray[np.float32],
    nuisance: NDArray[np.float32],
    returns: NDArray[np.float32],
    spread: np.float32,
    coarse: Lattice,
    middle: Lattice,
    fine: Lattice,
    flow: Flow,
    found: NDArray[np.float32],
    shape: NDArray[np.uint8],
    state: NDArray[np.uint8],
    device: Device,
) -> None:
    """Fill found : (10, n), means and SDs, shape : (n,), the most probable one, and state : (n,), as in `bayes`."""
    scratch = [Scratch((curves.shape[1],)), *(Scratch(field.shape, field.dtype) for field in room())]
    told = (components, nuisance, returns, spread)
    shared = (*baseline, per_typical, floor, *told, *coarse, *middle, *fine, *flow)
    over_voxels(_bayes, (curves,), shared, (found.T, shape, state), device, scratch)


def _bayes(
    curves: Any, first: int, stop: int, per_typical: Any, floor: Any, components: Any, nuisance: Any,
    returns: Any, spread: Any,
    c0: Any, c1: Any, c2: Any, c3: Any, c4: Any, c5: Any, c6: Any, c7: Any, c8: Any, c9: Any,
    m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any, m6: Any, m7: Any, m8: Any, m9: Any,
    f0: Any, f1: Any, f2: Any, f3: Any, f4: Any, f5: Any, f6: Any, f7: Any, f8: Any, f9: Any,
    precision: Any, moments: Any, least_q: Any, strong: Any,
    work: Any, r0: Any, r1: Any, r2: Any, r3: Any, r4: Any, r5: Any, r6: Any, r7: Any, r8: Any, r9: Any,
    r10: Any, r11: Any,
    found: Any, shape: Any, state: Any,
) -> None:  # fmt: skip
    """c, m, f, r : the fields of the coarse, middle and fine lattice and of the room, in their order."""
    voxel = cuda.grid(1)
    if voxel >= curves.shape[1]:
        return
    if not finite(curves, voxel):
        state[voxel] = NOT_FINITE
        return
    state[voxel] = NO_SOLUTION
    own, times = work[:, voxel], curves.shape[0]
    scale, peak = centre(curves[:, voxel], first, stop, own)
    if not scale > ZERO:
        return
    told = cuda.local.array((COMPONENTS, 1), float32)
    result = cuda.local.array(RESULTS, float32)
    square, returned = reduce_curve(own, components, nuisance, returns, told)
    noise = floor * peak * (floor * peak) + LEAST_NOISE
    unit = min(max(scale * per_typical, ONE / MOST_UNIT), MOST_UNIT)
    freedom = np.float32(max(1, times - UNKNOWNS))
    coarse = Lattice(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9)
    middle = Lattice(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9)
    fine = Lattice(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9)
    memory = Room(
        r0[..., voxel], r1[..., voxel], r2[..., voxel], r3[..., voxel],
        r4[..., voxel], r5[..., voxel], r6[..., voxel], r7[..., voxel], r8[..., voxel], r9[..., voxel],
        r10[..., voxel], r11[..., voxel],
    )  # fmt: skip
    flow = Flow(precision, moments, least_q, strong)
    for row in range(coarse.prior.shape[0]):
        memory.rows[row], memory.starts[row] = row, 0
    best = correlate(coarse, told, 0, coarse.prior.shape[0], memory)
    likely = voxel_posterior(
        told, 0, best, square, noise, freedom, unit, flow, coarse, middle, fine,
        returned, spread / scale * (spread / scale), memory, result,
    )  # fmt: skip
    if likely >= 0:
        state[voxel], shape[voxel] = 0, likely
        for i in range(RESULTS):
            found[i, voxel] = result[i]


@part
def centre(curve: Any, first: int, stop: int, own: Any) -> Any:
    """The curve less its mean in units of its largest distance from it; gives that, and the peak above the baseline."""
    mean, scale, peak, before = ZERO, ZERO, ZERO, ZERO
    for t in range(curve.size):
        mean += curve[t] / np.float32(curve.size)
    for t in range(curve.size):
        own[t] = curve[t] - mean
        peak, scale = max(peak, own[t]), max(scale, abs(own[t]))
    for t in range(first, stop):
        before += own[t] / np.float32(stop - first)
    share = ONE / max(scale, FAINT)
    told = scale if scale > ROUNDING * abs(mean) else ZERO
    for t in range(curve.size):
        own[t] *= share
    return told, (peak - before) * share


@part
def reduce_curve(own: Any, components: Any, nuisance: Any, returns: Any, told: Any) -> Any:
    """Take the nuisance out of a curve, tell it in components; gives its squared norm, and it along what returns."""
    for k in range(nuisance.shape[0]):
        share = ZERO
        for t in range(own.size):
            share += nuisance[k, t] * own[t]
        for t in range(own.size):
            own[t] -= nuisance[k, t] * share
    square, returned = ZERO, ZERO
    for t in range(own.size):
        square += own[t] * own[t]
        returned += returns[t] * own[t]
    for k in range(components.shape[0]):
        told[k, 0] = ZERO
        for t in range(own.size):
            told[k, 0] += components[k, t] * own[t]
    return square, returned
