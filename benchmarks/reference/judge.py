"""The judge's bench: for each method on the shelf the reference that answers for it, voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reference import (
    alignment,
    amplitudes,
    arterial,
    asl,
    dsc,
    first_pass,
    leakage,
    peak,
    residue,
    summary,
    tikhonov,
    transport,
)
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import AIC, RESIDUE, STANDARD_DEVIATION

Array = NDArray[Any]
Answers = dict[str, Any]
"""Map -> its number in one voxel; beside the maps "aic", and "residue" : (L,) 1/s where the protocol asks for it."""
Parameters = Mapping[str, Any]


def _deconvolved(
    f: Array, protocol: DscProtocol, voxel: int, circular: bool = True, interpolated: bool = False
) -> Answers:
    asked: Answers = {RESIDUE: f} if protocol.residue else {}
    if not f.max() > 0:  # also where there is no residue at all
        return dict.fromkeys(("cbf", "mtt", "tmax"), float("nan")) | dict.fromkeys(asked, f * np.nan)
    cbf, tr = dsc.flow(f, protocol.density_factor), protocol.repetition_time
    cbv = float("nan") if protocol.blood_volume is None else float(protocol.blood_volume[voxel])
    tmax = dsc.tmax(f, tr, circular)
    if interpolated:
        highest, at = peak.highest(f)
        cbf = dsc.flow(np.array([highest]), protocol.density_factor)
        tmax = tr * (at - len(f) if at >= len(f) // 2 else at)
    return {"cbf": cbf, "mtt": dsc.transit_time(cbv, cbf), "tmax": tmax} | asked


def ssvd(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Ostergaard's deconvolution with a fixed threshold; curve : (t,) 1/s."""
    smoothed = parameters["smoothing"] == "on"
    f = dsc.ssvd(curve, protocol.aif, protocol.repetition_time, parameters["threshold"], smoothed)
    return _deconvolved(f, protocol, voxel, circular=False)


def csvd(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Wu's circulant deconvolution with a fixed threshold; curve : (t,) 1/s."""
    f = dsc.csvd(curve, protocol.aif, protocol.repetition_time, parameters["threshold"])
    return _deconvolved(f, protocol, voxel, interpolated=parameters["peak"] == "interpolated")


def osvd(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Wu's circulant deconvolution with a limit on oscillation; curve : (t,) 1/s."""
    f, _ = dsc.osvd(curve, protocol.aif, protocol.repetition_time, parameters["oscillation_index"])
    return _deconvolved(f, protocol, voxel, interpolated=parameters["peak"] == "interpolated")


def regularised(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Tikhonov's deconvolution with a strength chosen per voxel; curve : (t,) 1/s."""
    f = tikhonov.tikhonov(curve, protocol.aif, protocol.repetition_time, parameters["selection"])
    return _deconvolved(f, protocol, voxel, interpolated=parameters["peak"] == "interpolated")


def bayes(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """The dense posterior of flow, transit time and delay; curve : (t,) 1/s."""
    prior = residue.Prior(
        cbf=60 * protocol.typical_volume / parameters["mtt_prior"],
        cbf_spread=parameters["cbf_spread"],
        mtt=parameters["mtt_prior"],
        mtt_spread=parameters["mtt_spread"],
        mtt_within=(parameters["mtt_least"], parameters["mtt_most"]),
        delay=parameters["delay_prior"],
        delay_spread=parameters["delay_spread"],
        delay_within=(parameters["delay_least"], parameters["delay_most"]),
        floor=parameters["floor"],
        k2_spread=parameters["k2_spread"],
    )
    return residue.bayes(
        curve,
        protocol.aif,
        protocol.repetition_time,
        protocol.density_factor,
        slice(*protocol.baseline),
        prior,
        protocol.reference if parameters["leakage"] == "project" else None,
    )._asdict()


def _volume(fit: leakage.Leakage, protocol: DscProtocol, *names: str) -> Answers:
    cbv = dsc.blood_volume(fit.corrected, protocol.aif, protocol.repetition_time, protocol.density_factor)
    return {"cbv": cbv} | {name: getattr(fit, name) for name in names} | {AIC: fit.aic}


def _shapes(protocol: DscProtocol, parameters: Parameters) -> tuple[alignment.Shape, ...]:
    return alignment.shapes(
        protocol.reference, protocol.aif, protocol.repetition_time, parameters["alignment"]
    )


def uncorrected(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Blood volume of the curve as it is; curve : (t,) 1/s."""
    return _volume(leakage.uncorrected(curve, _shapes(protocol, parameters)), protocol)


def bsw(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Blood volume with the leakage of Boxerman, Schmainda and Weisskoff taken out; curve : (t,) 1/s."""
    shapes = _shapes(protocol, parameters)
    fit = leakage.bsw(curve, protocol.reference, protocol.repetition_time, shapes)
    return _volume(fit, protocol, "k1", "k2")


def bidirectional(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Blood volume with leakage both ways taken out; curve : (t,) 1/s."""
    shapes, kep_most = _shapes(protocol, parameters), parameters["kep_most"]
    fit = leakage.bidirectional(curve, protocol.reference, protocol.repetition_time, shapes, kep_most)
    return _volume(fit, protocol, "k1", "k2", "kep")


def gamma_variate(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Blood volume of the fitted first pass; curve : (t,) 1/s."""
    limits = first_pass.Limits(**parameters)
    cbv = first_pass.blood_volume(
        curve, protocol.aif, protocol.repetition_time, protocol.density_factor, limits
    )
    return {"cbv": cbv}


def summarised(curve: Array, protocol: DscProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Arrival, peak, recovery and contrast to noise; curve : (t,) 1/s."""
    if protocol.baseline_signal is None:
        raise ValueError("signal recovery needs the signal before the bolus")
    return summary.summary(
        curve,
        protocol.repetition_time,
        protocol.baseline,
        curve if protocol.single_echo is None else protocol.single_echo[voxel],
        float(protocol.baseline_signal[voxel]),
        protocol.echo_time,
        (parameters["recovery_from"], parameters["recovery_to"]),
        summary.ONSETS[parameters["onset"]],
    )._asdict()


def single_delay(curve: Array, protocol: AslProtocol, voxel: int, parameters: Parameters) -> Answers:
    """Alsop's formula on the mean over pairs; curve : (t,), fraction of M0."""
    return {"cbf": asl.one_delay(curve, protocol, voxel)}


def _arrivals(protocol: AslProtocol, voxel: int, parameters: Parameters) -> dict[str, float]:
    """What is believed of arrivals: given by the parameters, told by the scan, or as the literature has it."""
    if parameters["att_prior"] == "given":
        return {"att_mean": parameters["att_mean"], "att_sd": parameters["att_sd"], "att_tail": 0.0}
    told = protocol.arrival_prior
    if told is None:
        return {"att_mean": 0.7 if protocol.labeling == "PASL" else 1.3, "att_sd": 1.0, "att_tail": 0.0}
    mean, sd = (float(one if np.ndim(one) == 0 else one[voxel]) for one in (told.mean, told.sd))
    return {"att_mean": mean, "att_sd": sd, "att_tail": told.tail}


def multi_delay(curve: Array, protocol: AslProtocol, voxel: int, parameters: Parameters) -> Answers:
    """The dense posterior of flow and transit time; curve : (t,), fraction of M0."""
    prior = asl.Prior(
        cbf_sd=parameters["cbf_sd"],
        noise_weight=parameters["noise_weight"],
        **_arrivals(protocol, voxel, parameters),
    )
    return asl.multi_delay(curve, protocol, voxel, prior)._asdict()


def kinetic_model(curve: Array, protocol: AslProtocol, voxel: int, parameters: Parameters) -> Answers:
    """The dense posterior with an artery; curve : (t,), fraction of M0. Volumes in ml/100ml."""
    names = ("cbf_sd", "noise_weight", "arterial_probability", "arterial_lead")
    prior = amplitudes.ArterialPrior(
        abv_sd=parameters["abv_sd"] / 100,
        **{name: parameters[name] for name in names},
        **_arrivals(protocol, voxel, parameters),
    )
    path = transport.Transport(
        parameters["dispersion"],
        parameters["sharpness"],
        parameters["time_to_peak"],
        parameters["width"],
        parameters["exchange_time"] if parameters["tissue"] == "two_compartment" else None,
    )
    found = arterial.arterial(curve, protocol, voxel, prior, path)
    return {
        "cbf": found.cbf,
        "att": found.att,
        "abv": 100 * found.abv,
        "aat": found.arrival,
        "sd_cbf": found.sd_cbf,
        "sd_att": found.sd_att,
        "sd_abv": 100 * found.sd_abv,
        "sd_aat": found.sd_arrival,
    }


JUDGES: dict[str, Callable[[Array, Any, int, Parameters], Answers]] = {
    "ssvd": ssvd,
    "csvd": csvd,
    "osvd": osvd,
    "tikhonov": regularised,
    "bayes": bayes,
    "uncorrected": uncorrected,
    "bsw": bsw,
    "bidirectional": bidirectional,
    "gamma_variate": gamma_variate,
    "summary": summarised,
    "single_delay": single_delay,
    "multi_delay": multi_delay,
    "kinetic_model": kinetic_model,
}
"""Name of a method -> its reference for one voxel; a method that is missing here fails the test matrix."""

POSTERIORS = {"bayes": (0.2, 0.15), "kinetic_model": (0.2, 0.25)}
"""How far a posterior's means may stray, in its SDs, and its SDs, as shares of themselves."""
SHARES = {"gamma_variate": 1e-2, "transit": 1e-2}
"""Share of a map by which a method, or one of its choices, may stray: a search, or shapes that are integrals."""
SAME_AIC = 0.1
"""Two fits whose AIC differs by less are equally good."""


def judged(name: str, curves: Array, protocol: Any, parameters: Parameters) -> dict[str, Array]:
    """Every map of the method by its reference, (n,) float64; curves : (n, t). KeyError without one."""
    rows = [JUDGES[name](curve, protocol, voxel, parameters) for voxel, curve in enumerate(curves)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def allowed(name: str, truth: Mapping[str, Array], parameters: Parameters) -> dict[str, Array]:
    """How far each map of a method may lie from its reference; truth : map -> (n,) or (n, L).

    A map that has a posterior SD is held to a share of it, any other to a share of itself or of its mean size.
    """
    mean_share, sd_share = POSTERIORS.get(name, (0.05, 0.05))
    share = max(SHARES.get(key, 1e-4) for key in (name, parameters.get("alignment", "")))
    tolerance = {}
    for key, values in truth.items():
        size = np.abs(values)
        if key == AIC:
            tolerance[key] = np.full_like(values, SAME_AIC)
        elif key == RESIDUE:
            tolerance[key] = share * np.max(size, axis=1, keepdims=True)
        elif key.startswith(STANDARD_DEVIATION):
            tolerance[key] = sd_share * size
        elif STANDARD_DEVIATION + key in truth:
            tolerance[key] = mean_share * truth[STANDARD_DEVIATION + key]
        else:
            tolerance[key] = share * np.maximum(size, np.nanmean(size))
    return tolerance
