"""The likeliest flow and arrival of every voxel, beside their means: maps of the joint posterior's maximum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bolus.compute.blocks import Asked
from bolus.compute.items import of_method
from bolus.compute.retreat import Machines
from bolus.recipe import Recipe
from bolus.series import Curves, Map
from bolus_kernels.asl.mode import mode
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device
from bolus_kernels.method import VoxelMaps
from bolus_kernels.shelf import shelf

MODE_OF = "multi_delay"
"""The method whose posterior it is the mode of."""
EQUATION = "argmax over (f, ATT) of p(f, ATT | y), noise integrated out, 1/T1' = 1/T1 + f/lambda"
SAID = "The most probable pair of flow and arterial transit time, under the priors of the posterior means."


def mode_maps(
    curves: Curves, protocol: AslProtocol, recipe: Recipe, device: Device, machines: Machines,
    answer: Callable[[Asked], VoxelMaps],
) -> list[Map]:  # fmt: skip
    """CBF and ATT at the mode: `desc-mode_cbf`, and `desc-mode_att` unless it is given; answer : as in `compute`."""
    mean = shelf()[MODE_OF]
    parameters = recipe.parameters(mean)
    told = ("cbf", "att") if protocol.arterial_transit_time is None else ("cbf",)  # a given one is no finding
    units = {name: mean.maps[name] for name in told}
    likeliest = replace(mean, function=mode, maps=units, label="mode", equation=EQUATION, description=SAID)
    values = answer(Asked(likeliest, curves, protocol, parameters, device, machines))
    items = of_method(likeliest, values, curves, recipe, parameters)
    return [replace(item, description=f"{item.description}, likeliest") for item in items]
