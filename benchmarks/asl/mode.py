"""How often a fit of flow and arrival stops short of the global minimum: the posterior's mode, Levenberg-Marquardt."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from benchmarks import example
from benchmarks.reference.asl import Prior
from benchmarks.reference.mode import misfit, unit_curve
from benchmarks.reference.mode import mode as reference
from bolus_kernels.asl.mode import mode
from bolus_kernels.asl.protocol import ArrivalPrior, Labeling
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

Row = dict[str, Any]

NOISES = (5e-4, 1e-3, 2e-3, 4e-3)
"""SD of a pair, of which four are averaged at each of eight delays; fractions of M0."""
VOXELS, REPEATS = 150, 4
SLACK = 1.001
FLAT = {"cbf_sd": 10000.0, "noise_weight": 1.0}
NOWHERE = ArrivalPrior(1.3, 1e4, 0.0, "flat")
START = (0.01, 1.0)
"""Where Levenberg-Marquardt starts: flow, 1/s, and arrival, s."""


class Above(NamedTuple):
    """Shares of fits whose misfit is above SLACK times the global minimum; voxels, how many there were."""

    ours: float
    levenberg_marquardt: float
    voxels: int


def measure() -> list[Row]:
    """A row for each labelling and noise, and one for all."""
    rows, found = [], []
    for labeling in ("PCASL", "PASL"):
        for noise in NOISES:
            above = above_the_minimum(labeling, noise, VOXELS)
            found.append(above)
            rows.append(_row(f"{labeling}, noise of a pair {noise:g}", above))
    whole = Above(*np.mean(np.array(found)[:, :2], axis=0), sum(above.voxels for above in found))
    return [*rows, _row("all", whole)]


def _row(what: str, above: Above) -> Row:
    said = (
        f"of {above.voxels} fits above {SLACK} x the global minimum: mode {100 * above.ours:.2f} %, "
        f"Levenberg-Marquardt {100 * above.levenberg_marquardt:.1f} %"
    )
    return {"what": what, "said": said, "above": above.ours}


def above_the_minimum(labeling: Labeling, noise: float, voxels: int) -> Above:
    """Fits of flows 15-100 ml/100g/min and arrivals 0.5-2.2 s, judged by a dense grid in double precision."""
    rng = np.random.default_rng(1)
    protocol = example.asl_protocol(
        voxels, noise, labeling=labeling, duration=0.8 if labeling == "PASL" else 1.8, repeats=REPEATS
    )
    protocol = protocol._replace(arrival_prior=NOWHERE)
    curves = example.asl_curves(
        protocol, rng.uniform(15, 100, voxels), rng.uniform(0.5, 2.2, voxels), noise, 2
    )
    found = mode(curves, protocol, shelf()["multi_delay"].defaults() | FLAT, cpu())
    flat = Prior(NOWHERE.mean, NOWHERE.sd, FLAT["cbf_sd"], FLAT["noise_weight"])
    above = np.zeros((voxels, 2), np.bool_)
    for v, curve in enumerate(curves):
        cbf, att, _ = reference(curve, protocol, v, flat)
        fits = ((found["cbf"][v], found["att"][v]), _levenberg_marquardt(curve, protocol, v))
        errors = [misfit(curve, protocol, v, float(f), float(a)) for f, a in ((cbf, att), *fits)]
        above[v] = np.array(errors[1:]) > SLACK * errors[0]
    return Above(*above.mean(axis=0).tolist(), voxels)


def _levenberg_marquardt(curve: Any, protocol: Any, voxel: int) -> tuple[float, float]:
    unit, _ = unit_curve(protocol, voxel)

    def residuals(x: Any) -> Any:
        f = float(np.clip(x[0], -0.05, 0.5))  # T1' must stay positive
        return 1e3 * (x[0] * unit(np.array([x[1]]), f)[0] - curve)

    fit = least_squares(residuals, START, method="lm", x_scale=(0.01, 1.0), max_nfev=200)
    return 6000 * float(fit.x[0]), float(fit.x[1])
