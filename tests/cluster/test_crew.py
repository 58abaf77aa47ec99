"""How many workers there are, what each finds, and who may speak to them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributed import Client

from bolus.bids import find_scans
from bolus.series import Scan
from bolus_cluster import crew as crews
from bolus_cluster.cli import main
from bolus_cluster.crew import OWN_MEMORY, crew_of, memory_of
from bolus_cluster.plan import Request
from bolus_cluster.workers.local import environment_of, local
from bolus_kernels import device
from bolus_kernels.device import Device, cpu


@pytest.fixture
def scans(shared: Path) -> list[Scan]:
    return [found.scan for found in find_scans(shared / "data")]


def asked(shared: Path, **more: object) -> Request:
    return Request(shared / "data", shared / "nowhere", **more)  # type: ignore[arg-type]


def test_the_processors_are_dealt_out_among_no_more_workers_than_there_are_scans(
    shared: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "processors", lambda: 16)
    crew = crew_of(asked(shared), cpu(), 10 * scans)
    assert (crew.workers, crew.threads, crew.overlap) == (16, 1, 2)
    crew = crew_of(asked(shared), cpu(), scans)
    assert (crew.workers, crew.threads, crew.overlap) == (4, 4, 1)
    assert crew_of(asked(shared, workers=3), cpu(), 10 * scans).workers == 3
    assert crew_of(asked(shared, workers=0), cpu(), scans).workers == 0
    assert crew_of(asked(shared, workers=7, cluster="slurm"), cpu(), scans).workers == 7


def test_there_are_no_more_workers_than_memory_allows(
    shared: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "processors", lambda: 16)
    monkeypatch.setattr(crews, "memory_of", lambda scan: 1 << 30)
    monkeypatch.setattr(device, "free_memory", lambda where: 3 * (OWN_MEMORY + (2 << 30)))
    crew = crew_of(asked(shared), cpu(), 10 * scans)
    assert (crew.workers, crew.memory) == (3, OWN_MEMORY + (2 << 30))
    monkeypatch.setattr(device, "free_memory", lambda where: 0)
    assert crew_of(asked(shared), cpu(), 10 * scans).workers == 1


def test_there_is_a_worker_for_each_gpu_and_each_finds_its_own(
    shared: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "gpus", lambda: ("0", "1"))
    monkeypatch.setattr(device, "processors", lambda: 16)
    monkeypatch.setattr(crews, "memory_of", lambda scan: 1 << 30)
    for room, overlap in (
        (20, 9),
        (5, 5),
        (1, 2),
    ):  # in memory, of the 8 processors of each and one to compute
        monkeypatch.setattr(device, "free_memory", lambda where, room=room: 2 * (OWN_MEMORY + (room << 30)))
        crew = crew_of(asked(shared), Device("cuda", "a GPU"), 10 * scans)
        assert (crew.workers, crew.threads, crew.overlap, crew.gpus) == (2, 8, overlap, ("0", "1"))
    found = [each["CUDA_VISIBLE_DEVICES"] for each in environment_of(5, ("GPU-a", "GPU-b"))]
    assert found == ["GPU-a", "GPU-b", "GPU-a", "GPU-b", "GPU-a"]
    assert environment_of(2, ()) == [dict(os.environ)] * 2


def test_workers_find_the_environment_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("first", "second"):
        monkeypatch.setenv("BOLUS_WORD", word)
        with local(1, work_dir=tmp_path) as client:
            assert client.submit(os.environ.get, "BOLUS_WORD", pure=False).result() == word


def test_the_gpus_are_those_that_were_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "why_no_cuda", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-b")
    assert device.gpus() == ("3", "GPU-b")
    monkeypatch.setattr(device, "why_no_cuda", lambda: "no driver")
    assert device.gpus() == ()


def test_a_scan_takes_memory_by_its_header_and_a_broken_one_none(tmp_path: Path, scans: list[Scan]) -> None:
    (dsc, *_) = [scan for scan in scans if scan.contrast == "dsc"]
    unpacked = len(gzip.decompress(dsc.images[0].read_bytes()))
    assert memory_of(dsc) == 2 * unpacked
    broken = tmp_path / "sub-1_dsc.nii.gz"
    broken.write_bytes(b"nothing")
    assert memory_of(Scan("1", None, "dsc", "sub-1", (broken,), ())) == 0


def test_a_dry_run_says_what_it_would_take(shared: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        ["run", str(shared / "data"), str(tmp_path / "out"), "participant", "--dry-run", "--workers", "2"],
    )
    assert result.exit_code == 0, result.output
    assert "workers: 2 (local, cpu), scans under way in each: 2, memory: about 0.4 GiB each" in result.output
    assert "GiB free" in result.output


def _gpu() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_workers_here_are_encrypted_and_have_a_gpu_each(tmp_path: Path) -> None:
    with local(2, 3, ("7", "8"), tmp_path) as client:
        assert sorted(client.run(_gpu).values()) == ["7", "8"]
        assert set(client.nthreads().values()) == {3}
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises((OSError, TypeError, ValueError)):
            Client(address, timeout=2, set_as_default=False)
    assert list(tmp_path.iterdir()) == []
