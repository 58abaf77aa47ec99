"""What a narrower belief about flow gains where `bayes` is judged, and what it costs in tissue of other flows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.dsc import bayes
from bolus_kernels.device import cpu
from bolus_kernels.shelf import shelf

Array = NDArray[Any]
Row = dict[str, Any]

VOXELS, SEED, NOISE = 600, 31, (5, 10)
SPREADS = (0.8, 0.6, 0.5)
"""SD of ln CBF that is believed: the default, then narrower; the last is that of the flows `bayes` is judged by."""
TISSUES = np.array(
    [
        [0.40, 60, 0.3, 4, 0.25, 0.0],
        [0.30, 22, 0.3, 5, 0.25, 0.7],
        [0.12, 15, 0.3, 11, 0.25, 3.0],
        [0.08, 6, 0.4, 12, 0.4, 3.0],
        [0.10, 80, 0.5, 6, 0.4, 0.5],
    ]
)
"""Round numbers of grey and white matter, hypoperfused and ischaemic tissue, tumour: share, CBF (ml/100g/min), SD of
its ln, MTT (s), SD of its ln, delay (s)."""
LOW = 0.1
"""Share of the voxels of a population that count as those of low flow."""


def rows() -> list[Row]:
    """For each population, noise and spread: CBF's RMSE to oSVD's, and bias and coverage where flow is low."""
    known, made = shelf(), []
    for name, draw in POPULATIONS.items():
        for cnr in NOISE:
            curves, truth = simulated(draw, cnr, np.random.default_rng([SEED, len(name), cnr]))
            protocol = bayes.protocol_of(curves)
            osvd = known["osvd"].function(curves, protocol, known["osvd"].defaults(), cpu())
            low = truth["cbf"] <= np.quantile(truth["cbf"], LOW)
            for spread in SPREADS:
                given = known["bayes"].defaults() | {"leakage": "none", "cbf_spread": spread}
                found = known["bayes"].function(curves, protocol, given, cpu())
                ratio = bayes.rmse_ratio(found, osvd, truth, "cbf", slice(None))
                bias = float(np.exp(np.mean(np.log(found["cbf"][low] / truth["cbf"][low]))))
                lowest = {key: found[key][low] for key in ("cbf", "sd_cbf")}
                covered = 100 * bayes.coverage(lowest, {"cbf": truth["cbf"][low]}, "cbf", slice(None))
                made.append(_row(name, cnr, spread, ratio, bias, covered))
    return made


def _row(name: str, cnr: int, spread: float, ratio: float, bias: float, covered: float) -> Row:
    lowest = f"the tenth of least flow {bias:.2f} times the truth, {covered:.0f} % covered"
    return {
        "what": f"{name}, CNR {cnr}, SD of ln CBF believed {spread}",
        "said": f"RMSE of cbf {ratio:.2f} times oSVD's; {lowest}",
        "ratio": ratio,
        "bias": bias,
        "covered": covered,
    }


def simulated(draw: Any, cnr: float, rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    """Noisy curves (n, t), 1/s, and their truth; draw : rng -> CBF (ml/100g/min), MTT and delay (s), each (n,)."""
    cbf, mtt, delay = draw(rng)
    families = rng.choice(bayes.FAMILIES, cbf.size)
    values = zip(cbf.tolist(), mtt.tolist(), delay.tolist(), families.tolist(), strict=True)
    curves = np.stack([simulate.tissue(example.volume_times(), *one) for one in values])
    return bayes.noisy(curves, cnr, rng), {"cbf": cbf, "mtt": mtt, "cbv": cbf * mtt / 60, "tmax": delay}


def judged(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """The flows, transit times and delays that `bayes` is judged by: uniform."""
    return rng.uniform(15, 100, VOXELS), rng.uniform(2, 12, VOXELS), rng.uniform(-2, 5, VOXELS)


def wide(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Uniform too, from ischaemia to tumour."""
    return rng.uniform(5, 150, VOXELS), rng.uniform(1.5, 18, VOXELS), rng.uniform(-2, 5, VOXELS)


def tissues(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A mixture of TISSUES."""
    return mixture(rng, TISSUES[:, 0], VOXELS)


def mixture(rng: np.random.Generator, share: Array, n: int) -> tuple[Array, Array, Array]:
    """CBF (ml/100g/min), MTT and delay (s), each (n,), of TISSUES in other shares, log-normal in each."""
    _, cbf, cbf_spread, mtt, mtt_spread, delay = TISSUES[rng.choice(len(TISSUES), n, p=share)].T
    flow = cbf * np.exp(rng.normal(0, cbf_spread))
    return flow, np.clip(mtt * np.exp(rng.normal(0, mtt_spread)), 0.7, 23), rng.normal(delay, 1.0)


POPULATIONS = {"the flows judged by": judged, "a wider range": wide, "tissues of a patient": tissues}
