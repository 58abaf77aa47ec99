"""The reference: one voxel at a time, float64, NumPy and SciPy, written to be read beside the papers."""
