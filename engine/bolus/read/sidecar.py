"""Sidecars: JSON files merged by inheritance, asked field by field with unit and range."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bolus.disk import read_text
from bolus.errors import BolusError, Code, nearest

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

FORMER = {
    "PostLabelingDelay": ("initialpostlabeldelay", "inversiontime"),
    "ArterialSpinLabelingType": ("labelingtype",),
    "RepetitionTimePreparation": ("repetitiontime",),
}
"""What converters, and BIDS before ASL was part of it, call a field, in small letters."""


@dataclass(frozen=True)
class Span:
    """The numbers that a field can sensibly hold: above `low` (or at it, where `closed`), at most `high`.

    `slip` says how the value was probably meant when it is too large, and `factor` by how much.
    """

    unit: str
    low: float
    high: float
    slip: str = ""
    factor: float = 1.0
    closed: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number lies inside; NaN and infinity never do."""
        return (self.low <= value if self.closed else self.low < value) and value <= self.high

    def words(self) -> str:
        """The span as a user reads it: `a number above 0 and at most 20 s`."""
        start = f"from {self.low:g} to" if self.closed else f"above {self.low:g} and at most"
        return f"a number {start} {self.high:g} {self.unit}".rstrip()


def seconds(low: float, high: float, *, closed: bool = False) -> Span:
    """A span of time, where a larger number was probably given in milliseconds."""
    return Span("s", low, high, "milliseconds", 1e-3, closed)


@dataclass(frozen=True)
class Sidecar:
    """What is known of an image beside its voxels: key -> value, and the file that each key came from.

    `path` is the nearest JSON file, or the image where there is none; errors about a missing key name it.
    """

    path: Path
    values: Mapping[str, Any]
    origin: Mapping[str, Path]

    def refusal(self, key: str, expected: str, mend: str) -> BolusError:
        """E_META about one field, quoting what the file says."""
        if key in self.values:
            text = json.dumps(self.values[key])
            seen = f"{key} = {text if len(text) < 80 else text[:77] + '...'}"
        elif self.values:
            seen = f"no {key}"
            if near := self._near(key):
                seen += f", though {near} = {json.dumps(self.values[near])[:40]}"
                mend = f"If that is meant, call it {key}: names of fields are exact. {mend}"
        else:
            seen = f"no {key}, and no other metadata"
        return BolusError(Code.META, self.origin.get(key, self.path), seen, f"{key}: {expected}", mend)

    def _near(self, key: str) -> str | None:
        """A field of another name that looks as if this one were meant."""
        plain = {"".join(filter(str.isalnum, known)).lower(): known for known in self.values}
        close = [old for old in FORMER.get(key, ()) if old in plain]
        close += get_close_matches(key.lower(), plain, n=1, cutoff=0.85)
        return plain[close[0]] if close else None

    def number(self, key: str, span: Span) -> float:
        """A number inside its span; raises E_META where it is missing, of another kind, or outside."""
        return self._checked(key, self.values.get(key), span)

    def optional(self, key: str, span: Span) -> float | None:
        """The same, but None where the key is missing."""
        return self.number(key, span) if key in self.values else None

    def numbers(self, key: str, span: Span) -> tuple[float, ...]:
        """One number or a list of them, each inside the span; raises E_META, also for an empty list."""
        value = self.values.get(key)
        items = value if isinstance(value, list) and value else [value]
        return tuple(self._checked(key, item, span) for item in items)

    def per_volume(self, key: str, span: Span, used: Sequence[bool]) -> tuple[float, ...]:
        """One value per volume, from one number or as many as there are volumes; 0 where it is not `used`.

        Raises E_META for another count, and for a value outside the span in a volume that uses it.
        """
        value = self.values.get(key)
        items = value if isinstance(value, list) else [value] * len(used)
        if len(items) != len(used):
            expected = f"one number, or {len(used)}: one per volume ({len(items)} are given)"
            raise self.refusal(key, expected, "Give one value per volume, with 0 for each m0scan.")
        return tuple(
            self._checked(key, item, span) if use else 0.0 for item, use in zip(items, used, strict=True)
        )

    def choice(self, key: str, known: Sequence[str], mend: str) -> str:
        """One of some words, spelled exactly; raises E_META with the nearest word."""
        value = self.values.get(key)
        if isinstance(value, str) and value in known:
            return value
        if isinstance(value, str):  # of words that differ only in their letters' case, the right one
            meant = next((word for word in known if word.lower() == value.lower()), value)
            mend = f"{nearest(meant, known)} {mend}"
        raise self.refusal(key, f"one of {', '.join(known)}", mend)

    def flag(self, key: str, mend: str) -> bool:
        """True or false, not a word or a number for it; raises E_META."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.refusal(key, "true or false", mend)
        return value

    def _checked(self, key: str, value: Any, span: Span) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            mend = f"Give {key} as a number, from the scan's protocol."
            if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
                mend = f"Write the number without quotation marks: {value.strip()}."
            raise self.refusal(key, span.words(), mend)
        number = _finite(value)
        if span.holds(number):
            return number
        mend = f"Correct {key} from the scan's protocol."
        if span.slip and number > span.high and span.holds(meant := number * span.factor):
            mend = f"It looks like {span.slip}: write {meant:g}."
        raise self.refusal(key, f"{span.words()} (here {number:g})", mend)


def load(paths: Sequence[Path], image: Path) -> tuple[Sidecar, dict[str, str]]:
    """Sidecars, nearest first, as one: the nearest wins key by key; and each file's SHA-256.

    Raises E_META for what is no JSON object, and what reading a text file raises.
    Source: BIDS 1.10, "The inheritance principle".
    """
    values: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    hashes: dict[str, str] = {}
    for path in paths:
        text, hashes[str(path)] = read_text(path)
        for key, value in _object(path, text).items():
            if key not in values:
                values[key], origin[key] = value, path
    return Sidecar(paths[0] if paths else image, values, origin), hashes


def _object(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text.strip() else ""
        seen = f"no JSON in line {error.lineno}, column {error.colno}: {line.strip()[:60]!r}"
        raise BolusError(Code.META, path, seen, "JSON", _syntax(text, error)) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a bottomless nest
        raise BolusError(Code.META, path, str(error), "JSON", "Write the sidecar again.") from error
    if not isinstance(content, dict):
        seen = f"a JSON {type(content).__name__}: {text.strip()[:40]!r}"
        mend = "Put the fields into braces."
        raise BolusError(Code.META, path, seen, 'a JSON object, {"EchoTime": ...}', mend)
    return content


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    """What was probably meant by text that is no JSON, from what stands where it ends to be one."""
    before, after = text[: error.pos].rstrip(), text[error.pos :].lstrip()
    if after.startswith(("//", "#", "/*")):
        return "Remove the comment: JSON has none."
    if after.startswith("'"):
        return 'Write double quotation marks ("): JSON has no others.'
    if before.endswith(",") and after.startswith(("}", "]")):
        return "Remove the comma before it: none stands after the last field."
    if re.search(r"\d,$", before) and after[:1].isdigit():
        return "Write numbers with a point, not a comma."
    if not after or error.msg.startswith("Unterminated"):
        return "The file is cut short: copy it or convert the scan again."
    return f"Correct the syntax ({error.msg.lower()}); a comma too many or too few is the usual cause."


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        said = " and ".join(json.dumps(value) for key, value in pairs if key == twice)
        mend = "Remove the value that is wrong."
        raise BolusError(Code.META, path, f"{twice} given twice: {said[:80]}", "each key once", mend)
    return content


def _finite(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
