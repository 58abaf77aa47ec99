"""The measured parts of `docs/gpu.md`: tables between marks, from the JSONs, so that the page cannot go stale."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.report.page import NOTHING, figure

GUIDE = Path(__file__).parents[2] / "docs" / "gpu.md"
BRAIN = 98304
"""Voxels of the brain of one scan of SHAPE, as in `benchmarks.gpu`."""
SHAPE, VOLUMES, SAMPLE = (128, 128, 20), 60, 2
VERBS = "verbs of a scan: "
Results = Mapping[str, Mapping[str, Any]]
Row = Mapping[str, Any]


def filled(text: str, results: Results) -> str:
    """The page with each `<!-- measured: NAME -->` followed by what the results say now, up to `<!-- end -->`."""

    def block(found: re.Match[str]) -> str:
        return f"{found.group(1)}\n{PARTS[found.group(2)](results)}\n<!-- end -->"

    return re.sub(r"(<!-- measured: (\w+) -->)\n.*?<!-- end -->", block, text, flags=re.S)


def _rows(results: Results, name: str) -> list[Row]:
    return list(results[name]["rows"]) if name in results else []


def _missing(name: str) -> str:
    return f"{NOTHING[0].upper()}{NOTHING[1:]} (`python -m benchmarks {name}`)."


def _verbs(results: Results) -> str:
    rows = [row for row in _rows(results, "scan") if row["what"].startswith(VERBS)]
    if not rows:
        return _missing("scan")
    lines = [
        "| recipe | CPU time, s | read | prepare | compute | write | at most |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        total = sum(row["seconds"].values())
        shares = " | ".join(f"{100 * seconds / total:.0f} %" for seconds in row["seconds"].values())
        lines.append(f"| {row['what'].removeprefix(VERBS)} | {total:.2f} | {shares} | {row['most']:.1f} x |")
    return "\n".join([*lines, "", f"One core, {results['scan']['machine']['processor']}."])


def _narrows(results: Results) -> str:
    size = math.prod(SHAPE) * VOLUMES * SAMPLE
    limits = {row["what"]: row for row in _rows(results, "limits") if "rate" in row}
    kernels = {row["what"]: row for row in _rows(results, "kernels")}
    gpu = {row["what"]: row for row in _rows(results, "gpu") if "rate" in row}
    places = (
        ("inflate (isal), one core", limits, "inflate, isal, one core", size),
        ("copy in memory, one core", limits, "copy, bytes read and written, one core", 2 * size),
        ("copy to the GPU, pinned memory", gpu, "copy, pinned host to device, bytes", size),
        ("compute cSVD, one core", kernels, "csvd, curves to maps", BRAIN),
        ("compute oSVD, one core", kernels, "osvd, curves to maps", BRAIN),
        ("compute `bayes`, one core", kernels, "bayes, curves to maps", BRAIN),
        ("compute oSVD, GPU, kernels alone", gpu, "osvd, its kernels alone", BRAIN),
        ("compute `bayes`, GPU, kernels alone", gpu, "bayes, its kernels alone", BRAIN),
    )
    lines = ["| where | scans/s |", "|---|---|"]
    for place, measured, what, each in places:
        rate = figure(measured[what]["rate"] / each) if what in measured else NOTHING
        lines.append(f"| {place} | {rate} |")
    return "\n".join(lines)


def _gpu(results: Results) -> str:
    rows = _rows(results, "gpu")
    if not rows:
        return _missing("gpu")
    lines = ["| what | measured |", "|---|---|"]
    for row in rows:
        said = row.get("said") or f"{figure(row['rate'])} /s, {figure(row['ratio'])} x {row['against']}"
        lines.append(f"| {row['what']} | {said} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[Results], str]] = {"verbs": _verbs, "narrows": _narrows, "gpu": _gpu}
