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
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import Method
from bolus_kernels.shelf import shelf

CHOICE, EVIDENCE, STATED = "att_prior", "evidence", ("att_mean", "att_sd")


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
            told = {**curves.constants, "ArrivalPrior": told_prior(prior)}
            protocol = protocol._replace(arrival_prior=prior)
            return replace(curves, constants=told, protocol=protocol), protocol
    return curves, protocol


def obeyed(parameters: Mapping[str, Any], protocol: AslProtocol | DscProtocol) -> Mapping[str, Any]:
    """The parameters without those that another took the place of: arrivals that are given, or that the scan tells."""
    unused: tuple[str, ...] = ()
    if isinstance(protocol, AslProtocol) and protocol.arterial_transit_time is not None:
        unused = (CHOICE, *STATED)
    elif parameters.get(CHOICE) == EVIDENCE:
        unused = STATED
    return {name: value for name, value in parameters.items() if name not in unused}


def told_prior(prior: ArrivalPrior) -> Mapping[str, Any]:
    """How a sidecar tells a prior of arrivals."""
    return {
        "Mean": constant(prior.mean, "s", prior.how),
        "StandardDeviation": constant(prior.sd, "s", prior.how),
        "Tail": prior.tail,
    }
