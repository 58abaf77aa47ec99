"""The frozen Recipe: every key with its value, how it is loaded, and which methods it asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bolus.recipe.consistent import check
from bolus.recipe.keys import AUTO, keys
from bolus.recipe.values import checked, flat, parse, refusal, typed
from bolus_kernels.method import Contrast, Method
from bolus_kernels.shelf import of_family, shelf


@dataclass(frozen=True)
class Recipe:
    """What is done to every scan of a cohort: each dotted key with a value that was checked at the door."""

    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def hash(self) -> str:
        """SHA-256 of all keys and values: equal recipes have equal hashes, however they were written."""
        return _digest(self.values)

    def parameters(self, method: Method) -> dict[str, Any]:
        """The parameters of one method, as this recipe sets them."""
        return {name: self.values[f"{method.contrast}.{method.name}.{name}"] for name in method.defaults()}

    def toml(self) -> str:
        """The whole recipe as TOML, each line with its meaning."""
        lines: list[str] = []
        table = None
        for key, value in self.values.items():
            above, _, name = key.rpartition(".")
            if above != table:
                lines += [f"{'' if table is None else chr(10)}[{above}]"]
                table = above
            lines.append(f"{name} = {json.dumps(value)}".ljust(38) + f" # {keys()[key].meaning}")
        return "\n".join(lines) + "\n"


def load(path: Path | None, sets: Sequence[str] = ()) -> Recipe:
    """The defaults, overruled by a TOML file, overruled by `key=value` texts in their order.

    Raises BolusError E_RECIPE for an unreadable file, an unknown key, a value that the key cannot take, or keys that
    contradict each other.
    """
    values = {name: key.default for name, key in keys().items()}
    if path is not None:
        for name, value in flat(parse(path), path):
            values[name] = checked(name, value, str(path))
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise refusal("--set", f"{text!r}", "key=value", "Write it like --set dsc.cbv=uncorrected.")
        name = name.strip()
        values[name] = checked(name, typed(name, value.strip()), "--set")
    check(values, str(path or "--set"))
    return Recipe(values)


def signature(recipe: Recipe, contrast: Contrast) -> str:
    """SHA-256 of all that the maps of one contrast depend on: its keys, and its chosen methods' versions."""
    used = _used_methods(recipe, contrast)
    idle = _tables_but(used, contrast)
    values = {
        key: value
        for key, value in recipe.values.items()
        if key.startswith(f"{contrast}.") and not key.startswith(idle)
    }
    return _digest({**values, **{name: shelf()[name].version for name in used}})


def idle_settings(recipe: Recipe) -> list[str]:
    """The keys that are not at their default but belong to a method that the recipe does not use: they do nothing."""
    contrasts: tuple[Contrast, ...] = ("dsc", "asl")
    idle = tuple(
        table for contrast in contrasts for table in _tables_but(_used_methods(recipe, contrast), contrast)
    )
    return [
        key for key, value in recipe.values.items() if key.startswith(idle) and value != keys()[key].default
    ]


def chosen_methods(recipe: Recipe, contrast: Contrast) -> list[Method]:
    """Every method that a recipe may use on a scan of one contrast, in the order in which they need each other."""
    if contrast == "dsc":
        first_pass = (
            ["gamma_variate"] if recipe["dsc.first_pass"] or recipe["dsc.cbv"] == "gamma_variate" else []
        )
        names = ["uncorrected", *recipe["dsc.leakage"], *first_pass, *recipe["dsc.deconvolution"]]
        names += of_family("summary")
    else:
        several = "kinetic_model" if recipe["asl.arterial"] else "multi_delay"
        wish = recipe["asl.quantification"]
        wish = several if wish == "multi_delay" else wish
        names = ["single_delay", several] if wish == AUTO else [wish]
        if recipe["asl.transit_time"] == "given":
            names = ["multi_delay"]
    return [shelf()[name] for name in names]


def _used_methods(recipe: Recipe, contrast: Contrast) -> set[str]:
    """The names of all methods whose parameters the maps depend on."""
    used = {method.name for method in chosen_methods(recipe, contrast)}
    if contrast == "asl" and (recipe["asl.spatial"] or recipe["asl.partial_volume"] == "posterior"):
        used.add("multi_delay")  # their priors are its, whatever else is chosen
    return used


def _tables_but(used: set[str], contrast: Contrast) -> tuple[str, ...]:
    """How the keys of all other methods of a contrast begin."""
    return tuple(
        f"{contrast}.{name}."
        for name, method in shelf().items()
        if method.contrast == contrast and name not in used
    )


@cache
def version() -> str:
    """The version of bolus that is installed, as every output tells it."""
    return metadata.version("bolus")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()
