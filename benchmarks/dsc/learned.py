"""What `bayes` would gain by learning its belief from the scan itself, and what rare tissue would pay for it."""

from __future__ import annotations

from math import erf, exp, hypot, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.dsc import bayes, beliefs
from bolus_kernels.device import cpu
from bolus_kernels.dsc.posterior import bank
from bolus_kernels.dsc.posterior.residue import UNKNOWNS
from bolus_kernels.dsc.posterior.shapes import BETWEEN, SHAPES, WEIGHT
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.jit import kernel
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]

WIDTH, FLOWS = 0.1, (-5.0, 3.5)
"""Of the bins of ln(CBF/m), and their ends; m is the median that `bayes` believes in."""
NEGLIGIBLE, FAR = 16.0, 5.0
"""Templates that much less likely than the best, in ln, are left out; SDs of a template's flow beside its best."""
ROUNDS, BEFORE = 12, 0.1
"""Steps of expectation and maximisation; prior counts of the shapes, as a share of the voxels."""
VARIANTS = {
    "as it is": None,
    "learned, SDs of 0.5 or more": (0.5, 0.5, 0.0),
    "learned, SDs of 0.5 or more, a fifth left to the fixed belief": (0.5, 0.5, 0.2),
    "learned, SDs of 0.5 or more, half left to the fixed belief": (0.5, 0.5, 0.5),
    "learned, SDs no less than those of the fixed belief": (0.8, 0.65, 0.0),
}
"""Least SDs of ln CBF and of ln MTT, and the share of the fixed belief in a mixture of both."""
SCAN, ISCHAEMIC = np.array([0.55, 0.43, 0.0, 0.02, 0.0]), np.array([0.0, 0.0, 0.0, 1.0, 0.0])
"""Shares of `beliefs.TISSUES`: a scan with a little ischaemia, and that ischaemia alone."""
SCANNED, APART, SEED = 1500, 300, 47
"""Voxels of that scan; voxels of ischaemia that are judged by its belief."""


class Likelihood(NamedTuple):
    """Likelihood of shape, MTT and flow, delay summed by its prior: mass (n, SHAPES, m, x) float32, 1 at the most.

    log_mtt : (m,), of MTT in s. log_flow : (x,), middles of bins of ln(CBF/typical). typical : ml/100g/min.
    """

    mass: Array
    log_mtt: Array
    log_flow: Array
    typical: float


class Belief(NamedTuple):
    """Mean and SD of ln(CBF/typical) and of ln MTT (s), and the share of each shape, (SHAPES,)."""

    flow: float
    flow_spread: float
    mtt: float
    mtt_spread: float
    weight: Array


class Moments(NamedTuple):
    """Evidence (n,); means of ln flow, its square, ln MTT, its square, (n, 4); share of each shape, (n, SHAPES)."""

    evidence: Array
    mean: Array
    shape: Array


def likelihood(curves: Array, protocol: DscProtocol) -> Likelihood:
    """Of curves (n, t), 1/s, by the templates of `bayes` and its plug-in noise, with the defaults of both."""
    given, left = shelf()["bayes"].defaults(), np.asarray(curves, np.float64)
    first, stop = protocol.baseline
    floor = given["floor"] * (left.max(axis=1) - left[:, first:stop].mean(axis=1))
    ends = (given["mtt_least"], given["mtt_most"]), (given["delay_least"], given["delay_most"])
    made = bank.bank(protocol.aif, protocol.repetition_time, protocol.density_factor, None, *ends)
    grid, typical = made.middle, 60 * protocol.typical_volume / given["mtt_prior"]
    delay = -0.5 * ((grid.delay - given["delay_prior"]) / given["delay_spread"]) ** 2
    inside = grid.delay <= given["delay_most"] + 1e-6
    left = left - left @ made.nuisance.T @ made.nuisance
    told = (left @ made.components.T).astype(np.float32)
    rows = np.concatenate([bank.FINE_MTTS * s + np.arange(0, bank.FINE_MTTS, 2) for s in range(SHAPES)])
    parts = np.ascontiguousarray(grid.parts[rows][:, :, inside])
    expected = typical / np.asarray(grid.inverse, np.float64)[rows][:, inside]
    edges = np.arange(FLOWS[0], FLOWS[1] + WIDTH / 2, WIDTH)
    mass = np.zeros((len(left), rows.size, edges.size - 1), np.float32)
    square, freedom = np.einsum("nt,nt->n", left, left), float(left.shape[1] - UNKNOWNS)
    _fill(told, square, floor, freedom, parts, expected, delay[inside], np.exp(edges), mass)
    log_mtt, middles = np.log(grid.mtt[rows[: rows.size // SHAPES]]), (edges[1:] + edges[:-1]) / 2
    return Likelihood(mass.reshape(len(left), SHAPES, -1, middles.size), log_mtt, middles, typical)


@kernel
def _fill(
    told: Any, square: Any, floor: Any, freedom: float, parts: Any, expected: Any, delay: Any, edges: Any,
    mass: Any,
) -> None:  # fmt: skip
    """e^(z^2/2 - (q - z)^2/2) integrated over the bins of ln q, z and q in SDs of the noise; summed over delays."""
    rows, delays = expected.shape
    along = np.empty((rows, delays))
    for v in range(square.size):
        best = 0.0
        for r in range(rows):
            for d in range(delays):
                total = 0.0
                for k in range(told.shape[1]):
                    total += told[v, k] * parts[r, k, d]
                along[r, d] = total
                best = max(best, total)
        noise, top = sqrt(hypot((square[v] - best * best) / freedom, floor[v] ** 2)), -np.inf
        for r in range(rows):
            for d in range(delays):
                along[r, d] /= noise
                top = max(top, 0.5 * max(along[r, d], 0.0) ** 2 + delay[d])
        for r in range(rows):
            for d in range(delays):
                z, unit = max(along[r, d], 0.0), expected[r, d] / noise
                level = 0.5 * z * z + delay[d] - top
                if level < -NEGLIGIBLE:
                    continue
                before = erf((unit * edges[0] - z) / sqrt(2.0))
                for x in range(edges.size - 1):
                    low, high = unit * edges[x] - z, unit * edges[x + 1] - z
                    if low > FAR:
                        break
                    if high > -FAR:
                        after = erf(high / sqrt(2.0))
                        share = sqrt(np.pi / 2) * (after - before) / (0.5 * (low + high) + z)
                        mass[v, r, x] += exp(level) * share
                        before = after


def moments(told: Likelihood, belief: Belief) -> Moments:
    """The posterior under one belief; squares of ln flow less what bins add to them (Sheppard's correction)."""
    flow = np.exp(-0.5 * ((told.log_flow - belief.flow) / belief.flow_spread) ** 2) / belief.flow_spread
    mtt = np.exp(-0.5 * ((told.log_mtt - belief.mtt) / belief.mtt_spread) ** 2) / belief.mtt_spread
    squares = told.log_flow**2 - WIDTH**2 / 12
    powers = np.stack([flow, flow * told.log_flow, flow * squares], 1).astype(np.float32)
    summed = told.mass @ powers
    of_time = np.einsum("nsmk,s->nmk", summed, belief.weight)
    of_shape = np.einsum("nsm,m->ns", summed[..., 0], mtt) * belief.weight
    flows, evidence = np.einsum("nmk,m->nk", of_time, mtt), of_shape.sum(axis=1)
    times = of_time[..., 0] @ np.stack([mtt * told.log_mtt, mtt * told.log_mtt**2], 1)
    mean = np.column_stack([flows[:, 1:], times]) / evidence[:, None]
    return Moments(evidence, mean, of_shape / evidence[:, None])


def fixed() -> Belief:
    """What `bayes` believes by default."""
    given = shelf()["bayes"].defaults()
    return Belief(
        0.0, given["cbf_spread"], np.log(given["mtt_prior"]), given["mtt_spread"], WEIGHT / WEIGHT.sum()
    )


def learned(told: Likelihood, least_flow: float, least_mtt: float, kept: float) -> Belief:
    """The belief that makes the voxels most likely, by expectation and maximisation from the fixed one on.

    least_flow, least_mtt : SDs, below which none is taken. kept : share of the voxels that the fixed belief is for.
    Source: empirical Bayes; Dempster, Laird and Rubin 1977, J R Stat Soc B 39:1, section 4.3.
    """
    first = belief = fixed()
    for _ in range(ROUNDS):
        own = moments(told, belief)
        share = own.evidence * (1 - kept)
        share /= share + kept * moments(told, first).evidence
        x, xx, t, tt = share @ own.mean / share.sum()
        weight = share @ own.shape + BEFORE * share.size * first.weight
        spreads = max(np.sqrt(xx - x * x), least_flow), max(np.sqrt(tt - t * t), least_mtt)
        belief = Belief(x, spreads[0], t, spreads[1], weight / weight.sum())
    return belief


def maps(told: Likelihood, belief: Belief, kept: float = 0.0) -> dict[str, Array]:
    """cbf, mtt and their SDs as `bayes` gives them, (n,) each, a share of the belief being the fixed one."""
    own, first = moments(told, belief), moments(told, fixed())
    share = own.evidence * (1 - kept)
    share = (share / (share + kept * first.evidence))[:, None]
    x, xx, t, tt = (share * own.mean + (1 - share) * first.mean).T
    between = BETWEEN**2 * np.sum((share * own.shape + (1 - share) * first.shape) ** 2, axis=1)
    cbf, mtt = told.typical * np.exp(x), np.exp(t)
    sd_cbf, sd_mtt = cbf * np.sqrt(xx - x * x + between), mtt * np.sqrt(tt - t * t + between)
    return {"cbf": cbf, "mtt": mtt, "sd_cbf": sd_cbf, "sd_mtt": sd_mtt}


def rows() -> list[Row]:
    """For each population, noise and variant: errors to oSVD's, and the lowest flows; ischaemia of a scan apart."""
    made = []
    for cnr in beliefs.NOISE:
        parts = [bayes.family_of(family, cnr, bayes.VOXELS, i) for i, family in enumerate(bayes.FAMILIES)]
        made += _compared("the voxels judged by", cnr, parts)
        for name, draw in POPULATIONS.items():
            made += _compared(name, cnr, [_drawn(draw, cnr, len(name))])
    return made


def _drawn(draw: Any, cnr: int, seed: int) -> tuple[Array, dict[str, Array]]:
    return beliefs.simulated(draw, cnr, np.random.default_rng([SEED, seed, cnr]))


def _compared(name: str, cnr: int, parts: list[tuple[Array, dict[str, Array]]]) -> list[Row]:
    """A row for each variant, the belief learned from all parts together; errors are geometric means over parts."""
    curves = np.asfortranarray(np.concatenate([curves for curves, _ in parts]), np.float32)
    truth = {key: np.concatenate([truth[key] for _, truth in parts]) for key in ("cbf", "mtt")}
    places = [slice(len(parts[0][0]) * i, len(parts[0][0]) * (i + 1)) for i in range(len(parts))]
    protocol, osvd = bayes.protocol_of(curves), shelf()["osvd"]
    other, told = osvd.function(curves, protocol, osvd.defaults(), cpu()), likelihood(curves, protocol)
    rare, real = None, truth
    if name == ISCHAEMIA:
        apart, real = _drawn(ischaemic, cnr, APART)
        rare = likelihood(apart, protocol)
    made = []
    for variant, given in VARIANTS.items():
        belief, kept = (fixed(), 0.0) if given is None else (learned(told, *given), given[2])
        found = maps(told, belief, kept)
        ratio = {
            key: float(
                np.exp(np.mean([np.log(bayes.rmse_ratio(found, other, truth, key, p)) for p in places]))
            )
            for key in truth
        }
        if rare is None:
            low = truth["cbf"] <= np.quantile(truth["cbf"], beliefs.LOW)
            which, seen, real = "the tenth of least flow", _some(found, low), _some(truth, low)
        else:
            which, seen = "ischaemia", maps(rare, belief, kept)
        bias = float(np.exp(np.mean(np.log(seen["cbf"] / real["cbf"]))))
        covered = 100 * bayes.coverage(seen, real, "cbf", slice(None))
        made.append(
            {
                "what": f"{name}, CNR {cnr}, belief {variant}",
                "said": f"RMSE of cbf {ratio['cbf']:.3f} and of mtt {ratio['mtt']:.3f} times oSVD's; {which}: cbf "
                f"{bias:.2f} times the truth, {covered:.0f} % covered",
                "ratio": ratio["cbf"],
                "mtt": ratio["mtt"],
                "bias": bias,
                "covered": covered,
            }
        )
    return made


def _some(values: dict[str, Array], rows: Array) -> dict[str, Array]:
    return {name: value[rows] for name, value in values.items()}


def scan(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Healthy tissue with a little ischaemia."""
    return beliefs.mixture(rng, SCAN, SCANNED)


def ischaemic(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """That ischaemia alone, voxels enough to judge it by; no belief is learned from them."""
    return beliefs.mixture(rng, ISCHAEMIC, APART)


ISCHAEMIA = "a scan with 2 % of ischaemia"
POPULATIONS = {"a wider range": beliefs.wide, "tissues of a patient": beliefs.tissues, ISCHAEMIA: scan}
