"""What is written: names, units, geometry and sidecars; the same bytes each time; whole or not at all."""

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bolus import write as module
from bolus.compute import compute
from bolus.prepare import prepare
from bolus.recipe import signature
from bolus.write import write
from bolus_kernels.device import cpu
from tests.engine.made import SHAPE, dsc_series, dsc_signal, recipe

KEYS = (
    "Units", "Description", "Method", "Parameters", "Equation", "Sources", "SourceHashes", "Device", "GeneratedBy",
    "RecipeHash",
)  # fmt: skip
PERF = Path("sub-01/ses-2/perf")
AFFINE = np.array([[-1.9, 0.2, 0, 80], [0.2, 1.9, 0.1, -70], [0, -0.1, 4.9, 12], [0, 0, 0, 1.0]])
SOURCES = {
    "/data/study/sub-01/ses-2/perf/sub-01_ses-2_dsc.nii.gz": "a" * 64,
    "/data/study/dsc.json": "b" * 64,
    "/data/study/derivatives/given/sub-01/ses-2/perf/sub-01_ses-2_label-AIF_mask.nii.gz": "c" * 64,
}


@pytest.fixture(scope="module")
def maps():
    signal = dsc_signal().astype(np.float32)
    signal[9, 8, 3, 5] = np.nan
    made = compute(prepare(dsc_series(signal), recipe()), recipe(), cpu())
    scan = replace(made.scan, session="2", name="sub-01_ses-2")
    sizes = np.linalg.norm(AFFINE[:3, :3], axis=0)
    qform = nibabel.Nifti1Image(np.zeros(SHAPE), AFFINE)
    qform.set_qform(AFFINE, 1)
    grid = replace(
        made.grid, affine=AFFINE, zooms=tuple(float(np.float32(size)) for size in sizes),
        qform=qform.get_qform(), qform_code=1, sform=AFFINE, sform_code=2,
    )  # fmt: skip
    return replace(made, scan=scan, grid=grid, sources=SOURCES, warnings=("something is doubtful",))


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_map_has_its_name_its_unit_and_a_sidecar(tmp_path, maps):
    outcome = write(maps, tmp_path, recipe())
    units = {
        "desc-osvd_cbf": "ml/100g/min", "desc-osvd_mtt": "s", "desc-osvd_tmax": "s",
        "desc-uncorrected_cbv": "ml/100g", "desc-bsw_cbv": "ml/100g", "desc-bsw_k1": "1", "desc-bsw_k2": "1/s",
        "bat": "s", "ttp": "s", "psr": "%", "peakheight": "signal", "cnr": "1", "desc-aic_leakage": "label",
        "desc-dscfit_state": "label", "label-brain_desc-dsc_mask": "0/1", "label-AIF_mask": "0/1",
    }  # fmt: skip
    files = {f"{PERF}/sub-01_ses-2_{ending}{kind}" for ending in units for kind in (".nii.gz", ".json")}
    files |= {f"{PERF}/sub-01_ses-2_aif{kind}" for kind in (".tsv", ".json")}
    written = everything(tmp_path)
    assert set(written) == set(outcome.outputs) == files
    for name, raw in written.items():
        state = (tmp_path / name).stat()
        assert outcome.outputs[name] == (hashlib.sha256(raw).hexdigest(), state.st_size, state.st_mtime_ns)
    for ending, unit in units.items():
        assert json.loads(written[f"{PERF}/sub-01_ses-2_{ending}.json"])["Units"] == unit
    assert outcome.voxels == np.prod(SHAPE) and outcome.sources == SOURCES


def test_geometry_is_that_of_the_input(tmp_path, maps):
    write(maps, tmp_path, recipe())
    paths = sorted(tmp_path.rglob("*.nii.gz"))
    assert len(paths) == len(maps.items)
    for path, item in zip(paths, sorted(maps.items, key=lambda item: f"{item.ending}.nii.gz"), strict=True):
        image = nibabel.load(path)
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
        (qform, qcode), (sform, scode) = image.get_qform(coded=True), image.get_sform(coded=True)
        assert (qcode, scode) == (1, 2)
        np.testing.assert_allclose(qform, maps.grid.qform, atol=1e-4)
        np.testing.assert_allclose(sform, AFFINE, atol=1e-5)
        np.testing.assert_allclose(image.header.get_zooms(), maps.grid.zooms, rtol=1e-6)
        assert image.get_data_dtype() == item.data.dtype
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), item.data)


def test_sidecars_say_what_the_contract_promises_and_name_no_place_on_this_machine(tmp_path, maps):
    write(maps, tmp_path, recipe())
    for path in tmp_path.rglob("*.json"):
        text = path.read_text()
        said = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        for key in KEYS if not path.name.endswith("_aif.json") else KEYS[5:]:
            assert key in said, f"{path.name} lacks {key}"
        assert "/data" not in text and str(tmp_path) not in text
        assert not [source for source in said["Sources"] if source.startswith(("/", ".."))]
        assert sorted(said["Sources"]) == sorted(said["SourceHashes"])
        assert said["SourceHashes"]["sub-01/ses-2/perf/sub-01_ses-2_dsc.nii.gz"] == "a" * 64
        assert said["RecipeHash"] == signature(recipe(), "dsc") and said["Device"] == "cpu"
        assert said["GeneratedBy"][0]["Name"] == "bolus" and said["GeneratedBy"][0]["Version"]
        assert said["Warnings"] == ["something is doubtful"]


def test_constants_of_a_map_have_a_value_a_unit_and_a_source(tmp_path, maps):
    write(maps, tmp_path, recipe())
    said = json.loads((tmp_path / PERF / "sub-01_ses-2_desc-osvd_mtt.json").read_text())
    assert said["Parameters"]["EchoTime"] == {"Value": 0.03, "Units": "s", "Source": "sidecar"}
    assert said["Parameters"]["oscillation_index"] == 0.035
    assert said["Parameters"]["BloodVolume"] == "bsw"
    assert said["Equation"] and "Wu" in said["Reference"]
    state = json.loads((tmp_path / PERF / "sub-01_ses-2_desc-dscfit_state.json").read_text())
    assert state["Parameters"]["Levels"]["0"] == "good"


def test_the_aif_can_be_seen_and_found_again(tmp_path, maps):
    write(maps, tmp_path, recipe())
    table = np.loadtxt(tmp_path / PERF / "sub-01_ses-2_aif.tsv", skiprows=1)
    np.testing.assert_allclose(table[:, 0], maps.aif.time, rtol=1e-5)
    np.testing.assert_allclose(table[:, 1], maps.aif.concentration, rtol=1e-8, atol=1e-12)
    said = json.loads((tmp_path / PERF / "sub-01_ses-2_aif.json").read_text())
    assert said["Voxels"] == [[x, y, 0] for y in range(2) for x in range(4)]
    assert said["Method"] == "mask" and said["time"]["Units"] == "s"


def test_the_same_maps_are_the_same_bytes(tmp_path, maps):
    first, again = (write(maps, tmp_path / name, recipe()) for name in "ab")
    shas = [{name: stamp.sha256 for name, stamp in each.outputs.items()} for each in (first, again)]
    assert shas[0] == shas[1] and replace(first, outputs={}) == replace(again, outputs={})
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


@pytest.mark.parametrize("good", [0, 1, 7, 21])
@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_nothing_behind_and_nothing_changed(tmp_path, maps, monkeypatch, good, before):
    if before:  # other maps: what is the same already is not written again
        write(
            replace(maps, items=tuple(replace(each, data=each.data + 1) for each in maps.items)),
            tmp_path,
            recipe(),
        )
    stood = everything(tmp_path)
    real, calls = module.os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > good:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(module.os, "fsync", full)
    changed = recipe("dsc.density=1.05")
    with pytest.raises(OSError, match="No space"):
        write(maps, tmp_path, changed)
    assert everything(tmp_path) == stood


def test_maps_that_are_not_settled_yet_have_no_name_and_dropped_ones_are_gone(tmp_path, maps):
    first, second = (module.begin(maps, tmp_path / name, recipe()) for name in "ab")
    hidden = everything(tmp_path)
    assert hidden and all(Path(name).name.startswith(module.HIDDEN) for name in hidden)
    second.drop()
    assert not everything(tmp_path / "b")
    outcome = first.settle()
    first.drop()  # what has its name stays
    assert set(everything(tmp_path / "a")) == set(outcome.outputs)


def test_a_folder_may_have_braces_in_its_name(tmp_path, maps):
    outcome = write(maps, tmp_path / "{0} {x}", recipe())
    assert set(everything(tmp_path / "{0} {x}")) == set(outcome.outputs)


def test_where_a_name_cannot_be_given_nothing_hidden_stays(tmp_path, maps, monkeypatch):
    def refuse(*paths):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.os, "replace", refuse)
    with pytest.raises(OSError, match="Input/output"):
        write(maps, tmp_path, recipe())
    assert not everything(tmp_path)


def test_what_stands_already_is_in_the_outcome_as_it_stands(tmp_path, maps):
    first = write(maps, tmp_path, recipe())
    os.utime(tmp_path / next(iter(first.outputs)), ns=(1, 1))
    again = write(maps, tmp_path, recipe())
    assert next(iter(again.outputs.values())).mtime_ns == 1
    assert {name: stamp[:2] for name, stamp in again.outputs.items()} == {
        name: stamp[:2] for name, stamp in first.outputs.items()
    }


def test_a_disk_that_cannot_be_told_beforehand_gets_the_same_files(tmp_path, maps, monkeypatch):
    monkeypatch.delattr(module.os, "posix_fadvise", raising=False)
    write(maps, tmp_path / "a", recipe())
    monkeypatch.undo()
    write(maps, tmp_path / "b", recipe())
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path, maps):
    (tmp_path / "sub-01").write_text("in the way")
    with pytest.raises(OSError, match="sub-01"):
        write(maps, tmp_path, recipe())
    assert everything(tmp_path) == {"sub-01": b"in the way"}
