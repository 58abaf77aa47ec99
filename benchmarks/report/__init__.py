"""The report: what is wanted beside what was measured, tables and plots, all from the JSONs in `results`."""
