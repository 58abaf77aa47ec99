"""Handfuls of scans: as many as are worth it, and of one whose worker is lost only the scan at fault suffers."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

import pytest
from distributed import KilledWorker

from bolus import pipeline
from bolus.phantom import write_cohort
from bolus.recipe import load
from bolus.series import Outcome, Scan
from bolus_cluster.ledger.records import Record, enter, records
from bolus_cluster.workers import attempt as attempting
from bolus_cluster.workers import handful
from bolus_cluster.workers import stream as streaming
from bolus_cluster.workers.alone import Death
from bolus_cluster.workers.attempt import Job, Row, has_gpu
from bolus_cluster.workers.handful import MOST, Pace, landed_of
from bolus_cluster.workers.stream import stream
from bolus_kernels import device
from tests.cluster.saboteur import begin, environment, finish, starts


def job(out: Path, number: int, attempts: int = 0) -> Job:
    scan = Scan(f"{number:03d}", None, "dsc", f"sub-{number:03d}", (Path("a.nii"),), (Path("a.json"),))
    return Job(scan, out, out, load(None), "s", "cpu", attempts=attempts)


def done(each: Job, seconds: float = 0.01) -> Row:
    """A scan that was computed and entered."""
    record = Record(
        each.scan.key, each.scan.subject, None, "dsc", "done", attempts=each.attempts + 1, seconds=seconds
    )
    enter(each.out, record)
    return Row(each.scan.key, "done", seconds=seconds)


class Landed:
    """A task that is over: with a result, or with its worker lost."""

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self.lost: KilledWorker | OSError | None = None
        try:
            self.given = function(*given)
        except (KilledWorker, OSError) as error:
            self.lost = error

    def result(self) -> Any:
        if self.lost:
            raise self.lost
        return self.given

    def cancelled(self) -> bool:
        return False

    def add_done_callback(self, tell: Callable[[Landed], None]) -> None:
        tell(self)


class Cluster:
    """A client of Dask whose tasks are over as soon as they are sent."""

    status = "running"

    def __init__(self) -> None:
        self.sent: list[list[str]] = []

    def submit(self, function: Callable[..., Any], given: Any, *told: bool, pure: bool) -> Landed:
        jobs = given if isinstance(given, Sequence) else [given]
        self.sent.append([each.scan.subject for each in jobs])
        return Landed(function, given, *told)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(streaming, "attempt_each", lambda jobs, small: [done(each) for each in jobs])
    return Cluster()


def test_small_scans_go_together_and_the_last_ones_alone(tmp_path: Path, cluster: Cluster) -> None:
    jobs = [job(tmp_path, number) for number in range(300)]
    rows = list(stream(cluster, jobs, 300, 2))  # type: ignore[arg-type]
    assert sorted(row.scan for row in rows) == [each.scan.key for each in jobs]
    assert list(chain(*cluster.sent)) == [each.scan.subject for each in jobs]
    sizes = list(map(len, cluster.sent))
    assert sizes[0] == 1 and max(sizes) == 300 // (2 * 3) - 1 < MOST and sizes[-1] <= 10
    assert len(sizes) < 30


@pytest.mark.parametrize(
    ("small", "gpu", "at_a_time"), [(True, False, 1), (True, True, 2), (False, False, 2)]
)
def test_larger_scans_or_beside_a_gpu_a_process_is_at_several_handfuls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool, gpu: bool, at_a_time: int
) -> None:
    both, most = Barrier(2), []

    def each(jobs: Iterable[Job]) -> Iterator[Row]:
        for one in jobs:
            try:
                both.wait(0.5)
                most.append(2)
            except BrokenBarrierError:
                most.append(1)
            yield done(one)

    monkeypatch.setattr(handful, "attempt_in_time", each)
    monkeypatch.setattr(handful, "has_gpu", lambda job: gpu)
    threads = [
        Thread(target=handful.attempt_each, args=([job(tmp_path, number), job(tmp_path, number + 1)], small))
        for number in (0, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == at_a_time and len(most) == 4


def test_a_gpu_is_known_where_it_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "why_no_cuda", lambda: "there is none")
    assert not any(has_gpu(replace(job(tmp_path, 1), device=asked)) for asked in ("cpu", "auto", "cuda"))
    monkeypatch.setattr(device, "why_no_cuda", lambda: None)
    monkeypatch.setattr(device, "cuda_name", lambda: "a GPU")
    assert [has_gpu(replace(job(tmp_path, 1), device=asked)) for asked in ("cpu", "auto", "cuda")] == [
        False, True, True,
    ]  # fmt: skip


def test_long_scans_go_one_by_one_and_short_ones_by_two_seconds() -> None:
    pace = Pace(1000, 3)
    for _ in range(50):
        assert pace.scans() == 1
        pace.told(Row("a", "done", seconds=2.5))
    for seconds, scans in ((0.4, 5), (0.1, 20), (0.02, 100), (0.001, MOST)):
        for _ in range(70):
            pace.told(Row("a", "done", seconds=seconds))
        assert pace.scans() == scans
    for _ in range(70):
        pace.told(Row("a", "done", seconds=0.05))
    pace.handed_out(970)
    assert pace.scans() == 5  # 30 left for 3 workers that take one and have another there
    pace.handed_out(25)
    assert pace.scans() == 2  # which take 0.1 s
    pace.handed_out(5)
    assert pace.scans() == 2  # of which there are none


def test_refusals_which_take_no_time_do_not_make_scans_small() -> None:
    pace = Pace(1000, 3)
    for _ in range(9):
        pace.told(Row("a", "failed", seconds=0.002))
    assert pace.scans() == 1


def test_of_a_lost_handful_only_the_scan_it_was_at_is_tried_alone(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer, alone = "100", []

    def each_of(jobs: Sequence[Job], small: bool) -> list[Row]:
        rows = []
        for one in jobs:
            if one.scan.subject == killer:
                raise KilledWorker("task", None, 0)
            rows.append(done(one))
        return rows

    def in_its_own(one: Job) -> Row | Death:
        alone.append(one.scan.subject)
        return Death(-9)

    monkeypatch.setattr(streaming, "attempt_each", each_of)
    monkeypatch.setattr(streaming, "attempt_alone", in_its_own)
    jobs = [job(tmp_path, number) for number in range(200)]
    rows = list(stream(cluster, jobs, 200, 2))  # type: ignore[arg-type]
    assert [row.scan for row in rows if row.code == "E_WORKER_DIED"] == [f"sub-{killer}_dsc"]
    assert len(rows) == len({row.scan for row in rows}) == 200
    assert alone == [killer, killer]  # in a process of its own, and once more beside nothing
    (lost,) = [sent for sent in cluster.sent if killer in sent and len(sent) > 1]
    assert lost.index(killer) not in (0, len(lost) - 1), "some were done before it, some not begun"
    assert {record.scan: record.attempts for record in records(tmp_path) if record.state == "done"} == {
        each.scan.key: 1 for each in jobs if each.scan.subject != killer
    }
    again = [sent for sent in cluster.sent if sent == lost[lost.index(killer) + 1 :]]
    assert len(again) == 1


def test_a_scan_that_was_entered_before_its_worker_was_lost_is_not_computed_again(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entered_and_lost(jobs: Sequence[Job], small: bool) -> list[Row]:
        for one in jobs:
            done(one)
        raise KilledWorker("task", None, 0)

    monkeypatch.setattr(streaming, "attempt_each", entered_and_lost)
    jobs = [job(tmp_path, number) for number in range(3)]
    assert [row.state for row in stream(cluster, jobs, 3, 1)] == ["done"] * 3  # type: ignore[arg-type]


def test_a_handful_that_dask_sends_again_is_told_from_the_ledger(tmp_path: Path) -> None:
    jobs = [job(tmp_path, number, attempts=int(number == 1)) for number in range(3)]
    for each in jobs[:2]:
        done(replace(each, attempts=0))  # the first in this run, the second in an earlier one
    rows = handful.attempt_each(jobs, True)
    assert [row.state for row in rows] == ["done", "failed", "failed"]  # their files are not there
    assert handful.attempt_each(jobs, True) == rows
    assert [record.attempts for record in records(tmp_path)] == [1, 2, 1]


class Pending:
    """Maps on their way to the disk."""

    def __init__(self, scan: Scan, told: list[str]) -> None:
        self.scan, self.told = scan, told
        told.append(f"begin {scan.subject}")

    def settle(self) -> Outcome:
        self.told.append(f"settle {self.scan.subject}")
        return Outcome({}, {}, "cpu", 1, {}, ())

    def drop(self) -> None:
        self.told.append(f"drop {self.scan.subject}")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(pipeline, "begin", lambda scan, *given: Pending(scan, told))
    monkeypatch.setattr(Scan, "files", lambda scan: ())
    return told


def test_a_scan_is_computed_while_the_maps_of_the_last_are_on_their_way_to_the_disk(
    tmp_path: Path, told: list[str]
) -> None:
    rows = handful.attempt_each([job(tmp_path, number) for number in range(3)], True)
    assert [(row.scan, row.state) for row in rows] == [(f"sub-00{number}_dsc", "done") for number in range(3)]
    assert told[:6] == ["begin 000", "begin 001", "settle 000", "begin 002", "settle 001", "settle 002"]


def test_maps_on_their_way_are_gone_where_the_ledger_cannot_be_written(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(out: Path, record: Record) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attempting, "enter", full)
    with pytest.raises(OSError, match="No space"):
        handful.attempt_each([job(tmp_path, number) for number in range(3)], True)
    assert told == ["begin 000", "begin 001", "settle 000", "drop 000", "drop 001"]


def test_of_a_handful_that_finds_the_disk_full_those_in_the_ledger_are_told(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_after_two(jobs: Sequence[Job], small: bool) -> list[Row]:
        for one in jobs[:2]:
            done(one)
        raise OSError(errno.ENOSPC, "No space left on device")

    rows: list[str] = []
    monkeypatch.setattr(streaming, "attempt_each", full_after_two)
    monkeypatch.setattr(Pace, "scans", lambda pace: 3)
    jobs = [job(tmp_path, number) for number in range(3)]
    with pytest.raises(OSError, match="No space"):
        rows.extend(row.scan for row in stream(cluster, jobs, 3, 1))  # type: ignore[arg-type]
    assert rows == ["sub-000_dsc", "sub-001_dsc"]


def test_a_record_of_an_earlier_run_is_no_landing(tmp_path: Path) -> None:
    first, second = job(tmp_path, 1), job(tmp_path, 2)
    done(first)
    assert [row.scan for row in landed_of([first, second])] == ["sub-001_dsc"]
    assert landed_of([replace(first, attempts=1), second]) == []


def test_a_killer_among_small_scans_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    count, data, out = 60, tmp_path / "data", tmp_path / "out"
    write_cohort(data, count, shape=(24, 24, 4), volumes=40, contrasts=("dsc",))
    code, said = finish(begin(data, out, "--workers", 2, env=environment(tmp_path, sub_30_dsc="kill")))
    assert code == 1, said
    found = {record.scan: record for record in records(out)}
    assert [scan for scan, record in found.items() if record.state == "failed"] == ["sub-30_dsc"]
    assert len(found) == count
    began = {scan: len(starts(tmp_path, scan)) for scan in found}
    assert began.pop("sub-30_dsc") == 3
    # beside it in the same worker one scan was under way, and another may be while it is the last in the air
    assert sum(number - 1 for number in began.values()) <= 2, began
