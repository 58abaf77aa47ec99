"""The arterial input function: found by clustering, given, modelled or local, and scaled by a vein."""

from bolus.arterial.given import from_mask, from_table
from bolus.arterial.hierarchy import by_hierarchy
from bolus.arterial.kmeans import by_clustering
from bolus.arterial.local import local_inputs
from bolus.arterial.model import from_population
from bolus.arterial.plausible import doubts
from bolus.arterial.quality import mean_of
from bolus.arterial.venous import Vein, find_vein, scaled_to_vein, vein_from_mask

__all__ = [
    "Vein",
    "by_clustering",
    "by_hierarchy",
    "doubts",
    "find_vein",
    "from_mask",
    "from_population",
    "from_table",
    "local_inputs",
    "mean_of",
    "scaled_to_vein",
    "vein_from_mask",
]
