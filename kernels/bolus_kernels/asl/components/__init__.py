"""ASL with more than one tissue compartment fed at once: blood still in arteries, dispersed, or slow to exchange."""
