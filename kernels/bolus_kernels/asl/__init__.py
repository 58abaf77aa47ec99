"""ASL: from control - label to flow and arrival, one voxel at a time."""
