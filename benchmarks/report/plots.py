"""Plots of what the JSONs hold: scaling curves of any axis, and the voxels a second of ourselves and others."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.catalogue import BENCHMARKS

COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#b8860b", "#2a9d8f", "#6c757d", "#d81e5b")
SIZE, DPI, APART = (6.4, 4.0), 110, 1.25
Point = dict[str, Any]


def draw(results: Path) -> list[Path]:
    """A PNG for each axis over which anything was measured, one of the peers; none without Matplotlib (`bench`)."""
    if find_spec("matplotlib") is None:
        print("no plots: Matplotlib is not installed (pip install --editable '.[bench]')")
        return []
    rows: dict[str, list[Point]] = {}
    for name in BENCHMARKS:
        path = results / f"{name}.json"
        rows[name] = json.loads(path.read_text())["rows"] if path.exists() else []
    points = [
        row["curve"] | {"rate": row["rate"]} for each in rows.values() for row in each if "curve" in row
    ]
    axes = dict.fromkeys(point["over"] for point in points)
    drawn = [_curve(axis, [p for p in points if p["over"] == axis], results) for axis in axes]
    raced = [row for row in rows["peers"] if "rate" in row]
    return [*drawn, _race(raced, results)] if raced else drawn


def _curve(axis: str, points: list[Point], results: Path) -> Path:
    """Rates over an axis, both logarithmic, a line for each method."""
    figure, plot = _figure()
    for number, name in enumerate(dict.fromkeys(point["of"] for point in points)):
        own = sorted((point["at"], point["rate"]) for point in points if point["of"] == name)
        at, rate = zip(*own, strict=True)
        plot.plot(at, rate, "o-", color=COLOURS[number % len(COLOURS)], label=name, markersize=4)
    plot.set_xscale("log", base=2)
    ticks: list[int] = []
    for at in sorted({point["at"] for point in points}):
        ticks += [at] if not ticks or at >= APART * ticks[-1] else []  # labels would lie upon each other
    plot.set_xticks(ticks, [f"{at:,}" for at in ticks])
    plot.set_yscale("log")
    plot.minorticks_off()
    plot.set_xlabel(axis)
    plot.set_ylabel("scans/s" if axis in ("scans", "workers") else "voxels/s on one core")
    plot.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return _saved(figure, results / f"over_{axis.replace(' ', '_')}.png")


def _race(rows: list[Point], results: Path) -> Path:
    """Voxels a second, a bar for each, logarithmic."""
    figure, plot = _figure()
    ordered = sorted(rows, key=lambda row: float(row["rate"]))
    colours = [COLOURS[0] if row["what"].startswith("bolus") else COLOURS[6] for row in ordered]
    plot.barh([row["what"] for row in ordered], [row["rate"] for row in ordered], color=colours)
    plot.set_xscale("log")
    plot.set_xlabel("voxels/s on one core")
    return _saved(figure, results / "peers.png")


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI)
    FigureCanvasAgg(figure)
    plot = figure.add_subplot()
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(axis="both", which="major", alpha=0.25)
    return figure, plot


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    return path
