"""The cluster computes a cohort: thousands of scans over many workers, with nothing lost."""
