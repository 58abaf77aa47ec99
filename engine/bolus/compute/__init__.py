"""Compute: Curves -> Maps; take the methods off the shelf, cut voxels into blocks for the device, run."""

from bolus.compute.scan import compute

__all__ = ["compute"]
