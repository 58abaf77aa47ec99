"""The Bayesian deconvolution against oSVD on simulated tissue: errors, honesty of its intervals, speed of one core."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from benchmarks import example, simulate
from benchmarks.reference.shapes import BELIEVED, SHAPES
from bolus_kernels.device import cpu
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]

FAMILIES = ("exponential", "box", "linear", "gamma", "biexponential")
NOISE = (5, 10, 20, 50)
"""Contrast-to-noise ratios: the tissue curve's peak over the noise SD."""
VOXELS, ROUNDS = 300, 15
"""Voxels of a residue, and how often the fastest pass over them all is looked for."""
PRIOR_VOXELS, PRIOR_ROUNDS = 12_000, 2
"""The same for voxels drawn from the prior: one standard error of their coverage is 0.2 %."""
STEP, AT_ONCE = 0.01, 64
"""Step of the numerical integration, s, and how many voxels are convolved together."""
TARGETS = {"cbf": 0.60, "cbv": 0.70, "mtt": 0.45, "tmax": 0.60}
COVERING = 1.959964
"""Standard deviations either side of the mean that hold 95 % of a normal distribution."""
LEAKS, RETURNS = (-0.01, 0.02), np.linspace(0.02, 0.2, 10)
"""Range of K2 and the values of kep, 1/s, of what leaks and comes back."""


def measure() -> list[Row]:
    """Rows of RMSE ratios to oSVD, of coverage in per cent, and of voxels per second, with what each should be."""
    rows: list[Row] = []
    for cnr in NOISE:
        made = [family_of(family, cnr, VOXELS, seed) for seed, family in enumerate(FAMILIES)]
        curves = np.asfortranarray(np.concatenate([curves for curves, _ in made]), np.float32)
        found, other, rate = _both(curves)
        truths = {name: np.concatenate([truth[name] for _, truth in made]) for name in TARGETS}
        parts = [slice(VOXELS * i, VOXELS * (i + 1)) for i in range(len(FAMILIES))]
        for name, target in TARGETS.items():
            ratios = [rmse_ratio(found, other, truths, name, part) for part in parts]
            covered = [100 * coverage(found, truths, name, part) for part in parts]
            mean = float(np.exp(np.mean(np.log(ratios))))
            what = f"bayes at CNR {cnr}: RMSE of {name}, worst {max(ratios):.2f}"
            rows.append(_row(what, rate, mean, f"oSVD's; wanted {target} or less"))
            rows.append(
                _row(
                    f"bayes at CNR {cnr}: least coverage of {name}", rate, min(covered), "a family; wanted 85"
                )
            )
    for cnr in NOISE:
        curves, truth = drawn(cnr, PRIOR_VOXELS, 77)
        found, _, rate = _both(curves, truth.pop("typical_volume").item(), rounds=PRIOR_ROUNDS)
        for name in truth:
            percent = 100 * coverage(found, truth, name, slice(None))
            rows.append(
                _row(f"bayes at CNR {cnr}: coverage of {name}", rate, percent, "the prior; wanted 93 to 97")
            )
    for cnr in NOISE:
        curves, truth = leaking(cnr, VOXELS, 78)
        found, _, rate = _both(curves, leakage="project")
        percent = 100 * coverage(found, truth, "cbv", slice(None))
        what = f"bayes at CNR {cnr}, the leak projected out: coverage of cbv"
        rows.append(_row(what, rate, percent, "tissue that leaks both ways; wanted 85"))
    return rows


def _row(what: str, rate: float, ratio: float, against: str) -> Row:
    return {"what": what, "rate": rate, "ratio": ratio, "against": against}


def protocol_of(curves: Array, typical: float | None = None) -> DscProtocol:
    """The example's acquisition; the typical volume is the median of the uncorrected one, as in a scan."""
    aif = simulate.arterial(example.volume_times())
    reference = simulate.tissue(example.volume_times(), 45.0, 4.0)
    protocol = DscProtocol(
        example.REPETITION_TIME, aif, simulate.KAPPA_RHO, reference, baseline=(0, example.BASELINE)
    )
    known = shelf()["uncorrected"]
    volume = known.function(curves, protocol, known.defaults(), cpu())["cbv"]
    return protocol._replace(
        blood_volume=volume, typical_volume=float(np.median(volume)) if typical is None else typical
    )


def family_of(family: str, cnr: float, n: int, seed: int) -> tuple[Array, dict[str, Array]]:
    """Noisy curves (n, t), 1/s, of one residue, with their truth in the units of the maps."""
    rng = np.random.default_rng([seed, 0 if np.isinf(cnr) else int(cnr)])
    cbf, mtt, delay = rng.uniform(15, 100, n), rng.uniform(2, 12, n), rng.uniform(-2, 5, n)
    times = example.volume_times()
    curves = np.stack(
        [
            simulate.tissue(times, f, m, d, family)
            for f, m, d in zip(cbf.tolist(), mtt.tolist(), delay.tolist(), strict=True)
        ]
    )
    return noisy(curves, cnr, rng), {"cbf": cbf, "mtt": mtt, "cbv": cbf * mtt / 60, "tmax": delay}


def leaking(cnr: float, n: int, seed: int) -> tuple[Array, dict[str, Array]]:
    """The same for n voxels of each family whose vessels leak, K2 and kep of LEAKS and RETURNS."""
    rng, times = np.random.default_rng([seed, int(cnr)]), example.volume_times()
    returning = [simulate.extravasated(times, kep) for kep in RETURNS.tolist()]
    made = [family_of(family, np.inf, n, seed + i) for i, family in enumerate(FAMILIES)]
    curves = np.concatenate([curves for curves, _ in made])
    noise = rng.normal(0, 1, curves.shape) * curves.max(axis=1, keepdims=True) / cnr
    curves = (
        curves - np.stack([rng.uniform(*LEAKS) * rng.choice(returning) for _ in range(len(curves))]) + noise
    )
    return _from_baseline(curves), {
        name: np.concatenate([truth[name] for _, truth in made]) for name in TARGETS
    }


def drawn(cnr: float, n: int, seed: int, typical: float = 4.5) -> tuple[Array, dict[str, Array]]:
    """The same for voxels drawn from the prior, the same ones at every CNR; with their `typical_volume`."""
    curves, truth = _believed(n, seed, typical)
    return noisy(curves, cnr, np.random.default_rng([seed, int(cnr)])), dict(truth)


@lru_cache(maxsize=1)
def _believed(n: int, seed: int, typical: float) -> tuple[Array, dict[str, Array]]:
    """Curves without noise of the prior's shapes, log-normal flows and transit times, normal delays."""
    rng, prior = np.random.default_rng(seed), shelf()["bayes"].defaults()
    cbf = 60 * typical / prior["mtt_prior"] * np.exp(rng.normal(0, prior["cbf_spread"], n))
    ends = np.log(np.array([prior["mtt_least"], prior["mtt_most"]]) / prior["mtt_prior"])
    mtt = prior["mtt_prior"] * np.exp(_normal(rng, 0.0, prior["mtt_spread"], *ends, n))
    delay = _normal(
        rng, prior["delay_prior"], prior["delay_spread"], prior["delay_least"], prior["delay_most"], n
    )
    shape = rng.choice(len(SHAPES), n, p=BELIEVED / BELIEVED.sum())
    times = example.volume_times()
    fine = STEP * np.arange(2 + round((times[-1] - prior["delay_least"]) / STEP))  # no bolus before 0
    blood, curves = STEP * simulate.arterial(fine), np.empty((n, times.size))
    for rows in np.split(np.arange(n), range(AT_ONCE, n, AT_ONCE)):
        ages = fine / mtt[rows, None]
        within = np.stack([SHAPES[shape[v]].survival(age) for v, age in zip(rows, ages, strict=True)])
        within[:, 0] /= 2
        convolved = fftconvolve(blood[None], within, axes=1)
        for v, curve in zip(rows, convolved[:, : fine.size], strict=True):
            curves[v] = cbf[v] / 6000 / simulate.KAPPA_RHO * np.interp(times - delay[v], fine, curve)
    truth = {"cbf": cbf, "mtt": mtt, "cbv": cbf * mtt / 60, "tmax": delay}
    return curves, truth | {"typical_volume": np.array(typical)}


def _normal(rng: np.random.Generator, mean: float, sd: float, least: float, most: float, n: int) -> Array:
    """Normal values (n,), those beyond the ends drawn again: a density cut off there, no lump at the ends."""
    values = rng.normal(mean, sd, n)
    while (beyond := (values < least) | (values > most)).any():
        values[beyond] = rng.normal(mean, sd, np.count_nonzero(beyond))
    return values


def noisy(curves: Array, cnr: float, rng: np.random.Generator) -> Array:
    """Curves (n, t) with noise of SD peak/cnr, counted from the mean of their baseline."""
    return _from_baseline(curves + rng.normal(0, 1, curves.shape) * curves.max(axis=1, keepdims=True) / cnr)


def _from_baseline(curves: Array) -> Array:
    return np.asfortranarray(curves - curves[:, : example.BASELINE].mean(axis=1, keepdims=True), np.float32)


def _both(
    curves: Array, typical: float | None = None, leakage: str = "none", rounds: int = ROUNDS
) -> tuple[dict[str, Array], dict[str, Array], float]:
    protocol = protocol_of(curves, typical)
    bayes, osvd = shelf()["bayes"], shelf()["osvd"]
    parameters = bayes.defaults() | {"leakage": leakage}
    other = osvd.function(curves, protocol, osvd.defaults(), cpu())
    best = np.inf
    for _ in range(rounds):
        started = time.perf_counter()
        found = bayes.function(curves, protocol, parameters, cpu())
        best = min(best, time.perf_counter() - started)
    return found, other | {"cbv": np.asarray(protocol.blood_volume)}, len(curves) / best


def rmse_ratio(
    found: dict[str, Array], other: dict[str, Array], truth: dict[str, Array], name: str, part: slice
) -> float:
    """RMSE of one over the other's; of delays without their mean, which is a convention."""
    errors = [maps[name][part] - truth[name][part] for maps in (found, other)]
    if name == "tmax":
        errors = [error - error.mean() for error in errors]
    return float(np.sqrt(np.mean(errors[0] ** 2) / np.mean(errors[1] ** 2)))


def coverage(found: dict[str, Array], truth: dict[str, Array], name: str, part: slice) -> float:
    """Share of truths within the 95 % interval: log-normal for flow and transit time, normal for the others."""
    mean, spread, real = found[name][part], found[f"sd_{name}"][part], truth[name][part]
    away = np.log(real / mean) / (spread / mean) if name in ("cbf", "mtt") else (real - mean) / spread
    return float(np.mean(np.abs(away) <= COVERING))
