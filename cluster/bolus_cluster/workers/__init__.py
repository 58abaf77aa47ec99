"""How scans reach processes, and what is made of the ones that do not come back."""
