"""Flow and arrival of pure grey and pure white matter within the posterior: each voxel's own, under its neighbours'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bolus.compute.arrival import told_prior
from bolus.compute.items import of_method
from bolus.compute.retreat import Machines, whole
from bolus.errors import BolusError, Code
from bolus.recipe import Recipe
from bolus.series import Array, Curves, Map
from bolus.voxels import constant
from bolus_kernels.asl.multi_delay import arrival_prior_of
from bolus_kernels.asl.partial_volume.layout import LEAST_SHARE
from bolus_kernels.asl.partial_volume.posterior import Found, Prior, Tissue, tissue_posterior
from bolus_kernels.asl.partial_volume.regression import pure_signals
from bolus_kernels.asl.protocol import ArrivalPrior, AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.order import median
from bolus_kernels.shelf import shelf

POSTERIOR = "posterior"
NAMES = {"GM": "grey matter", "WM": "white matter"}
LATER_SD = 0.3
"""s, of how much later blood arrives in WM: as much as it is later at all."""
CHAPPELL = "Chappell et al., Magn Reson Med 65:1173 (2011)"
EQUATION = (
    "p(ATT of GM, ATT of WM | difference = sum over GM, WM of p M0 f g(ATT)), both flows and the noise integrated "
    "out; log likelihoods of the neighbours weighted by a Gaussian window, its width by evidence"
)


def posterior_maps(
    curves: Curves,
    protocol: AslProtocol,
    recipe: Recipe,
    device: Device,
    machines: Machines,
) -> list[Map]:
    """CBF and ATT of both tissues with their SDs, NaN where a voxel holds less than 0.1 of the tissue.

    The parameters are those of `multi_delay`; the prior of arrivals, whose mean the scan replaces, is what is given or
    the literature's. Raises BolusError E_RECIPE for a single delay, from which two arrivals cannot be told, and
    for arrivals that are given.
    """
    _check_suits(curves, protocol)
    by_itself = shelf()["multi_delay"]
    obeyed = recipe.parameters(by_itself)
    names, m0, shares = list(curves.pure), m0_of(curves), shares_of(curves)
    reach = recipe["asl.partial_volume_reach"]
    blood = whole(
        "M0 of pure tissue", lambda machine: _blood_of(curves, shares, reach, machine), device, machines
    )
    amounts = blood * shares[:, : len(names)]
    amounts[shares[:, : len(names)] == 0] = 0.0
    known = protocol._replace(noise_variance=protocol.noise_variance * _typical(m0) ** 2)
    grey, white = (curves.pure[name] for name in names)
    believed = arrival_prior_of(protocol._replace(arrival_prior=None), obeyed)
    prior = Prior(
        (believed.mean, believed.sd), (white.later - grey.later, LATER_SD),
        obeyed["cbf_sd"], obeyed["noise_weight"],
    )  # fmt: skip
    tissues = Tissue(grey.t1, grey.partition_coefficient), Tissue(white.t1, white.partition_coefficient)
    found = whole(
        "the posterior of both tissues",
        lambda machine: tissue_posterior(
            (curves.values.T * m0).T, amounts, known, tissues, prior, curves.voxels, curves.grid.shape, reach, machine
        ),
        device, machines,
    )  # fmt: skip
    items = []
    for k, (name, values) in enumerate(zip(names, (found.gm, found.wm), strict=True)):
        for values_of in by_itself.maps:
            values[values_of][~(shares[:, k] >= LEAST_SHARE)] = np.nan
        its_method = replace(
            by_itself, label=name.lower(), equation=EQUATION, paper=f"{CHAPPELL}; {by_itself.paper}"
        )
        told = replace(
            curves, constants={**curves.constants, **_constants(curves, protocol, name, found, believed)}
        )
        items += [
            replace(item, description=f"{item.description}, of pure {NAMES[name]}")
            for item in of_method(its_method, values, told, recipe, obeyed)
        ]
    return items


def _check_suits(curves: Curves, protocol: AslProtocol) -> None:
    delays = sorted(set(np.asarray(protocol.post_labeling_delay).tolist()))
    if len(delays) == 1 and np.ptp(protocol.labeling_duration) == 0:
        seen, expected = f"delays {delays} s", "several delays, quantified by multi_delay or kinetic_model"
    elif protocol.arterial_transit_time is not None:
        seen, expected = "asl.transit_time = given", "arrivals of both tissues that are fitted"
    else:
        return
    raise BolusError(
        Code.RECIPE, curves.scan.images[0], f"asl.partial_volume = posterior, and {seen}", expected,
        "Set asl.partial_volume to regression.",
    )  # fmt: skip


def m0_of(curves: Curves) -> Array:
    """M0 (n,) that the curves are fractions of; NaN where there is none."""
    (image,) = (item.data for item in curves.extra if item.ending == "m0")
    return np.asarray(image.reshape(-1, order="F")[curves.voxels])


def shares_of(curves: Curves) -> Array:
    """Of GM, WM and CSF in each voxel, (n, 3)."""
    return np.stack([curves.tissues[name] for name in (*curves.pure, "CSF")], axis=1)


def pure_m0(curves: Curves, shares: Array, reach: int, device: Device) -> Array:
    """M0 of each pure tissue around each voxel, (n, 2), by regression; NaN where nothing can be said of it."""
    images = np.stack([tissue.m0 for tissue in curves.pure.values()], axis=1)
    signals = pure_signals(images, shares, curves.voxels, curves.grid.shape, reach, device).signals
    found = np.stack([signals[k, :, k] for k in range(len(curves.pure))], axis=1)
    return np.where(found > 0, found, np.float32(np.nan))


def _blood_of(curves: Curves, shares: Array, reach: int, device: Device) -> Array:
    """M0 of blood, (n, 2), as each tissue shows it, or as the other does where it itself does not."""
    partition = np.array([tissue.partition_coefficient for tissue in curves.pure.values()], np.float32)
    blood = pure_m0(curves, shares, reach, device) / partition
    return np.where(np.isfinite(blood), blood, blood[:, ::-1])


def _typical(m0: Array) -> float:
    known = m0[np.isfinite(m0)]
    return median(known) if known.size else 1.0


def _constants(
    curves: Curves, protocol: AslProtocol, name: str, found: Found, believed: ArrivalPrior
) -> dict[str, Any]:
    tissue = curves.pure[name]
    flow = found.whole.grey if name == "GM" else found.whole.white
    return {
        "PartialVolume": {
            "Window": constant(found.width, "voxels", "SD in the slice, by the evidence of this scan"),
            "LeastShare": float(LEAST_SHARE),
            "M0": "regressed on GM, WM and CSF around each voxel, neither smoothed nor eroded",
            "NotANumber": "less of the tissue than LeastShare, or M0 of no tissue around it",
            "ExpectedFlow": constant(flow, "ml/100g/min", "the scan as a whole; its SD is as large"),
            "ExpectedArrival": constant(
                found.whole.arrival, "s", f"of GM in the scan as a whole; its SD is {believed.sd:g} s"
            ),
            "WhiteMatterLater": constant(
                (curves.pure["WM"].later, LATER_SD), "s", "mean and SD; Chappell 2011"
            ),
        },
        "ArrivalPrior": told_prior(believed, protocol),
        "PartitionCoefficient": constant(tissue.partition_coefficient, "ml/g", "of the pure tissue"),
        "T1Tissue": constant(
            tissue.t1, "s", "of the pure tissue, asl.t1_gm and asl.t1_wm or by field strength"
        ),
    }
