"""Deconvolution by one matrix on tensor cores: what `tensor.cu` is told, and how its numbers are split for TF32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.cuda.launch import over_voxels
from bolus_kernels.cuda.text import Text
from bolus_kernels.device import Device
from bolus_kernels.dsc.echo import Share

FILE = Path(__file__).with_name("tensor.cu")
ROWS, DEPTH, WARP = 16, 8, 32
"""Rows and columns of a piece of the matrix that one instruction multiplies, and lanes that hold it."""
KEPT = 64
"""Registers of a lane for the samples of its voxels."""
LONGEST = 256
"""Samples of a curve that a lane has registers for."""
Numbers = NDArray[np.float32]


def by_tensor_cores(
    curves: NDArray[Any], matrix: NDArray[np.float64], turn: int, filled: Sequence[NDArray[Any]], device: Device
) -> None:  # fmt: skip
    """As `cuda.by_matrix`; filled : cbf, tmax, state (n,), residues (n or 0, L). Raises ValueError for t > LONGEST."""
    shared = (pieces(matrix), matrix.shape[0], turn)
    over_voxels(text(matrix.shape[1], stored=False), (curves,), shared, filled, device)


def from_signal(
    share: Share, rows: NDArray[np.int64], baseline: tuple[int, int], matrix: NDArray[np.float64], turn: int,
    filled: Sequence[NDArray[Any]], device: Device,
) -> None:  # fmt: skip
    """The same from the stored signal of the only echo, int16 (t, N), whose voxels `rows` (n,) are computed.

    In one kernel: curves are never written. State and relaxation are those of `concentration.relaxation`.
    """
    echo = share.echo
    scale = (
        np.float32(echo.slope),
        np.float32(echo.inter),
        *baseline,
        np.float32(echo.saturation),
        share.weight,
    )
    shared = (echo.series, *scale, pieces(matrix), matrix.shape[0], turn)
    over_voxels(text(matrix.shape[1], stored=True), (rows,), shared, filled, device)


def text(times: int, stored: bool) -> Text:
    """The kernel for curves of so many samples."""
    if times > LONGEST:
        raise ValueError(f"tensor cores take curves of {LONGEST} samples at most, not {times}")
    steps = -(-times // DEPTH)
    tiles = next(tiles for tiles in (4, 2, 1) if 2 * steps * tiles <= KEPT)
    return Text(FILE, "by_tensor_cores", (f"STEPS={steps}", f"TILES={tiles}", f"STORED={int(stored)}"))


def pieces(matrix: NDArray[np.float64]) -> Numbers:
    """A matrix (L, t), split, in the order in which lanes read it: (rows of pieces * columns * 2 * 32, 4) float32.

    Of a piece lane i holds rows i / 4 and that + 8, columns i % 4 and that + 4: the layout of mma.m16n8k8, PTX ISA.
    """
    length, times = matrix.shape
    padded = np.pad(matrix, ((0, -length % ROWS), (0, -times % DEPTH)))
    cut = padded.reshape(-1, 2, ROWS // 2, padded.shape[1] // DEPTH, 2, DEPTH // 2)
    lanes = cut.transpose(0, 3, 2, 5, 4, 1)  # piece row, piece column, group, member, column + 4, row + 8
    both = np.stack(halves(lanes), axis=2)
    return np.ascontiguousarray(both.reshape(-1, 4))


def halves(values: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Two numbers that TF32 holds, the nearest one and that of what is left: 2^-22 of a number is lost."""
    large = to_tf32(values.astype(np.float32))
    return large, to_tf32((values - large).astype(np.float32))


def to_tf32(values: Numbers) -> Numbers:
    """The nearest numbers with ten bits of mantissa, halves away from zero."""
    return ((values.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
