"""ASL: pairs or encodings, calibration, constants and noise of one series -> curves for the kernels."""

from bolus.prepare.asl.curves import asl_curves
from bolus.prepare.asl.noise import noise_of, noise_variance

__all__ = ["asl_curves", "noise_of", "noise_variance"]
