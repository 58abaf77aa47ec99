"""What is asked of a scan's names, copies and links before any of its files is opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from bolus.bids.entities import IMAGE, LABEL, Name, parse, split
from bolus.disk import size
from bolus.errors import BolusError, Code
from bolus.series import Scan
from bolus_kernels.method import Contrast

SUFFIX: dict[str, Contrast] = {"dsc": "dsc", "asl": "asl"}
MOST_NAME = 150
"""Characters of a scan's name: hidden names of maps and of the ledger add up to 60, and 255 is the most there is."""


def contrast_of(path: Path) -> Contrast | None:
    """What kind of scan a file is by its ending, in small letters or not; None for another file."""
    parts = split(path.name.lower())
    return SUFFIX.get(parts[1]) if parts and parts[2] in IMAGE else None


def one_of_each(images: Sequence[Name]) -> None:
    """Raises E_AMBIGUOUS where two images would be one scan, or one echo of it."""
    echoes = [int(name.entities.get("echo", "0")) for name in images]
    if len(set(echoes)) < len(echoes) or (len(echoes) > 1 and 0 in echoes):
        seen = " and ".join(name.path.name for name in images)
        mend = "Remove the copy that is not meant, or give each echo its own echo-<index>."
        raise BolusError(Code.AMBIGUOUS, images[0].path, seen, "one file for one scan (or echo)", mend)


def checked_name(path: Path, subject: str, session: str | None) -> Name:
    """The name of an image in the folder of this subject and session; raises E_PATH, or E_META for no magnitude."""
    name = parse(path)
    if (ending := _ending(path)) != ending.lower():
        mend = f"Rename it so: on other systems {ending} is another ending."
        raise BolusError(Code.PATH, path, f"a name that ends in {ending}", ending.lower(), mend)
    if name is None or not LABEL.fullmatch(subject) or not (session is None or LABEL.fullmatch(session)):
        raise _odd_name(path)
    if (name.entities.get("sub"), name.entities.get("ses")) != (subject, session):
        where = f"sub-{subject}" + (f"/ses-{session}" if session else "")
        mend = "Move the file to its own folder, or correct its name."
        raise BolusError(Code.PATH, path, f"{path.name} in {where}", "a name that says its folder", mend)
    check_length(path, name.stem("echo"))
    if not name.entities.get("echo", "0").isdecimal():
        seen = f"echo-{name.entities['echo']}"
        raise BolusError(Code.PATH, path, seen, "echo-1, echo-2, ...", "Number the echoes from 1.")
    if name.entities.get("part", "mag") != "mag":
        seen = f"part-{name.entities['part']}"
        mend = "Give the magnitude series; leave the others out of perf/."
        raise BolusError(Code.META, path, seen, "magnitude images (part-mag, or no part)", mend)
    return name


def check_length(path: Path, stem: str) -> None:
    """Raises E_PATH for a scan under whose name no map could be written."""
    if len(stem) > MOST_NAME:
        expected = f"at most {MOST_NAME}: the names of its maps are longer, and a file system ends at 255"
        raise BolusError(
            Code.PATH, path, f"a name of {len(stem)} characters", expected, "Shorten its labels."
        )


def _ending(path: Path) -> str:
    """Suffix and extension, as `_dsc.nii.gz`."""
    stem, _, end = path.name.rpartition("_")
    return f"_{end}" if stem else end


def _odd_name(path: Path) -> BolusError:
    seen = f"the name {str(Path(*path.parts[-3:]))!r}"
    mend = "Rename it: labels hold letters and digits only, and each entity stands once."
    return BolusError(Code.PATH, path, seen, "key-label pairs as in sub-01_run-2_asl.nii.gz", mend)


def check_files(scan: Scan, roots: Sequence[Path]) -> None:
    """Raises E_PATH for a link that leaves the data set, leads nowhere or round in a circle."""
    homes = tuple(roots)
    for path in scan.files():
        # Files of one folder share its real place, so most need no walk up to the root of their own.
        linked = path.is_symlink()
        if not _inside(path if linked else path.parent, homes):
            seen = f"a link that leaves the data set, to {os.path.realpath(path)}"
            mend = "Copy the file into the data set, or list it in a manifest (`--manifest`)."
            raise BolusError(Code.PATH, path, seen, "a file in the data set", mend)
        if linked and not os.path.exists(path):  # noqa: PTH110 - Path.exists() raises where one may not look
            size(path)


def forget_links() -> None:
    """A second search must see what changed since the first."""
    _inside.cache_clear()


@lru_cache(maxsize=256)
def _inside(path: Path, homes: tuple[Path, ...]) -> bool:
    real = Path(os.path.realpath(path))  # Path.resolve() raises where links go round in a circle
    return any(real.is_relative_to(os.path.realpath(home)) for home in homes)
