"""The residue functions themselves, which any deconvolution of the shelf gives when it is asked to."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from bolus_kernels import device
from bolus_kernels.method import RESIDUE, Method
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]
N = 300
DECONVOLUTIONS = [known for known in shelf().values() if known.family == "deconvolution"]
CURVES, PROTOCOL = example.dsc(N, 60)
ASKED = PROTOCOL._replace(residue=True)


def run(known: Method, curves: Array, protocol: Any) -> dict[str, Array]:
    return known.function(np.asfortranarray(curves), protocol, known.defaults(), device.cpu())


every_deconvolution = pytest.mark.parametrize(
    "known", DECONVOLUTIONS, ids=[known.name for known in DECONVOLUTIONS]
)


@every_deconvolution
def test_asking_for_the_residue_changes_no_map(known: Method) -> None:
    plain, asked = run(known, CURVES, PROTOCOL), run(known, CURVES, ASKED)
    assert RESIDUE not in plain and asked[RESIDUE].dtype == np.float32
    assert all(plain[name].tobytes() == asked[name].tobytes() for name in plain)


@every_deconvolution
def test_the_residue_is_nan_where_there_is_none_and_blocks_give_the_whole(known: Method) -> None:
    curves = CURVES.copy(order="F")
    curves[::7] = -np.abs(curves[::7])
    curves[5, 3] = np.nan
    whole = run(known, curves, ASKED)
    bad = whole["state"] != State.GOOD
    assert bad[5] and np.array_equal(np.isnan(whole[RESIDUE]).any(axis=1), bad)
    assert np.isnan(whole[RESIDUE][bad]).all()
    blocks = [slice(0, 97), slice(97, 98), slice(98, N)]
    parts = [run(known, curves[block], ASKED.rows(block))[RESIDUE] for block in blocks]
    assert whole[RESIDUE].tobytes() == np.concatenate(parts).tobytes()


@every_deconvolution
def test_the_residue_peaks_at_the_flow_and_makes_the_curve(known: Method) -> None:
    """Its maximum is the flow, and the arterial input through it is the curve, but for what is damped away."""
    t, n = example.volume_times(), 40
    rng = np.random.default_rng(61)
    made = [
        simulate.tissue(t, rng.uniform(20, 90), rng.uniform(3, 8), rng.uniform(0, 3), residue)
        for residue in (n // 4) * ["exponential", "linear", "gamma", "biexponential"]
    ]
    curves = np.asfortranarray(made, np.float32)
    maps = run(known, curves, ASKED.rows(slice(0, n)))
    residue = maps[RESIDUE].astype(np.float64)
    top = maps["cbf"] / (6000 * PROTOCOL.density_factor)
    if known.name == "bayes":  # continuous in delay: a sample may miss the very top
        assert np.all(residue.max(axis=1) <= 1.0001 * top) and np.median(residue.max(axis=1) / top) > 0.7
    else:
        assert np.allclose(residue.max(axis=1), top, rtol=1e-5)
    length = residue.shape[1]
    assert length in (len(t), 2 * len(t))
    spectrum = np.fft.rfft(PROTOCOL.aif, 2 * len(t)) * np.fft.rfft(residue, 2 * len(t), axis=1)
    again = PROTOCOL.repetition_time * np.fft.irfft(spectrum, 2 * len(t), axis=1)[:, : len(t)]
    misfit = np.linalg.norm(again - curves, axis=1) / np.linalg.norm(curves, axis=1)
    half, worst = (0.15, 0.4) if known.name == "bayes" else (0.1, 0.25)
    assert np.median(misfit) <= half and misfit.max() <= worst
