"""The cohort as one HDF5 file: an immutable shard per scan, virtual data sets over them, a reader that refuses gaps."""
