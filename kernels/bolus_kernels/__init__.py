"""Kernels compute a voxel: arrays in, arrays out; no file, no scan, no cluster."""
