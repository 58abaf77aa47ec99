"""What this machine can do at all, in one run: copy, multiply, inflate, deflate, hash, write; PCIe with a GPU."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from isal import isal_zlib

from benchmarks.clock import least
from bolus.phantom import write_cohort
from bolus_kernels.device import why_no_cuda

COPIED = 1 << 28
"""Bytes: far more than any cache holds."""
GEMM, BLOCK = (120, 60, 1 << 16), 1024
"""2t x t by t x voxels: what cSVD of 60 volumes multiplies, by blocks that stay in the cache; and a large square."""
SQUARE = 1536
FILES, SIZE = 96, 256 << 10
"""How many files are written to disk, and bytes of each: about one map of a scan, deflated."""
AT_ONCE = 16
ROUNDS, SECONDS = 9, 6.0
Row = dict[str, Any]


def measure() -> list[Row]:
    """Rows of bytes, products or files a second; the ratio is to the first of the same group."""
    return [*_memory(), *_products(), *_streams(), *_files(), *_gpu()]


def _group(rates: dict[str, float], unit: str, scale: float = 1.0) -> list[Row]:
    first = next(iter(rates))
    return [
        {
            "what": what,
            "rate": rate,
            "ratio": rate / rates[first],
            "against": first,
            "said": f"{rate / scale:,.{2 if rate / scale < 100 else 0}f} {unit}",
        }
        for what, rate in rates.items()
    ]


def _memory() -> list[Row]:
    source = np.ones(COPIED // 4, np.float32)
    target = np.empty_like(source)
    works: dict[str, Callable[[], object]] = {
        "copy, bytes read and written, one core": lambda: np.copyto(target, source),
        "read, sum of float32, one core": source.sum,
    }
    spent = least(works, ROUNDS, SECONDS)
    rates = {what: COPIED * (2 if what.startswith("copy") else 1) / spent[what] for what in works}
    return _group(rates, "GB/s", 1e9)


def _products() -> list[Row]:
    rows, inner, voxels = GEMM
    left, right = np.ones((rows, inner), np.float32), np.ones((inner, BLOCK), np.float32)
    made = np.empty((rows, BLOCK), np.float32)
    square = np.ones((SQUARE, SQUARE), np.float32)
    result = np.empty_like(square)

    def thin() -> None:
        for _ in range(voxels // BLOCK):
            np.dot(left, right, out=made)

    works: dict[str, Callable[[], object]] = {
        f"matrix product {SQUARE} x {SQUARE}, float32, one core": lambda: np.dot(square, square, out=result),
        f"matrix product {rows} x {inner} by {inner} x {BLOCK}, float32, one core": thin,
    }
    spent = least(works, ROUNDS, SECONDS)
    operations = (2.0 * SQUARE**3, 2.0 * rows * inner * voxels)
    rates = {what: count / spent[what] for what, count in zip(works, operations, strict=True)}
    return _group(rates, "GFLOP/s", 1e9)


def _streams() -> list[Row]:
    """Of a simulated DSC scan, int16: what gzip and hashes do with it, bytes uncompressed."""
    with TemporaryDirectory() as folder:
        write_cohort(Path(folder), 1, shape=(96, 96, 12), volumes=40, contrasts=("dsc",))
        packed = next(Path(folder).rglob("*_dsc.nii.gz")).read_bytes()
    raw = isal_zlib.decompress(packed, 31)
    fast = _deflate(raw)
    works: dict[str, Callable[[], object]] = {
        "inflate, isal, one core": lambda: isal_zlib.decompress(packed, 31),
        "inflate, zlib, one core": lambda: zlib.decompress(packed, 31),
        "deflate, isal level 1, one core": lambda: _deflate(raw),
        "SHA-256, one core": lambda: hashlib.sha256(raw).digest(),
    }
    spent = least(works, ROUNDS, SECONDS)
    rows = _group({what: len(raw) / spent[what] for what in works}, "MB/s", 1e6)
    rows[0]["said"] += f" uncompressed, of a scan {len(raw) / len(packed):.2f} times as small by gzip"
    rows[2]["said"] += f", {len(raw) / len(fast):.2f} times as small"
    return rows


def _deflate(raw: bytes) -> bytes:
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    return bytes(packer.compress(raw) + packer.flush())


def _files() -> list[Row]:
    """Wall time, for here the disk is waited for: write, fsync, rename, each file whole, in the current folder."""
    body = np.random.default_rng(0).bytes(SIZE)
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        root = Path(folder)

        def write(number: int) -> None:
            path = root / f".{number}"
            with path.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            path.replace(root / str(number))

        def one_by_one() -> None:
            for number in range(FILES):
                write(number)

        def at_once() -> None:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(write, range(FILES)))

        best = {"one by one": np.inf, f"{AT_ONCE} at once": np.inf}
        for _ in range(3):
            for name, work in zip(best, (one_by_one, at_once), strict=True):
                began = time.monotonic()
                work()
                best[name] = min(best[name], time.monotonic() - began)
    size = f"file of {SIZE >> 10} KiB, written, fsynced, renamed"
    return _group({f"{size}, {name}": FILES / seconds for name, seconds in best.items()}, "files/s")


def _gpu() -> list[Row]:
    """Copies between pinned memory and a GPU, by benchmarks.gpu; one row that says why where there is none."""
    reason = why_no_cuda()
    if reason is not None:
        return [{"what": "PCIe, pinned host to device and back", "said": f"no GPU: {reason}", "absent": True}]
    from benchmarks import gpu

    return gpu.limits()
