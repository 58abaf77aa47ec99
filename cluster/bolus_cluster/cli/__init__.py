"""The command line: a door, and a file for each group of commands."""

from bolus_cluster.cli.door import main

__all__ = ["main"]
