"""Values of voxels as finished maps: how each file ends, its unit, and what its sidecar says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.compute.arrival import told_of
from bolus.recipe import Recipe
from bolus.series import Curves, Map
from bolus.voxels import BRAIN, volume_of
from bolus_kernels.method import RESIDUE, STANDARD_DEVIATION, Method, VoxelMaps
from bolus_kernels.order import median
from bolus_kernels.state import MEANINGS, State

NAMES = {
    "cbf": "cerebral blood flow",
    "cbv": "cerebral blood volume",
    "mtt": "mean transit time",
    "tmax": "time of the residue function's maximum",
    "cth": "capillary transit time heterogeneity (standard deviation of transit times)",
    "att": "arterial transit time",
    "abv": "arterial blood volume",
    "aat": "arterial arrival time: when the label reaches the arteries of the voxel",
    "k1": "share of the reference curve in the voxel's curve (K1)",
    "k2": "leakage rate (K2)",
    "kep": "rate of return from the tissue to the blood (kep)",
    "bat": "bolus arrival time, from the first volume of the series",
    "ttp": "time to peak, from arrival",
    "psr": "percentage signal recovery",
    "peakheight": "fall of the signal at the peak of the bolus",
    "cnr": "peak of delta R2* over its standard deviation before the bolus",
}
GIVEN_AIF = "given the arterial input"
"""What a DSC standard deviation leaves out: that of the arterial input itself."""
EFRON = "Efron and Tibshirani, An Introduction to the Bootstrap, ch. 9.4 (1993)"
AKAIKE = "Akaike, IEEE Trans Autom Control 19:716 (1974)"


def of_method(
    method: Method, values: VoxelMaps, curves: Curves, recipe: Recipe, parameters: Mapping[str, Any]
) -> list[Map]:
    """The maps that a method names, from its values (n,)."""
    return [_item(method, name, values[name], curves, recipe, parameters) for name in method.maps]


def sd_maps(
    method: Method, spread: VoxelMaps, curves: Curves, recipe: Recipe, parameters: Mapping[str, Any]
) -> list[Map]:
    """The bootstrap's standard deviations, (n,) each by the name `sd_<map>`."""
    told = {**parameters, "BootstrapReplicates": recipe["dsc.bootstrap"], "BootstrapSource": EFRON}
    items = [_item(method, name, values, curves, recipe, told) for name, values in spread.items()]
    return [replace(item, description=f"{item.description}, by residual bootstrap") for item in items]


def residue_map(
    method: Method,
    values: NDArray[np.float32],
    curves: Curves,
    parameters: Mapping[str, Any],
    step: float,
) -> Map:
    """The residue functions (n, L), 1/s, every `step` s: delay 0 first; negative delays last where L is twice t."""
    samples = values.shape[1]
    volume = np.zeros((int(np.prod(curves.mask.shape)), samples), np.float32, order="F")
    volume[curves.voxels] = values
    told = {
        **curves.constants,
        **parameters,
        "Samples": samples,
        "SamplesOfNegativeDelay": samples - len(curves.values.T),
    }
    return Map(
        method.ending(RESIDUE), volume.reshape(*curves.mask.shape, samples, order="F"), "1/s",
        "residue function times flow", method.description, method.equation, method.paper, told,
        step,
    )  # fmt: skip


def choice_map(criteria: Mapping[str, NDArray[np.float32]], curves: Curves) -> Map:
    """Which leakage model each voxel's curve speaks for: the one of least Akaike criterion, from 1 on."""
    names = list(criteria)
    least = np.full(curves.voxels.size, np.inf, np.float32)
    chosen = np.zeros(least.size, np.uint8)
    for number, name in enumerate(names, 1):
        better = criteria[name] < least  # never where it is NaN
        np.maximum(chosen, np.multiply(better, number, dtype=np.uint8), out=chosen)
        np.fmin(least, criteria[name], out=least)
    told = {"Levels": {"0": "none could be fitted", **{str(1 + i): name for i, name in enumerate(names)}}}
    return Map(
        "desc-aic_leakage", volume_of(chosen, curves.voxels, curves.mask.shape), "label",
        "leakage model of least AIC", "AIC = N ln(RSS/N) + 2p", "", AKAIKE, told,
    )  # fmt: skip


def of_curves(curves: Curves, state: NDArray[np.uint8]) -> list[Map]:
    """What every scan has: the state of its voxels, its mask, and where its arterial input comes from."""
    items = [_state_map(curves, state), _mask_map(curves)]
    if curves.aif is not None and curves.aif.voxels.size:
        items.append(_aif_map(curves, curves.aif.voxels))
    return items


def _item(
    method: Method,
    name: str,
    values: NDArray[Any],
    curves: Curves,
    recipe: Recipe,
    parameters: Mapping[str, Any],
) -> Map:
    plain = name.removeprefix(STANDARD_DEVIATION)
    description = NAMES[plain] + (", standard deviation" if plain != name else "")
    if plain != name and method.contrast == "dsc":
        description += f" {GIVEN_AIF}"
    unit = method.maps[name] if name in method.maps else method.maps[plain]
    told = told_of(curves, parameters)
    if method.contrast == "dsc":
        if recipe["dsc.relative"] and plain in ("cbf", "cbv"):
            unit = "arbitrary"
        if plain == "mtt" and "cbv" not in method.maps:
            told["BloodVolume"] = recipe["dsc.cbv"]
    return Map(
        method.ending(name), volume_of(values, curves.voxels, curves.mask.shape), unit, description,
        method.description, method.equation, method.paper, told,
    )  # fmt: skip


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


def numbers_of(
    items: list[Map], inside: VoxelMaps, curves: Curves, state: NDArray[np.uint8]
) -> dict[str, float]:
    """One row of headline numbers: the median of every map over the brain, and how much of it failed.

    inside : (n,) each, what maps hold in the brain, by how they end, where it is known without looking there.
    """
    failed = (state != int(State.GOOD)) & (
        state != int(State.NO_RECOVERY)
    )  # which lacks no more than its psr
    numbers = {"share_failed": float(np.count_nonzero(failed) / state.size)}
    for item in items:
        if item.data.dtype == np.float32 and item.data.ndim == 3:
            found = inside.get(item.ending)
            middle = median(item.data.reshape(-1, order="F").take(curves.voxels) if found is None else found)
            if np.isfinite(middle):
                numbers[f"median_{item.ending}"] = middle
    return numbers
