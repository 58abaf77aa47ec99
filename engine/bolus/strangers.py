"""What a file is that stands in the place of an image: told from its first bytes, with what to do about it."""

from __future__ import annotations

NIFTI = ((b"n+1\0", 344), (b"n+2\0", 4))
SIZES = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
"""What the header of an Analyze or NIfTI-1 image begins with: its length, 348, in either order of bytes."""
AGAIN = "Download the file itself: this is the page about it, or a login page."
UNPACK = "Unpack it, and give the NIfTI image that is in it (`.nii`, or packed by `gzip`)."
CONVERT = "Convert it to NIfTI, for instance with `mrconvert` or `mri_convert`."
POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "Run `git lfs pull` in the data set."),
    (b"/annex/objects/", "a git-annex pointer", "Run `datalad get` or `git annex get` in the data set."),
    (b"<!doctype", "a web page", AGAIN),
    (b"<html", "a web page", AGAIN),
    (b"<?xml", "an XML text", AGAIN),
)
MARKS = (
    (128, b"DICM", "a DICOM file", "Convert its series with `dcm2niix -z y FOLDER`."),
    (344, b"ni1\0", "the header of a .hdr/.img pair", "Make one file of the two: `fslchfiletype NIFTI_GZ`."),
    (0, b"\x1f\x8b", "a gzip file that was gzipped twice", "Unpack it once: `gunzip`."),
    (0, b"PK\x03\x04", "a ZIP archive", UNPACK),
    (0, b"BZh", "a file packed by bzip2", UNPACK),
    (0, b"\xfd7zXZ", "a file packed by xz", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a file packed by zstd", UNPACK),
    (0, b"NRRD", "an NRRD image", CONVERT),
    (0, b"\x89HDF", "an HDF5 file (MINC, perhaps)", CONVERT),
    (0, b"\0\0\0\x01", "a FreeSurfer image (.mgh)", CONVERT),
    (0, b"\x89PNG", "a picture (PNG)", "Give the series itself."),
    (0, b"\xff\xd8\xff", "a picture (JPEG)", "Give the series itself."),
    (0, b"%PDF", "a PDF document", "Give the series itself."),
)
EMPTY = 64
BROKEN_OFF = "Copy the file again: what made it was broken off, or its disk was full."


def stranger(start: bytes) -> tuple[str, str] | None:
    """What a file with these first bytes is, and how to mend it; None for an image, and for what is not known."""
    if any(start[at : at + len(mark)] == mark for mark, at in NIFTI):
        return None
    for mark, what, mend in POINTERS:
        if mark in start[:256].lower():
            first = start[:60].decode("ascii", "replace").split("\n", 1)[0]
            return f"{what} ({first!r})", mend
    for at, mark, what, mend in MARKS:
        if start[at : at + len(mark)] == mark:
            return what, mend
    if len(start) >= EMPTY and not any(start[:EMPTY]):
        return f"a file that begins with {EMPTY} zeros", BROKEN_OFF
    if start[:4] in SIZES and len(start) >= 348 and not any(start[344:348]):
        return "an Analyze 7.5 header, which does not say left from right", CONVERT
    return None
