"""The engine computes a scan: read it, prepare it, compute it, write it."""
