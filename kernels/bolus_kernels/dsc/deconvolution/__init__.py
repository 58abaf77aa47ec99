"""The SVD family: deconvolution of a curve by its arterial input, regularised four ways, and its bootstrap."""
