"""cSVD as a product of tensor cores beside the kernel in float32: the time of both, and the former against float64."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.example import BASELINE, ECHO_TIME, Array
from benchmarks.gpu.clock import kernels_of, seconds_of
from benchmarks.gpu.methods import JUDGED, SCAN, many
from benchmarks.gpu.stream import SCAN as WHOLE
from benchmarks.gpu.stream import of_limits, stored
from bolus_kernels.device import Device, from_device, full_on_device, on_device, select
from bolus_kernels.dsc.concentration import relaxation
from bolus_kernels.dsc.deconvolution.circulant import spectrum
from bolus_kernels.dsc.deconvolution.cuda import Product, by_matrix
from bolus_kernels.dsc.deconvolution.tensor_cuda import from_signal
from bolus_kernels.dsc.echo import Echo, shares
from bolus_kernels.shelf import shelf

THRESHOLD = 0.1
RIGHT = 1e-5
"""Of max f, against float64."""
Row = dict[str, Any]


def measured() -> list[Row]:
    """Rows of one scan and of a batch from curves, and of one whole scan from int16, all on the GPU already."""
    gpu = select("cuda")
    curves, protocol = many(shelf()["csvd"])
    basis = spectrum(protocol)
    basis = basis.largest(int(np.sum(basis.size >= THRESHOLD * basis.size[0])))
    matrix = basis.synthesis @ basis.analysis
    rows = []
    for told, count in (("its kernel alone", SCAN), ("its kernel alone, batched", len(curves))):
        part = curves[:count]
        there, filled = on_device(part.T).T, maps_on_device(len(part))
        seconds = {
            product: seconds_of(kernels_of(partial(run, product, there, matrix, filled, gpu)))
            for product in ("float32", "tf32x3")
        }
        rows.append(judged(filled["cbf"], part, matrix))
        rows[-1] |= {
            "what": f"csvd by tensor cores, {told}",
            "rate": len(part) / seconds["tf32x3"],
            "milliseconds": 1000 * seconds["tf32x3"],
            "ratio": seconds["float32"] / seconds["tf32x3"],
            "against": "the kernel in float32",
        }
    return [*rows, from_int16(gpu, stored(curves)[:, :WHOLE], matrix)]


def run(product: Product, there: Any, matrix: Array, filled: dict[str, Any], gpu: Device) -> None:
    """One launch over curves on the GPU, whose maps stay there."""
    written = np.empty((len(matrix), 0), np.float32)
    by_matrix(there, matrix, matrix.shape[1], filled, written, gpu, product)


def from_int16(gpu: Device, signal: Array, matrix: Array) -> Row:
    """A whole scan in one kernel, from the signal as it is stored."""
    rows, filled = np.arange(signal.shape[1]), maps_on_device(signal.shape[1])
    echo = Echo(on_device(signal), 1.0, 0.0, ECHO_TIME)
    (share,) = shares((echo,), (0, BASELINE))
    made = filled["cbf"], filled["tmax"], filled["state"], np.empty((0, len(matrix)), np.float32)
    given = share, on_device(rows), (0, BASELINE), matrix, matrix.shape[1], made, gpu
    seconds = seconds_of(kernels_of(partial(from_signal, *given)))
    few = rows[:JUDGED]
    curves = relaxation((echo._replace(series=signal),), few, (0, BASELINE)).values
    return of_limits("csvd by tensor cores, int16 to maps within the GPU", seconds, signal) | judged(
        filled["cbf"], curves, matrix
    )


def maps_on_device(n: int) -> dict[str, Any]:
    """Maps of n voxels that stay on the GPU, as a method begins with them."""
    made = {name: full_on_device((n,), np.float32, np.nan) for name in ("cbf", "tmax")}
    return made | {"state": full_on_device((n,), np.uint8, 0)}


def judged(found: Any, curves: Array, matrix: Array) -> Row:
    """The largest error of max f of the first voxels against float64, of those that have one."""
    few = slice(0, min(JUDGED, len(curves)))
    truth = (matrix @ curves[few].T.astype(np.float64)).max(axis=0)
    error = np.abs(from_device(found)[few] - truth)[truth > 0] / truth[truth > 0]
    largest = float(np.where(np.isfinite(error), error, np.inf).max(initial=0.0))
    return {"largest": largest, "failed": largest > RIGHT}
