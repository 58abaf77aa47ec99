"""ASL with neighbours: a prior for every voxel from those that look and behave like it, and the posterior under it."""
