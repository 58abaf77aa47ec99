"""How near every method of the shelf is to its float64 reference, and its maps to the truth, on voxels of their own."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example
from benchmarks.reference.judge import allowed, judged
from bolus_kernels.device import cpu
from bolus_kernels.method import STANDARD_DEVIATION, Method
from bolus_kernels.shelf import shelf

SEED = 20260
"""None of the tests'."""
JUDGED = {"kinetic_model": 16, "bayes": 150, "gamma_variate": 400, "multi_delay": 300, "bidirectional": 500}
USUAL, TRUNCATIONS = 1000, 4000
"""Voxels that a reference judges; those of oSVD, of which one in a thousand may be cut otherwise."""
TRUE = 4000
"""Voxels compared with the truth."""
SAME = 1e-4
"""A flow that differs by more was made by another truncation."""
SMALL = 0.01
"""Below this share of a map's mean size a value counts as that share: K2 passes through zero."""
KNOWN = ("cbf", "mtt", "cbv", "tmax", "att", "k2")
"""Maps of which the simulation knows the truth; the others are compared with their reference only."""
Array = NDArray[Any]
Maps = dict[str, Array]
Row = dict[str, Any]


def measure() -> list[Row]:
    """For each method a row per map against its reference, then a row per map against the truth."""
    methods = list(shelf().values())
    return [row for known in methods for row in (*_against_reference(known), *_against_truth(known))]


@cache
def _simulated(name: str, n: int) -> tuple[Array, Any]:
    """The voxels that a method's reference judges: the same for every method that eats the same."""
    return example.example(shelf()[name], n, SEED)


@cache
def _dsc(leaky: bool) -> tuple[Array, Any, Maps]:
    """Curves (n, t) of TRUE voxels, their protocol and the truth of their maps."""
    made = example.tissues(TRUE, np.random.default_rng(SEED))
    curves, protocol = example.dsc(TRUE, SEED, leaky=leaky)
    names = {"cbf": "cbf", "mtt": "mtt", "tmax": "delay", "k2": "k2"}
    truth = {key: np.array([getattr(one, field) for one in made]) for key, field in names.items()}
    return curves, protocol, truth | {"cbv": truth["cbf"] * truth["mtt"] / 60}


def _run(known: Method, curves: Array, protocol: Any) -> Maps:
    return known.function(curves, protocol, known.defaults(), cpu())


def _against_reference(known: Method) -> list[Row]:
    """Largest and median difference as a share of the value, and the share of voxels that the tests would allow."""
    n = TRUNCATIONS if known.name == "osvd" else JUDGED.get(known.name, USUAL)
    shared = "osvd" if known.contrast == "dsc" else known.name
    curves, protocol = _simulated(shared, TRUNCATIONS if known.contrast == "dsc" else n)
    curves, protocol = curves[:n], protocol.rows(slice(0, n))
    found = _run(known, curves, protocol)
    began = time.process_time()
    truth = judged(known.name, curves, protocol, known.defaults())
    rate = n / (time.process_time() - began)
    limits = allowed(known.name, truth, known.defaults())
    rows: list[Row] = []
    for name in known.maps:
        both = np.isfinite(found[name]) & np.isfinite(truth[name])
        difference = _relative(found[name][both], truth[name][both])
        within = np.abs(found[name][both] - truth[name][both]) <= limits[name][both]
        row: Row = {
            "what": f"{known.name}: {name} against its reference",
            "voxels": int(both.sum()),
            "median": float(np.median(difference)),
            "most": float(difference.max()),
            "within": float(within.mean()),
            "undecided": int((np.isfinite(found[name]) != np.isfinite(truth[name])).sum()),
        }
        row["said"] = (
            f"median {row['median']:.1e}, most {row['most']:.1e}, {100 * row['within']:.2f} % as the tests ask, "
            f"of {row['voxels']:,} voxels; NaN in one only: {row['undecided']}"
        )
        spread = STANDARD_DEVIATION + name
        if spread in truth:
            row["most_sd"] = float(np.max(np.abs(found[name] - truth[name])[both] / truth[spread][both]))
            row["said"] += f"; most {row['most_sd']:.1e} of its SD"
        if name == "cbf" and known.name in ("csvd", "osvd", "ssvd"):
            row["same"] = float(np.mean(difference <= SAME))
            row["said"] += f"; the same truncation in {100 * row['same']:.3f} %"
        rows.append(row)
    rows[-1]["reference_rate"] = rate
    return rows


def _relative(found: Array, truth: Array) -> Array:
    size = np.abs(truth)
    return np.asarray(np.abs(found - truth) / np.maximum(size, SMALL * size.mean()))


def _against_truth(known: Method) -> list[Row]:
    """Level (median of estimate over truth) and error (root mean square, in the map's unit) over many tissues."""
    if known.contrast == "dsc":
        protocol: Any
        curves, protocol, truth = _dsc(known.family == "volume")
    else:
        curves, protocol, truth = example.asl_with_truth(TRUE, SEED, one_delay=known.name == "single_delay")
    found = _run(known, curves, protocol)
    return [_truth(known, name, found, truth[name]) for name in known.maps if name in KNOWN]


def _truth(known: Method, name: str, found: Maps, truth: Array) -> Row:
    good = np.isfinite(found[name])
    away = (found[name] - truth)[good]
    row: Row = {
        "what": f"{known.name}: {name} against the truth",
        "voxels": int(good.sum()),
        "bias": float(away.mean()),
        "rmse": float(np.sqrt(np.mean(away**2))),
        "mean": float(truth[good].mean()),
    }
    unit = known.maps[name]
    row["said"] = f"mean {row['mean']:.3g}: bias {row['bias']:+.3g}, RMSE {row['rmse']:.3g} {unit}"
    spread = STANDARD_DEVIATION + name
    if spread in found:
        row["covered"] = float(np.mean(np.abs(away) <= 1.959964 * found[spread][good]))
        row["said"] += f", 95 % intervals cover {100 * row['covered']:.1f} %"
    return row
