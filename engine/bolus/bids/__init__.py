"""A BIDS tree, or a manifest in its place -> the scans in it and what belongs to each; no file is opened."""

from bolus.bids.manifest import from_manifest
from bolus.bids.tree import find_scans

__all__ = ["find_scans", "from_manifest"]
