"""What became of every scan: records on disk, the lock of a folder, the table of all."""
