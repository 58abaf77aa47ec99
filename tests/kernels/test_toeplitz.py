"""sSVD against the reference and by its laws: residues come back, delays are felt, smoothing is an option."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import example, simulate
from benchmarks.reference.judge import judged
from bolus_kernels import device
from bolus_kernels.dsc.deconvolution.toeplitz import convolution
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

Array = NDArray[Any]

TIMES = example.volume_times()
TR = example.REPETITION_TIME
SSVD = shelf()["ssvd"]


def ssvd(curves: Array, protocol: DscProtocol, **parameters: Any) -> dict[str, Array]:
    return SSVD.function(curves, protocol, SSVD.defaults() | parameters, device.cpu())


@pytest.mark.parametrize("snr", [None, 50.0])
@pytest.mark.parametrize("smoothing", ["on", "off"])
@pytest.mark.parametrize("threshold", [0.05, 0.2])
def test_ssvd_equals_the_reference(snr: float | None, smoothing: str, threshold: float) -> None:
    curves, protocol = example.dsc(40, 41, snr)
    parameters = {"threshold": threshold, "smoothing": smoothing}
    found, truth = ssvd(curves, protocol, **parameters), judged("ssvd", curves, protocol, parameters)
    assert np.max(np.abs(found["cbf"] / truth["cbf"] - 1)) <= 1e-5
    assert np.max(np.abs(found["mtt"] / truth["mtt"] - 1)) <= 1e-4
    assert np.allclose(found["tmax"], truth["tmax"], atol=1e-5)


@pytest.mark.parametrize("n_times", [20, 45, 61])
def test_any_number_of_volumes_equals_the_reference(n_times: int) -> None:
    t = TR * np.arange(n_times)
    curves = np.stack([simulate.tissue(t, 60.0, mtt, 1.0) for mtt in np.linspace(2, 8, 40)])
    curves = np.asfortranarray(simulate.noisy_relaxation(curves, 50.0, 0.03, 7, 42), np.float32)
    protocol = example.dsc(40, 43)[1]._replace(aif=simulate.arterial(t), residue=True)
    found, truth = ssvd(curves, protocol), judged("ssvd", curves, protocol, SSVD.defaults())
    assert found["residue"].shape == (40, n_times)
    assert np.max(np.abs(found["cbf"] / truth["cbf"] - 1)) <= 1e-5


def test_a_residue_that_was_convolved_comes_back() -> None:
    """With every singular value kept, and an arterial input that its matrix can be inverted for."""
    _, protocol = example.dsc(1, 44)
    aif = simulate.gamma_variate(TIMES, -1.5, 1.0, 1.5)
    protocol = protocol._replace(aif=aif, residue=True, blood_volume=np.ones(1, np.float32))
    truth = np.exp(-TIMES / 4.0)
    curve = (convolution(protocol, False) @ truth)[None].astype(np.float32)
    found = ssvd(curve, protocol, threshold=0.0, smoothing="off")
    assert np.allclose(found["residue"], truth, atol=1e-4)
    assert np.isclose(found["cbf"][0], 6000 * protocol.density_factor, rtol=1e-4)
    assert found["tmax"][0] == 0


def test_flow_depends_on_when_tissue_is_reached_and_is_never_early() -> None:
    _, protocol = example.dsc(1, 45)
    delays = np.array([-2.0, 0.0, 1.5])
    curves = np.stack([simulate.tissue(TIMES, 60.0, 4.0, delay) for delay in delays]).astype(np.float32)
    found = ssvd(curves, protocol._replace(blood_volume=np.ones(3, np.float32)))
    assert np.allclose(found["cbf"] / found["cbf"][1], [1.38, 1, 0.84], atol=0.03)
    assert found["tmax"].min() == 0


def test_a_curve_without_a_positive_flow_has_no_solution() -> None:
    curves, protocol = example.dsc(4, 46)
    curves[1] = 0.0
    found = ssvd(curves, protocol._replace(residue=True))
    assert found["state"].tolist() == [0, State.NO_SOLUTION, 0, 0]
    assert np.isnan(found["residue"][1]).all() and np.isfinite(found["residue"][[0, 2, 3]]).all()


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_an_unusable_arterial_input_is_refused(bad: float) -> None:
    curves, protocol = example.dsc(2, 47)
    with pytest.raises(ValueError, match="zero or not finite"):
        ssvd(curves, protocol._replace(aif=np.full(len(TIMES), bad)))
