"""Blood volume by linear least squares on reference curves, with and without what has leaked."""
