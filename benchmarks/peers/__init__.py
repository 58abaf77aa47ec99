"""Against whom: loops a careful user would write, and the published packages that are installed."""
