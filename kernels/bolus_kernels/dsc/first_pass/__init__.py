"""The first pass of the bolus alone, as a gamma variate."""
