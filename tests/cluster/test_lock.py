"""The lock: two runs over the same scans never meet, a dead one never stands in the way."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bolus.errors import BolusError
from bolus.write import HIDDEN
from bolus_cluster.ledger import lock as locks
from bolus_cluster.ledger.lock import LOCKS, _place, held, holders
from bolus_cluster.ledger.records import write_whole


def lock(out: Path, **other: object) -> Path:
    content = {
        "host": platform.node(), "pid": os.getppid(), "place": _place(), "since": "2026-01-01T00:00:00+00:00",
        "scans": 3, "holds": True,
    }  # fmt: skip
    path = out / LOCKS / "other.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, "shard": None, "participants": [], **other}))
    return path


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.05)
    monkeypatch.setattr(locks, "PATIENCE", 1.0)


@contextmanager
def beating(path: Path) -> Iterator[dict[str, object]]:
    """Let a lock beat as a living run of another host would, and give what each beat is to say beside."""
    over = threading.Event()
    news: dict[str, object] = {}

    def beat() -> None:
        while not over.wait(0.05):
            content = json.loads(path.read_text())
            write_whole(path, json.dumps(content | news | {"beat": content.get("beat", 0) + 1}).encode())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield news
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_living_run_is_named_and_left_alone(tmp_path: Path, place: str) -> None:
    far = {"host": "another", "place": "elsewhere", "pid": dead_process()} if place == "elsewhere" else {}
    path = lock(tmp_path, **far)
    temporary = tmp_path / f"{HIDDEN}half"
    temporary.write_bytes(b"")
    with beating(path), pytest.raises(BolusError) as refused, held(tmp_path, 1):
        pass
    assert refused.value.code == "E_LOCKED"
    content = json.loads(path.read_text())
    for part in (str(content["pid"]), content["host"], "2026-01-01T00:00:00+00:00"):
        assert part in refused.value.seen
    assert temporary.exists()
    assert list((tmp_path / LOCKS).glob("*.json")) == [path]


def test_a_run_on_another_host_that_is_silent_for_too_long_loses_the_folder(tmp_path: Path) -> None:
    path = lock(tmp_path, host="another", place="elsewhere")
    started = time.monotonic()
    with held(tmp_path, 1):
        assert time.monotonic() - started >= 1.0
        assert not path.exists()


def test_of_two_that_begin_at_once_exactly_one_stays(tmp_path: Path) -> None:
    outcomes = []
    start, end = threading.Barrier(2), threading.Barrier(2)

    def begin() -> None:
        start.wait(10)
        try:
            with held(tmp_path, 1):
                outcomes.append("held")
                end.wait(10)
        except BolusError as error:
            outcomes.append(str(error.code))
            end.wait(10)

    for _ in range(5):
        outcomes.clear()
        threads = [threading.Thread(target=begin) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["E_LOCKED", "held"]


def test_nobody_begins_while_another_sweeps(tmp_path: Path) -> None:
    path = lock(tmp_path, shard=[1, 2], sweeps=True, holds=False)
    begun = threading.Event()

    def begin() -> None:
        with held(tmp_path, 1, shard=(2, 2)):
            begun.set()

    thread = threading.Thread(target=begin)
    with beating(path) as news:
        thread.start()
        assert not begun.wait(1.5)
        news["sweeps"] = False
        assert begun.wait(5)
    thread.join()


def test_a_run_that_lost_the_folder_is_told(tmp_path: Path) -> None:
    lost = threading.Event()
    with held(tmp_path, 1, lost=lost.set):
        (mine,) = holders(tmp_path)
        until = time.monotonic() + 5
        while not lost.wait(0.2) and time.monotonic() < until:  # a beat just then would put it there again
            mine.unlink(missing_ok=True)
        assert lost.is_set()


def test_a_beat_says_how_far_the_run_is(tmp_path: Path) -> None:
    with held(tmp_path, 3) as mine:
        mine.tell(failed=True)
        mine.tell(failed=False)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            (holder,) = holders(tmp_path).values()
            if holder.done:
                break
        assert (holder.done, holder.failed, holder.scans) == (2, 1, 3)


def test_a_lock_that_nobody_can_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / LOCKS / "old.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(BolusError, match="E_LOCKED") as refused, held(tmp_path, 1):
        pass
    assert refused.value.file == str(path)


def test_what_a_dead_run_left_is_taken_over_and_swept(tmp_path: Path) -> None:
    path = lock(tmp_path, pid=dead_process())
    temporary = tmp_path / "sub-1" / "perf" / f"{HIDDEN}map.nii.gz"
    temporary.parent.mkdir(parents=True)
    temporary.write_bytes(b"half")
    with held(tmp_path, 4):
        assert not path.exists()
        assert not temporary.exists()
        (holder,) = holders(tmp_path).values()
        assert (holder.pid, holder.scans) == (os.getpid(), 4)
    assert list((tmp_path / LOCKS).iterdir()) == []


def test_a_lock_half_written_is_swept_once_nobody_writes_it(tmp_path: Path) -> None:
    with held(tmp_path, 1):
        (mine,) = (path.name for path in (tmp_path / LOCKS).iterdir())
    started = mine.replace(f"-{os.getpid()}-", "-{}-")
    own, dead = (
        tmp_path / LOCKS / f"{HIDDEN}12345678-{started.format(pid)}" for pid in (os.getpid(), dead_process())
    )
    elsewhere = dead.with_name(dead.name.replace(started.split("-{")[0], "another-host-01234567"))
    for path in (own, dead, elsewhere):
        path.write_bytes(b"{")
    with held(tmp_path, 1):
        assert own.exists() and elsewhere.exists() and not dead.exists()
    for path in (own, elsewhere):
        os.utime(path, (0, 0))
    with held(tmp_path, 1):
        assert not own.exists() and not elsewhere.exists()


@pytest.mark.parametrize("alone", [True, False])
def test_of_two_shards_the_last_to_leave_sweeps(tmp_path: Path, alone: bool) -> None:
    path = lock(tmp_path, shard=[1, 2])
    temporary = tmp_path / f"{HIDDEN}half"
    temporary.write_bytes(b"")
    with held(tmp_path, 1, shard=(2, 2)):
        assert temporary.exists(), "it may belong to the other one"
        if alone:
            path.unlink()
    assert temporary.exists() != alone


@pytest.mark.parametrize(
    ("theirs", "ours", "meet"),
    [
        ({"shard": [1, 2]}, {"shard": (2, 2)}, False),
        ({"shard": [1, 2]}, {"shard": (1, 2)}, True),
        ({"shard": [1, 2]}, {"shard": (2, 3)}, True),
        ({"shard": [1, 2]}, {}, True),
        ({"participants": ["01"]}, {"participants": ("02",)}, False),
        ({"participants": ["01"]}, {"participants": ("01", "02")}, True),
        ({"participants": ["01"]}, {}, True),
        ({"shard": [1, 2], "work": "another recipe"}, {"shard": (2, 2)}, True),
    ],
)
def test_only_disjoint_parts_share_a_folder(
    tmp_path: Path, theirs: dict[str, object], ours: dict[str, tuple[str, ...]], meet: bool
) -> None:
    path = lock(tmp_path, **theirs)
    if meet:
        with beating(path), pytest.raises(BolusError, match="E_LOCKED"), held(tmp_path, 1, **ours):  # type: ignore[arg-type]
            pass
    else:
        with held(tmp_path, 1, **ours):  # type: ignore[arg-type]
            assert len(holders(tmp_path)) == 2
