"""Flow and arrival of pure grey and pure white matter: by regression of the signals first, or within the posterior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bolus.compute.arrival import CHOICE, EVIDENCE, evidence_of, prior_maps, told_prior
from bolus.compute.blocks import Asked, run_method
from bolus.compute.items import of_method
from bolus.compute.retreat import Machines, whole
from bolus.compute.within_posterior import NAMES, POSTERIOR, m0_of, posterior_maps, pure_m0, shares_of
from bolus.recipe import Recipe
from bolus.series import Curves, Map, PureTissue
from bolus.voxels import constant
from bolus_kernels.asl.partial_volume.layout import LEAST_SHARE
from bolus_kernels.asl.partial_volume.regression import pure_signals
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.method import Method
from bolus_kernels.order import median

MAPS = ("cbf", "att", "sd_cbf", "sd_att")
"""What is told of a pure tissue; blood in arteries is of no tissue."""
ASLLANI = "Asllani, Borogovac and Brown, Magn Reson Med 60:1362 (2008)"
EQUATION = (
    "difference = sum over GM, WM of p dM, M0 = sum over GM, WM, CSF of p M0: least squares around each voxel"
)


def pure_maps(
    method: Method,
    curves: Curves,
    protocol: AslProtocol,
    recipe: Recipe,
    parameters: Mapping[str, Any],
    device: Device,
    machines: Machines,
) -> list[Map]:
    """CBF and ATT of each pure tissue, with the SDs that the method gives: `desc-gm_cbf`, `desc-wmSd_att`, ...

    Inside the brain a voxel is NaN where it holds less than 0.1 of the tissue or its neighbours cannot tell it from
    the others. The method is that of the whole voxel, with the partition coefficient and T1 of the tissue, and
    with the prior of arrivals that its own signals speak for, or the given one, later by what is known of it; within
    the posterior, where the recipe wishes that, it is `posterior_maps`.
    """
    if recipe["asl.partial_volume"] == POSTERIOR:
        return posterior_maps(curves, protocol, recipe, device, machines)
    items = []
    reach = recipe["asl.partial_volume_reach"]
    apart = whole(
        "the regression of partial volume",
        lambda machine: _told_apart(curves, protocol, reach, machine),
        device, machines,
    )  # fmt: skip
    for name, (its_curves, its_protocol) in apart.items():
        tissue = curves.pure[name]
        its_parameters = dict(parameters)
        if "att_mean" in its_parameters:
            its_parameters["att_mean"] += tissue.later
        its_method = replace(
            method,
            label=name.lower(),
            maps={key: unit for key, unit in method.maps.items() if key in MAPS},
            equation=f"{EQUATION}; {method.equation}",
            paper=f"{ASLLANI}; {method.paper}",
        )
        constants = {**curves.constants, **_constants(recipe, tissue, its_protocol, "att_mean" in parameters)}
        if its_parameters.get(CHOICE) == EVIDENCE:
            prior = evidence_of(its_curves, its_protocol, its_parameters, tissue.later)
            its_protocol = its_protocol._replace(arrival_prior=prior)
            constants["ArrivalPrior"] = told_prior(prior, its_protocol, name.lower())
            items += prior_maps(prior, its_curves, constants, name.lower())
        values = run_method(Asked(method, its_curves, its_protocol, its_parameters, device, machines))
        told = replace(its_curves, constants=constants)
        items += [
            replace(item, description=f"{item.description}, of pure {NAMES[name]}")
            for item in of_method(its_method, values, told, recipe, its_parameters)
        ]
    return items


def _told_apart(
    curves: Curves, protocol: AslProtocol, reach: int, device: Device
) -> dict[str, tuple[Curves, AslProtocol]]:
    """(control - label)/M0 of each tissue alone, NaN where nothing can be said of it, and how it is quantified."""
    names = list(curves.pure)
    m0, shares, place = m0_of(curves), shares_of(curves), (curves.voxels, curves.grid.shape, reach, device)
    differences = pure_signals((curves.values.T * m0).T, shares[:, : len(names)], *place)
    calibrations = pure_m0(curves, shares, reach, device)
    found = {}
    for k, name in enumerate(names):
        tissue, its_m0 = curves.pure[name], calibrations[:, k]
        values = (differences.signals[k].T / its_m0).T
        spread = differences.variance[k] * (m0 / its_m0) ** 2
        if protocol.relative_noise is not None:
            spread = spread * protocol.relative_noise
        known = np.isfinite(spread)
        typical = median(spread[known]) if known.any() else 1.0
        its_protocol = protocol._replace(
            t1_tissue=np.full(len(m0), tissue.t1, np.float32),
            partition_coefficient=tissue.partition_coefficient,
            noise_variance=protocol.noise_variance * typical,
            relative_noise=(spread / np.float32(typical)).astype(np.float32),
        )
        found[name] = replace(curves, values=values, protocol=its_protocol), its_protocol
    return found


def _constants(recipe: Recipe, tissue: PureTissue, protocol: AslProtocol, has_prior: bool) -> dict[str, Any]:
    later = constant(
        tissue.later, "s", "by which the prior of arrivals is later than a voxel's; Chappell 2011"
    )
    side = 2 * recipe["asl.partial_volume_reach"] + 1
    return {
        "PartialVolume": {
            "Kernel": [side, side, 1],
            "LeastShare": float(LEAST_SHARE),
            "M0": "regressed likewise, on GM, WM and CSF, neither smoothed nor eroded",
            "NotANumber": "less of the tissue than LeastShare, or not to be told from the others around it",
            **({"Later": later} if has_prior else {}),
        },
        "PartitionCoefficient": constant(tissue.partition_coefficient, "ml/g", "of the pure tissue"),
        "T1Tissue": constant(
            tissue.t1, "s", "of the pure tissue, asl.t1_gm and asl.t1_wm or by field strength"
        ),
        "NoiseVariance": constant(protocol.noise_variance, "1", "of the pairs, as the regression spreads it"),
    }
