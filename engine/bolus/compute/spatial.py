"""Maps of a scan's flow and arrival whose prior the neighbours of each voxel make, beside the voxelwise ones."""

from __future__ import annotations

import numpy as np

from bolus.compute.arrival import told_of
from bolus.compute.items import NAMES
from bolus.compute.retreat import Machines, whole
from bolus.recipe import Recipe
from bolus.series import Curves, Map
from bolus.voxels import volume_of
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.asl.spatial.spatial import spatial
from bolus_kernels.device import Device
from bolus_kernels.method import STANDARD_DEVIATION
from bolus_kernels.shelf import shelf

PAPER = "Polzehl and Spokoiny, Probab Theory Relat Fields 135:335 (2006)"
EQUATION = "as multi_delay, with priors of flow and arrival from the neighbours that look and flow alike"
SAID = "Exact posterior under a prior made by each voxel's neighbours, edges kept; small lesions that no structural "
SAID += "image shows may be smeared: compare with the voxelwise maps."
WITHOUT = " Blood that is still in arteries is taken for flow, as without asl.arterial."


def spatial_maps(
    curves: Curves, protocol: AslProtocol, recipe: Recipe, device: Device, machines: Machines
) -> list[Map]:
    """Flow and arrival with the spatial prior, and their standard deviations; `curves.structure` shows the anatomy."""
    method = shelf()["multi_delay"]
    parameters = recipe.parameters(method)
    places = np.column_stack(np.unravel_index(curves.voxels, curves.mask.shape, order="F"))
    images = np.zeros((len(curves.values), 1)) if curves.structure is None else curves.structure
    zooms = np.asarray(curves.grid.zooms)
    found = whole(
        "the spatial prior",
        lambda machine: spatial(curves.values, protocol, places, zooms, images, parameters, machine),
        device, machines,
    )  # fmt: skip
    told = {**told_of(curves, parameters), "SpatialPrior": dict(found.chosen)}
    words = SAID + (WITHOUT if recipe["asl.arterial"] else "")
    items = []
    for name, unit in method.maps.items():
        plain = name.removeprefix(STANDARD_DEVIATION)
        deviation = plain != name
        said = f"{NAMES[plain]}, spatial prior" + (", standard deviation" if deviation else "")
        ending = f"desc-spatial{'Sd' if deviation else ''}_{plain}"
        volume = volume_of(found.maps[name], curves.voxels, curves.mask.shape)
        items.append(Map(ending, volume, unit, said, words, EQUATION, PAPER, told))
    return items
