"""The least errors that any estimator can have where `bayes` and the leakage corrections are judged.

A target below the row "residue not told" is impossible: none of those of `bayes` is, at any CNR. That the estimator of
that row knows the ranges of flow and time is most of its gain where noise is high, as the row "believed" and the rows
of `beliefs` say. For leakage a correlation of K2 of 0.98 is out of reach of any estimator in the bidirectional model,
and in BSW, with a median error of 3 %, out of reach of an unbiased one. docs/limits.md says it at length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import example
from benchmarks.dsc import bayes, beliefs, leak_bounds, learned, least
from bolus_kernels.device import cpu
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]

MORE, SEEDS = 1200, 1000
"""Voxels of each family beside those of the benchmark, and the first seed they are drawn with."""
PARTS = {5: (40, 56), 10: (50, 70), 20: (80, 100), 50: (160, 200)}
"""CNR -> transit times and delays of the grid; twice as many of both move no RMSE, residue told, by more than 0.2 %."""

BELIEVED_FLOWS = (2.0, 500.0)
"""Ends of CBF, ml/100g/min, for the estimator that believes of flow what `bayes` does."""
TOLD, NOT_TOLD = "the least, residue told", "the least, residue not told"
BELIEVING = "one of the five residues, flow and time believed as by bayes"


class Voxels(NamedTuple):
    """Curves (n, t), the truth of each name, (n,), and the index of each voxel's residue, (n,)."""

    curves: Array
    truth: dict[str, Array]
    family: Array


def voxels(cnr: int, more: int) -> Voxels:
    """The voxels that `bayes` is judged by at this CNR, then so many more of each family."""
    sets = [(i, bayes.VOXELS, i) for i in range(len(bayes.FAMILIES))]
    sets += [(i, more, SEEDS + i) for i in range(len(bayes.FAMILIES)) if more]
    made = [bayes.family_of(bayes.FAMILIES[i], cnr, n, seed) for i, n, seed in sets]
    truth = {name: np.concatenate([truth[name] for _, truth in made]) for name in least.NAMES}
    curves = np.asfortranarray(np.concatenate([curves for curves, _ in made]))
    return Voxels(curves, truth, np.repeat([i for i, _, _ in sets], [n for _, n, _ in sets]))


def measure() -> list[Row]:
    """Bounds of `bayes` at each CNR, what a narrower or a learned belief would gain and cost, bounds of leakage."""
    return (
        [row for cnr in bayes.NOISE for row in of_noise(cnr, MORE)]
        + beliefs.rows()
        + learned.rows()
        + leak_bounds.rows()
    )


def of_noise(cnr: int, more: int) -> list[Row]:
    """RMSE over oSVD's of each map: four estimators on the voxels of `bayes` and so many more of each family."""
    curves, truth, family = voxels(cnr, more)
    found, osvd, protocol, defaults = compared(curves)
    grids = [least.templates(name, example.volume_times(), *PARTS[cnr]) for name in bayes.FAMILIES]
    told = [least.posterior(curves, grid, cnr) for grid in grids]
    median, precision = 60 * protocol.typical_volume / defaults["mtt_prior"], defaults["cbf_spread"] ** -2
    flow = least.Flow(*BELIEVED_FLOWS, median, precision)
    believing = [least.posterior(curves, believed(grid, defaults), cnr, flow) for grid in grids]
    rows = []
    for at, name in enumerate(least.NAMES):
        centred, real = name == "tmax", truth[name]
        evidence, mean = _stacked(told, at)
        estimates = {
            TOLD: mean[np.arange(real.size), family],
            BELIEVING: least.mixed(*_stacked(believing, at), np.ones(len(grids))),
            "bayes": found[name],
        }
        errors = {what: _centre(value - real, family, centred) for what, value in estimates.items()}
        errors[NOT_TOLD] = least.best_of_mixture(evidence, mean, real, family, centred)
        against = _centre(osvd[name] - real, family, centred)
        rows += [
            _row(cnr, name, what, *ratio(errors[what], against, family))
            for what in (TOLD, NOT_TOLD, BELIEVING, "bayes")
        ]
    return rows


def compared(curves: Array) -> tuple[dict[str, Array], dict[str, Array], DscProtocol, dict[str, Any]]:
    """Maps of `bayes` and of oSVD with the uncorrected volume; the protocol, and the parameters of `bayes`."""
    protocol, known = bayes.protocol_of(curves), shelf()
    defaults = known["bayes"].defaults() | {"leakage": "none"}
    found = known["bayes"].function(curves, protocol, defaults, cpu())
    other = known["osvd"].function(curves, protocol, known["osvd"].defaults(), cpu())
    return found, other | {"cbv": np.asarray(protocol.blood_volume)}, protocol, defaults


def _stacked(found: list[least.Found], at: int) -> tuple[Array, Array]:
    return np.stack([one.evidence for one in found], 1), np.stack([one.mean[:, at] for one in found], 1)


def _centre(error: Array, family: Array, centred: bool) -> Array:
    """Errors, if wished less the mean of their own family."""
    if not centred:
        return error
    return error - np.array([error[family == i].mean() for i in range(family.max() + 1)])[family]


def believed(grid: least.Templates, defaults: dict[str, Any]) -> least.Templates:
    """The same templates with what `bayes` believes of MTT and delay; ranges stay those of the simulation."""
    time = (np.log(grid.mtt / defaults["mtt_prior"]) / defaults["mtt_spread"]) ** 2
    late = ((grid.delay - defaults["delay_prior"]) / defaults["delay_spread"]) ** 2
    return grid._replace(belief=-0.5 * (time + late) - np.log(grid.mtt))


def ratio(error: Array, against: Array, family: Array) -> tuple[float, float, float]:
    """Geometric mean over families of RMSE over RMSE, its standard error by linearisation, and the worst family's."""
    logs, variance = [], 0.0
    for i in range(family.max() + 1):
        own, other = error[family == i] ** 2, against[family == i] ** 2
        logs.append(0.5 * np.log(own.mean() / other.mean()))
        variance += float(np.var(0.5 * (own / own.mean() - other / other.mean())) / own.size)
    mean = float(np.exp(np.mean(logs)))
    return mean, mean * np.sqrt(variance) / len(logs), float(np.exp(np.max(logs)))


def _row(cnr: int, name: str, what: str, mean: float, error: float, worst: float) -> Row:
    wanted = bayes.TARGETS[name]
    return {
        "what": f"at CNR {cnr}, RMSE of {name}: {what}",
        "said": f"{mean:.3f} +- {error:.3f} times oSVD's, worst family {worst:.2f}; wanted {wanted:.2f} or less",
        "ratio": mean,
        "error": error,
        "worst": worst,
    }
