"""A store that is damaged, or has no room: refused and built again, and nothing lost is ever read as NaN."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bolus.errors import BolusError
from bolus_cluster.store import notes, read
from bolus_cluster.store.build import build
from bolus_cluster.store.notes import COHORT, STORE
from tests.cluster.stored import ROOM, cohort, finished, random_map
from tests.cluster.tools import contents


@pytest.mark.parametrize("rechunk", [False, True])
def test_what_the_store_lost_is_refused_and_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rechunk: bool
) -> None:
    made = cohort(tmp_path, 3)
    build(tmp_path, rechunk=rechunk)
    monkeypatch.setattr(read, "_by_voxel_is_nearer", lambda *given: True)
    found = read.find(tmp_path, f"{ROOM}/cbf")
    whole = contents(tmp_path / STORE)
    folder, part = ("by_voxel", "cbf-0000") if rechunk else ("scans", "sub-0001")
    (shard,) = (tmp_path / STORE / folder).rglob(f"{part}*.h5")
    good = shard.read_bytes()
    expected = np.stack([each["cbf"] for each in made.values()])
    damages = {
        "gone": None,
        "cut": good[:-9],
        "no HDF5": b"\0" * len(good),
        **{f"a bit at {at}": _flipped(good, at) for at in _spread_over_data(good)},
    }
    for what, bytes_now in damages.items():
        shard.unlink()
        if bytes_now is not None:
            shard.write_bytes(bytes_now)
        with pytest.raises(BolusError) as refused:
            read.read(found)
        assert refused.value.code == ("E_PATH" if what == "gone" else "E_CORRUPT"), what
        assert refused.value.file == str(shard) and "group" in refused.value.mend
        build(tmp_path, rechunk=rechunk)
        np.testing.assert_array_equal(read.read(found)[0], expected)
        hashes = {
            name: digest for name, (digest, _) in contents(tmp_path / STORE).items() if name.endswith("h5")
        }
        assert hashes == {name: digest for name, (digest, _) in whole.items() if name.endswith("h5")}


def _flipped(good: bytes, at: int) -> bytes:
    return good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]


def _spread_over_data(good: bytes) -> list[int]:
    """Positions inside the packed chunks: where the bytes look random, away from the tables before and after."""
    dense = [at for at in range(0, len(good) - 64, 16) if len(set(good[at : at + 64])) > 44]
    assert len(dense) > 10
    return [dense[len(dense) * part // 10] + 32 for part in (1, 2, 4)]


def test_a_shard_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    build(tmp_path)
    first, second = sorted((tmp_path / STORE / "scans").glob("*.h5"))
    shutil.copy(first, second)
    with pytest.raises(BolusError, match="saw the shard of sub-0000_dsc"):
        read.read(read.find(tmp_path, f"{ROOM}/cbf"))


def test_a_damaged_cohort_file_is_refused_before_hdf5_sees_it(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    build(tmp_path)
    path = tmp_path / COHORT
    good = path.read_bytes()
    for at in range(0, len(good), len(good) // 40):
        path.write_bytes(_flipped(good, at))
        with pytest.raises(BolusError, match=r"E_CORRUPT.*group"):
            read.maps(tmp_path)
        with pytest.raises(BolusError, match="E_CORRUPT"), read.raw(tmp_path):
            pass
    path.write_bytes(good)
    assert len(read.maps(tmp_path)) == 2


def test_a_full_disk_leaves_the_old_cohort_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cohort(tmp_path, 2)
    build(tmp_path)
    finished(tmp_path, "0009", {"cbf": random_map(9)})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put = notes.put_whole

    def put_on_full(path: Path, data: bytes | memoryview) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            put(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(notes, "put_whole", put_on_full)  # of the store alone
        with pytest.raises(OSError, match="No space"):
            build(tmp_path)
    assert not list(tmp_path.rglob(".tmp-*"))
    values, _ = read.read(read.find(tmp_path, f"{ROOM}/cbf"))
    np.testing.assert_array_equal(values, np.stack([each["cbf"] for each in made.values()]))


def test_a_scan_whose_map_is_damaged_is_left_out_and_told(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    image = tmp_path / "sub-0001/perf/sub-0001_cbf.nii.gz"
    other = finished(tmp_path / "other", "0001", {"cbf": random_map(5)})
    shutil.copy(tmp_path / "other" / next(iter(other.outputs)), image)
    built = build(tmp_path)
    assert built.exit_code == 1 and built.scans == 1
    (problem,) = built.problems
    assert (problem.code, problem.file) == ("E_CORRUPT", str(image))
    assert "participant" in problem.mend
    assert read.find(tmp_path, f"{ROOM}/cbf").scans == ("sub-0000_dsc",)
