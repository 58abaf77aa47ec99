"""A Method: name, contrast, family, maps and parameters with units, paper; and the decorator that shelves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.state import State

Contrast = Literal["dsc", "asl"]
Family = Literal["summary", "volume", "deconvolution", "quantification"]
VoxelMaps = dict[str, NDArray[Any]]
"""Name of the map -> (n,) float32, and "state" -> (n,) uint8."""
VoxelFunction = Callable[..., VoxelMaps]

STANDARD_DEVIATION = "sd_"
AIC, RESIDUE = "aic", "residue"
"""What a method may give beside its maps: Akaike's criterion of its fit, (n,) float32, by which leakage models are
compared; and, where the protocol asks for it, the residue functions, (n, L) float32, 1/s, delay 0 at column 0,
negative delays at the end."""


@dataclass(frozen=True)
class Parameter:
    """A number a method obeys: its default, unit and the closed range it may take."""

    default: float
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Method:
    """One way from curves to maps, found on the shelf by its name.

    `function(curves, protocol, parameters, device)` takes curves : (n, t) float32, which may lie in the memory
    of the device already, and gives the maps named in `maps`, each (n,) float32 in the unit said there, and
    "state" : (n,) uint8. `choices` are the parameters that take one of several names, the first by default.
    """

    name: str
    contrast: Contrast
    family: Family
    maps: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    paper: str
    equation: str
    description: str
    function: VoxelFunction = field(repr=False, compare=False)
    version: int = 1
    label: str | None = None
    cuda: bool = False
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ending(self, name: str) -> str:
        """How a file with map `name` ends, without extension: `desc-osvd_cbf`, `desc-sd_att`, `cbf`."""
        label = self.name if self.label is None else self.label
        if name.startswith(STANDARD_DEVIATION):
            name = name.removeprefix(STANDARD_DEVIATION)
            label = f"{label}Sd" if label else "sd"
        return f"desc-{label}_{name}" if label else name

    def defaults(self) -> dict[str, Any]:
        """Every parameter at its default, a float or the name of a choice."""
        numbers = {name: parameter.default for name, parameter in self.parameters.items()}
        return numbers | {name: names[0] for name, names in self.choices.items()}


METHODS: dict[str, Method] = {}


def method(
    name: str,
    *,
    contrast: Contrast,
    family: Family,
    maps: Mapping[str, str],
    paper: str,
    equation: str,
    parameters: Mapping[str, tuple[float, str, float, float]] | None = None,
    version: int = 1,
    label: str | None = None,
    cuda: bool = False,
    choices: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[VoxelFunction], VoxelFunction]:
    """Put the decorated function on the shelf; its docstring's first line becomes the description.

    parameters : name -> (default, unit, low, high). choices : name -> the names it may take, the default first.
    label : the BIDS `desc` of its files (default: the name).
    Raises ValueError for a name taken twice, an unknown contrast or family, or a default out of range.
    """

    def put(function: VoxelFunction) -> VoxelFunction:
        if name in METHODS:
            raise ValueError(f"the method {name!r} is on the shelf already")
        if contrast not in get_args(Contrast) or family not in get_args(Family):
            raise ValueError(f"{name}: no contrast {contrast!r} or family {family!r}")
        known = {key: Parameter(*spec) for key, spec in (parameters or {}).items()}
        for key, parameter in known.items():
            if not parameter.low <= parameter.default <= parameter.high:
                raise ValueError(f"{name}.{key}: the default {parameter.default} is out of its range")
        description = (function.__doc__ or "").strip().split("\n", 1)[0]
        METHODS[name] = Method(
            name,
            contrast,
            family,
            dict(maps),
            known,
            paper,
            equation,
            description,
            function,
            version,
            label,
            cuda,
            dict(choices or {}),
        )
        return function

    return put


def empty_maps(known: Method, n: int) -> VoxelMaps:
    """Maps for n voxels, all NaN, with a state of zeros: what a method starts from."""
    maps: VoxelMaps = {name: np.full(n, np.nan, np.float32) for name in known.maps}
    maps["state"] = np.zeros(n, np.uint8)
    return maps


def refuse_infinite(maps: VoxelMaps) -> VoxelMaps:
    """Make every map NaN, and the state say so, where one of them is not finite."""
    numbers = [values for name, values in maps.items() if name != "state"]
    broken = ~np.isfinite(numbers).all(axis=0)
    maps["state"][broken & (maps["state"] == State.GOOD)] = State.NOT_FINITE
    for values in numbers:
        values[broken] = np.nan
    return maps
