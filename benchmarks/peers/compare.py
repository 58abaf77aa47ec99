"""The same voxels by bolus, by loops in NumPy and SciPy and by published packages: speed, and error against truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.clock import least
from benchmarks.peers.loops import csvd_loop, curve_fit_loop, osvd_by_threshold, osvd_loop
from bolus_kernels.device import cpu
from bolus_kernels.dsc.deconvolution.circulant import spectrum
from bolus_kernels.shelf import shelf

PEERS = ("osipy", "asltk")
INTERPRETERS = "BOLUS_PEERS"
"""Environment variable: interpreters that have peers, as PATH lists folders; for those that cannot live with bolus."""
VOXELS, LOOPED, TIMES = 2048, 128, 8
"""Different voxels; those of a slow loop; how often ours go through theirs, so that a call is worth timing."""
SNR, NOISE = 50.0, 1e-3
"""Of the signal before the bolus; SD of a pair, as a fraction of M0."""
ROUNDS, SECONDS, PATIENCE = 5, 20.0, 300.0
Array = NDArray[Any]
Row = dict[str, Any]
Maps = dict[str, Array]


def measure() -> list[Row]:
    """For each computation rows by bolus, by loops, by peers; the ratio is bolus's rate over theirs, on one core.

    `level` is the median of estimate over truth, a matter of scale and convention as well as of method; `scatter`
    the root mean square error, as a share of the mean truth, that is left once the level is taken out.
    """
    dsc, asl = _dsc(), _asl()
    given: dict[str, Any] = {
        "dsc": dsc["curves"], "aif": dsc["aif"], "times": example.volume_times(), "asl": asl["curves"],
        "delays": example.DELAYS, "duration": 1.8, "t1_tissue": 1.3, "t1_blood": 1.65, "partition": 0.9,
        "efficiency": 0.85,
    }  # fmt: skip
    rows = [*_ours_and_loops(dsc, "DSC"), *_ours_and_loops(asl, "ASL")]
    rates = {row["what"]: row["rate"] for row in rows}
    for peer in PEERS:
        rows += _peer(peer, given, {"DSC": dsc["truth"], "ASL": asl["truth"]}, rates)
    return rows


def _dsc() -> dict[str, Any]:
    made = example.tissues(VOXELS, np.random.default_rng(5))
    curves, protocol = example.dsc(VOXELS, 5, SNR, leaky=False)
    signal = np.rint(2000 * np.exp(-example.ECHO_TIME * curves.T))
    basis = spectrum(protocol)
    kept = np.repeat(basis.size >= 0.1 * basis.size[0], 2)
    inverse = basis.synthesis[:, kept] @ basis.analysis[kept]
    pairs = np.arange(2, 2 * basis.size.size + 1, 2)
    inverses = np.stack([basis.synthesis[:, :k] @ basis.analysis[:k] for k in pairs])
    scale, step = 6000 * simulate.KAPPA_RHO, protocol.repetition_time
    area = float(np.trapezoid(protocol.aif, dx=step))
    series = np.maximum(signal, 1).astype(np.int16)
    loops: dict[str, tuple[int, Callable[[], Maps]]] = {
        "cSVD, a NumPy loop over voxels": (
            VOXELS,
            lambda: {
                "cbf": simulate.KAPPA_RHO * csvd_loop(series, inverse, example.ECHO_TIME, step, area)[:, 0]
            },
        ),
        "oSVD, a NumPy loop, an inverse per threshold": (
            LOOPED,
            lambda: {"cbf": scale * osvd_loop(curves[:LOOPED], inverses, 0.035)},
        ),
        "oSVD, NumPy, an FFT per threshold": (
            VOXELS,
            lambda: {"cbf": scale * osvd_by_threshold(curves, protocol.aif, step, 0.035)},
        ),
    }
    return {
        "curves": curves,
        "aif": protocol.aif,
        "protocol": example.repeated(protocol, TIMES),
        "truth": {name: np.array([getattr(one, name) for one in made]) for name in ("cbf", "mtt")},
        "methods": ("csvd", "osvd", "bayes"),
        "loops": loops,
    }


def _asl() -> dict[str, Any]:
    protocol = example.asl_protocol(VOXELS, NOISE, repeats=1)
    rng = np.random.default_rng(6)
    truth = {"cbf": rng.uniform(20, 90, VOXELS), "att": rng.uniform(0.6, 1.8, VOXELS)}
    curves = example.asl_curves(protocol, truth["cbf"], truth["att"], NOISE, 7)
    wide = {name: np.tile(getattr(protocol, name), TIMES) for name in ("t1_tissue", "slice_delay")}

    def by_curve_fit() -> Maps:
        told = curves[: 4 * LOOPED].astype(np.float64), protocol.post_labeling_delay, 1.8, 1.3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits = curve_fit_loop(*told)
        return {"cbf": 6000 * fits[:, 0], "att": fits[:, 1]}

    return {
        "curves": curves,
        "protocol": protocol._replace(**wide),
        "truth": truth,
        "methods": ("multi_delay",),
        "loops": {"flow and arrival, scipy.optimize.curve_fit": (4 * LOOPED, by_curve_fit)},
    }


def _ours_and_loops(case: dict[str, Any], kind: str) -> list[Row]:
    wide = np.asfortranarray(np.tile(case["curves"], (TIMES, 1)))
    works: dict[str, Callable[[], Maps]] = {}
    counts = {}
    for name in case["methods"]:
        known = shelf()[name]
        works[f"bolus, {name}"] = lambda known=known: known.function(  # type: ignore
            wide, case["protocol"], known.defaults(), cpu()
        )
        counts[f"bolus, {name}"] = len(wide)
    for name, (count, loop) in case["loops"].items():
        works[name], counts[name] = loop, count
    found = {name: work() for name, work in works.items()}
    spent = least(works, ROUNDS, SECONDS)
    rates = {name: counts[name] / spent[name] for name in works}
    rows = []
    for name in works:
        ours = next(iter(rates)) if kind == "ASL" else f"bolus, {'osvd' if 'oSVD' in name else 'csvd'}"
        ours = name if name.startswith("bolus") else ours
        rows.append(_row(name, rates[name], rates[ours] / rates[name], ours, found[name], case["truth"]))
    return rows


def _row(name: str, rate: float, ratio: float, ours: str, found: Maps, truth: Maps) -> Row:
    row: Row = {"what": name, "rate": rate, "ratio": ratio, "against": f"{ours} is faster so many times"}
    row["said"] = f"{rate:,.0f} voxels/s" + ("" if name == ours else f", {ours} {ratio:,.3g} times as fast")
    for key, real in truth.items():
        if key in found:
            count = min(len(real), len(found[key]))
            estimate, real = found[key][:count].astype(np.float64), real[:count]
            good = np.isfinite(estimate) & (estimate > 0)
            if not good.any():
                row |= {"said": row["said"] + f"; {key}: no voxel has a value", "failed": True}
                continue
            level = float(np.median(estimate[good] / real[good]))
            away = estimate[good] / level - real[good]
            scatter = float(np.sqrt(np.mean(away**2)) / real.mean())
            row[key] = {"level": level, "scatter": scatter, "voxels": int(good.sum()), "of": count}
            row["said"] += f"; {key} level {100 * level:.0f} %, scatter {100 * scatter:.0f} %"
            if not good.all():
                row["said"] += f", not positive in {100 * (1 - good.mean()):.1f} %"
    return row


def _peer(peer: str, given: dict[str, Any], truths: dict[str, Maps], rates: dict[str, float]) -> list[Row]:
    """What a peer makes of the voxels in a process of its own; one row that says so where it is not installed."""
    python = _interpreter(peer)
    if python is None:
        said = f"not installed (`pip install {peer}`, if need be elsewhere: {INTERPRETERS}=/its/bin/python)"
        return [{"what": peer, "said": said, "absent": True}]
    script = Path(__file__).with_name(f"with_{peer}.py")
    with TemporaryDirectory() as folder:
        there, back = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(there, **given)
        alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        command = [python, str(script), str(there), str(back)]
        done = subprocess.run(command, capture_output=True, text=True, env=alone, timeout=PATIENCE)
        if done.returncode or not back.exists():
            last = [*done.stderr.splitlines(), f"exit code {done.returncode}"]
            return [{"what": peer, "said": f"FAILED: {' | '.join(last[-2:])}", "failed": True}]
        told = json.loads(done.stdout.splitlines()[-1])
        maps = dict(np.load(back))
    rows = []
    for name, seconds in told["seconds"].items():
        found = {key.rpartition("/")[2]: values for key, values in maps.items() if key.startswith(f"{name}/")}
        kind = "DSC" if "SVD" in name else "ASL"
        ours = {"cSVD": "bolus, csvd", "oSVD": "bolus, osvd"}.get(name, "bolus, multi_delay")
        rate = len(found["cbf"]) / seconds
        what = f"{peer} {told['version']}, {name}"
        rows.append(
            _row(what, rate, rates[ours] / rate, ours, found, truths[kind]) | {"numpy": told["numpy"]}
        )
    return rows


def _interpreter(peer: str) -> str | None:
    """This interpreter, or the first of those named in the environment, that can import the peer."""
    named = [path for path in os.environ.get(INTERPRETERS, "").split(os.pathsep) if path]
    for python in (sys.executable, *named):
        look = f"import importlib.util as u, sys; sys.exit(u.find_spec({peer!r}) is None)"
        if subprocess.run([python, "-c", look], capture_output=True).returncode == 0:
            return python
    return None
