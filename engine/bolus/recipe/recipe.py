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

from bolus.recipe.keys import AUTO, keys
from bolus.recipe.values import checked, flat, parse, refusal, typed
from bolus_kernels.method import Contrast, Method
from bolus_kernels.shelf import of_family, shelf

KINETIC_MODEL, MODELS = "kinetic_model", ("dispersion", "tissue")
"""The method whose choices MODELS change what the flow of a scan is computed by."""


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

    Raises BolusError E_RECIPE for an unreadable file, an unknown key or a value that the key cannot take.
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
    corrected = "k2" in shelf()[values["dsc.cbv"]].maps
    if corrected and values["dsc.cbv"] not in values["dsc.leakage"]:
        raise refusal(
            str(path or "--set"),
            f"dsc.cbv = {values['dsc.cbv']!r} with dsc.leakage = {values['dsc.leakage']}",
            "a CBV that is computed",
            f"Add {values['dsc.cbv']!r} to dsc.leakage, or set dsc.cbv to uncorrected.",
        )
    begin, end = (values[f"dsc.summary.recovery_{name}"] for name in ("from", "to"))
    if begin >= end:
        raise refusal(
            str(path or "--set"),
            f"dsc.summary.recovery_from = {begin:g} with dsc.summary.recovery_to = {end:g}",
            "a window that ends after it begins",
            "Set dsc.summary.recovery_to to more than dsc.summary.recovery_from (s after the peak).",
        )
    for key in ("asl.arterial", "asl.mode", "asl.spatial"):
        if values[key] and values["asl.quantification"] == "single_delay":
            raise refusal(
                str(path or "--set"),
                f"{key} = true with asl.quantification = 'single_delay'",
                "a quantification from several delays",
                f"Set {key} to false, or asl.quantification to auto or multi_delay.",
            )
    for key, unsuited in (
        ("arterial", (True,)), ("spatial", (True,)), ("quantification", ("single_delay", KINETIC_MODEL)),
    ):  # fmt: skip
        if values["asl.transit_time"] == "given" and values[f"asl.{key}"] in unsuited:
            raise refusal(
                str(path or "--set"),
                f"asl.{key} = {json.dumps(values[f'asl.{key}'])} with asl.transit_time = 'given'",
                "a transit time that is fitted",
                f"Set asl.transit_time to fitted, or leave asl.{key} as it is by default.",
            )
    if not values["asl.arterial"] and values["asl.quantification"] != KINETIC_MODEL:
        for name, names in shelf()[
            KINETIC_MODEL
        ].choices.items():  # numbers may wait for their method, a model not
            key = f"asl.{KINETIC_MODEL}.{name}"
            if name in MODELS and values[key] != names[0]:
                raise refusal(
                    str(path or "--set"),
                    f"{key} = {values[key]!r} with asl.arterial = false",
                    "the method that has it",
                    f"Set asl.arterial to true, asl.quantification to {KINETIC_MODEL}, or {key} to {names[0]}.",
                )
    return Recipe(values)


def signature(recipe: Recipe, contrast: Contrast) -> str:
    """SHA-256 of all that the maps of one contrast depend on: its keys, and its chosen methods' versions."""
    chosen = {method.name: method.version for method in chosen_methods(recipe, contrast)}
    if contrast == "asl" and (recipe["asl.spatial"] or recipe["asl.partial_volume"] == "posterior"):
        chosen["multi_delay"] = shelf()[
            "multi_delay"
        ].version  # their priors are its, whatever else is chosen
    idle = tuple(f"{contrast}.{name}." for name in shelf() if name not in chosen)
    values = {
        key: value
        for key, value in recipe.values.items()
        if key.startswith(f"{contrast}.") and not key.startswith(idle)
    }
    return _digest({**values, **chosen})


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


@cache
def version() -> str:
    """The version of bolus that is installed, as every output tells it."""
    return metadata.version("bolus")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()
