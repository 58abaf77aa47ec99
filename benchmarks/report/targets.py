"""What is wanted of the numbers: every target of `targets.toml`, and how it judges the rows of its benchmark."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

Row = Mapping[str, Any]


class Target(NamedTuple):
    """`field` of every row of a benchmark whose `what` matches: `at least` or `at most` a limit.

    against : of several rows with one `what`, those measured against this; ".*" is any. field : of nested fields
    "cbf.scatter". origin : a promise, or a floor under what was measured once.
    """

    benchmark: str
    says: str
    rows: str
    field: str
    relation: Literal["at least", "at most"]
    limit: float
    origin: Literal["promise", "floor"]
    against: str = ".*"

    def values(self, rows: Sequence[Row]) -> list[float]:
        """The numbers that are judged, one per row that matches; none where nothing matches."""
        found = []
        for row in rows:
            if re.fullmatch(self.rows, row["what"]) and re.fullmatch(self.against, row.get("against", "")):
                value: Any = row
                for name in self.field.split("."):
                    value = value.get(name) if isinstance(value, Mapping) else None
                if value is not None:
                    found.append(float(value))
        return found

    def worst(self, values: Sequence[float]) -> float:
        """The number of those that decides."""
        return min(values) if self.relation == "at least" else max(values)

    def met(self, values: Sequence[float]) -> bool:
        """Whether every number is as wanted."""
        if self.relation == "at least":
            return min(values) >= self.limit
        return max(values) <= self.limit


def _load() -> tuple[Target, ...]:
    text = Path(__file__).with_suffix(".toml").read_text()
    return tuple(Target(**target) for target in tomllib.loads(text)["target"])


TARGETS = _load()
