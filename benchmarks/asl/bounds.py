"""How well one voxel's flow can be known: bounds of unbiased estimates and of shrinkage, and what a prior does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.asl import brain as asl_brain
from benchmarks.asl import simulate as simulate_asl
from benchmarks.asl.anywhere import ARRIVALS, FLOWS, anywhere
from benchmarks.asl.brain import Tissue
from benchmarks.asl.simulate import Acquisition
from benchmarks.reference.asl import latest_arrival
from benchmarks.reference.kinetics import apparent_t1, kinetic, times
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]

SNR = 150.0
"""M0 of grey matter over the noise of one image, as in `asl_spatial`."""
TISSUES = ("gm", "wm", "rim")
CLOSER = (0.6, 0.3)
"""s, SDs of arrivals that someone else tells."""
SHARE, SCATTER = 1 / 6, 0.2
"""SD of a tissue's flow over its mean and of its arrivals (s), which the least error by shrinkage is told."""
TOLD = (0.02, 0.2, 0.4, 0.6, 1.0)
"""s, SDs of the priors of arrivals that the posterior is given."""
LATER = 1.3
"""s, by how much blood comes later than it is believed to."""
VOXELS, POINTS, COVERING = 40000, 161, 1.959964
STEP_FLOW, STEP_ARRIVAL = 1e-6, 1e-4
"""1/s and s, of central differences."""


class Bound(NamedTuple):
    """Least SD of an unbiased flow (ml/100g/min): arrival known, unknown, told as each of CLOSER says, by the region.

    arrival : s, the least SD of an unbiased arrival where flow is unknown too. region : s, the SD that
    `arrival_evidence` tells.
    """

    known: float
    unknown: float
    closer: tuple[float, ...]
    regional: float
    arrival: float
    region: float


def measure() -> list[Row]:
    """Rows of bounds, of the least error by shrinkage, and of the posterior told the arrival more or less well."""
    rows = []
    for acquisition in (simulate_asl.PCASL, simulate_asl.PASL):
        regions = _regions(acquisition)
        for name in TISSUES:
            tissue = asl_brain.TISSUES[name]
            rows.append(_of_tissue(acquisition, name, tissue, regions[name]))
        rows.append(_anywhere(acquisition, "gm", asl_brain.TISSUES["gm"]))
        for name in TISSUES[:2]:
            tissue = asl_brain.TISSUES[name]
            rows += [_told(acquisition, name, tissue, sd) for sd in TOLD]
            rows += [_told(acquisition, name, tissue, sd, LATER) for sd in TOLD[1:]]
        rows.append(_drawn(acquisition, "gm", asl_brain.TISSUES["gm"], TOLD[3]))
    return rows


def bound(acquisition: Acquisition, tissue: Tissue, region: float = np.inf) -> Bound:
    """The inequality of Cramer and Rao at the tissue's own flow and arrival; region : s.

    The information of the readouts' means is J'J/s^2, J their derivatives by flow and arrival, s the SD of a mean; an
    unbiased reading of the arrival with SD b, from elsewhere, adds 1/b^2 to that of the arrival (Kay, Fundamentals of
    Statistical Signal Processing, 1993, ch. 3). T1' depends on the flow.
    """
    flow, att, noise = tissue.cbf / 6000, tissue.att, mean_noise(acquisition, tissue)
    by_flow = (
        signal(acquisition, tissue, flow + STEP_FLOW, att)
        - signal(acquisition, tissue, flow - STEP_FLOW, att)
    ) / (2 * STEP_FLOW)
    by_arrival = (
        signal(acquisition, tissue, flow, att + STEP_ARRIVAL)
        - signal(acquisition, tissue, flow, att - STEP_ARRIVAL)
    ) / (2 * STEP_ARRIVAL)
    both = np.stack([by_flow, by_arrival])
    information = both @ both.T / noise**2

    def least(sd: float) -> Array:
        told = np.array([[0.0, 0.0], [0.0, 0.0 if np.isinf(sd) else sd**-2]])
        return np.sqrt(np.diag(np.linalg.inv(information + told)))

    unknown = least(np.inf)
    return Bound(
        float(6000 / np.sqrt(information[0, 0])),
        float(6000 * unknown[0]),
        tuple(float(6000 * least(sd)[0]) for sd in CLOSER),
        float(6000 * least(region)[0]),
        float(unknown[1]),
        region,
    )


def shrunk(acquisition: Acquisition, tissue: Tissue, n: int = 10000) -> tuple[float, float]:
    """Root mean square error of the mean under the tissue's true distribution, arrival unknown, and with it known.

    Flows N(CBF, (SHARE CBF)^2), arrivals N(ATT, SCATTER^2), which is what the posterior is told: no estimate has less.
    The first is the error over n draws, the second 1/sqrt(1/bound^2 + 1/spread^2). ml/100g/min.
    """
    rng, noise = np.random.default_rng(7), mean_noise(acquisition, tissue)
    spread = SHARE * tissue.cbf / 6000
    flow, att = rng.normal(tissue.cbf / 6000, spread, n), np.abs(rng.normal(tissue.att, SCATTER, n))
    unit = units(acquisition, tissue, att)
    y = flow[:, None] * unit + rng.normal(0, noise, unit.shape)
    grid = np.linspace(max(0.0, tissue.att - 6 * SCATTER), tissue.att + 6 * SCATTER, POINTS)
    g = units(acquisition, tissue, grid)
    precision = 1 / spread**2 + np.sum(g * g, axis=1) / noise**2
    right = tissue.cbf / 6000 / spread**2 + y @ g.T / noise**2
    score = right**2 / (2 * precision) - np.log(precision) / 2 - ((grid - tissue.att) / SCATTER) ** 2 / 2
    weight = np.exp(score - score.max(1, keepdims=True))
    found = np.sum(weight * right / precision, axis=1) / weight.sum(1)
    known = bound(acquisition, tissue).known
    least = 1 / np.sqrt(known**-2 + (6000 * spread) ** -2)
    return float(6000 * np.sqrt(np.mean((found - flow) ** 2))), float(least)


def units(acquisition: Acquisition, tissue: Tissue, att: Array) -> Array:
    """Difference over M0 of each readout per unit flow, (n, delays) s, T1' with the tissue's own flow; att : (n,) s."""
    duration = np.full(len(acquisition.delays), acquisition.duration)
    return kinetic(
        acquisition.labeling,
        times(acquisition.labeling, np.array(acquisition.delays), duration),
        np.asarray(att, np.float64)[:, None],
        duration,
        efficiency=acquisition.efficiency,
        t1_blood=acquisition.t1_blood,
        t1_apparent=apparent_t1(tissue.t1, tissue.cbf / 6000, tissue.partition_coefficient),
        partition_coefficient=tissue.partition_coefficient,
    )


def signal(acquisition: Acquisition, tissue: Tissue, flow: float, att: float) -> Array:
    """Difference over M0 of each readout, (delays,), at a flow (1/s) that is also in T1'."""
    return flow * units(acquisition, tissue._replace(cbf=6000 * flow), np.array([att]))[0]


def mean_noise(acquisition: Acquisition, tissue: Tissue) -> float:
    """SD of the mean over repeats of one delay: a difference of two images, over the tissue's M0."""
    return pair_noise(tissue) / float(np.sqrt(acquisition.repeats))


def pair_noise(tissue: Tissue) -> float:
    """SD of one pair, over the tissue's M0."""
    grey = asl_brain.TISSUES[simulate_asl.REFERENCE_TISSUE].magnetisation
    return float(np.sqrt(2) * grey / SNR / tissue.magnetisation)


def _regions(acquisition: Acquisition) -> dict[str, float]:
    """s, the median SD of what a tissue's voxels are told of their arrival, on the benchmarks' brain."""
    whole = asl_brain.brain()
    inside = asl_brain.mask(whole)
    curves, protocol = simulate_asl.curves(whole, simulate_asl.acquire(whole, replace(acquisition, snr=SNR)))
    place = np.ravel_multi_index(np.nonzero(inside), inside.shape, order="F"), inside.shape, whole.voxel
    prior = arrival_evidence(curves, protocol, shelf()["multi_delay"].defaults(), *place)
    return {name: float(np.median(prior.sd[asl_brain.pure(whole, name)[inside]])) for name in TISSUES}


def _of_tissue(acquisition: Acquisition, name: str, tissue: Tissue, region: float) -> Row:
    least, (error, known) = bound(acquisition, tissue, region), shrunk(acquisition, tissue)
    closer = ", ".join(
        f"{sd:.1f} with it told within {s:g} s" for s, sd in zip(CLOSER, least.closer, strict=True)
    )
    return {
        "what": f"{acquisition.labeling}, {name}: least SD of an unbiased CBF of {tissue.cbf:g}",
        "said": f"{least.known:.1f} with the arrival known, {closer}, {least.regional:.1f} with it told as by the "
        f"region (+- {region:.2f} s), {least.unknown:.1f} with it unknown (which is known to {least.arrival:.2f} s "
        f"at best); least RMSE of any estimate told CBF +- {SHARE * tissue.cbf:.1f} and ATT +- {SCATTER:g} s: "
        f"{error:.1f} ({known:.1f} with the arrival known)",
        **least._asdict(),
        "shrunk": error,
    }


def _anywhere(acquisition: Acquisition, name: str, tissue: Tissue) -> Row:
    def readouts(flow: float, att: float) -> Array:
        return signal(acquisition, tissue, flow, att)

    least = 6000 * anywhere(readouts, tissue.cbf / 6000, tissue.att, mean_noise(acquisition, tissue))
    said = (
        f"at least {least:.1f} at {tissue.att:g} s, if the mean is to be right at every arrival of {ARRIVALS[0]:g}-"
        f"{ARRIVALS[-1]:g} s and flow of {FLOWS[0] * tissue.cbf:g}-{FLOWS[-1] * tissue.cbf:g} (Barankin)"
    )
    return {
        "what": f"{acquisition.labeling}, {name}: least SD of a CBF of {tissue.cbf:g} unbiased at any arrival",
        "said": said,
        "anywhere": least,
    }


def _told(acquisition: Acquisition, name: str, tissue: Tissue, sd: float, later: float = 0.0) -> Row:
    """The posterior's errors where the prior of arrivals is N(what the tissue's is without `later`, sd)."""
    att = np.full(VOXELS, tissue.att + later)
    given = {"att_prior": "given", "att_mean": tissue.att, "att_sd": sd}
    said, bias = _judged(acquisition, tissue, att, given)
    how = f"told the arrival within {sd:g} s" if not later else f"{later:g} s later than told within {sd:g} s"
    return {"what": f"{acquisition.labeling}, {name}, posterior {how}", "said": said, "bias": bias}


def _drawn(acquisition: Acquisition, name: str, tissue: Tissue, sd: float) -> Row:
    """The posterior's errors where arrivals scatter as its prior says that they do."""
    rng = np.random.default_rng(11)
    att = rng.normal(tissue.att, sd, 2 * VOXELS)
    duration = np.full(len(acquisition.delays), acquisition.duration)
    latest = latest_arrival(times(acquisition.labeling, np.array(acquisition.delays), duration), duration)
    att = att[(att > 0) & (att < latest)][:VOXELS]
    given = {"att_prior": "given", "att_mean": tissue.att, "att_sd": sd}
    said, bias = _judged(acquisition, tissue, att, given)
    what = (
        f"{acquisition.labeling}, {name}, posterior of arrivals that scatter by the {sd:g} s that it is told"
    )
    return {"what": what, "said": said, "bias": bias}


def _judged(acquisition: Acquisition, tissue: Tissue, att: Array, given: dict[str, Any]) -> tuple[str, float]:
    n, noise = len(att), pair_noise(tissue)
    once = AslProtocol(
        acquisition.labeling,
        np.array(acquisition.delays),
        np.full(len(acquisition.delays), acquisition.duration),
        acquisition.efficiency,
        acquisition.t1_blood,
        np.full(n, tissue.t1, np.float32),
        tissue.partition_coefficient,
        np.zeros(n, np.float32),
        noise**2,
    )
    protocol = once._replace(
        post_labeling_delay=np.tile(once.post_labeling_delay, acquisition.repeats),
        labeling_duration=np.tile(once.labeling_duration, acquisition.repeats),
    )
    clean = np.tile(tissue.cbf / 6000 * units(acquisition, tissue, att), acquisition.repeats)
    noisy = clean + np.random.default_rng(5).normal(0, noise, (n, clean.shape[1]))
    known = shelf()["multi_delay"]
    maps = known.function(np.asfortranarray(noisy, np.float32), protocol, known.defaults() | given, cpu())
    away = maps["cbf"] - tissue.cbf
    bias, error = 100 * float(away.mean()) / tissue.cbf, float(np.sqrt(np.mean(away**2)))
    sure = 100 * float(away.std()) / np.sqrt(n) / tissue.cbf
    covered = 100 * float(np.mean(np.abs(away) <= COVERING * maps["sd_cbf"]))
    late = float(np.mean(maps["att"] - att))
    said = (
        f"CBF {tissue.cbf:g}: bias {bias:+.1f} % (+- {sure:.1f}), RMSE {error:.1f}, "
        f"95 % intervals cover {covered:.1f} %; ATT bias {late:+.2f} s"
    )
    return said, bias
