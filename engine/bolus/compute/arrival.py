"""What a scan says of its own arrivals, once, before its methods run: the prior that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bolus.recipe import Recipe
from bolus.series import Curves, Map
from bolus.voxels import constant, volume_of
from bolus_kernels.asl.evidence import arrival_evidence
from bolus_kernels.asl.multi_delay import LITERATURE
from bolus_kernels.asl.points import SPACING
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol
from bolus_kernels.asl.scatter import WIDTHS
from bolus_kernels.method import Method
from bolus_kernels.order import median
from bolus_kernels.shelf import shelf

CHOICE, EVIDENCE, STATED, PRIOR = "att_prior", "evidence", ("att_mean", "att_sd"), "ArrivalPrior"
SAID = (
    "What is expected of each voxel's arrival before its own data are seen, from the mean curves of regions, and how "
    "far arrivals scatter there, from their voxels."
)
EQUATION = "p(ATT | mean curve of a region); a voxel's mean and SD between the regions around it"


def with_arrivals(
    curves: Curves, protocol: AslProtocol, methods: Sequence[Method], recipe: Recipe
) -> tuple[Curves, AslProtocol]:
    """The scan with its prior of arrivals in the protocol, among the constants and the maps, where a method asks."""
    if protocol.arterial_transit_time is not None:
        return curves, protocol
    asked = [*methods, shelf()["multi_delay"]] if recipe["asl.spatial"] else list(methods)
    for method in asked:
        parameters = recipe.parameters(method)
        if parameters.get(CHOICE) == EVIDENCE:
            prior = evidence_of(curves, protocol, parameters)
            told = {**curves.constants, PRIOR: told_prior(prior, protocol)}
            protocol = protocol._replace(arrival_prior=prior)
            extra = (*curves.extra, *prior_maps(prior, curves, told))
            return replace(curves, constants=told, protocol=protocol, extra=extra), protocol
    return curves, protocol


def told_of(curves: Curves, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Constants of a scan and parameters of a method: of what is said of arrivals, only what the method obeys."""
    protocol = curves.protocol
    if isinstance(protocol, AslProtocol) and protocol.arterial_transit_time is not None:
        unused = {PRIOR, CHOICE, *STATED}
    else:
        unused = set(STATED) if parameters.get(CHOICE) == EVIDENCE else {PRIOR}
    return {name: value for name, value in {**curves.constants, **parameters}.items() if name not in unused}


def evidence_of(
    curves: Curves, protocol: AslProtocol, parameters: Mapping[str, Any], later: float = 0.0
) -> ArrivalPrior:
    """The prior of every voxel's arrival; later : s, by how much the literature's is to be shifted."""
    place = curves.voxels, curves.grid.shape, curves.grid.zooms
    return arrival_evidence(curves.values, protocol, parameters, *place, later)


def told_prior(prior: ArrivalPrior, protocol: AslProtocol, label: str = "") -> Mapping[str, Any]:
    """How a sidecar tells a prior of arrivals: its numbers, or the maps of them and how they were found."""
    if np.ndim(prior.mean) == 0:
        mean, sd = prior.mean, prior.sd
        told = {"Mean": constant(mean, "s", prior.how), "StandardDeviation": constant(sd, "s", prior.how)}
        return {**told, "Tail": prior.tail}
    names = [f"desc-{ending}_att" for ending in _endings(label)]
    return {
        "Mean": {**constant(median(np.asarray(prior.mean)), "s", f"{prior.how}, median"), "Map": names[0]},
        "StandardDeviation": {
            **constant(median(np.asarray(prior.sd)), "s", f"{prior.how}, median"), "Map": names[1],
        },
        "Tail": prior.tail,
        "Regions": {
            "Spacing": constant(SPACING, "mm", "of the points that regions are around"),
            "Widths": constant(WIDTHS, "s", "SDs of arrivals within a region, weighed by their evidence"),
            "Prior": constant(LITERATURE[protocol.labeling], "s", "mean and SD of a region's, literature"),
        },
    }  # fmt: skip


def prior_maps(
    prior: ArrivalPrior, curves: Curves, constants: Mapping[str, Any], label: str = ""
) -> list[Map]:
    """Mean and SD of the prior in every voxel, where it is one of its own; label : of a pure tissue."""
    if np.ndim(prior.mean) == 0:
        return []
    said = "arterial transit time that was expected", "arterial transit time that was expected, its SD"
    return [
        Map(
            f"desc-{ending}_att", volume_of(np.asarray(values), curves.voxels, curves.mask.shape), "s", text,
            SAID, EQUATION, "", constants,
        )
        for ending, values, text in zip(_endings(label), (prior.mean, prior.sd), said, strict=True)
    ]  # fmt: skip


def _endings(label: str) -> tuple[str, str]:
    return (f"{label}Prior", f"{label}PriorSd") if label else ("prior", "priorSd")
