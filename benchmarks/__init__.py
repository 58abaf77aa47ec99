"""How fast, how right, against whom: the judge of kernels, scans and cohorts."""
