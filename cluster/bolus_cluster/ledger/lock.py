"""The lock of an output folder: a heartbeat on disk, and who may work there beside whom."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bolus.errors import BolusError, Code
from bolus.write import HIDDEN
from bolus_cluster.ledger.records import write_whole

LOCKS = Path(".bolus", "locks")
BEAT = 5.0
"""Seconds between two beats of a run."""
PATIENCE = 45.0
"""Seconds without a beat after which a run of another host counts as dead: nine beats, and slow disks."""


@dataclass(frozen=True)
class Holder:
    """A run that holds an output folder: where it lives, which part of which work is its own, how far it is."""

    host: str
    pid: int
    place: str
    """Kernel and process namespace: where the process number means something."""
    since: str
    scans: int
    shard: tuple[int, int] | None = None
    participants: tuple[str, ...] = ()
    work: str = ""
    """Digest of recipe and device: shards of one cohort must agree in it."""
    holds: bool = False
    """Whether it has looked round and found nobody in its way."""
    sweeps: bool = False
    """Whether it may be removing what a crash left: nobody begins to write meanwhile."""
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Since it began to compute, by its own clock."""
    beat: int = 0

    def apart_from(self, other: Holder) -> bool:
        """Whether both do the same work on parts that can never meet: two shards, or other participants."""
        if self.work != other.work:
            return False
        if self.shard and other.shard and self.shard[1] == other.shard[1] and self.shard != other.shard:
            return True
        ours, theirs = set(self.participants), set(other.participants)
        return bool(ours and theirs and not ours & theirs)

    def is_gone(self) -> bool:
        """Whether its process is certainly dead: of another host only silence tells, in time."""
        return self.place == _place() and _is_dead(self.pid)


class Lock:
    """An output folder that is held; it beats until it is let go, and knows when it was lost."""

    def __init__(self, path: Path, mine: Holder, lost: Callable[[], None]) -> None:
        self.path = path
        self._mine = mine
        self._lost = lost
        self._started = time.monotonic()
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        write_whole(path, _text(mine))
        self._thread.start()

    def say(self, **news: Any) -> None:
        """Write at once what is new about this run, for others to read. Raises OSError."""
        with self._guard:
            self._mine = replace(self._mine, **news)
            write_whole(self.path, _text(self._mine))

    def tell(self, failed: bool) -> None:
        """Count a finished scan; the next beat says it to whoever asks."""
        with self._guard:
            self._mine = replace(self._mine, done=self._mine.done + 1, failed=self._mine.failed + failed)

    def end(self) -> None:
        """Stop beating and let the folder go."""
        self._over.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            if not self.path.exists():  # it was still for too long: somebody else has taken over
                self._lost()
                return
            seconds = round(time.monotonic() - self._started, 1)
            with suppress(OSError):  # a full disk is told by the scans; here it is a beat left out
                self.say(beat=self._mine.beat + 1, seconds=seconds)


@contextmanager
def held(
    out: Path,
    scans: int,
    shard: tuple[int, int] | None = None,
    participants: tuple[str, ...] = (),
    work: str = "",
    lost: Callable[[], None] = lambda: None,
) -> Iterator[Lock]:
    """Hold the output folder for a run of so many scans, and sweep away what a crash left half written.

    Nobody sweeps beside another run: of those at parts of a cohort, the last sweeps as it leaves. A run that may
    meet this one is watched until it beats, or counts as dead: at most PATIENCE. `lost` is called, in another
    thread, when somebody took this run for dead. Raises BolusError (E_LOCKED), OSError.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Holder(
        platform.node(), os.getpid(), _place(), since, scans, shard, tuple(sorted(participants)), work
    )
    # First raise the own flag, then look for others: of two that start at once neither can miss the other.
    path = out / LOCKS / f"{mine.host}-{_short(mine.place)}-{mine.pid}-{uuid4().hex[:8]}.json"
    lock = Lock(path, mine, lost)
    try:
        for file, other in holders(out).items():
            if file != path and mine.apart_from(other):
                _await_sweep(file, other)
            elif file != path and _lives(file, other, path):
                raise _refusal(out, other, mine)
        _sweep_if_alone(out, lock)
        lock.say(holds=True)
        yield lock
        if mine.shard or mine.participants:  # beside others nobody could sweep: the last to leave does
            _sweep_if_alone(out, lock)
    finally:
        lock.end()


def holders(out: Path) -> dict[Path, Holder]:
    """The runs that hold the folder, by lock file; what a dead process of this host left is removed."""
    found = {}
    for file in sorted((out / LOCKS).glob("[!.]*.json")):
        other = _read(file)
        if other is None:
            continue
        if other.is_gone():
            file.unlink(missing_ok=True)
        else:
            found[file] = other
    return found


def _lives(file: Path, other: Holder, mine: Path) -> bool:
    """Watch a run until it beats; one that ends, or stays silent and so loses the folder, does not live.

    Of two that only look round yet, the one whose file comes first stays.
    """
    silent = time.monotonic()
    while time.monotonic() - silent < PATIENCE:
        now = _read(file)
        if now is None:
            return False
        if now.beat != other.beat:
            if now.holds or file < mine:
                return True
            other, silent = now, time.monotonic()
        time.sleep(BEAT / 10)
    file.unlink(missing_ok=True)
    return False


def _await_sweep(file: Path, other: Holder) -> None:
    """Wait until a run that sweeps is done with it, or silent for too long."""
    silent = time.monotonic()
    while other.sweeps and time.monotonic() - silent < PATIENCE:
        time.sleep(BEAT / 10)
        now = _read(file)
        if now is None:
            return
        if now.beat != other.beat:
            silent = time.monotonic()
        other = now


def _read(file: Path) -> Holder | None:
    try:
        content = json.loads(file.read_bytes())
        content["shard"] = tuple(content["shard"]) if content["shard"] else None
        content["participants"] = tuple(content["participants"])
        return Holder(**content)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        mend = "If no run is at work in this folder, remove the file."
        seen = "a lock that this version of bolus cannot read"
        raise BolusError(Code.LOCKED, file, seen, "a lock of the same version", mend) from error


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return platform.node()


def _short(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:8]


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _refusal(out: Path, other: Holder, mine: Holder) -> BolusError:
    part = f", shard {other.shard[0]}/{other.shard[1]}" if other.shard else ""
    mend = "Wait for it, or end it: what it has done stays done."
    if mine.work != other.work and mine.shard and other.shard:
        mend = "It has another recipe or device: shards of one cohort must have the same. " + mend
    return BolusError(
        Code.LOCKED,
        out,
        f"a run that is at work here: process {other.pid} on {other.host}, since {other.since}{part}",
        "one run at a time over the same scans",
        mend,
    )


def _sweep_if_alone(out: Path, lock: Lock) -> None:
    """Sweep unless another run is here: who comes now sees the sweeping and waits; who came before is seen."""
    lock.say(sweeps=True)
    if list(holders(out)) == [lock.path]:
        _sweep(out)
    lock.say(sweeps=False)


def _sweep(out: Path) -> None:
    """Remove what never got its final name; but a lock that is being written belongs to one who just came."""
    for folder, _, names in os.walk(out):
        for name in names:
            if name.startswith(HIDDEN) and Path(folder) != out / LOCKS:
                Path(folder, name).unlink(missing_ok=True)
    old = time.time() - 2 * PATIENCE
    for file in (out / LOCKS).glob(f"{HIDDEN}*"):
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < old or _wrote_no_more(file.stem):
                file.unlink()


def _wrote_no_more(name: str) -> bool:
    """Whether a lock of such a name belongs to a process of this place that is dead."""
    *_, place, pid, _ = ["", "", *name.split("-")]
    return place == _short(_place()) and pid.isdecimal() and _is_dead(int(pid))


def _is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
