"""Bytes on disk: what is no image, cut short, damaged or a bomb is refused before it can do harm."""

import gzip
import io
import os
import struct

import nibabel
import numpy as np
import pytest

from bolus import nifti
from bolus.errors import BolusError, Code

AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


def series():
    return np.random.default_rng(1).integers(1, 200, (5, 4, 3, 6)).astype(np.int16)


def raw():
    return nibabel.Nifti1Image(series(), AFFINE).to_bytes()


def whole():
    return gzip.compress(raw(), mtime=0)


def flipped(position):
    content = bytearray(whole())
    content[position] ^= 0x10
    return bytes(content)


DAMAGED_FILES = {
    "empty": (b"", "0 bytes"),
    "cut in the stream": (whole()[: len(whole()) // 2], "incomplete"),
    "cut in the gzip header": (whole()[:5], "incomplete"),
    "no trailer": (whole()[:-8], "incomplete"),
    "half a trailer": (whole()[:-3], "incomplete"),
    "wrong crc": (whole()[:-8] + b"abcd" + whole()[-4:], "CRC"),
    "wrong length": (whole()[:-4] + b"abcd", "length"),
    "bit flip": (flipped(len(whole()) // 2), "damaged"),
    "garbage behind": (whole() + b"garbage behind the end", "gzip"),
    "twice": (whole() + whole(), "follow"),
    "nothing packed": (gzip.compress(b""), "holds nothing"),
    "too short": (gzip.compress(raw()[:100]), "begins with"),
    "web page": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", "Git LFS"),
    "annex": (b"/annex/objects/MD5E-s12--aa.nii.gz\n", "git-annex"),
    "text": (b"this is no image at all, whatever its name says", "begins with"),
    "gzipped twice": (gzip.compress(whole()), "gzipped twice"),
    "zip": (b"PK\x03\x04" + bytes(600), "ZIP archive"),
    "zeros": (bytes(900), "zeros"),
    "picture": (b"\xff\xd8\xff\xe0" + bytes(600), "JPEG"),
    "dicom, packed": (gzip.compress(bytes(128) + b"DICM" + bytes(800)), "DICOM"),
    "dicom": (bytes(128) + b"DICM" + bytes(800), "DICOM"),
}


@pytest.mark.parametrize("damage", DAMAGED_FILES)
def test_a_damaged_file_is_refused(tmp_path, damage, refused):
    content, seen = DAMAGED_FILES[damage]
    path = tmp_path / "sub-01_dsc.nii.gz"
    path.write_bytes(content)
    error = refused(nifti.load, path)
    assert error.code == Code.CORRUPT
    assert seen in error.seen


def test_words_within_a_header_make_no_stranger_of_an_image(tmp_path):
    """Tools write names of files and more into the free text of a header."""
    image = nibabel.Nifti1Image(series(), AFFINE)
    image.header["descrip"] = b"<html> from /annex/objects/"
    path = tmp_path / "a.nii.gz"
    nibabel.save(image, path)
    np.testing.assert_array_equal(nifti.load(path)[0].data, series())


def test_a_flipped_bit_is_refused_or_harmless(tmp_path):
    """Some bits of gzip say nothing (date, system, padding); any other must not pass with other values."""
    path = tmp_path / "a.nii.gz"
    expected = series()
    refusals = 0
    for position in range(len(whole())):
        path.write_bytes(flipped(position))
        try:
            volume, _ = nifti.load(path)
        except BolusError as error:
            assert error.seen and error.mend
            refusals += 1
        else:
            np.testing.assert_array_equal(volume.data, expected)
    assert refusals > len(whole()) - 20


def test_members_of_one_gzip_file_are_joined(tmp_path):
    content = raw()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(nifti.load(path)[0].data, series())


def test_zeros_behind_a_gzip_file_are_padding(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(whole() + bytes(512))
    np.testing.assert_array_equal(nifti.load(path)[0].data, series())


def test_content_decides_not_the_extension(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(raw())
    (tmp_path / "b.nii").write_bytes(whole())
    for name in ("a.nii.gz", "b.nii"):
        np.testing.assert_array_equal(nifti.load(tmp_path / name)[0].data, series())


def zeros_packed(length):
    """`length` zeros behind a header, packed without ever holding them."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as packer:
        head = bytearray(raw()[:352])
        head[42:50] = struct.pack("<4h", 1024, 1024, 512, 1)
        packer.write(head)
        block = bytes(1 << 20)
        for _ in range(length >> 20):
            packer.write(block)
    return buffer.getvalue()


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, refused):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(zeros_packed(4 << 20))  # its header announces 1 GiB: judged by that alone
    monkeypatch.setattr("bolus.disk._inflate", lambda *_: pytest.fail("unpacked"))
    error = refused(nifti.load, path)
    assert error.code == Code.BOMB
    assert str(352 + (1 << 30)) in error.seen


def test_a_small_header_before_endless_zeros_is_a_bomb(tmp_path, refused):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(raw() + bytes(3 << 20)))
    assert refused(nifti.load, path).code == Code.BOMB


def test_a_mask_of_almost_nothing_packs_well_and_is_no_bomb(tmp_path):
    path = tmp_path / "mask.nii.gz"
    data = np.zeros((128, 128, 60), np.uint8)
    data[64, 64, 30] = 1
    nibabel.save(nibabel.Nifti1Image(data, AFFINE), path)
    assert data.nbytes > 100 * path.stat().st_size
    assert nifti.load(path)[0].data.sum() == 1


def test_more_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch, refused):
    path = tmp_path / "a.nii"
    path.write_bytes(raw())
    monkeypatch.setattr("bolus.disk._available_memory", lambda: 1000)
    error = refused(nifti.load, path)
    assert error.code == Code.MEMORY
    assert "1000" in error.seen


def test_what_is_no_file_is_refused(tmp_path, refused):
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "dangling.nii.gz").symlink_to("../.git/annex/objects/aa.nii.gz")
    (tmp_path / "circle.nii.gz").symlink_to("circle.nii.gz")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    seen = {
        "folder": "a folder",
        "dangling": ".git/annex/objects/aa.nii.gz",
        "circle": "in a circle",
        "pipe": "pipe",
        "missing": "no such file",
    }
    for name, words in seen.items():
        error = refused(nifti.load, tmp_path / f"{name}.nii.gz")
        assert error.code == Code.PATH
        assert words in error.seen


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch, refused):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(whole())

    def closed(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    # The superuser may read everything, so a file mode alone would prove nothing there.
    monkeypatch.setattr("pathlib.Path.open", closed)
    assert refused(nifti.load, path).code == Code.PERM
