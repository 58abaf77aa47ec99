"""`python -m benchmarks NAME`: run one benchmark (or `all`), keep its rows as JSON, write the report (`results`)."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: every side of a ratio gets one core

import argparse
import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.catalogue import ALL, BENCHMARKS, RESULTS
from bolus_kernels.device import DeviceUnavailable

FOLDER = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Run what is named on the command line and write `results/<name>.json`, then the report, both in `--out`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=(*BENCHMARKS, ALL, RESULTS))
    parser.add_argument("--out", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    failed = False
    if chosen.name == ALL:
        failed = _all(chosen.out)
    elif chosen.name != RESULTS:
        try:
            failed = _one(chosen.name, chosen.out)
        except DeviceUnavailable as none:
            raise SystemExit(f"{chosen.name}: there is no GPU here: {none}") from None
    _report(chosen.out)
    if failed:
        raise SystemExit(1)


def _one(name: str, out: Path) -> bool:
    """Whether any row of a benchmark says that it failed; its rows printed and kept."""
    from benchmarks.machine import machine

    began = time.monotonic()
    rows = import_module(BENCHMARKS[name].module).measure()
    for row in rows:
        print(_line(row), flush=True)
    result = {"machine": machine(), "seconds": round(time.monotonic() - began, 1), "rows": rows}
    (out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return any(row.get("failed") for row in rows)


def _all(out: Path) -> bool:
    """Whether any benchmark failed; each in a process of its own, so that none inherits another's caches."""
    failed = []
    for name, benchmark in BENCHMARKS.items():
        if benchmark.in_all:
            print(f"\n{name}: {benchmark.question}", flush=True)
            command = [sys.executable, "-m", "benchmarks", name, "--out", str(out)]
            failed += [name] if subprocess.run(command).returncode else []
    left = [name for name, benchmark in BENCHMARKS.items() if not benchmark.in_all]
    print(f"\nnot in `all`, each by its name: {', '.join(left)}; failed: {', '.join(failed) or 'none'}")
    return bool(failed)


def _report(out: Path) -> None:
    """RESULTS.md and plots in a folder of results; for the project's own beside it, and what docs/gpu.md quotes."""
    from benchmarks.report.guide import GUIDE, filled
    from benchmarks.report.page import read, write
    from benchmarks.report.plots import draw

    draw(out)
    own = out.resolve() == FOLDER
    if own:
        GUIDE.write_text(filled(GUIDE.read_text(), read(out)))
    print(f"report: {write(out, out.parent if own else out)}")


def _line(row: dict[str, Any]) -> str:
    """What is measured, then its errors in words, or its rate and how it compares."""
    said = row.get("said") or f"{row['rate']:>12,.0f} /s  {row['ratio']:>8,.3g} x {row['against']}"
    return f"{row['what']:<58} {said}"


if __name__ == "__main__":
    main()
