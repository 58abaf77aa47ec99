"""One visit to a GPU: every part in a process of its own, the judged ones first, until the time is up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bolus_kernels.device import select
from bolus_kernels.shelf import shelf

SECONDS, PATIENCE = 450.0, 110.0
"""All parts together take no longer, and none of them longer than this, s."""
LIMITS, STREAM, TENSOR, BESIDE, SMALL, FILES = "limits", "stream", "tensor", "beside", "small", "files"
FIRST = (
    LIMITS,
    STREAM,
    TENSOR,
    "osvd",
    "csvd",
    "multi_delay",
    "kinetic_model",
    BESIDE,
    SMALL,
    FILES,
    "bayes",
)
"""What is judged; every other method follows."""
Row = dict[str, Any]


def measure() -> list[Row]:
    """Rows of every part; one that fails, hangs or comes too late has a row that says so.

    After an error a CUDA context is lost for all that follows, hence the processes. Raises DeviceUnavailable, which
    says why, where there is no usable GPU.
    """
    select("cuda")
    methods = [known.name for known in shelf().values() if known.cuda]
    until = time.perf_counter() + SECONDS
    rows = []
    for name in (*FIRST, *(name for name in methods if name not in FIRST)):
        rows += apart([sys.executable, "-m", "benchmarks.gpu", name], name, until - time.perf_counter())
    return rows


def apart(command: Sequence[str], name: str, left: float) -> list[Row]:
    """The rows that a process prints as its last line; one row that says why where it does not come so far."""
    failed = {"what": name, "failed": True}
    if left <= 0:
        return [failed | {"said": "not measured: the time was up"}]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=min(left, PATIENCE))
        return list(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired as late:
        return [failed | {"said": f"FAILED: no result in {late.timeout:.0f} s"}]
    except (IndexError, ValueError):
        last = [*done.stderr.splitlines(), f"exit code {done.returncode}"]
        return [failed | {"said": f"FAILED: {' | '.join(last[-3:])}"}]


def rows_of(name: str) -> list[Row]:
    """What one process measures: one of the parts, or a method of the shelf."""
    from benchmarks.gpu import beside, files, limits, methods, small, stream, tensor

    parts: dict[str, Callable[[], list[Row]]] = {
        LIMITS: limits.measured,
        STREAM: stream.measured,
        TENSOR: tensor.measured,
        BESIDE: beside.measured,
        SMALL: small.measured,
        FILES: files.measured,
    }
    return parts[name]() if name in parts else methods.measure(shelf()[name])
