"""Compute: Curves -> Maps; take the methods off the shelf, cut voxels into blocks for the device, run."""

from bolus.compute.scan import compute
from bolus.compute.together import compute_together

__all__ = ["compute", "compute_together"]
