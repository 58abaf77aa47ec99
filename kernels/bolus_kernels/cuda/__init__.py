"""What the GPU kernels of every room share: their launcher, and sums over time."""
