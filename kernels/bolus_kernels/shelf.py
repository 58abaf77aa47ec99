"""The shelf: every method that a file of the rooms `dsc` and `asl` defines, found by importing them all once."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import get_args

from bolus_kernels import asl, dsc
from bolus_kernels.method import METHODS, Family, Method


@cache
def shelf() -> Mapping[str, Method]:
    """Every method there is, DSC first, a family after the other, by name.

    A new one is a decorated function in any file of those rooms.
    """
    for room in (dsc, asl):
        for module in walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("cuda"):  # twins are imported where a GPU is asked for
                import_module(module.name)
    families = get_args(Family)
    order = sorted(
        METHODS.values(), key=lambda one: (one.contrast != "dsc", families.index(one.family), one.name)
    )
    return {one.name: one for one in order}


def of_family(family: Family) -> list[str]:
    """The names of the methods of one family, as they stand on the shelf."""
    return [name for name, known in shelf().items() if known.family == family]
