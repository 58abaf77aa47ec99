"""Which values of a recipe contradict each other, though each may be had alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bolus.recipe.values import refusal
from bolus_kernels.shelf import shelf

KINETIC_MODEL, MODELS = "kinetic_model", ("dispersion", "tissue")
"""The method whose choices MODELS change what the flow of a scan is computed by."""


def check(values: Mapping[str, Any], where: str) -> None:
    """Raises BolusError E_RECIPE for a wish that another one of the same recipe forbids; `where` they were read."""
    corrected = "k2" in shelf()[values["dsc.cbv"]].maps
    if corrected and values["dsc.cbv"] not in values["dsc.leakage"]:
        raise refusal(
            where,
            f"dsc.cbv = {values['dsc.cbv']!r} with dsc.leakage = {values['dsc.leakage']}",
            "a CBV that is computed",
            f"Add {values['dsc.cbv']!r} to dsc.leakage, or set dsc.cbv to uncorrected.",
        )
    begin, end = (values[f"dsc.summary.recovery_{name}"] for name in ("from", "to"))
    if begin >= end:
        raise refusal(
            where,
            f"dsc.summary.recovery_from = {begin:g} with dsc.summary.recovery_to = {end:g}",
            "a window that ends after it begins",
            "Set dsc.summary.recovery_to to more than dsc.summary.recovery_from (s after the peak).",
        )
    for key in ("asl.arterial", "asl.mode", "asl.spatial"):
        if values[key] and values["asl.quantification"] == "single_delay":
            raise refusal(
                where,
                f"{key} = true with asl.quantification = 'single_delay'",
                "a quantification from several delays",
                f"Set {key} to false, or asl.quantification to auto or multi_delay.",
            )
    for key, unsuited in (
        ("arterial", (True,)), ("spatial", (True,)), ("quantification", ("single_delay", KINETIC_MODEL)),
    ):  # fmt: skip
        if values["asl.transit_time"] == "given" and values[f"asl.{key}"] in unsuited:
            raise refusal(
                where,
                f"asl.{key} = {json.dumps(values[f'asl.{key}'])} with asl.transit_time = 'given'",
                "a transit time that is fitted",
                f"Set asl.transit_time to fitted, or leave asl.{key} as it is by default.",
            )
    if not values["asl.arterial"] and values["asl.quantification"] != KINETIC_MODEL:
        choices = shelf()[KINETIC_MODEL].choices
        for name in MODELS:  # numbers may wait for their method, a model not
            key = f"asl.{KINETIC_MODEL}.{name}"
            if values[key] != choices[name][0]:
                raise refusal(
                    where,
                    f"{key} = {values[key]!r} with asl.arterial = false",
                    "the method that has it",
                    f"Set asl.arterial to true, asl.quantification to {KINETIC_MODEL}, or {key} to {choices[name][0]}.",
                )
