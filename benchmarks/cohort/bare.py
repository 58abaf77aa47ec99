"""As many processes that only process scans, without ledger or scheduler: `python -m benchmarks.cohort.bare`."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from pathlib import Path


def process_each(number: int, count: int, most: int, data: str, out: str) -> None:
    """Process every scan of a share, one after another."""
    from bolus.bids import find_scans
    from bolus.pipeline import process
    from bolus.recipe import load
    from bolus_kernels.device import cpu

    recipe = load(None)
    for found in find_scans(Path(data))[:most][number::count]:
        process(found.scan, Path(out), recipe, cpu())


def main(data: str, out: str, count: str, most: str) -> None:
    """Begin so many processes, and wait for them."""
    context = get_context("spawn")
    shares = [
        context.Process(target=process_each, args=(k, int(count), int(most), data, out))
        for k in range(int(count))
    ]
    for share in shares:
        share.start()
    for share in shares:
        share.join()
    sys.exit(max(share.exitcode or 0 for share in shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
