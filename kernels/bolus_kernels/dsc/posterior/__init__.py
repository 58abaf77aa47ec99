"""The exact posterior of a parametric residue function: a bank of templates, summed over."""
