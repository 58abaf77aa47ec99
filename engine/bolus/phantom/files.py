"""Small text files beside the images: names, sidecars and tables, always with the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def beside(prefix: Path, ending: str) -> Path:
    """The file of a session that ends so: `.../sub-01` and `dsc.json` give `.../sub-01_dsc.json`."""
    return prefix.with_name(f"{prefix.name}_{ending}")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a sidecar as people read it; raises OSError."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as BIDS has it, columns parted by tabs; raises OSError."""
    lines = ("\t".join(str(cell) for cell in row) for row in (columns, *rows))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
