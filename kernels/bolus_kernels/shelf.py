"""The shelf: every method that a file of this package defines, found by importing them all once."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import bolus_kernels
from bolus_kernels.method import METHODS, Family, Method


@cache
def shelf() -> Mapping[str, Method]:
    """Every method there is, by name; a new one is a decorated function in any file of this folder."""
    for module in iter_modules(bolus_kernels.__path__):
        import_module(f"bolus_kernels.{module.name}")
    return METHODS


def of_family(family: Family) -> list[str]:
    """The names of the methods of one family, as they stand on the shelf."""
    return [name for name, known in shelf().items() if known.family == family]
