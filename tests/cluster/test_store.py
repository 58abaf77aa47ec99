"""The cohort store: what is in it, and that it follows the ledger."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bolus.errors import BolusError
from bolus_cluster.ledger.lock import held
from bolus_cluster.ledger.records import Record, enter, look_up, records
from bolus_cluster.store import columns, read
from bolus_cluster.store.build import Built, build
from bolus_cluster.store.notes import COHORT, INDEX, STORE, behind, index
from tests.cluster.stored import AFFINE, ROOM, SHAPE, cohort, finished, random_map
from tests.cluster.tools import contents


def test_every_map_of_a_run_is_there_as_nibabel_reads_it(maps: Path) -> None:
    built = build(maps)
    assert (built.known, built.scans, built.exit_code) == (4, 4, 0)
    names = read.maps(maps)
    assert {name.partition("/")[0] for name in names} == {"asl", "dsc"}
    met = set()
    for name in names:
        found = read.find(maps, name)
        values, present = read.read(found)
        assert present.all()
        for row, scan in enumerate(found.scans):
            record = look_up(maps, scan)
            assert record is not None and record.subject == found.subjects[row]
            stem = scan.rpartition("_")[0]
            (output,) = [o for o in record.outputs if o.endswith(f"/{stem}_{name.rpartition('/')[2]}.nii.gz")]
            image = nibabel.load(maps / output)
            np.testing.assert_array_equal(values[row], image.get_fdata(dtype=np.float32))
            np.testing.assert_array_equal(found.affine[row], image.affine)
            assert found.sha256[row] == record.outputs[output].sha256
            met.add(output)
    assert met == {o for record in records(maps) for o in record.outputs if o.endswith(".nii.gz")}
    assert built.maps == len(met)
    assert read.find(maps, next(name for name in names if name.endswith("osvd_cbf"))).units == "ml/100g/min"


def test_scaled_integers_are_what_nibabel_makes_of_them(tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(-32768, 32767, SHAPE).astype(np.int16)
    record = finished(tmp_path, "1", {"cbf": stored}, slope=0.0123, inter=3.7)
    build(tmp_path)
    values, _ = read.read(read.find(tmp_path, f"{ROOM}/cbf"))
    image = nibabel.load(tmp_path / next(o for o in record.outputs if o.endswith(".nii.gz")))
    np.testing.assert_array_equal(values[0], image.get_fdata(dtype=np.float32))


def test_nan_in_a_map_stays_and_a_map_that_a_scan_has_not_is_not_present(tmp_path: Path) -> None:
    whole = random_map(1)
    gaps = np.where(whole > 40, np.nan, whole).astype(np.float32)
    finished(tmp_path, "1", {"cbf": whole, "att": whole})
    finished(tmp_path, "2", {"cbf": gaps})
    build(tmp_path)
    values, present = read.read(read.find(tmp_path, f"{ROOM}/cbf"))
    assert present.all()
    np.testing.assert_array_equal(values, [whole, gaps])
    values, present = read.read(read.find(tmp_path, f"{ROOM}/att"))
    assert present.tolist() == [True, False]
    np.testing.assert_array_equal(values[0], whole)
    assert np.isnan(values[1]).all()


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("rechunk", [False, True])
def test_the_file_itself_reads_as_its_tables_say(tmp_path: Path, portable: bool, rechunk: bool) -> None:
    made = cohort(tmp_path, 3)
    build(tmp_path, rechunk=rechunk, portable=portable)
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "-moved"))
    with read.raw(moved) as file:
        group = file[ROOM]
        assert group["scan"].asstr()[:].tolist() == list(made)
        assert group["subject"].asstr()[:].tolist() == ["0000", "0001", "0002"]
        assert group["session"].asstr()[:].tolist() == ["", "", ""]
        assert group["affine"].shape == (3, 4, 4) and (group["affine"][1] == AFFINE).all()
        for ending in ("cbf", "mtt"):
            expected = np.stack([each[ending] for each in made.values()])
            places = [group] + ([group["by_voxel"]] if rechunk else [])
            for place in places:
                assert place[ending].dtype == np.float32 and place[ending].attrs["units"] == "s"
                np.testing.assert_array_equal(place[ending][...], expected)
            assert group["present"][ending][:].all()
        assert ("by_voxel" in group) == rechunk
    shutil.rmtree(moved)


def test_portable_shards_need_no_filter_beyond_hdf5_itself(tmp_path: Path) -> None:
    made = cohort(tmp_path, 2)
    program = (
        "import sys, h5py; f = h5py.File(sys.argv[1]); d = f['dsc/6x5x4/cbf'];"
        "assert 'hdf5plugin' not in sys.modules; print(float(d[1, 2, 3, 1]))"
    )
    plain = {**os.environ, "HDF5_PLUGIN_PATH": str(tmp_path / "none")}

    def said() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(tmp_path / COHORT)]
        return subprocess.run(command, capture_output=True, text=True, env=plain, check=False)

    build(tmp_path)
    assert said().returncode != 0  # else this test would show nothing
    build(tmp_path, portable=True)
    assert float(said().stdout) == list(made.values())[1]["cbf"][2, 3, 1]
    for shard in (tmp_path / STORE).rglob("*.h5"):
        assert shard.read_bytes()[8] <= 3, "a superblock that HDF5 before 1.10 and 2.0 alike can read"


def test_grids_contrasts_sessions_and_series_of_maps_have_rooms_of_their_own(tmp_path: Path) -> None:
    residue = random_map(7, (6, 5, 4, 9))
    finished(tmp_path, "1", {"cbf": random_map(1), "residue": residue}, session="a", step=1.5)
    finished(tmp_path, "2", {"cbf": random_map(2, (3, 4, 2))})
    finished(tmp_path, "3", {"cbf": random_map(3)}, modality="asl")
    built = build(tmp_path, rechunk=True)
    assert built.rooms == ("asl/6x5x4", "dsc/3x4x2", "dsc/6x5x4", "dsc/6x5x4x9")
    found = read.find(tmp_path, "dsc/6x5x4x9/residue")
    assert found.scans == ("sub-1_ses-a_dsc",) and found.sessions == ("a",)
    np.testing.assert_array_equal(read.read(found)[0][0], residue)
    with read.raw(tmp_path) as file:
        assert file["dsc/6x5x4x9/step/residue"][:] == 1.5
        np.testing.assert_array_equal(file["dsc/6x5x4x9/by_voxel/residue"][0], residue)


def test_one_map_in_two_units_is_refused(tmp_path: Path) -> None:
    finished(tmp_path, "1", {"cbf": random_map(1)}, units="ml/100g/min")
    finished(tmp_path, "2", {"cbf": random_map(2)}, units="a.u.")
    with pytest.raises(BolusError, match=r"E_META sub-2_dsc: saw cbf in a\.u\. here, in ml/100g/min"):
        build(tmp_path)


@pytest.mark.parametrize("rechunk", [False, True])
def test_building_again_does_nothing_byte_for_byte(tmp_path: Path, rechunk: bool) -> None:
    cohort(tmp_path, 3)
    build(tmp_path, rechunk=rechunk)
    before = contents(tmp_path)
    build(tmp_path, rechunk=rechunk)
    assert contents(tmp_path) == before


def test_only_what_changed_is_built_and_what_no_longer_belongs_goes(tmp_path: Path) -> None:
    cohort(tmp_path, 3)
    build(tmp_path)
    before = contents(tmp_path / STORE / "scans")
    finished(tmp_path, "0001", {"cbf": random_map(77), "mtt": random_map(78)})
    enter(tmp_path, Record("sub-0002_dsc", "0002", None, "dsc", "failed", code="E_DATA"))
    assert behind(tmp_path) == 3  # one gone; one computed anew, whose old shard is there still
    assert build(tmp_path).scans == 2
    assert behind(tmp_path) == 0
    after = contents(tmp_path / STORE / "scans")
    kept = {name for name in before if "sub-0000" in name}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert len(after) == 4 and before.keys() & after.keys() == kept
    found = read.find(tmp_path, f"{ROOM}/cbf")
    assert found.scans == ("sub-0000_dsc", "sub-0001_dsc")
    np.testing.assert_array_equal(read.read(found)[0][1], random_map(77))
    assert not list((tmp_path / STORE).rglob("*0002*"))
    assert len(list((tmp_path / STORE / "blocks").glob("*.h5"))) == 1


def test_tiles_go_when_they_are_no_longer_asked_for(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    build(tmp_path, rechunk=True)
    assert read.find(tmp_path, f"{ROOM}/cbf").by_voxel
    build(tmp_path)
    assert not read.find(tmp_path, f"{ROOM}/cbf").by_voxel
    assert not list((tmp_path / STORE / "by_voxel").rglob("*.h5"))


def test_an_empty_cohort_is_a_cohort(tmp_path: Path) -> None:
    enter(tmp_path, Record("sub-1_dsc", "1", None, "dsc", "failed", code="E_DATA"))
    assert build(tmp_path) == Built(1, 0, 0, (), (tmp_path / COHORT).stat().st_size, ())
    assert read.maps(tmp_path) == {}


def test_without_a_ledger_or_with_a_run_at_work_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(BolusError, match="E_PATH"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []
    cohort(tmp_path, 1)
    with held(tmp_path, 1), pytest.raises(BolusError, match="E_LOCKED"):
        build(tmp_path)
    assert not (tmp_path / COHORT).exists()


def test_tiles_cover_a_grid_once_and_are_no_larger_than_they_may_be() -> None:
    for shape, most in (
        ((6, 5, 4), 100),
        ((6, 5, 4), 7),
        ((6, 5, 4), 1),
        ((3, 4, 2, 9), 40),
        ((6, 5, 4), 10**6),
    ):
        count = np.zeros(shape, int)
        for box in columns.boxes(shape, 4, 4 * most):
            count[box] += 1
            assert count[box].size <= max(most, math.prod(shape[3:]))
        assert (count == 1).all()
    for shape in ((3, 6, 5, 4), (1000, 128, 128, 4), (10_000, 128, 64, 1), (20, 128, 128, 20)):
        chunk = columns.chunk_of(shape)
        assert math.prod(chunk) <= columns.CHUNK_VALUES and all(
            a <= b for a, b in zip(chunk, shape, strict=True)
        )
        assert chunk[0] == min(shape[0], columns.MOST_SCANS)


def test_many_tiles_hold_what_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cohort(tmp_path, 3)
    whole = np.stack([each["mtt"] for each in made.values()])
    monkeypatch.setattr(columns, "MOST_BYTES", 3 * 4 * 8)  # eight voxels of the three scans
    build(tmp_path, rechunk=True)
    assert len(list((tmp_path / STORE / "by_voxel").rglob("mtt-*.h5"))) >= 15
    monkeypatch.setattr(read, "_by_voxel_is_nearer", lambda *given: True)
    found = read.find(tmp_path, f"{ROOM}/mtt")
    for box in (None, (slice(1, 5), slice(2, 3), slice(1, 4)), (slice(3, 3), slice(0, 5), slice(0, 4))):
        part = whole if box is None else whole[(slice(None), *box)]
        np.testing.assert_array_equal(read.read(found, None, box)[0], part)
    with read.raw(tmp_path) as file:
        np.testing.assert_array_equal(file[ROOM]["by_voxel/mtt"][...], whole)


def test_tiles_are_read_where_that_is_less_to_unpack() -> None:
    blank = np.empty(0)
    shape, scans = (128, 128, 20), ("",) * 400
    found = read.CohortMap(Path(), "", "", "", shape, scans, (), (), blank, blank, (), (), True)  # type: ignore[arg-type]
    voxel, everything = (slice(0, 1),) * 3, tuple(slice(0, side) for side in shape)
    assert read._by_voxel_is_nearer(found, 400, voxel)
    assert not read._by_voxel_is_nearer(found, 1, voxel)
    assert not read._by_voxel_is_nearer(found, 400, everything)


def test_a_part_of_a_map_and_some_scans_are_the_part_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cohort(tmp_path, 4)
    whole = np.stack([each["mtt"] for each in made.values()])
    build(tmp_path, rechunk=True)
    found = read.find(tmp_path, f"{ROOM}/mtt")
    box = (slice(1, 3), slice(4, 5), slice(None))
    for nearer in (False, True):
        monkeypatch.setattr(read, "_by_voxel_is_nearer", lambda *given, nearer=nearer: nearer)
        values, present = read.read(found, ["sub-0003_dsc", "sub-0001_dsc"], box)
        np.testing.assert_array_equal(values, whole[[3, 1], 1:3, 4:5])
        assert present.tolist() == [True, True]
    with pytest.raises(BolusError, match=r"no scan 'sub-0009_dsc'.*Did you mean sub-000"):
        read.read(found, ["sub-0009_dsc"])
    with pytest.raises(BolusError, match="Did you mean dsc/6x5x4/mtt"):
        read.find(tmp_path, "dsc/6x5x4/mt")
    with pytest.raises(ValueError, match="step"):
        read.read(found, None, (slice(0, 4, 2), slice(None), slice(None)))


def test_the_index_knows_every_file_of_the_store(tmp_path: Path) -> None:
    cohort(tmp_path, 3)
    build(tmp_path, rechunk=True)
    known = index(tmp_path)
    assert known is not None
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.h5")}
    assert known.keys() == found
    (tmp_path / INDEX).write_text("{")
    assert index(tmp_path) is None


def test_processes_build_the_same_store(tmp_path: Path) -> None:
    cohort(tmp_path / "one", 9, ("cbf",))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    told: list[tuple[str, int, int]] = []
    build(tmp_path / "one", rechunk=True)
    time.sleep(1.1)  # HDF5 counts whole seconds, and must not write any down
    build(tmp_path / "two", rechunk=True, workers=2, tick=lambda *stage: told.append(stage))
    hashes = [
        {name: digest for name, (digest, _) in contents(tmp_path / side).items() if name.endswith(".h5")}
        for side in ("one", "two")
    ]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 12
    assert [stage for stage in told if stage[0] == "scans"] == [("scans", done, 9) for done in range(1, 10)]
