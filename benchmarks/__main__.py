"""`python -m benchmarks kernels`: run one benchmark, print its ratios, keep them as JSON beside this file."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: every side of a ratio gets one core

import argparse
import json
from importlib import import_module
from pathlib import Path

from benchmarks.machine import machine

BENCHMARKS = ("kernels", "scan", "aif", "gpu")


def main() -> None:
    """Run the benchmark named on the command line and write `results/<name>.json`, or to `--out`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    chosen = parser.parse_args()
    rows = import_module(f"benchmarks.{chosen.name}").measure()
    for row in rows:
        print(f"{row['what']:<58} {row['rate']:>12,.0f} /s  {row['ratio']:>8,.1f} x {row['against']}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "rows": rows}
    (chosen.out / f"{chosen.name}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
