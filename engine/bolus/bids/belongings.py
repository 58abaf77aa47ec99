"""What belongs to a scan: sidecars by BIDS inheritance, its calibration image, given masks and maps."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from bolus.bids.entities import IMAGE, Name, parse
from bolus.disk import no_permission, read_text
from bolus.errors import BolusError, Code
from bolus_kernels.method import Contrast

BIDS_URI = re.compile(r"bids:[^:/]*:")
MASKS = ("brain", "AIF", "AIFsearch", "VOF", "lesion", "NAWM", "CSF", "WM")
PROBABILITIES = ("GM", "WM", "CSF")
MAPS = ("T1map", "ADC", "att")
ONLY: dict[str, Contrast] = {
    **dict.fromkeys(("label-AIF_mask", "label-AIFsearch_mask", "label-VOF_mask", "aif"), "dsc"),
    **dict.fromkeys(("label-CSF_mask", "label-WM_mask", "label-CSF_probseg", "att"), "asl"),
}
"""What serves one contrast only, and so need not lie on the grid of the other."""


@lru_cache(maxsize=256)
def names(folder: Path) -> tuple[Name, ...]:
    """The BIDS-named files of a folder, sorted; empty where there is no such folder; raises E_PERM."""
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except PermissionError as error:
        raise no_permission(folder) from error
    return tuple(name for name in map(parse, entries) if name)


def inherited(image: Name, root: Path, suffix: str, extension: str) -> list[Path]:
    """The files whose name applies to an image: nearest folder first, in one folder the most specific first.

    Looks in the image's folder and in every one above it up to `root`. Raises E_AMBIGUOUS where two files
    of one folder apply and neither says more. Source: BIDS 1.10, "The inheritance principle".
    """
    found: list[Path] = []
    for place in image.path.parents:
        found += _ranked(
            (len(name.entities), name.path)
            for name in names(place)
            if name.suffix == suffix and name.extension == extension and name.applies_to(image.entities)
        )
        if place == root:
            break
    return found


def calibration(image: Name, root: Path, subject: Path) -> list[Name]:
    """The M0 images of an ASL series: named by IntendedFor, else with equal entities; the one to use first.

    Of several, in perf/ and in fmap/, the one of the series' own PhaseEncodingDirection is used, for it is distorted
    as the series is; else the one in perf/; of several echoes only that of the series. Raises E_AMBIGUOUS where this
    does not decide. Source: BIDS 1.10, arterial spin labeling.
    """
    perf = image.path.parent
    fitting = [
        name
        for folder in (perf, perf.parent / "fmap")
        for name in names(folder)
        if name.suffix == "m0scan" and name.extension in IMAGE and _serves(name, image, root, subject)
    ]
    alike = [name for name in fitting if name.entities.get("echo") == image.entities.get("echo")]
    fitting = alike or fitting
    if len(fitting) < 2:
        return fitting
    key = "PhaseEncodingDirection"
    ours = _said(inherited(image, root, image.suffix, ".json"), key)
    alike = [
        name for name in fitting if ours and _said(inherited(name, root, "m0scan", ".json"), key) == ours
    ]
    rivals = alike or fitting
    beside = [name for name in rivals if name.path.parent == perf] or rivals
    if len(beside) > 1:
        mend = "Let IntendedFor of one of them name this series, or say their PhaseEncodingDirection."
        raise _ambiguous([name.path for name in beside], mend)
    return beside + [name for name in fitting if name not in beside]


def shortest(images: Sequence[Name], root: Path) -> Name:
    """The image of the shortest echo time as the sidecars say it; the first where they do not."""

    def time(image: Name) -> float:
        said = _said(inherited(image, root, image.suffix, ".json"), "EchoTime")
        return float(said) if isinstance(said, int | float) and said > 0 else math.inf

    return min(images, key=time)


def derived(
    entities: Mapping[str, str], contrast: Contrast, place: Path, roots: Sequence[Path]
) -> dict[str, Path]:
    """The masks and maps that apply to a scan, by the names of the contract; the most specific file wins.

    `place` is the scan's folder below its root, the same in every derivatives folder. Raises E_AMBIGUOUS.
    """
    fitting: dict[str, list[tuple[int, Path]]] = {}
    for root in roots:
        for name in names(root / place):
            key = _key(name)
            restriction = name.entities.get("desc", "brain")
            if key is None or restriction not in ("brain", contrast) or ONLY.get(key, contrast) != contrast:
                continue
            own = {k: v for k, v in name.entities.items() if k not in ("label", "desc")}
            if own.items() <= entities.items():
                fitting.setdefault(key, []).append((len(own) + (restriction == contrast), name.path))
    return {key: _ranked(candidates)[0] for key, candidates in sorted(fitting.items())}


def _key(name: Name) -> str | None:
    label, desc = name.entities.get("label"), name.entities.get("desc")
    if name.extension == ".tsv":
        return "aif" if name.suffix == "aif" and label is None and desc != "brain" else None
    if name.extension not in IMAGE:
        return None
    if name.suffix == "mask" and (label in MASKS if label else desc == "brain"):
        return f"label-{label or 'brain'}_mask"
    if desc == "brain":
        return None
    if name.suffix == "probseg" and label in PROBABILITIES:
        return f"label-{label}_probseg"
    return name.suffix if name.suffix in MAPS and label is None else None


def _ranked(candidates: Iterable[tuple[int, Path]]) -> list[Path]:
    ranked = sorted(candidates, key=lambda each: -each[0])
    for (rank, first), (other, second) in pairwise(ranked):
        if rank == other:
            raise _ambiguous([first, second], "Remove one, or let one name more entities.")
    return [path for _, path in ranked]


def _ambiguous(paths: Sequence[Path], mend: str) -> BolusError:
    seen = " and ".join(path.name for path in paths)
    return BolusError(Code.AMBIGUOUS, paths[0], f"{seen}, which both apply", "one file that applies", mend)


def _serves(name: Name, image: Name, root: Path, subject: Path) -> bool:
    """Whether an m0scan is meant for a series."""
    targets = _said(inherited(name, root, "m0scan", ".json"), "IntendedFor")
    if not targets:
        return name.path.parent == image.path.parent and name.entities == image.entities
    listed = targets if isinstance(targets, list) else [targets]
    return any(_is_target(str(target), image.path, root, subject) for target in listed)


def _said(sidecars: Iterable[Path], key: str) -> Any:
    """What the nearest sidecar that says it says of a key; None where nothing can be read."""
    for path in sidecars:
        try:
            content = json.loads(read_text(path)[0])
        except (ValueError, RecursionError, BolusError):
            return None  # read() meets the same file again and says what is wrong with it
        if isinstance(content, dict) and (value := content.get(key)):
            return value
    return None


def _is_target(target: str, image: Path, root: Path, subject: Path) -> bool:
    """Whether an IntendedFor names an image: `bids:<data set>:` from the root, else from the subject's folder.

    Data sets in the field also write it from the session's folder or from the root.
    """
    uri = BIDS_URI.match(target)
    bases = [root] if uri else [subject, image.parent.parent, root]
    path = target[uri.end() :] if uri else target
    wanted = _without_extension(str(image))
    return any(_without_extension(posixpath.normpath(f"{base}/{path}")) == wanted for base in bases)


def _without_extension(path: str) -> str:
    return path.removesuffix(".gz").removesuffix(".nii")
