"""ASL: a brain whose flow is known, a scanner for it, and what the posteriors make of the scan."""
