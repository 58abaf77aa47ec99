"""Commands that have the machine by turns: each is charged for its own time only, and none outlives the others' end."""

from __future__ import annotations

import os
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.cohort.commands import Command, by_turns

BUSY = "import time; end = time.process_time() + {0}\nwhile time.process_time() < end: pass"


def busy(seconds: float) -> Command:
    return Command([sys.executable, "-c", BUSY.format(seconds)])


def test_each_is_charged_for_its_own_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)  # which is nobody's time
    began = time.monotonic()
    short, long = by_turns(busy(0.8), busy(2.4))
    together = time.monotonic() - began
    assert short.wall + long.wall == pytest.approx(together, abs=0.5)
    assert 0.8 < short.wall < long.wall - 1
    assert short.processor == pytest.approx(0.8, abs=0.3) and long.processor == pytest.approx(2.4, abs=0.3)


def test_while_one_has_the_machine_the_other_is_still(tmp_path: Path) -> None:
    mark = "import pathlib, sys, time\nfor k in range(15):\n  pathlib.Path(sys.argv[1], str(time.time())).touch()\n  time.sleep(0.1)"
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    by_turns(*(Command([sys.executable, "-c", mark, str(folder)]) for folder in folders))
    marks = sorted((float(path.name), folder.name) for folder in folders for path in folder.iterdir())
    changes = sum(one[1] != other[1] for one, other in pairwise(marks))
    assert len(marks) == 30 and 3 <= changes <= 15  # side by side they would change at every mark


def test_where_one_fails_the_others_are_ended(tmp_path: Path) -> None:
    other = Command([sys.executable, "-c", "import time; time.sleep(1000)"])
    with pytest.raises(RuntimeError, match="ended with 3"):
        by_turns(other, Command([sys.executable, "-c", "raise SystemExit(3)"]))
    assert other.process is not None and other.process.wait(10) < 0
    with pytest.raises(ProcessLookupError):
        os.killpg(other.process.pid, 0)
