"""RESULTS.md: the machine, every target beside its number, every row of every benchmark, from the JSONs alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.catalogue import BENCHMARKS
from benchmarks.report.targets import TARGETS, Target

NAME, NOTHING = "RESULTS.md", "not yet measured"
HEAD = """# Results

Made by `python -m benchmarks results` from [`results/*.json`](results); do not edit. A benchmark is run anew by its
name (`python -m benchmarks kernels`), all that need no GPU and no hour by `python -m benchmarks all`.

Rates are of one core in CPU time unless a row says otherwise; every ratio is of two things measured in turn within one
run, so that a busy or a slow machine moves both. Rates of different benchmarks were measured at different times.
"""
WORST = """Of several rows the worst is shown. A promise is what users are told, or what was wished for before it was
measured; a floor lies under what was measured once, so that losing it is seen
([`targets.toml`](report/targets.toml)).
"""
Results = Mapping[str, Mapping[str, Any]]
Row = Mapping[str, Any]


def write(results: Path, folder: Path) -> Path:
    """Write the page about all JSONs of `results` into `folder`; its path."""
    path = folder / NAME
    path.write_text(page(read(results), sorted(one.name for one in results.glob("*.png")), results.name))
    return path


def read(results: Path) -> dict[str, Any]:
    """Name of a benchmark -> what it measured, in the order of the catalogue; without those that have no JSON."""
    there = {name: results / f"{name}.json" for name in BENCHMARKS}
    return {name: json.loads(path.read_text()) for name, path in there.items() if path.exists()}


def page(results: Results, plots: list[str], folder: str = "results") -> str:
    """The whole text."""
    parts = [HEAD, _machines(results), _targets(results)]
    parts += [_plots(plots, folder)] if plots else []
    parts += [_section(name, results.get(name)) for name in BENCHMARKS]
    return "\n".join(parts)


def _machines(results: Results) -> str:
    lines = [
        "## On what",
        "",
        "| benchmark | processor | versions | commit | wall time |",
        "|---|---|---|---|---|",
    ]
    for name in BENCHMARKS:
        if name not in results:
            lines.append(f"| `{name}` | {NOTHING} | | | |")
            continue
        told = results[name]["machine"]
        packages = [key for key in told if key not in ("processor", "commit")]
        versions = ", ".join(f"{key} {told[key]}" for key in packages)
        took = f"{results[name]['seconds']:.0f} s" if "seconds" in results[name] else ""
        lines.append(f"| `{name}` | {told['processor']} | {versions} | {told['commit']} | {took} |")
    return "\n".join([*lines, "", "A commit with a `+` had changes that were not committed yet.", ""])


def _targets(results: Results) -> str:
    lines = ["## What is wanted, what was measured", ""]
    lines += ["| benchmark | target | wanted | | measured | |", "|---|---|---|---|---|---|"]
    lines += [verdict(target, results) for target in TARGETS]
    return "\n".join([*lines, "", WORST, ""])


def verdict(target: Target, results: Results) -> str:
    """One line of the table of targets."""
    values = target.values(results[target.benchmark]["rows"]) if target.benchmark in results else []
    wanted = f"{target.relation} {target.limit:,.10g} | {target.origin}"
    if not values:
        return f"| `{target.benchmark}` | {target.says} | {wanted} | {NOTHING} | |"
    measured = f"{target.worst(values):,.4g}"
    if len(values) > 1:
        met = sum(target.met([value]) for value in values)
        measured += f" ({met} of {len(values)} rows)"
    said = "met" if target.met(values) else "**missed**"
    return f"| `{target.benchmark}` | {target.says} | {wanted} | {measured} | {said} |"


def _plots(plots: list[str], folder: str) -> str:
    lines = ["## Curves", ""]
    lines += [f"![{Path(name).stem.replace('_', ' ')}]({folder}/{name})" for name in plots]
    return "\n".join([*lines, ""])


def _section(name: str, result: Mapping[str, Any] | None) -> str:
    benchmark = BENCHMARKS[name]
    lines = [f"## {name}", "", f"{benchmark.question} {benchmark.note}".strip(), ""]
    if result is None:
        return "\n".join([*lines, f"{NOTHING[0].upper()}{NOTHING[1:]}.", ""])
    rows = [row for row in result["rows"] if "curve" not in row]
    compared = any("said" not in row for row in rows)
    lines += (
        ["| what | rate, 1/s | ratio | to |", "|---|---|---|---|"]
        if compared
        else ["| what | measured |", "|---|---|"]
    )
    lines += [_compared(row) if compared else f"| {row['what']} | {row['said']} |" for row in rows]
    return "\n".join([*lines, "", *_curves(result["rows"])])


def _compared(row: Row) -> str:
    if "said" in row:
        return f"| {row['what']} | {row['said']} | | |"
    return f"| {row['what']} | {figure(row['rate'])} | {figure(row['ratio'])} | {row['against']} |"


def _curves(rows: list[Row]) -> list[str]:
    """A table per axis: a line for each method, a column for each point."""
    lines: list[str] = []
    points = [row["curve"] | {"rate": row["rate"]} for row in rows if "curve" in row]
    for axis in dict.fromkeys(point["over"] for point in points):
        of_axis = [point for point in points if point["over"] == axis]
        columns = sorted({point["at"] for point in of_axis})
        lines += [f"| rate, 1/s, over {axis} | {' | '.join(f'{at:,}' for at in columns)} |"]
        lines += [f"|---|{'---|' * len(columns)}"]
        for method in dict.fromkeys(point["of"] for point in of_axis):
            rates = {point["at"]: figure(point["rate"]) for point in of_axis if point["of"] == method}
            lines.append(f"| {method} | {' | '.join(rates.get(at, '') for at in columns)} |")
        lines.append("")
    return lines


def figure(value: float) -> str:
    """Three digits, thousands apart."""
    if value == 0 or abs(value) >= 100:
        digits = len(f"{abs(value):.0f}")
        return f"{round(value, min(0, 3 - digits)):,.0f}"
    return f"{value:.3g}"
