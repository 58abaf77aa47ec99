"""A scan of the phantom under a name of its own, good until one of these hands spoils it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from bolus.phantom import write_cohort

SHAPE = (24, 24, 4)
VOLUMES = 40
PLAIN = "sub-01"


@dataclass(frozen=True)
class Place:
    """One scan of a data set, and where what belongs to it lies."""

    root: Path
    name: str
    contrast: str

    @property
    def perf(self) -> Path:
        return self.root / f"sub-{self.name}" / "perf"

    @property
    def image(self) -> Path:
        return self.file(f"{self.contrast}.nii.gz")

    @property
    def json(self) -> Path:
        return self.file(f"{self.contrast}.json")

    def file(self, ending: str) -> Path:
        return self.perf / f"sub-{self.name}_{ending}"

    def given(self, ending: str) -> Path:
        folder = self.root / "derivatives" / "given" / f"sub-{self.name}" / "perf"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"sub-{self.name}_{ending}"


Spoil = Callable[[Place], object]


@dataclass(frozen=True)
class Case:
    """How a scan is spoilt; the code it must get ("" where it must be done all the same), which file is named,

    by how its path ends, and words that must be said of it.
    """

    contrast: str
    spoil: Spoil
    code: str
    file: str
    words: tuple[str, ...] = ()


def phantom(folder: Path) -> Path:
    """The data set that every scan is copied from."""
    write_cohort(folder, 1, shape=SHAPE, volumes=VOLUMES)
    return folder


def place(source: Path, root: Path, name: str, contrast: str) -> Place:
    """A good scan of one contrast under the name of a new subject."""
    put = Place(root, name, contrast)
    put.perf.mkdir(parents=True)
    endings = ("dsc.*",) if contrast == "dsc" else ("asl*", "m0scan.*")
    for ending in endings:
        for path in (source / PLAIN / "perf").glob(f"{PLAIN}_{ending}"):
            shutil.copy(path, put.perf / path.name.replace(PLAIN, f"sub-{name}"))
    if contrast == "asl":
        put.file("m0scan.json").write_text(
            put.file("m0scan.json").read_text().replace(PLAIN, f"sub-{name}"), encoding="utf-8"
        )
    return put


# Bytes.


def content(make: Callable[[bytes], bytes], ending: str = "") -> Spoil:
    """Other bytes in the place of the image, or of the file of that ending."""

    def spoil(at: Place) -> None:
        path = at.file(ending) if ending else at.image
        path.write_bytes(make(path.read_bytes()))

    return spoil


def unpacked(make: Callable[[bytes], bytes], ending: str = "") -> Spoil:
    """Other bytes inside the gzip file."""
    return content(lambda raw: gzip.compress(make(gzip.decompress(raw)), 1), ending)


def flipped(raw: bytes) -> bytes:
    half = len(raw) // 2
    return raw[:half] + bytes([raw[half] ^ 0x10]) + raw[half + 1 :]


# Headers and voxels.


def header(ending: str = "", **fields: Any) -> Spoil:
    """Fields of the header as they are said, `dim_4` being dim[4]; nothing checks them."""

    def make(raw: bytes) -> bytes:
        head = nibabel.Nifti1Header(raw[:348], check=False)
        for key, value in fields.items():
            name, _, index = key.partition("_") if key.startswith(("dim_", "pixdim_")) else (key, "", "")
            if index:
                head[name][int(index)] = value
            else:
                head[name] = value
        return head.binaryblock + raw[348:]

    return unpacked(make, ending)


def voxels(change: Callable[[Any], Any], ending: str = "", **options: Any) -> Spoil:
    """Other values (float32 unless the change makes them otherwise) under the same header."""

    def spoil(at: Place) -> None:
        path = at.file(ending) if ending else at.image
        image = nibabel.load(path)
        values = change(np.asarray(image.dataobj, np.float32))
        affine = options.get("affine", lambda form: form)(image.affine)
        made = nibabel.Nifti1Image(values, affine)
        if values.ndim == 4:
            made.header.set_zooms((*image.header.get_zooms()[:3], image.header.get_zooms()[-1]))
        made.header.set_xyzt_units("mm", "sec")
        nibabel.save(made, path)

    return spoil


def stored(kind: Any, dtype: Any, byteorder: str = "<", *, packed: bool = True) -> Spoil:
    """The same values in another dress: NIfTI-1 or -2, another type, another order of bytes, packed or not."""

    def spoil(at: Place) -> None:
        image = nibabel.load(at.image)
        raw = np.asarray(image.dataobj.get_unscaled())
        head = kind.header_class(endianness=byteorder)
        made = kind(raw.astype(dtype), image.affine, head)
        made.set_qform(image.affine, 1)
        made.set_sform(image.affine, 1)
        made.set_data_dtype(np.dtype(dtype).newbyteorder(byteorder))
        made.header.set_zooms(image.header.get_zooms())
        made.header.set_xyzt_units("mm", "sec")
        made.header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
        whole = made.to_bytes()
        at.image.write_bytes(gzip.compress(whole, 1) if packed else whole)

    return spoil


# Sidecars and tables.


def says(ending: str = "", /, **changes: Any) -> Spoil:
    """Other fields in the sidecar; None takes one away."""

    def spoil(at: Place) -> None:
        path = at.file(ending) if ending else at.json
        fields = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))

    return spoil


def text(change: Callable[[str], str], ending: str = "", encoding: str = "utf-8") -> Spoil:
    """Other text in the sidecar, or in the file of that ending."""

    def spoil(at: Place) -> None:
        path = at.file(ending) if ending else at.json
        path.write_bytes(change(path.read_text()).encode(encoding))

    return spoil


def give(ending: str, values: Any, affine: Callable[[Any], Any] = lambda form: form) -> Spoil:
    """A mask or map among the derivatives, in the space of the series unless it is moved."""

    def spoil(at: Place) -> None:
        series = nibabel.load(at.image)
        nibabel.save(nibabel.Nifti1Image(values, affine(series.affine)), at.given(ending))

    return spoil


def gone(ending: str = "") -> Spoil:
    """No such file."""
    return lambda at: (at.file(ending) if ending else at.image).unlink()


def also(*spoils: Spoil) -> Spoil:
    """One after the other."""

    def spoil(at: Place) -> None:
        for one in spoils:
            one(at)

    return spoil
