"""Prepare: Series -> Curves, the one place where DSC and ASL part; after it they look alike."""

from __future__ import annotations

from bolus.prepare.asl import asl_curves
from bolus.prepare.dsc import dsc_curves
from bolus.recipe import Recipe
from bolus.series import ASL, DSC, Curves, Series


def prepare(series: Series, recipe: Recipe) -> Curves:
    """What the kernels eat: delta R2* (1/s) of a DSC series, or (control - label)/M0 of an ASL series.

    Raises BolusError where there is no brain, no bolus, no arterial input, or no pair of control and label.
    """
    match series.acquisition:
        case DSC() as acquisition:
            return dsc_curves(series, acquisition, recipe)
        case ASL() as acquisition:
            return asl_curves(series, acquisition, recipe)
