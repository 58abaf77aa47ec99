"""What a scan says of its own arrivals, once, before its methods run: the prior that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bolus.recipe import Recipe
from bolus.series import Curves
from bolus.voxels import constant
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol
from bolus_kernels.method import Method
from bolus_kernels.shelf import shelf

CHOICE, EVIDENCE, STATED, PRIOR = "att_prior", "evidence", ("att_mean", "att_sd"), "ArrivalPrior"


def with_arrivals(
    curves: Curves, protocol: AslProtocol, methods: Sequence[Method], recipe: Recipe
) -> tuple[Curves, AslProtocol]:
    """The scan with its prior of arrivals in the protocol and among the constants, where a method has to find them."""
    if protocol.arterial_transit_time is not None:
        return curves, protocol
    asked = [*methods, shelf()["multi_delay"]] if recipe["asl.spatial"] else list(methods)
    for method in asked:
        parameters = recipe.parameters(method)
        if parameters.get(CHOICE) == EVIDENCE:
            prior = arrival_evidence(curves.values, protocol, parameters)
            told = {**curves.constants, PRIOR: told_prior(prior)}
            protocol = protocol._replace(arrival_prior=prior)
            return replace(curves, constants=told, protocol=protocol), protocol
    return curves, protocol


def told_of(curves: Curves, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Constants of a scan and parameters of a method: of what is said of arrivals, only what the method obeys."""
    protocol = curves.protocol
    if isinstance(protocol, AslProtocol) and protocol.arterial_transit_time is not None:
        unused = {PRIOR, CHOICE, *STATED}
    else:
        unused = set(STATED) if parameters.get(CHOICE) == EVIDENCE else {PRIOR}
    return {name: value for name, value in {**curves.constants, **parameters}.items() if name not in unused}


def told_prior(prior: ArrivalPrior) -> Mapping[str, Any]:
    """How a sidecar tells a prior of arrivals."""
    return {
        "Mean": constant(prior.mean, "s", prior.how),
        "StandardDeviation": constant(prior.sd, "s", prior.how),
        "Tail": prior.tail,
    }
