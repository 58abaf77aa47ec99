"""M0 on another grid than its series: resampled by the affines, missing where it does not reach, else refused."""

import json

import nibabel
import numpy as np
import pytest

from bolus.errors import Code
from bolus.nifti import load
from bolus.read.resample import resampled
from bolus_kernels.state import State
from tests.engine.labelled import BRIGHTNESS, FLOW, head, painted, recovered
from tests.engine.test_asl_layouts import computed
from tests.engine.test_asl_schemes import layout, well_inside

SHAPE, ZOOMS = (20, 20, 6), np.array([4.0, 4.0, 5.0])


def smooth(points):
    """A function of place (mm) that trilinear interpolation follows exactly."""
    x, y, z = points
    return 500 + 3 * x - 2 * y + 4 * z


def placed(folder, name, shape, affine, function=smooth):
    index = np.indices(shape).reshape(3, -1)
    points = affine[:3, :3] @ index + affine[:3, 3:]
    nibabel.save(
        nibabel.Nifti1Image(function(points).reshape(shape).astype(np.float32), affine), folder / name
    )
    return load(folder / name)[0]


def grid_of(zooms, origin=(0.0, 0.0, 0.0)):
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = origin
    return affine


def turned(degrees=20.0):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([3.0, 3.0, 4.0])
    affine[:3, 3] = [0, -40, -8]
    return affine


CASES = {
    "finer": ((40, 40, 12), grid_of((2, 2, 2.5))),
    "coarser": ((12, 12, 5), grid_of((7, 7, 8), (-3, -2, -2))),
    "mirrored": ((40, 40, 12), grid_of((-2, 2, 2.5), (78, 0, 0))),
    "shifted by a slice and a half": ((20, 20, 6), grid_of(ZOOMS, (0, 0, 7.5))),
    "turned": ((60, 60, 14), turned()),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_same_place(tmp_path, name):
    series = placed(tmp_path, "asl.nii.gz", SHAPE, grid_of(ZOOMS))
    image = placed(tmp_path, "m0.nii.gz", *CASES[name])
    found, (warning,) = resampled(image, series)
    assert found.data.shape == SHAPE and "another grid" in warning
    index = np.indices(SHAPE).reshape(3, -1)
    points = np.vstack([ZOOMS[:, None] * index, np.ones(index.shape[1])])
    there = (np.linalg.inv(image.grid.affine) @ points)[:3]
    count = np.array(image.grid.shape)[:, None]
    centres = ((there >= 0) & (there <= count - 1)).all(0).reshape(SHAPE)
    reached = ((there >= -0.501) & (there <= count - 0.499)).all(0).reshape(SHAPE)
    assert centres.mean() > 0.4
    np.testing.assert_allclose(found.data[centres], smooth(points[:3]).reshape(SHAPE)[centres], rtol=1e-4)
    np.testing.assert_array_equal(np.isfinite(found.data), reached)
    assert ("have no M0" in warning) == (not reached.all())


def test_volumes_are_resampled_one_by_one(tmp_path):
    series = placed(tmp_path, "asl.nii.gz", SHAPE, grid_of(ZOOMS))
    image = placed(tmp_path, "m0.nii.gz", *CASES["finer"])
    twice = np.stack([image.data, 2 * image.data], axis=3)
    nibabel.save(nibabel.Nifti1Image(twice, image.grid.affine), tmp_path / "twice.nii.gz")
    found, _ = resampled(load(tmp_path / "twice.nii.gz")[0], series)
    assert found.data.shape == (*SHAPE, 2)
    np.testing.assert_allclose(found.data[..., 1], 2 * found.data[..., 0], rtol=1e-6)
    np.testing.assert_array_equal(found.data[..., 0], resampled(image, series)[0].data)


def with_m0(folder, shape, affine, subject="sub-Sub1"):
    """A data set whose M0, of a head of the same size and place, has a grid of its own."""
    made = layout(["control", "label"])
    where = head(made.shape)
    full = painted(where, {t: recovered(10) * m0 for t, m0 in BRIGHTNESS.items()})

    def value(points):
        index = np.clip(np.rint(points / ZOOMS[:, None]).astype(int), 0, np.array(made.shape)[:, None] - 1)
        return full[tuple(index)]

    made.m0.clear()
    write = made.write

    def written(root, data=None):
        write(root, data)
        perf = root / subject / "perf"
        placed(perf, f"{subject}_m0scan.nii.gz", shape, affine, value)
        said = {"RepetitionTimePreparation": 10, "IntendedFor": f"perf/{subject}_asl.nii.gz"}
        (perf / f"{subject}_m0scan.json").write_text(json.dumps(said))
        return root

    made.write = written
    return made


def test_from_files_to_flow_with_a_finer_m0(tmp_path):
    plain, _, _ = computed(layout(["control", "label"]), tmp_path / "plain")
    maps, _, outcome = computed(with_m0(tmp_path, (40, 40, 12), grid_of((2, 2, 2.5))), tmp_path)
    inside = well_inside(maps, "gm") & (plain["label-brain_desc-asl_mask"] == 1)
    ratio = maps["cbf"][inside] / plain["cbf"][inside]
    assert np.median(np.abs(ratio - 1)) < 1e-3 and (np.abs(ratio - 1) < 0.2).all()
    assert any("resampled" in warning for warning in outcome.warnings)


def test_where_m0_does_not_reach_a_voxel_has_a_state(tmp_path):
    made = with_m0(tmp_path, (20, 20, 4), grid_of(ZOOMS))
    maps, _, outcome = computed(made, tmp_path)
    lost = maps["label-brain_desc-asl_mask"][..., 4:] == 1
    assert lost.any()
    assert (maps["desc-aslfit_state"][..., 4:][lost] == State.NO_CALIBRATION).all()
    assert np.isnan(maps["cbf"][..., 4:][lost]).all()
    kept = well_inside(maps, "wm")[..., :4]
    assert np.isfinite(maps["cbf"][..., :4][kept]).all() and FLOW["wm"] > 0
    assert any("33.3 % of the series' voxels lie outside it" in warning for warning in outcome.warnings)


def test_another_matrix_without_a_place_in_space_is_refused(tmp_path, refused):
    made = with_m0(tmp_path, (40, 40, 12), grid_of((2, 2, 2.5)))
    root = made.write(tmp_path / "data")
    path = root / "sub-Sub1" / "perf" / "sub-Sub1_m0scan.nii.gz"
    image = nibabel.load(path)
    bare = nibabel.Nifti1Image(np.asarray(image.dataobj), None)
    bare.header.set_zooms((2, 2, 2.5))
    nibabel.save(bare, path)
    made.write = lambda *_: root
    assert refused(computed, made, tmp_path).code is Code.SHAPE
