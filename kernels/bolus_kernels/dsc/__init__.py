"""DSC: from the signal of a series to flow, volume and time, one voxel at a time."""
