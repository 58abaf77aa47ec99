"""Partial volume: what the tissues of a voxel would give alone, from the voxels around it."""
