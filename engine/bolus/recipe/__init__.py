"""What to do: the keys of a recipe, the values they may take, and the frozen Recipe checked against them."""

from bolus.recipe.keys import AUTO, NONE, Key, keys
from bolus.recipe.recipe import Recipe, chosen_methods, idle_settings, load, signature, version

__all__ = [
    "AUTO",
    "NONE",
    "Key",
    "Recipe",
    "chosen_methods",
    "idle_settings",
    "keys",
    "load",
    "signature",
    "version",
]
