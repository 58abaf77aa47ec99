"""Kernels on one core against what a careful user would write: each row a ratio measured in one run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example, scaling
from benchmarks.clock import least
from benchmarks.peers.loops import csvd_loop, curve_fit_loop, osvd_by_threshold, osvd_loop
from bolus_kernels.device import cpu
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.deconvolution.circulant import spectrum
from bolus_kernels.dsc.echo import Echo
from bolus_kernels.dsc.leakage.design import volume_weights
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.linear import weighted_sums
from bolus_kernels.method import Method
from bolus_kernels.shelf import shelf

VOXELS, LOOPED = 16384, 256
ROUNDS, SECONDS = 25, 10.0
"""A row is timed so many times, or for so long, whatever comes first."""
GEMM, GEMM_BLOCK = "a bare float32 matrix product, 2t x t by t x voxels", 1024
Array = NDArray[Any]
Row = dict[str, Any]


def measure() -> list[Row]:
    """A row per kernel: what, voxels per second, how many times faster, than what; then its scaling curves."""
    dsc = [known for known in shelf().values() if known.contrast == "dsc"]
    return [*_dsc(), *map(_against_gemm, dsc), *_asl(), *scaling.curves()]


def _dsc() -> list[Row]:
    method = shelf()
    small, few_protocol = example.dsc(LOOPED, 1)
    curves, protocol = _tiled(small, few_protocol)
    series = np.rint(2000 * np.exp(-example.ECHO_TIME * np.ascontiguousarray(curves.T))).astype(np.int16)
    series = np.maximum(series, 1)
    rows = np.arange(VOXELS)
    basis = spectrum(protocol)
    kept = np.repeat(basis.size >= 0.1 * basis.size[0], 2)
    inverse = basis.synthesis[:, kept] @ basis.analysis[kept]
    area = float(np.trapezoid(protocol.aif, dx=protocol.repetition_time))

    def fused() -> None:
        """Signal to maps, one block as the engine cuts it."""
        values = relaxation((Echo(series, 1.0, 0.0, example.ECHO_TIME),), rows, (0, 7)).values
        (volume,) = weighted_sums(values, volume_weights(protocol)[None])
        told = protocol._replace(blood_volume=volume.astype(np.float32))
        method["csvd"].function(values, told, method["csvd"].defaults(), cpu())

    def loop() -> None:
        csvd_loop(series[:, :LOOPED], inverse, example.ECHO_TIME, protocol.repetition_time, area)

    def exact() -> None:
        method["osvd"].function(curves, protocol, method["osvd"].defaults(), cpu())

    signal, what = "cSVD, int16 signal to CBF, CBV, MTT, Tmax", "oSVD, every truncation tried"
    few = small[: LOOPED // 16]
    pairs = np.arange(2, 2 * basis.size.size + 1, 2)
    inverses = np.stack([basis.synthesis[:, :kept] @ basis.analysis[:kept] for kept in pairs])

    def recomputed() -> None:
        osvd_loop(few, inverses, 0.035)

    def by_fft() -> None:
        osvd_by_threshold(small, protocol.aif, protocol.repetition_time, 0.035)

    return [
        _row(signal, fused, VOXELS, loop, LOOPED, "a NumPy loop over voxels"),
        _row(signal, fused, VOXELS, bare_product(curves), VOXELS, GEMM),
        _row(what, exact, VOXELS, recomputed, len(few), "an inverse per threshold, voxel by voxel"),
        _row(what, exact, VOXELS, by_fft, LOOPED, "an FFT per threshold, many voxels at once"),
    ]


def _against_gemm(known: Method) -> Row:
    """A method of the shelf as the engine calls it: one block of curves, every map."""
    curves, protocol = _tiled(*example.dsc(LOOPED, 1))
    chosen = known.defaults()

    def ours() -> None:
        known.function(curves, protocol, chosen, cpu())

    return _row(f"{known.name}, curves to maps", ours, VOXELS, bare_product(curves), VOXELS, GEMM)


def _tiled(curves: Array, protocol: DscProtocol) -> tuple[Array, DscProtocol]:
    """The same voxels again and again, as many as the engine's block."""
    times = VOXELS // len(curves)
    return np.asfortranarray(np.tile(curves, (times, 1))), example.repeated(protocol, times)


def bare_product(curves: Array) -> Callable[[], None]:
    """What one ready inverse, applied to all curves, costs in the best library for it, by blocks in the cache."""
    inverse = np.random.default_rng(0).random((2 * curves.shape[1], curves.shape[1]), np.float32)
    made = np.empty((2 * curves.shape[1], GEMM_BLOCK), np.float32)
    blocks = [
        np.ascontiguousarray(curves[begin : begin + GEMM_BLOCK].T)
        for begin in range(0, len(curves), GEMM_BLOCK)
    ]

    def product() -> None:
        for block in blocks:
            np.dot(inverse, block, out=made)

    return product


def _asl() -> list[Row]:
    method = shelf()
    protocol = example.asl_protocol(LOOPED, 1e-3, repeats=1)
    rng = np.random.default_rng(1)
    small = example.asl_curves(protocol, rng.uniform(20, 90, LOOPED), rng.uniform(0.6, 1.8, LOOPED), 1e-3, 2)
    times = VOXELS // LOOPED
    curves = np.asfortranarray(np.tile(small, (times, 1)))
    many = protocol._replace(
        t1_tissue=np.tile(protocol.t1_tissue, times), slice_delay=np.tile(protocol.slice_delay, times)
    )

    def posterior(name: str) -> Callable[[], object]:
        return lambda: method[name].function(curves, many, method[name].defaults(), cpu())

    def fits(n: int, arterial: bool) -> Callable[[], object]:
        told = small[:n].astype(np.float64), protocol.post_labeling_delay, 1.8, 1.3
        return lambda: curve_fit_loop(*told, arterial=arterial)

    few, what = LOOPED // 16, "ASL posterior, CBF and ATT with SDs, 8 delays"
    more, against = "the same with arterial volume and its arrival", "scipy.optimize.curve_fit"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            _row(what, posterior("multi_delay"), VOXELS, fits(LOOPED, False), LOOPED, against),
            _row(more, posterior("kinetic_model"), VOXELS, fits(few, True), few, f"{against}, bounded"),
        ]


def _row(
    what: str, ours: Callable[[], object], n: int, theirs: Callable[[], object], m: int, against: str
) -> Row:
    """Both timed in turn, the least CPU time of several rounds each: the machine may be shared."""
    spent = least({"ours": ours, "theirs": theirs}, ROUNDS, SECONDS)
    rate, other = n / spent["ours"], m / spent["theirs"]
    return {"what": what, "rate": rate, "ratio": rate / other, "against": against}
