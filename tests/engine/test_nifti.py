"""NIfTI in and out: what a scanner writes is read as it is, what is damaged is refused by name."""

import gzip
import hashlib
import struct

import nibabel
import numpy as np
import pytest

from bolus import nifti
from bolus.errors import BolusError, Code
from bolus.series import Grid

AFFINE = np.array([[-2.0, 0.1, 0, 90], [0.1, 2.0, 0, -80], [0, 0, 4, -30], [0, 0, 0, 1]])
SHAPE = (5, 4, 3)


def grid(affine=AFFINE, *, qform_code=1, sform_code=1):
    zooms = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    header = nibabel.Nifti1Header()
    header.set_qform(affine, 1)
    qform = header.get_qform() if qform_code else None
    return Grid(SHAPE, affine, zooms, qform, qform_code, affine if sform_code else None, sform_code)


def series(dtype=np.int16, volumes=6):
    return np.random.default_rng(1).integers(1, 200, (*SHAPE, volumes)).astype(dtype)


def raw(data=None, kind=nibabel.Nifti1Image, byteorder="<", **fields):
    """An uncompressed file as bytes, with header fields overwritten after nibabel had its say."""
    data = series() if data is None else data
    header = kind.header_class(endianness=byteorder)
    header.set_data_dtype(data.dtype)
    image = kind(data, AFFINE, header)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 1.5
    buffer = bytearray(image.to_bytes())
    size = kind.header_class.sizeof_hdr
    patched = kind.header_class(bytes(buffer[:size]), endianness=byteorder, check=False)
    for key, value in fields.items():
        if key.startswith(("dim_", "pixdim_")):
            name, _, index = key.partition("_")
            patched[name][int(index)] = value
        else:
            patched[key] = value
    buffer[:size] = patched.binaryblock
    return bytes(buffer)


def refusal(path):
    with pytest.raises(BolusError) as caught:
        nifti.load(path)
    error = caught.value
    assert error.file == str(path)
    assert error.seen and error.expected and error.mend
    return error


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_every_kind_of_file_is_read_in_its_stored_type(tmp_path, dtype, kind, byteorder, name):
    content = raw(series(dtype), kind, byteorder)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    volume, sha = nifti.load(path)
    assert volume.data.dtype == np.dtype(dtype) and volume.data.dtype.isnative
    np.testing.assert_array_equal(volume.data, series(dtype))
    assert volume.data.flags.f_contiguous
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-6)
    assert sha == hashlib.sha256(path.read_bytes()).hexdigest()
    assert volume.time_step == 1.5


def test_the_same_data_make_the_same_bytes_and_come_back(tmp_path):
    data = series(np.float32)
    data[0, 0, 0, 0] = np.nan
    path = tmp_path / "map.nii.gz"
    sha = nifti.save(path, data, grid(), tr=2.0)
    assert path.read_bytes() == nifti.encode(np.asfortranarray(data), grid(), 2.0)
    volume, again = nifti.load(path)
    assert sha == again
    np.testing.assert_array_equal(volume.data, data)
    assert volume.time_step == 2.0
    theirs = nibabel.load(path)
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), data)
    assert theirs.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize(("qform_code", "sform_code"), [(1, 1), (1, 0), (0, 1), (0, 0), (4, 4), (1, 2)])
def test_affine_codes_and_zooms_survive_a_round_trip(tmp_path, qform_code, sform_code):
    sheared = AFFINE.copy()
    sheared[:3, :3] = np.diag([-2, 2, 4.0])
    before = grid(sheared, qform_code=qform_code, sform_code=sform_code)
    path = tmp_path / "map.nii.gz"
    nifti.save(path, series()[..., 0], before)
    after = nifti.load(path)[0].grid
    assert (after.qform_code, after.sform_code) == (qform_code, sform_code)
    assert (after.qform is None, after.sform is None) == (qform_code == 0, sform_code == 0)
    np.testing.assert_allclose(after.zooms, before.zooms, rtol=1e-6)
    if qform_code or sform_code:
        np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


def test_scaling_is_kept_beside_the_stored_values(tmp_path):
    path = tmp_path / "a.nii.gz"
    nifti.save(path, series(), grid(), slope=0.5, inter=-3.0)
    volume, _ = nifti.load(path)
    assert (volume.slope, volume.inter) == (0.5, -3.0)
    np.testing.assert_allclose(volume.scaled(), series() * 0.5 - 3.0)


def test_a_slope_of_zero_means_one(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(raw(scl_slope=0, scl_inter=7))
    volume, _ = nifti.load(path)
    assert (volume.slope, volume.inter) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("unit", "step", "seconds"), [(16, 1500, 1.5), (8, 2, 2.0), (0, 1500, None), (8, 0, None)]
)
def test_the_time_step_needs_a_unit(tmp_path, unit, step, seconds):
    path = tmp_path / "a.nii"
    path.write_bytes(raw(xyzt_units=2 | unit, pixdim_4=step))
    assert nifti.load(path)[0].time_step == seconds


def test_trailing_axes_of_length_one_are_dropped(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(raw(dim_0=5, dim_5=1))
    assert nifti.load(path)[0].data.shape == (*SHAPE, 6)


def test_only_what_maps_need_is_written():
    with pytest.raises(ValueError, match="float64"):
        nifti.encode(series(np.float64), grid())
    with pytest.raises(ValueError, match="do not lie"):
        nifti.encode(np.zeros((2, 2, 2), np.float32), grid())


DAMAGED_HEADERS = {
    "bomb": ({"dim_1": 32767, "dim_2": 32767, "dim_3": 32767, "dim_4": 10}, Code.BOMB, "703623019233612"),
    "negative": ({"dim_3": -3}, Code.SHAPE, "(5, 4, -3, 6)"),
    "zero": ({"dim_4": 0}, Code.SHAPE, "(5, 4, 3, 0)"),
    "two axes": ({"dim_0": 2}, Code.SHAPE, "(5, 4)"),
    "nine axes": ({"dim_0": 9}, Code.CORRUPT, "9 dimensions"),
    "five axes": ({"dim_0": 5, "dim_5": 2}, Code.SHAPE, "(5, 4, 3, 6, 2)"),
    "rgb": ({"datatype": 128}, Code.CORRUPT, "RGB"),
    "complex": ({"datatype": 32}, Code.CORRUPT, "complex64"),
    "unknown type": ({"datatype": 77}, Code.CORRUPT, "77"),
    "bitpix": ({"bitpix": 8}, Code.CORRUPT, "8 bits"),
    "nan slope": ({"scl_slope": np.nan}, Code.CORRUPT, "nan"),
    "infinite inter": ({"scl_inter": np.inf}, Code.CORRUPT, "inf"),
    "offset in header": ({"vox_offset": 10}, Code.CORRUPT, "byte 10"),
    "offset nan": ({"vox_offset": np.nan}, Code.CORRUPT, "nan"),
    "offset far": ({"vox_offset": 1e18}, Code.CORRUPT, "1e+18"),
    "no voxel size": ({"pixdim_2": 0}, Code.GEOM, "x 0 x"),
    "nan voxel size": ({"pixdim_2": np.nan}, Code.GEOM, "nan"),
    "metres": ({"pixdim_1": 0.002, "pixdim_2": 0.002, "pixdim_3": 0.004}, Code.GEOM, "0.002"),
    "singular": ({"srow_x": [0, 0, 0, 1]}, Code.GEOM, "cannot be inverted"),
    "nan affine": ({"srow_x": [np.nan, 0, 0, 1]}, Code.GEOM, "sform"),
    "far affine": ({"srow_x": [1e30, 0, 0, 1]}, Code.GEOM, "e+30"),
    "code": ({"sform_code": 77}, Code.GEOM, "sform_code of 77"),
    "qfac": ({"qform_code": 1, "pixdim_0": 3}, Code.GEOM, "qfac of 3"),
    "quaternion": ({"qform_code": 1, "quatern_b": 3.0}, Code.GEOM, "qform"),
    "contradiction": ({"qform_code": 2, "quatern_b": 0, "quatern_c": 0}, Code.GEOM, "mm apart"),
    "truncated": ({"dim_4": 7}, Code.CORRUPT, "cut short by 120"),
    "longer": ({"dim_4": 5}, Code.CORRUPT, "120 follow"),
    "not nifti": ({"magic": b"xxx"}, Code.CORRUPT, "begins with"),
    "pair": ({"magic": b"ni1"}, Code.CORRUPT, ".hdr/.img pair"),
    "analyze": ({"magic": b""}, Code.CORRUPT, "Analyze 7.5"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("damage", DAMAGED_HEADERS)
def test_a_damaged_header_is_refused(tmp_path, damage, name):
    fields, code, seen = DAMAGED_HEADERS[damage]
    path = tmp_path / name
    content = raw(**fields)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    error = refusal(path)
    assert error.code == code
    assert seen in error.seen


def test_contradicting_forms_of_different_spaces_are_kept(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(raw(qform_code=1, sform_code=4, quatern_b=0, quatern_c=0, quatern_d=0))
    volume, _ = nifti.load(path)
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-6)
    assert nifti.disagreement(SHAPE, volume.grid.qform, volume.grid.sform) > 10


def test_the_header_is_where_the_standard_says():
    content = gzip.decompress(nifti.encode(series(), grid(), 1.5))
    assert struct.unpack("<i", content[:4]) == (348,)
    assert content[344:348] == b"n+1\0"
    assert struct.unpack("<f", content[108:112]) == (352.0,)
    assert len(content) == 352 + series().nbytes
