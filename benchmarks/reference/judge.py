"""The judge's bench: for each method on the shelf the reference that answers for it, voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference import asl, dsc, leakage
from bolus_kernels.asl import AslProtocol
from bolus_kernels.dsc import DscProtocol

Array = NDArray[Any]
Numbers = dict[str, float]
Parameters = Mapping[str, float]


def _deconvolved(residue: Array, protocol: DscProtocol, voxel: int) -> Numbers:
    if not residue.max() > 0:  # also where there is no residue at all
        return dict.fromkeys(("cbf", "mtt", "tmax"), float("nan"))
    cbf = dsc.flow(residue, protocol.density_factor)
    cbv = float("nan") if protocol.blood_volume is None else float(protocol.blood_volume[voxel])
    tmax = dsc.tmax(residue, protocol.repetition_time)
    return {"cbf": cbf, "mtt": dsc.transit_time(cbv, cbf), "tmax": tmax}


def csvd(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Numbers:
    """Wu's circulant deconvolution with a fixed threshold; curve : (t,) 1/s."""
    residue = dsc.csvd(curve, protocol.aif, protocol.repetition_time, parameters["threshold"])
    return _deconvolved(residue, protocol, voxel)


def osvd(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Numbers:
    """Wu's circulant deconvolution with a limit on oscillation; curve : (t,) 1/s."""
    limit = parameters["oscillation_index"]
    residue, _ = dsc.osvd(curve, protocol.aif, protocol.repetition_time, limit)
    return _deconvolved(residue, protocol, voxel)


def uncorrected(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Numbers:
    """Blood volume of the curve as it is; curve : (t,) 1/s."""
    cbv = dsc.blood_volume(curve, protocol.aif, protocol.repetition_time, protocol.density_factor)
    return {"cbv": cbv}


def bsw(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Numbers:
    """Blood volume with the leakage of Boxerman, Schmainda and Weisskoff taken out; curve : (t,) 1/s."""
    fit = leakage.bsw(curve, protocol.reference, protocol.repetition_time)
    cbv = dsc.blood_volume(fit.corrected, protocol.aif, protocol.repetition_time, protocol.density_factor)
    return {"cbv": cbv, "k1": fit.k1, "k2": fit.k2}


def single_delay(curve: Array, protocol: AslProtocol, voxel: int, parameters: Parameters) -> Numbers:
    """Alsop's formula on the mean over pairs; curve : (t,), fraction of M0."""
    return {"cbf": asl.one_delay(curve, protocol, voxel)}


def multi_delay(curve: Array, protocol: AslProtocol, voxel: int, parameters: Parameters) -> Numbers:
    """The dense posterior of flow and transit time; curve : (t,), fraction of M0."""
    return asl.multi_delay(curve, protocol, voxel, asl.Prior(**parameters))._asdict()


JUDGES: dict[str, Callable[[Array, Any, int, Parameters], Numbers]] = {
    "csvd": csvd,
    "osvd": osvd,
    "uncorrected": uncorrected,
    "bsw": bsw,
    "single_delay": single_delay,
    "multi_delay": multi_delay,
}
"""Name of a method -> its reference for one voxel; a method that is missing here fails the test matrix."""


def judged(name: str, curves: Array, protocol: Any, parameters: Parameters) -> dict[str, Array]:
    """Every map of the method by its reference, (n,) float64; curves : (n, t). KeyError without one."""
    rows = [JUDGES[name](curve, protocol, voxel, parameters) for voxel, curve in enumerate(curves)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}
