"""The lock of an output folder: two runs may share it only where their scans cannot be the same."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from bolus.errors import BolusError, Code
from bolus.write import HIDDEN
from bolus_cluster.ledger.records import write_whole

LOCKS = Path(".bolus", "locks")


@dataclass(frozen=True)
class Holder:
    """A run that holds an output folder: where it lives, since when, which part of the cohort is its own."""

    host: str
    pid: int
    since: str
    scans: int
    shard: tuple[int, int] | None = None
    participants: tuple[str, ...] = ()

    def apart_from(self, other: Holder) -> bool:
        """Whether the two can never meet: different shards of one division, or no participant in common."""
        if self.shard and other.shard and self.shard[1] == other.shard[1] and self.shard != other.shard:
            return True
        ours, theirs = set(self.participants), set(other.participants)
        return bool(ours and theirs and not ours & theirs)

    def is_gone(self) -> bool:
        """Whether its process is certainly dead: of another host nothing is certain."""
        if self.host != platform.node():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


@contextmanager
def held(
    out: Path, scans: int, shard: tuple[int, int] | None = None, participants: tuple[str, ...] = ()
) -> Iterator[None]:
    """Hold the output folder for a run of so many scans, and sweep away what a crash left half written.

    Raises BolusError (E_LOCKED) while a run that may meet this one is alive, OSError.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Holder(platform.node(), os.getpid(), since, scans, shard, tuple(sorted(participants)))
    path = out / LOCKS / f"{mine.host}-{mine.pid}-{uuid4().hex[:8]}.json"
    # First raise the own flag, then look for others: of two that start at once neither can miss the other.
    write_whole(path, json.dumps(asdict(mine)).encode())
    try:
        others = [(other, file) for file, other in holders(out).items() if file != path]
        for other, file in others:
            if not mine.apart_from(other):
                raise _refusal(out, other, file)
        if not others:
            _sweep(out)
        yield
    finally:
        path.unlink(missing_ok=True)


def holders(out: Path) -> dict[Path, Holder]:
    """The runs that hold the folder, by lock file; what a dead process of this host left is removed."""
    found = {}
    for file in sorted((out / LOCKS).glob("[!.]*.json")):
        try:
            content = json.loads(file.read_bytes())
        except FileNotFoundError:
            continue
        content["shard"] = tuple(content["shard"]) if content["shard"] else None
        content["participants"] = tuple(content["participants"])
        other = Holder(**content)
        if other.is_gone():
            file.unlink(missing_ok=True)
        else:
            found[file] = other
    return found


def _refusal(out: Path, other: Holder, file: Path) -> BolusError:
    return BolusError(
        Code.LOCKED,
        out,
        f"a run that is at work here: process {other.pid} on {other.host}, since {other.since}",
        "one run at a time over the same scans",
        f"Wait for it, or end it; if {other.host} lost it (a crash, a power cut), remove {file}.",
    )


def _sweep(out: Path) -> None:
    """Remove what never got its final name; only called by a run that is alone in the folder."""
    for folder, _, names in os.walk(out):
        for name in names:
            if name.startswith(HIDDEN):
                Path(folder, name).unlink(missing_ok=True)
