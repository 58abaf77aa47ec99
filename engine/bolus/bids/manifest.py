"""A manifest -> the scans in it: one row a scan, for files that no BIDS tree holds."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bolus.bids.belongings import derived, names
from bolus.bids.checks import check_length
from bolus.bids.entities import LABEL, bare, parse
from bolus.bids.tree import unusable, with_sidecars
from bolus.disk import read_text
from bolus.errors import BolusError, Code, nearest
from bolus.series import Found, Scan
from bolus_kernels.method import Contrast

COLUMNS = ("subject", "session", "modality", "path", "json", "m0", "aslcontext")
NEEDED = ("subject", "modality", "path")
MODALITIES: dict[str, Contrast] = {"dsc": "dsc", "asl": "asl"}


def from_manifest(
    path: Path,
    *,
    derivatives: Sequence[Path] = (),
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    contrast: Contrast | None = None,
) -> list[Found]:
    """Every scan that a tab-separated table lists, in its order; paths are relative to the table's folder.

    Empty cells and `n/a` say nothing; where `json` says nothing, a JSON of the image's own name is taken.
    The echoes of one scan stand in one cell of `path`, and of `json`, with semicolons between them.
    Raises BolusError (E_META, E_PATH, E_PERM, E_CORRUPT) for a table that cannot be used, an unknown label
    or no scan at all; what is wrong with one scan stands in its `problem`.
    """
    names.cache_clear()
    rows = _rows(path)
    for kind, wanted in (("subject", participants), ("session", sessions)):
        _check_labels(path, kind, wanted, {row[kind] for row in rows if row[kind]})
    folder = Path(os.path.abspath(path.parent))  # noqa: PTH100 - links keep the names the user gave
    subjects = {bare(label, "sub") for label in participants}
    visits = {bare(label, "ses") for label in sessions}
    found = [
        _scan(row, path, folder, derivatives)
        for row in rows
        if (not subjects or row["subject"] in subjects)
        and (not visits or row["session"] in visits)
        and (contrast is None or row["modality"] == contrast)
    ]
    if not found:
        seen = f"{len(rows)} rows, none of them chosen"
        raise BolusError(Code.PATH, path, seen, "at least one scan", "Add rows, or choose fewer labels.")
    counts = Counter(each.scan.key for each in found)
    return [_once(each, path, counts[each.scan.key], line) for line, each in enumerate(found, 2)]


def _rows(path: Path) -> list[dict[str, str]]:
    reader = csv.reader(read_text(path)[0].splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    head, *lines = [[cell.strip() for cell in line] for line in reader] or [[]]
    for column in head:
        if column not in COLUMNS:
            mend = nearest(column, COLUMNS)
            raise BolusError(Code.META, path, f"a column {column!r}", f"columns {', '.join(COLUMNS)}", mend)
    if missing := [column for column in NEEDED if column not in head]:
        seen = f"columns {', '.join(head)}"
        mend = f"Add {', '.join(missing)}; separate columns by tabs."
        raise BolusError(Code.META, path, seen, f"columns {', '.join(NEEDED)}", mend)
    return [_row(path, number, head, line) for number, line in enumerate(lines, 2) if any(line)]


def _row(path: Path, number: int, head: Sequence[str], line: Sequence[str]) -> dict[str, str]:
    if len(line) != len(head):
        seen = f"{len(line)} cells in line {number}"
        raise BolusError(
            Code.META, path, seen, f"{len(head)}, as in its first line", "Write n/a in empty cells."
        )
    row = dict.fromkeys(COLUMNS, "") | {
        key: "" if cell == "n/a" else cell for key, cell in zip(head, line, strict=True)
    }
    for column in NEEDED:
        if not row[column]:
            seen = f"no {column} in line {number}"
            raise BolusError(Code.META, path, seen, f"a {column} in every line", "Fill the cell.")
    if row["modality"] not in MODALITIES:
        seen = f"modality {row['modality']!r} in line {number}"
        raise BolusError(Code.META, path, seen, "dsc or asl", nearest(row["modality"].lower(), MODALITIES))
    return row | {"subject": bare(row["subject"], "sub"), "session": bare(row["session"], "ses")}


def _check_labels(path: Path, kind: str, wanted: Sequence[str], known: set[str]) -> None:
    for label in wanted:
        if (name := bare(label, kind[:3])) not in known:
            raise BolusError(
                Code.PATH, path, f"no {kind} {name!r}", f"a {kind} of the table", nearest(name, known)
            )


def _scan(row: Mapping[str, str], path: Path, folder: Path, derivatives: Sequence[Path]) -> Found:
    contrast, subject, session = MODALITIES[row["modality"]], row["subject"], row["session"] or None
    images = tuple(folder / cell.strip() for cell in row["path"].split(";"))
    if not all(LABEL.fullmatch(label) for label in (subject, session or "1")):
        seen = f"subject {subject!r}, session {session!r}"
        problem = BolusError(Code.PATH, path, seen, "labels of letters and digits", "Correct the labels.")
        return unusable(subject, session, contrast, f"sub-{subject}/{row['path']}", images, problem)
    entities = {"sub": subject} | ({"ses": session} if session else {})
    name = parse(images[0])
    if name and entities.items() <= name.entities.items():
        entities = {key: value for key, value in name.entities.items() if key != "echo"}
    stem = "_".join(f"{key}-{value}" for key, value in entities.items())
    try:
        check_length(path, stem)
    except BolusError as problem:
        return unusable(subject, session, contrast, f"sub-{subject}/{row['path']}", images, problem)
    m0 = folder / row["m0"] if row["m0"] else None
    scan = Scan(
        subject,
        session,
        contrast,
        stem,
        images,
        context=folder / row["aslcontext"] if row["aslcontext"] else None,
        m0=(m0,) if m0 else (),
        m0_sidecars=_beside(m0) if m0 else (),
    )
    try:
        scan = with_sidecars(scan, _sidecars(row, path, folder, images))
        roots = [Path(os.path.abspath(root)) for root in derivatives]  # noqa: PTH100
        return Found(replace(scan, derivatives=derived(entities, contrast, scan.folder, roots)))
    except BolusError as problem:
        return Found(scan, problem)


def _sidecars(
    row: Mapping[str, str], path: Path, folder: Path, images: Sequence[Path]
) -> list[tuple[Path, ...]]:
    """The sidecars of each image: those listed, one for each, else the JSON beside it."""
    if not row["json"]:
        return [_beside(image) for image in images]
    listed: list[tuple[Path, ...]] = [(folder / cell.strip(),) for cell in row["json"].split(";")]
    if len(listed) != len(images):
        seen = f"{len(images)} images and {len(listed)} JSON files in one row"
        mend = "List as many as there are echoes, in their order, with semicolons between them."
        raise BolusError(Code.META, path, seen, "one JSON file for each echo", mend)
    return listed


def _beside(image: Path) -> tuple[Path, ...]:
    sidecar = image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    return (sidecar,) if sidecar.is_file() else ()


def _once(found: Found, path: Path, count: int, line: int) -> Found:
    if count == 1:
        return found
    scan = found.scan
    seen = f"{count} rows that would all be written as {scan.key}"
    mend = "Give them sessions, or BIDS names with a run entity; echoes of one scan go into one row, as a.nii;b.nii."
    problem = BolusError(Code.AMBIGUOUS, path, seen, "one row for one scan", mend)
    return unusable(scan.subject, scan.session, scan.contrast, f"{scan.name}/{line}", scan.images, problem)
