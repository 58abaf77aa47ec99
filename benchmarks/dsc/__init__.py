"""DSC: the arterial input, leakage, delays and the Bayesian deconvolution, each against simulated truth."""
