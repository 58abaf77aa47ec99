"""`python -m benchmarks kernels`: run one benchmark, print its ratios, keep them as JSON beside this file."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: every side of a ratio gets one core

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

BENCHMARKS = (
    "kernels", "scan", "aif", "leakage", "delays", "bayes", "asl_spatial", "asl_arrivals", "asl_mode",
    "asl_tissues", "cohort", "store", "gpu",
)  # fmt: skip


def main() -> None:
    """Run the benchmark named on the command line and write `results/<name>.json`, or to `--out`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    chosen = parser.parse_args()
    rows = import_module(f"benchmarks.{chosen.name}").measure()
    for row in rows:
        print(_line(row))
    chosen.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "rows": rows}
    (chosen.out / f"{chosen.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    if any(row.get("failed") for row in rows):
        raise SystemExit(1)


def _line(row: dict[str, Any]) -> str:
    """What is measured, then its errors in words, or its rate and how it compares."""
    said = row.get("said") or f"{row['rate']:>12,.0f} /s  {row['ratio']:>8,.3g} x {row['against']}"
    return f"{row['what']:<58} {said}"


if __name__ == "__main__":
    main()
