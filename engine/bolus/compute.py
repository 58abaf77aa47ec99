"""Compute: Curves -> Maps; take the methods off the shelf, cut voxels into blocks for the device, run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.recipe import Recipe, chosen_methods
from bolus.series import Curves, Map, Maps
from bolus.voxels import BRAIN, rows_of, volume_of
from bolus_kernels.asl import AslProtocol
from bolus_kernels.device import Device, cpu
from bolus_kernels.method import STANDARD_DEVIATION, Method, VoxelMaps
from bolus_kernels.state import MEANINGS, State

BLOCK = 16384
"""Voxels a block: the same cut on every machine and for any number of threads, so that results are the same."""
NAMES = {
    "cbf": "cerebral blood flow",
    "cbv": "cerebral blood volume",
    "mtt": "mean transit time",
    "tmax": "time of the residue function's maximum",
    "att": "arterial transit time",
    "k1": "share of the reference curve in the voxel's curve (K1)",
    "k2": "leakage rate (K2)",
}


def compute(curves: Curves, recipe: Recipe, device: Device) -> Maps:
    """Every map that the recipe asks of these curves, with the state of each voxel.

    A method without a kernel for the device runs on the CPU, and the maps say so.
    """
    state = curves.state.copy()
    items = list(curves.extra)
    used: set[str] = set()
    protocol = curves.protocol
    for method in methods_for(recipe, protocol):
        machine = device if device.kind == "cpu" or method.cuda else cpu(device.threads)
        used.add(machine.name)
        parameters = recipe.parameters(method)
        values = run_blocks(method, curves.values, protocol, parameters, machine)
        np.copyto(state, values["state"], where=state == State.GOOD)
        if not isinstance(protocol, AslProtocol) and method.name == recipe["dsc.cbv"]:
            protocol = protocol._replace(blood_volume=values["cbv"])
        items += [_as_map(method, name, values[name], curves, recipe, parameters) for name in method.maps]
    failed = curves.voxels[state != State.GOOD]
    for item in items:
        if failed.size and item.data.dtype == np.float32:
            item.data.reshape(-1, order="F")[failed] = np.nan
    items += [_state_map(curves, state), _mask_map(curves)]
    if curves.aif is not None and curves.aif.voxels.size:
        items.append(_aif_map(curves, curves.aif.voxels))
    numbers = _numbers(items, curves, state)
    warnings = list(curves.warnings)
    if numbers["share_failed"] > 0.05:
        warnings.append(f"{100 * numbers['share_failed']:.1f} % of the brain's voxels could not be computed")
    return Maps(
        curves.scan, curves.grid, tuple(items), " + ".join(sorted(used)), curves.sources, curves.aif, numbers,
        tuple(warnings),
    )  # fmt: skip


def methods_for(recipe: Recipe, protocol: Any) -> list[Method]:
    """The methods for one scan: among several quantifications, the one that suits its delays."""
    if not isinstance(protocol, AslProtocol):
        return chosen_methods(recipe, "dsc")
    methods = chosen_methods(recipe, "asl")
    if len(methods) == 1:
        return methods
    several = np.ptp(protocol.post_labeling_delay) > 0 or np.ptp(protocol.labeling_duration) > 0
    suits = "multi_delay" if several else "single_delay"
    return [method for method in methods if method.name == suits]


def run_blocks(
    method: Method, values: NDArray[Any], protocol: Any, parameters: Mapping[str, Any], device: Device
) -> VoxelMaps:
    """Run one method over all voxels; values : (n, t) float32. Blocks go to as many threads as the device has."""
    count = values.shape[0]
    cuts = [slice(begin, min(begin + BLOCK, count)) for begin in range(0, count, BLOCK)]

    def one(cut: slice) -> VoxelMaps:
        return method.function(values[cut], protocol.rows(cut), parameters, device)

    if device.threads == 1 or len(cuts) == 1:
        parts = [one(cut) for cut in cuts]
    else:
        with ThreadPoolExecutor(device.threads) as pool:
            parts = list(pool.map(one, cuts))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _as_map(
    method: Method,
    name: str,
    values: NDArray[Any],
    curves: Curves,
    recipe: Recipe,
    parameters: Mapping[str, Any],
) -> Map:
    plain = name.removeprefix(STANDARD_DEVIATION)
    description = NAMES[plain] + (", posterior standard deviation" if plain != name else "")
    unit = method.maps[name]
    told: dict[str, Any] = {**curves.constants, **parameters}
    if method.contrast == "dsc":
        if recipe["dsc.relative"] and plain in ("cbf", "cbv"):
            unit = "arbitrary"
        if plain == "mtt":
            told["BloodVolume"] = recipe["dsc.cbv"]
    volume = volume_of(values, curves.voxels, curves.mask.shape)
    return Map(
        method.ending(name),
        volume,
        unit,
        description,
        method.description,
        method.equation,
        method.paper,
        told,
    )


def _state_map(curves: Curves, state: NDArray[np.uint8]) -> Map:
    volume = volume_of(state, curves.voxels, curves.mask.shape)
    levels = {str(int(code)): meaning for code, meaning in MEANINGS.items()}
    ending = f"desc-{curves.scan.contrast}fit_state"
    return Map(ending, volume, "label", "why a voxel has no value", "", "", "", {"Levels": levels})


def _mask_map(curves: Curves) -> Map:
    how = "given" if BRAIN in curves.scan.derivatives else "found on the mean image (Otsu 1979)"
    ending = f"label-brain_desc-{curves.scan.contrast}_mask"
    return Map(ending, curves.mask.astype(np.uint8), "0/1", "brain mask used", how, "", "")


def _aif_map(curves: Curves, voxels: NDArray[Any]) -> Map:
    marked = volume_of(np.ones(voxels.size, np.uint8), voxels, curves.mask.shape)
    how = "" if curves.aif is None else curves.aif.how
    return Map("label-AIF_mask", marked, "0/1", "voxels of the arterial input function", how, "", "")


def _numbers(items: list[Map], curves: Curves, state: NDArray[np.uint8]) -> dict[str, float]:
    """One row of headline numbers: the median of every map over the brain, and how much of it failed."""
    rows = rows_of(curves.mask)
    numbers = {"share_failed": float((state != State.GOOD).mean())}
    for item in items:
        if item.data.dtype == np.float32:
            values = item.data.reshape(-1, order="F")[rows]
            values = values[np.isfinite(values)]
            if values.size:
                numbers[f"median_{item.ending}"] = float(np.median(values))
    return numbers
