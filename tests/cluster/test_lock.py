"""The lock: two runs over the same scans never meet, a dead one never stands in the way."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from bolus.errors import BolusError
from bolus.write import HIDDEN
from bolus_cluster.ledger.lock import LOCKS, held, holders


def lock(out: Path, **other: object) -> Path:
    content = {"host": platform.node(), "pid": os.getppid(), "since": "2026-01-01T00:00:00+00:00", "scans": 3}
    path = out / LOCKS / "other.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, "shard": None, "participants": [], **other}))
    return path


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_living_run_is_named_and_left_alone(tmp_path: Path) -> None:
    path = lock(tmp_path)
    temporary = tmp_path / f"{HIDDEN}half"
    temporary.write_bytes(b"")
    with pytest.raises(BolusError) as refused, held(tmp_path, 1):
        pass
    assert refused.value.code == "E_LOCKED"
    for part in (str(os.getppid()), platform.node(), "2026-01-01T00:00:00+00:00"):
        assert part in refused.value.seen
    assert str(path) in refused.value.mend
    assert temporary.exists()
    assert list((tmp_path / LOCKS).iterdir()) == [path]


def test_a_run_on_another_host_is_never_taken_for_dead(tmp_path: Path) -> None:
    lock(tmp_path, host="another", pid=dead_process())
    with pytest.raises(BolusError, match="E_LOCKED"), held(tmp_path, 1):
        pass


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
    ],
)
def test_only_disjoint_parts_share_a_folder(
    tmp_path: Path, theirs: dict[str, object], ours: dict[str, tuple[str, ...]], meet: bool
) -> None:
    lock(tmp_path, **theirs)
    if meet:
        with pytest.raises(BolusError, match="E_LOCKED"), held(tmp_path, 1, **ours):  # type: ignore[arg-type]
            pass
    else:
        with held(tmp_path, 1, **ours):  # type: ignore[arg-type]
            assert len(holders(tmp_path)) == 2
