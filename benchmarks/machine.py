"""On what a benchmark ran: processor, versions and commit, as every result records them."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, str]:
    """Processor, Python, the packages that compute, and the commit of this tree (`+` if its code was changed)."""
    facts = {"processor": _processor(), "python": platform.python_version()}
    facts |= {name: version(name) for name in ("bolus", "numpy", "scipy", "numba", "isal")}
    return facts | {"commit": _commit()}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    return f"{name}, {'AVX-512' if any('avx512f' in line for line in lines) else 'AVX2 or less'}"


def _commit() -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ":/", ":/!*.md", ":/!*results/*")
    return f"{git('rev-parse', '--short', 'HEAD')}{'+' if changed else ''}" or "unknown"
