"""All maps of one scan: which methods, in which order, what one hands to the next, and what is doubtful after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.compute.arrival import with_arrivals
from bolus.compute.blocks import Asked, run_bootstrap, run_method
from bolus.compute.items import choice_map, numbers_of, of_curves, of_method, residue_map, sd_maps
from bolus.compute.mode import MODE_OF, mode_maps
from bolus.compute.partial_volume import pure_maps
from bolus.compute.quality import quality_of, with_quality
from bolus.compute.retreat import Machines
from bolus.compute.spatial import spatial_maps
from bolus.recipe import Recipe, chosen_methods
from bolus.series import Curves, Maps
from bolus.voxels import constant
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.device import Device, cpu
from bolus_kernels.dsc.deconvolution.bootstrap import Volume
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import AIC, RESIDUE, STANDARD_DEVIATION, Method, VoxelMaps
from bolus_kernels.order import median
from bolus_kernels.shelf import shelf
from bolus_kernels.state import State

MANY = 0.05
"""Share of the brain without a value that is worth a warning."""
GOOD, NO_SOLUTION = int(State.GOOD), int(State.NO_SOLUTION)
NO_ARRIVAL, NO_RECOVERY = int(State.NO_ARRIVAL), int(State.NO_RECOVERY)
"""Plain numbers: NumPy compares an array with an enum's member ten times as slowly."""


def compute(
    curves: Curves, recipe: Recipe, device: Device, answer: Callable[[Asked], VoxelMaps] = run_method
) -> Maps:
    """Every map that the recipe asks of these curves, with the state of each voxel.

    A voxel whose curve is broken is NaN in every map; one that a method could not solve is NaN in the maps of that
    method, or in psr alone; the state is that of the first failure, and NO_RECOVERY where there is no other. A method
    without a kernel for the device, or for which its memory does not suffice, runs on the CPU, and the maps say so.
    answer : runs a method that is asked for.
    """
    state = curves.state.copy()
    warnings = list(curves.warnings)
    machines = Machines()
    criteria = {}
    protocol = curves.protocol
    if isinstance(protocol, DscProtocol):
        protocol = protocol._replace(residue=recipe["dsc.residue"])
    methods = methods_for(recipe, protocol)
    if isinstance(protocol, AslProtocol):
        curves, protocol = with_arrivals(curves, protocol, methods, recipe)
    items = list(curves.extra)
    inside: VoxelMaps = {}  # what maps hold in the brain, by how their files end
    for method in methods:
        machine = device if device.kind == "cpu" or method.cuda else cpu(device.threads)
        parameters = recipe.parameters(method)
        values = answer(Asked(method, curves, protocol, parameters, machine, machines))
        if "bat" in method.maps and curves.aif is not None:  # kernels count from the first volume kept
            values = {**values, "bat": values["bat"] + np.float32(curves.aif.time[0])}
        failed = values["state"] != GOOD
        np.copyto(state, values["state"], where=failed & ((state == GOOD) | (state == NO_RECOVERY)))
        unsolved = _share((values["state"] == NO_SOLUTION) & (state != NO_ARRIVAL))
        if unsolved > MANY:
            warnings.append(f"{100 * unsolved:.1f} % of the brain's voxels have no solution by {method.name}")
        told = {**parameters, **_flow_prior(parameters, protocol)}
        items += of_method(method, values, curves, recipe, told)
        inside |= {method.ending(name): values[name] for name in method.maps}
        if isinstance(protocol, AslProtocol) and curves.pure:
            items += pure_maps(method, curves, protocol, recipe, parameters, machine, machines)
        if AIC in values:
            criteria[method.name] = values[AIC]
        if isinstance(protocol, DscProtocol):
            if RESIDUE in values:
                step = protocol.repetition_time
                items.append(residue_map(method, values[RESIDUE], curves, parameters, step))
            if method.name == recipe["dsc.cbv"]:
                protocol = protocol._replace(
                    blood_volume=values["cbv"], typical_volume=_typical(values["cbv"])
                )
            if recipe["dsc.bootstrap"] and _lacks_deviations(method):
                spread = run_bootstrap(
                    method, partial(volume_by, recipe), curves, protocol, parameters, machine,
                    recipe["dsc.bootstrap"], machines,
                )  # fmt: skip
                items += sd_maps(method, spread, curves, recipe, parameters)
    if isinstance(protocol, AslProtocol):
        warnings += _unsupported(methods, protocol, recipe)
    if isinstance(protocol, AslProtocol) and recipe["asl.mode"]:
        if any(method.name == MODE_OF for method in methods):
            items += mode_maps(curves, protocol, recipe, device, machines, answer)
        else:
            warnings.append("asl.mode was not done: it needs several delays, and no asl.arterial")
    if isinstance(protocol, AslProtocol) and recipe["asl.spatial"]:
        if _several(protocol):
            items += spatial_maps(curves, protocol, recipe, device, machines)
            if recipe["asl.arterial"]:
                warnings.append("the maps of asl.spatial are made without asl.arterial")
        else:
            warnings.append("asl.spatial was not done: it needs several delays")
    if len(criteria) > 1:
        items.append(choice_map(criteria, curves))
    broken = (state != GOOD) & (state != NO_SOLUTION) & (state != NO_ARRIVAL) & (state != NO_RECOVERY)
    if broken.any():
        for item in items:
            if item.data.dtype == np.float32:
                item.data.reshape(-1, *item.data.shape[3:], order="F")[curves.voxels[broken]] = np.nan
        for found in inside.values():
            found[broken] = np.nan
    items += of_curves(curves, state)
    numbers = numbers_of(items, inside, curves, state)
    if isinstance(protocol, AslProtocol):
        quality = quality_of(items, curves, protocol)
        numbers |= quality
        items = with_quality(items, quality)
    if (lost := _share(broken)) > MANY:
        warnings.append(f"{100 * lost:.1f} % of the brain's voxels could not be computed")
    if (unknown := _share(state == NO_ARRIVAL)) > MANY:
        warnings.append(f"{100 * unknown:.1f} % of the brain's voxels have no value in the given att map")
    return Maps(
        curves.scan, curves.grid, tuple(items), machines.told(), curves.sources, curves.aif, numbers,
        (*warnings, *machines.warnings),
    )  # fmt: skip


def methods_for(recipe: Recipe, protocol: DscProtocol | AslProtocol) -> list[Method]:
    """The methods for one scan: among several quantifications, the one that suits its delays."""
    if isinstance(protocol, DscProtocol):
        return chosen_methods(recipe, "dsc")
    methods = chosen_methods(recipe, "asl")
    if protocol.arterial_transit_time is not None:
        return [_of_known_arrival(method) for method in methods]
    if len(methods) == 1:
        return methods
    return [method for method in methods if (method.name != "single_delay") == _several(protocol)]


def _several(protocol: AslProtocol) -> bool:
    """Whether the differences show the label at more than one delay, or labels of more than one duration."""
    return bool(np.ptp(protocol.post_labeling_delay) > 0 or np.ptp(protocol.labeling_duration) > 0)


def _unsupported(methods: list[Method], protocol: AslProtocol, recipe: Recipe) -> list[str]:
    """What was asked of one delay that only several can tell."""
    if _several(protocol):
        return []
    found = [
        f"{method.name} with one delay: its att is the prior's" for method in methods if "att" in method.maps
    ]
    if recipe["asl.arterial"] and not found:
        found.append("asl.arterial was not done: it needs several delays")
    return found


def _of_known_arrival(method: Method) -> Method:
    """The method as it is where transit times are given: a map of them would be no finding."""
    maps = {
        name: unit for name, unit in method.maps.items() if name.removeprefix(STANDARD_DEVIATION) != "att"
    }
    said = "Blood flow with its posterior standard deviation, the arterial transit time being given."
    return replace(method, maps=maps, description=said)


def volume_by(recipe: Recipe, device: Device) -> Volume:
    """The blood volume that the recipe's MTT uses, as a function of curves (n, t) and their protocol."""
    method = shelf()[recipe["dsc.cbv"]]
    parameters = recipe.parameters(method)

    def volume(curves: NDArray[Any], protocol: DscProtocol) -> NDArray[Any]:
        return method.function(curves, protocol, parameters, device)["cbv"]

    return volume


def _lacks_deviations(method: Method) -> bool:
    """Whether a deconvolution says nothing of its own uncertainty, so that the bootstrap has to."""
    return method.family == "deconvolution" and not any(
        name.startswith(STANDARD_DEVIATION) for name in method.maps
    )


def _flow_prior(parameters: Mapping[str, Any], protocol: DscProtocol | AslProtocol) -> dict[str, Any]:
    """What a method with a prior of flow that is the scan's own took as its median, for the sidecars."""
    if not isinstance(protocol, DscProtocol) or not {"cbf_spread", "mtt_prior"} <= parameters.keys():
        return {}
    if not np.isfinite(protocol.typical_volume):
        return {}
    median_flow = 60 * protocol.typical_volume / parameters["mtt_prior"]
    source = "60 times the median of the CBV that MTT uses, over mtt_prior"
    return {"CbfPrior": constant(float(f"{median_flow:.6g}"), "ml/100g/min", source)}


def _share(marked: NDArray[np.bool_]) -> float:
    return np.count_nonzero(marked) / marked.size


def _typical(volume: NDArray[Any]) -> float:
    """The median of the blood volumes (n,) above zero, ml/100g; NaN where there is none."""
    return median(volume[volume > 0])
