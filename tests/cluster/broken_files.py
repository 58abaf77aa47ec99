"""Images that are damaged, are no images, or say what cannot be: each with the code and words it must get."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable

import nibabel
import numpy as np

from tests.cluster.broken import (
    SHAPE,
    Case,
    Place,
    Spoil,
    content,
    flipped,
    give,
    gone,
    header,
    stored,
    unpacked,
    voxels,
)

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Please sign in</body></html>"
DICOM = bytes(128) + b"DICM" + bytes(4000)


def bad(spoil: Spoil, code: str, *words: str, contrast: str = "dsc", file: str = "") -> Case:
    return Case(contrast, spoil, code, file or f"{contrast}.nii.gz", words)


def link(target: str) -> Spoil:
    def spoil(at: Place) -> None:
        at.image.unlink()
        at.image.symlink_to(target)

    return spoil


def folder(at: Place) -> None:
    at.image.unlink()
    at.image.mkdir()


def pipe(at: Place) -> None:
    at.image.unlink()
    os.mkfifo(at.image)


def bomb(raw: bytes) -> bytes:
    """A few megabytes, were they unpacked, whose header announces two thousand million."""
    head = bytearray(gzip.decompress(raw)[:352])
    head[40:56] = struct.pack("<8h", 4, 1024, 1024, 512, 2, 1, 1, 1)
    return gzip.compress(bytes(head) + bytes(4 << 20), 9)


def overfull(raw: bytes) -> bytes:
    """A small series before hundreds of megabytes of zeros."""
    packed = gzip.compress(bytes(64 << 20), 9)
    return raw + packed * 5


def moved(by: float) -> Callable[[np.ndarray], np.ndarray]:
    shift = np.zeros((4, 4))
    shift[0, 3] = by
    return lambda form: form + shift


def one_volume(index: int, value: float) -> Spoil:
    def change(values: np.ndarray) -> np.ndarray:
        values[..., index] = value
        return values

    return voxels(change)


def some_nan(values: np.ndarray) -> np.ndarray:
    values[12, 12, 1:3, 4:10] = np.nan
    return values


ONES = np.ones(SHAPE, np.uint8)
SOFT = np.full(SHAPE, 0.5, np.float32)
SOFT[0] = 0.25

BYTES = {
    "truncated": bad(content(lambda raw: raw[: len(raw) // 2]), "E_CORRUPT", "incomplete"),
    "crc": bad(content(lambda raw: raw[:-8] + b"abcd" + raw[-4:]), "E_CORRUPT", "CRC"),
    "notrailer": bad(content(lambda raw: raw[:-8]), "E_CORRUPT", "incomplete"),
    "bitflip": bad(content(flipped), "E_CORRUPT", "CRC"),
    "garbage": bad(content(lambda raw: raw + b"what an aborted upload left"), "E_CORRUPT", "behind its end"),
    "empty": bad(content(lambda raw: b""), "E_CORRUPT", "empty file (0 bytes)"),
    "zeros": bad(content(lambda raw: bytes(len(raw))), "E_CORRUPT", "zero"),
    "html": bad(content(lambda raw: PAGE), "E_CORRUPT", "web page"),
    "lfs": bad(content(lambda raw: LFS), "E_CORRUPT", "git lfs pull"),
    "annex": bad(content(lambda raw: b"/annex/objects/MD5E-s1--a.nii.gz\n"), "E_CORRUPT", "datalad get"),
    "dicom": bad(content(lambda raw: DICOM), "E_CORRUPT", "DICOM", "dcm2niix"),
    "dicomgz": bad(content(lambda raw: gzip.compress(DICOM)), "E_CORRUPT", "DICOM", "dcm2niix"),
    "zip": bad(content(lambda raw: b"PK\x03\x04" + raw), "E_CORRUPT", "ZIP"),
    "analyze": bad(header(magic=b""), "E_CORRUPT", "Analyze"),
    "pair": bad(header(magic=b"ni1"), "E_CORRUPT", ".hdr/.img"),
    "twice": bad(content(gzip.compress), "E_CORRUPT", "gzipped twice"),
    "dangling": bad(link("../../.git/annex/objects/aa/MD5E-s1--a.nii.gz"), "E_PATH", "where nothing is", "datalad get"),
    "loop": bad(lambda at: link(at.image.name)(at), "E_PATH", "circle"),
    "outside": bad(link("/etc/hostname"), "E_PATH", "leaves the data set", "/etc/hostname"),
    "folder": bad(folder, "E_PATH", "a folder"),
    "pipe": bad(pipe, "E_PATH", "pipe"),
}  # fmt: skip

HEADERS = {
    "headerbomb": bad(header(dim_1=32767, dim_2=32767, dim_3=32767, dim_4=10), "E_BOMB", "announces"),
    "gzbomb": bad(content(bomb), "E_BOMB", ":1"),
    "overfull": bad(content(overfull), "E_BOMB", "after the 184672"),
    "threed": bad(voxels(lambda v: v[..., 0]), "E_SHAPE", "one volume"),
    "onevolume": bad(voxels(lambda v: v[..., :1]), "E_TOO_FEW", "1 volume"),
    "zerovolumes": bad(header(dim_4=0), "E_SHAPE", "at least 1"),
    "negative": bad(header(dim_3=-3), "E_SHAPE", "-3"),
    "fived": bad(header(dim_0=5, dim_4=20, dim_5=2), "E_SHAPE", "(24, 24, 4, 20, 2)"),
    "vector": bad(header(dim_0=5, dim_4=1, dim_5=40), "E_SHAPE", "(24, 24, 4, 1, 40)", "fourth axis"),
    "cutoff": bad(unpacked(lambda raw: raw[:-1000]), "E_CORRUPT", "cut short by 1000"),
    "complex": bad(header(datatype=32, bitpix=64), "E_CORRUPT", "complex64", "magnitude"),
    "nanslope": bad(header(scl_slope=np.nan), "E_CORRUPT", "scl_slope"),
    "singular": bad(header(srow_x=[0, 0, 0, 1]), "E_GEOM", "cannot be inverted"),
    "nanaffine": bad(header(srow_x=[np.nan, 0, 0, 1]), "E_GEOM", "sform"),
    "contradiction": bad(header(sform_code=1, qform_code=1, qoffset_x=50), "E_GEOM", "qform and an sform"),
    "metres": bad(header(pixdim_1=0.002, pixdim_2=0.002, pixdim_3=0.004), "E_GEOM", "0.002"),
    "context": bad(voxels(lambda v: v[..., :-1]), "E_SHAPE", "rows for", contrast="asl", file="aslcontext.tsv"),
    "maskgrid": bad(give("label-brain_mask.nii.gz", ONES[:12]), "E_SHAPE", "Resample", file="label-brain_mask.nii.gz"),
    "maskplace": bad(
        give("label-brain_mask.nii.gz", ONES, moved(40)), "E_GEOM", "Resample", file="label-brain_mask.nii.gz"
    ),
    "masksoft": bad(give("label-brain_mask.nii.gz", SOFT), "E_DATA", "threshold", file="label-brain_mask.nii.gz"),
    "maskempty": bad(give("label-brain_mask.nii.gz", ONES * 0), "E_DATA", "empty mask", file="label-brain_mask.nii.gz"),
    "m0place": bad(
        voxels(lambda v: v, "m0scan.nii.gz", affine=moved(500)), "E_GEOM", "covers 0 %",
        contrast="asl", file="m0scan.nii.gz",
    ),
    "m0zero": bad(voxels(lambda v: v * 0, "m0scan.nii.gz"), "E_DATA", "above 0", contrast="asl", file="m0scan.nii.gz"),
    "m0gone": bad(gone("m0scan.nii.gz"), "E_META", "m0scan", contrast="asl", file="asl.json"),
}  # fmt: skip

DATA = {
    "nan": bad(voxels(lambda v: v * np.nan), "E_DATA", "without a finite voxel"),
    "infvolume": bad(one_volume(7, np.inf), "E_DATA", "number 7"),
    "allzero": bad(voxels(lambda v: v * 0), "E_DATA", "nothing but zeros"),
    "lostvolume": bad(one_volume(20, 0), "E_DATA", "number 20"),
    "constant": bad(voxels(lambda v: v * 0 + 7), "E_DATA", "all equal"),
    "saturated": bad(voxels(lambda v: (v * 0 + 32767).astype(np.int16)), "E_DATA", "all equal"),
    "minus": bad(voxels(lambda v: -v), "E_DATA", "above 0", "magnitude"),
    "nobolus": bad(
        voxels(lambda v: v[..., :1] + np.random.default_rng(1).normal(0, 3, v.shape).astype(np.float32)),
        "E_DATA", "bolus", "contrast agent was given",
    ),
    "noise": bad(
        voxels(lambda v: np.random.default_rng(1).integers(1, 900, v.shape).astype(np.int16)),
        "E_DATA", "bolus",
    ),
    "aslnan": bad(voxels(lambda v: v * np.nan), "E_DATA", "finite", contrast="asl"),
    "aslzero": bad(voxels(lambda v: v * 0), "E_DATA", "zeros", contrast="asl"),
}  # fmt: skip

DOUBTFUL = {
    "somenan": Case("dsc", voxels(some_nan), "", "", ("12 samples", "NaN or infinite")),
    "clipped": Case("dsc", voxels(lambda v: np.minimum(v, np.quantile(v, 0.98)).astype(np.int16)), "", "", ("saturated",)),
    "nowhere": Case("dsc", header(qform_code=0, sform_code=0), "", "", ("place in space is unknown",)),
    "twoplaces": Case("dsc", header(qform_code=1, sform_code=4, qoffset_x=-60), "", "", ("mm apart", "sform was used")),
    "mssaid": Case("dsc", header(pixdim_4=1500, xyzt_units=2 | 8), "", "", ("milliseconds",)),
    "onesecond": Case("dsc", header(pixdim_4=1, xyzt_units=2 | 8), "", "", ("1 s between volumes",)),
}  # fmt: skip
"""Files that can be computed, with something in them that must be told."""

WHOLE = {
    "unpackedgz": stored(nibabel.Nifti1Image, np.int16, packed=False),
    "bigendian": stored(nibabel.Nifti1Image, np.int16, ">"),
    "nifti2": stored(nibabel.Nifti2Image, np.int16),
    "float64": stored(nibabel.Nifti1Image, np.float64),
    "uint16": stored(nibabel.Nifti1Image, np.uint16),
    "packednii": lambda at: at.image.rename(at.file("dsc.nii")),
    "trailingaxis": header(dim_0=5, dim_5=1),
    "intent": header(intent_code=1001, intent_name=b"estimate", descrip=b"\xff\xfe not ASCII", aux_file=b"x"),
    "qformzero": header(qform_code=0),
    "sformzero": header(sform_code=0),
    "members": content(lambda raw: b"".join(map(gzip.compress, (gzip.decompress(raw)[:400], gzip.decompress(raw)[400:])))),
    "padded": content(lambda raw: raw + bytes(512)),
    "nostep": header(pixdim_4=0),
    "milliseconds": header(pixdim_4=1500, xyzt_units=2 | 16),
}  # fmt: skip
"""Files that are well, however unusual: their maps must be those of the plain one, bit by bit."""
