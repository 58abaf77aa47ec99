"""CUDA kernels: one thread a voxel around the scalar functions that the CPU kernels also call."""
