"""BIDS file names: text <-> entities, suffix and extension; and words for names that come close."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LABEL = re.compile(r"[0-9A-Za-z+]+")
UNSAFE = re.compile(r"[^0-9A-Za-z+_-]+")
MOST = 80
"""Characters of a name that is made harmless: with its number, twice of it fit into the name of a file."""
IMAGE = (".nii.gz", ".nii")
KNOWN = (*IMAGE, ".json", ".tsv")


@dataclass(frozen=True)
class Name:
    """A file that is named in the way of BIDS: `sub-01_run-2_asl.nii.gz`."""

    path: Path
    entities: Mapping[str, str]
    suffix: str
    extension: str

    def applies_to(self, entities: Mapping[str, str]) -> bool:
        """Whether everything that this name says is also said of a scan with these entities."""
        return self.entities.items() <= entities.items()

    def stem(self, *without: str) -> str:
        """The entities as they stand in a name, some left out: `sub-01_run-2`."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items() if key not in without)


def split(name: str) -> tuple[str, str, str] | None:
    """The stem, suffix and extension of a file's name, however odd the stem; None for a name of another kind."""
    if name.startswith(".") or not name.endswith(KNOWN):
        return None
    extension = next(end for end in KNOWN if name.endswith(end))
    stem, _, suffix = name.removesuffix(extension).rpartition("_")
    return stem, suffix, extension


def parse(path: Path) -> Name | None:
    """The entities of a file's name; None where it is not one of BIDS (no file is touched)."""
    parts = split(path.name)
    if parts is None:
        return None
    stem, suffix, extension = parts
    pairs = [part.partition("-") for part in stem.split("_")] if stem else []
    entities = {key: value for key, _, value in pairs}
    labels = all(LABEL.fullmatch(text) for pair in entities.items() for text in pair)
    if not labels or len(entities) < len(pairs) or not LABEL.fullmatch(suffix):
        return None
    return Name(path, entities, suffix, extension)


def bare(label: str, kind: str) -> str:
    """A label without its `sub-` or `ses-` prefix."""
    return label.removeprefix(f"{kind}-")


def harmless(name: str) -> str:
    """A name that can stand in a table and a path whatever `name` holds; different names stay different."""
    if not UNSAFE.search(name) and len(name) <= MOST:
        return name
    return f"{UNSAFE.sub('-', name)[:MOST]}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"
