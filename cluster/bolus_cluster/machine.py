"""What bolus runs on here: versions, processors, memory, devices, caches, where it was loaded from."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from bolus.recipe import version
from bolus_kernels import device

PACKAGES = (
    "numpy", "scipy", "numba", "nibabel", "isal", "h5py", "hdf5plugin", "dask", "distributed", "click",
    "rich", "numba-cuda", "cupy-cuda12x", "cupy-cuda13x", "dask-jobqueue",
)  # fmt: skip
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def facts() -> dict[str, str]:
    """Name -> what it is here, in the order in which one would ask."""
    reason = device.why_no_cuda()
    said = {
        "bolus": version(),
        "python": f"{platform.python_version()}  {sys.executable}",
        "system": platform.platform(),
        "processor": f"{_processor()}, {device.processors()} of {os.cpu_count()} for this process",
        "memory": f"{device.free_memory(device.cpu()) / 2**30:.1f} GiB free",
        "cuda": device.cuda_name() if reason is None else f"none: {reason}",
        "kernel cache": _kernel_cache(),
        "temporary": tempfile.gettempdir(),
    }
    said |= {name: os.environ[name] for name in THREADS if name in os.environ}
    for name in ("bolus_kernels", "bolus", "bolus_cluster"):
        said[name] = str(next(iter(importlib.import_module(name).__path__)))
    return said | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return installed(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _kernel_cache() -> str:
    """Where compiled kernels are kept between runs: numba decides, so one of the kernels is asked."""
    from bolus_kernels.shelf import shelf

    shelf()
    for name, module in sorted(sys.modules.items()):
        if name.startswith("bolus_kernels."):
            for thing in vars(module).values():
                path = getattr(getattr(thing, "stats", None), "cache_path", None)
                if path:
                    return str(path)
    return "none: kernels are compiled in every process (set NUMBA_CACHE_DIR to a folder one may write)"
