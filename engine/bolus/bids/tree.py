"""A BIDS tree -> the scans in it, by a plain walk over `sub-*/[ses-*/]perf/`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bolus.bids.belongings import calibration, derived, inherited, names, shortest
from bolus.bids.checks import SUFFIX, check_files, checked_name, contrast_of, forget_links, one_of_each
from bolus.bids.entities import Name, bare, harmless
from bolus.disk import no_permission
from bolus.errors import BolusError, Code, nearest
from bolus.series import Found, Scan
from bolus_kernels.method import Contrast


def find_scans(
    root: Path,
    *,
    derivatives: Sequence[Path] = (),
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    contrast: Contrast | None = None,
) -> list[Found]:
    """Every DSC and ASL scan of a BIDS tree, sorted, with its sidecars, M0 and derivatives; opens no image.

    Labels come with or without `sub-` and `ses-`. What is wrong with one scan stands in its `problem`.
    Raises BolusError (E_PATH, E_PERM) for a tree that cannot be read, an unknown label, or no scan at all.
    """
    names.cache_clear()  # a second search must see what changed since the first
    forget_links()
    root = _folder(root)
    others = [_folder(path) for path in derivatives]
    subjects = _chosen(
        root, "sub", {bare(path.name, "sub"): path for path in _folders(root, "sub")}, participants
    )
    found = []
    for subject in subjects:
        for place in _places(subject, sessions):
            found += _scans_of(root, subject, place, others, contrast)
    if sessions:
        _check_sessions(root, subjects, sessions)
    if not found:
        raise _nothing(root, subjects, contrast)
    return found


def unusable(
    subject: str,
    session: str | None,
    contrast: Contrast,
    where: str,
    images: tuple[Path, ...],
    problem: BolusError,
) -> Found:
    """A scan that has only a row in the table, under a harmless name, because `where` it lies is unusable."""
    visit = harmless(session) if session else None
    return Found(Scan(harmless(subject), visit, contrast, harmless(where), images), problem)


def with_sidecars(scan: Scan, sidecars: Sequence[tuple[Path, ...]]) -> Scan:
    """The scan with the sidecars of each of its images."""
    every = tuple(dict.fromkeys(path for paths in sidecars for path in paths))
    return replace(scan, sidecars=every, echo_sidecars=tuple(sidecars) if len(sidecars) > 1 else ())


def _folder(path: Path) -> Path:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would lose the name that the user gave
    if not path.is_dir():
        what = "a file" if path.is_file() else "no such folder"
        beside = path.parent if path.parent.is_dir() else Path(path.anchor)
        mend = nearest(path.name, _listing(beside))
        raise BolusError(Code.PATH, path, what, "a folder", f"Correct the path. {mend}")
    _listing(path)
    return path


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except PermissionError as error:
        raise no_permission(folder) from error


def _folders(folder: Path, kind: str) -> list[Path]:
    with os.scandir(folder) as entries:
        named = [each for each in entries if each.name.startswith(f"{kind}-")]
    # A link that leads nowhere, or round in a circle, is no folder; DirEntry.is_dir() would raise.
    return sorted(folder / each.name for each in named if os.path.isdir(each))  # noqa: PTH112


def _chosen(root: Path, kind: str, known: dict[str, Path], wanted: Sequence[str]) -> list[Path]:
    for label in wanted:
        if bare(label, kind) not in known:
            seen = f"no {kind}-{bare(label, kind)} here"
            mend = nearest(bare(label, kind), known)
            raise BolusError(Code.PATH, root, seen, f"a {kind}-<label> folder of that name", mend)
    labels = {bare(label, kind) for label in wanted} or known.keys()
    return [path for label, path in known.items() if label in labels]


def _places(subject: Path, sessions: Sequence[str]) -> Iterator[Path]:
    """The folders of a subject that may hold a perf/ folder: itself and its sessions."""
    wanted = {bare(label, "ses") for label in sessions}
    if not wanted:
        yield subject
    try:
        visits = _folders(subject, "ses")
    except PermissionError:
        return  # its perf/ folder cannot be read either, and that is reported
    yield from (visit for visit in visits if not wanted or bare(visit.name, "ses") in wanted)


def _check_sessions(root: Path, subjects: Sequence[Path], sessions: Sequence[str]) -> None:
    known: dict[str, Path] = {}
    for subject in subjects:
        known |= {bare(place.name, "ses"): place for place in _places(subject, ()) if place != subject}
    _chosen(root, "ses", known, sessions)


def _scans_of(
    root: Path, subject: Path, place: Path, derivatives: Sequence[Path], contrast: Contrast | None
) -> list[Found]:
    label, session = bare(subject.name, "sub"), None if place == subject else bare(place.name, "ses")
    perf = place / "perf"
    where = str(perf.relative_to(root))
    try:
        files = [perf / name for name in _listing(perf)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except BolusError as problem:
        return [unusable(label, session, contrast or "dsc", where, (), problem)]
    groups: dict[tuple[str, Contrast], list[Name]] = {}
    found = []
    for path in files:
        kind = contrast_of(path)
        if kind is None or (contrast and kind != contrast):
            continue
        try:
            name = checked_name(path, label, session)
        except BolusError as problem:
            found.append(unusable(label, session, kind, f"{where}/{path.name}", (path,), problem))
        else:
            groups.setdefault((name.stem("echo"), kind), []).append(name)
    for (_, kind), images in groups.items():
        images.sort(key=lambda name: (int(name.entities.get("echo", "0")), name.path))
        scan = Scan(label, session, kind, images[0].stem("echo"), tuple(name.path for name in images))
        found.append(_assemble(scan, images, root, subject, derivatives))
    return sorted(found, key=lambda each: each.scan.key)


def _assemble(
    scan: Scan, images: Sequence[Name], root: Path, subject: Path, derivatives: Sequence[Path]
) -> Found:
    first = images[0]
    entities = {key: value for key, value in first.entities.items() if key != "echo"}
    try:
        one_of_each(images)
        sidecars = [tuple(inherited(name, root, scan.contrast, ".json")) for name in images]
        scan = with_sidecars(scan, sidecars)
        if scan.contrast == "asl":
            first = shortest(images, root)
            m0 = calibration(first, root, subject)
            scan = replace(
                scan,
                context=next(iter(inherited(first, root, "aslcontext", ".tsv")), None),
                m0=tuple(name.path for name in m0),
                m0_sidecars=tuple(
                    path for name in m0[:1] for path in inherited(name, root, "m0scan", ".json")
                ),
            )
        place = first.path.parent.relative_to(root)
        scan = replace(scan, derivatives=derived(entities, scan.contrast, place, derivatives))
        check_files(scan, [root, *derivatives])
    except BolusError as problem:
        return Found(scan, problem)
    except PermissionError as error:  # a folder whose files one may list, but not look at
        return Found(scan, no_permission(Path(error.filename or scan.images[0])))
    return Found(scan)


def _nothing(root: Path, subjects: Sequence[Path], contrast: Contrast | None) -> BolusError:
    kinds = [contrast] if contrast else list(SUFFIX)
    expected = " or ".join(f"sub-*/[ses-*/]perf/*_{kind}.nii[.gz]" for kind in kinds)
    if root.name.startswith("sub-"):
        return BolusError(Code.PATH, root, "the folder of one subject", expected, f"Give {root.parent}.")
    if not subjects:
        below = [name for name in _listing(root) if _holds_subjects(root / name)]
        mend = f"Give {root / below[0]}." if below else "Give the folder that holds the sub-* folders."
        return BolusError(Code.PATH, root, "no sub-* folder", expected, mend)
    files = [path for subject in subjects for path in sorted(subject.rglob("*.nii*"))]
    near = [path for path in files if path.parent.name == "perf"] or files
    seen = f"{len(subjects)} subjects and {len(files)} images, none of them such a scan"
    if near:
        seen += f", the nearest being {near[0].relative_to(root)}"
    mend = "Rename the series so, or list them in a manifest (`--manifest`)."
    return BolusError(Code.PATH, root, seen, expected, mend)


def _holds_subjects(folder: Path) -> bool:
    try:
        return bool(_folders(folder, "sub"))
    except OSError:
        return False
