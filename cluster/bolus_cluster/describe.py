"""What the output folder says about itself: dataset_description.json, .bidsignore, recipe.toml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bolus.recipe import version
from bolus_cluster.ledger.records import write_whole

if TYPE_CHECKING:
    from bolus.recipe import Recipe

BIDS_VERSION = "1.10.0"
# BIDS has no names for derived perfusion maps yet: a validator is told not to judge them.
IGNORED = ("**/perf/", "*.html", "*.h5", "recipe.toml", "scans.tsv", "numbers.*")


def describe(out: Path, root: Path, recipe: Recipe) -> None:
    """Write the three files, each only where it changed. Raises OSError."""
    content = {
        "Name": "Perfusion maps",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "bolus", "Version": version()}],
        "SourceDatasets": [{"URL": root.resolve().as_uri()}],
    }
    write_whole(out / "dataset_description.json", (json.dumps(content, indent=2) + "\n").encode())
    write_whole(out / ".bidsignore", "".join(f"{pattern}\n" for pattern in IGNORED).encode())
    write_whole(out / "recipe.toml", recipe.toml().encode())
