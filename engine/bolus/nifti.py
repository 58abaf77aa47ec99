"""NIfTI files: bytes on disk <-> a Volume; the only file that imports nibabel."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.disk import digest, read_head, read_image
from bolus.errors import BolusError, Code
from bolus.series import Array, Grid, Volume

HEAD = 544
# NIfTI datatype code -> what it is called and how many bits it takes; other codes exist and are refused.
REAL = {
    2: "uint8", 4: "int16", 8: "int32", 16: "float32", 64: "float64", 256: "int8",
    512: "uint16", 768: "uint32", 1024: "int64", 1280: "uint64",
}  # fmt: skip
OTHER = {1: "binary", 32: "complex64", 128: "RGB", 1536: "float128", 1792: "complex128", 2304: "RGBA"}
SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
MOST_DISAGREEMENT = 1.0
SMALLEST_VOXEL, LARGEST_VOXEL = 0.05, 100.0
FARTHEST = 1e5
MOST_CODE = 5
RECONVERT = "Convert the scan again from its source, and compare the two headers."


def load(path: Path) -> tuple[Volume, str]:
    """One image, .nii or .nii.gz, NIfTI-1 or -2, either byte order, and the SHA-256 of its file.

    The data keep their stored dtype (native byte order), (x, y, z) or (x, y, z, t), Fortran order, read-only.
    Raises BolusError: E_PATH, E_PERM, E_CORRUPT, E_BOMB, E_MEMORY, E_SHAPE, E_GEOM.
    Source: NIfTI-1.1 and NIfTI-2 header definitions, nifti.nimh.nih.gov.
    """
    found: list[Any] = []

    def announced(head: bytes) -> int:
        found.append(_header(path, head))
        return _bytes(path, found[0])

    content, sha = read_image(path, HEAD, announced)
    header = found[0]
    shape = _shape(path, header)
    slope, inter = _scaling(path, header)
    grid = _grid(path, header, shape[:3])
    stored = _dtype(path, header)
    data = content[_offset(path, header) :].view(stored).reshape(shape, order="F")
    if not stored.isnative:
        data = data.astype(stored.newbyteorder("="), order="F")
    data.flags.writeable = False
    return Volume(data, slope, inter, grid, path, _time_step(header)), sha


def bytes_of(path: Path) -> int:
    """How many bytes an image takes once it is unpacked, by its header alone; raises as `load` does."""
    return _bytes(path, _header(path, read_head(path, HEAD)[0]))


def encode(
    data: Array, grid: Grid, tr: float | None = None, *, slope: float = 1.0, inter: float = 0.0
) -> bytes:
    """A .nii.gz as bytes, the same bytes for the same input: no name, no date.

    data : (x, y, z) or (x, y, z, t), float32, int16 or uint8, stored as they are (slope * stored + inter).
    tr : s, the time between volumes. Affine, qform and sform codes and zooms are those of the grid.
    Raises ValueError for another dtype or a shape that is not the grid's.
    """
    from isal import isal_zlib

    if data.dtype not in (np.float32, np.int16, np.uint8):
        raise ValueError(f"no map is written as {data.dtype}: float32, int16 or uint8")
    if data.shape[:3] != grid.shape or data.ndim not in (3, 4):
        raise ValueError(f"data of shape {data.shape} do not lie on a grid of {grid.shape}")
    head = _head(
        data.shape, data.dtype.name, (*grid.zooms, tr or 0.0)[: data.ndim], _form(grid.qform), grid.qform_code,
        _form(grid.sform), grid.sform_code, slope, inter,
    )  # fmt: skip
    body = np.asfortranarray(data, data.dtype.newbyteorder("<"))
    # Level 1 of ISA-L packs maps as small as zlib's default does, ten times faster. In one go: a stream that is not
    # told of its end at once is now and then packed otherwise (one of some 400 maps, by what its memory held before).
    return bytes(isal_zlib.compress(b"".join((head, body.T.data)), 1, 31))


Form = tuple[tuple[float, ...], ...] | None


def _form(affine: Array | None) -> Form:
    return None if affine is None else tuple(map(tuple, affine.tolist()))


@lru_cache(maxsize=8)
def _head(
    shape: tuple[int, ...], dtype: str, zooms: tuple[float, ...], qform: Form, qform_code: int, sform: Form,
    sform_code: int, slope: float, inter: float,
) -> bytes:  # fmt: skip
    """The bytes before the data, kept for the next map of the same scan."""
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_qform(None if qform is None else np.array(qform), qform_code)
    header.set_sform(None if sform is None else np.array(sform), sform_code)
    header.set_zooms(zooms)
    header.set_xyzt_units("mm", "sec")
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return bytes(header.binaryblock) + bytes(4)


def save(
    path: Path, data: Array, grid: Grid, *, tr: float | None = None, slope: float = 1.0, inter: float = 0.0
) -> str:
    """Write `encode(...)` to a .nii.gz and return the SHA-256 of its bytes; raises OSError and ValueError."""
    raw = encode(data, grid, tr, slope=slope, inter=inter)
    path.write_bytes(raw)
    return digest(raw)


def _header(path: Path, head: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    for kind, magic, at, length in (
        (Nifti1Header, b"n+1\0", 344, 348),
        (Nifti2Header, b"n+2\0\r\n\x1a\n", 4, 540),
    ):
        endianness = {length.to_bytes(4, "little"): "<", length.to_bytes(4, "big"): ">"}.get(head[:4])
        if endianness and head[at : at + len(magic)] == magic and len(head) >= length:
            return kind(head[:length], endianness=endianness, check=False)
    mend = "Check that this is an image; any other kind must be converted to .nii.gz."
    raise BolusError(
        Code.CORRUPT, path, f"a file that begins with {head[:16]!r}", "a NIfTI-1 or NIfTI-2 file", mend
    )


def _bytes(path: Path, header: Any) -> int:
    return int(_offset(path, header) + math.prod(_shape(path, header)) * _dtype(path, header).itemsize)


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    dim = [int(n) for n in header["dim"]]
    count = dim[0]
    if not 1 <= count <= 7:
        raise BolusError(Code.CORRUPT, path, f"{count} dimensions (dim[0])", "3 or 4 dimensions", RECONVERT)
    used = dim[1 : count + 1]
    while len(used) > 4 and used[-1] == 1:
        used.pop()
    if min(used) < 1:
        raise BolusError(
            Code.SHAPE, path, f"a shape of {tuple(used)}", "at least 1 along every axis", RECONVERT
        )
    if len(used) not in (3, 4):
        expected = "an image (x, y, z) or a series (x, y, z, t), time being the fourth axis"
        raise BolusError(Code.SHAPE, path, f"a shape of {tuple(used)}", expected, RECONVERT)
    return tuple(used)


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code not in REAL:
        seen = f"voxels of type {OTHER.get(code, 'unknown')} (datatype {code})"
        mend = "Give the magnitude image as real numbers; a colour picture holds no signal."
        raise BolusError(Code.CORRUPT, path, seen, f"one of {', '.join(REAL.values())}", mend)
    dtype = np.dtype(REAL[code])
    if bits != 8 * dtype.itemsize:
        seen = f"{bits} bits for each {dtype} (bitpix)"
        raise BolusError(Code.CORRUPT, path, seen, f"{8 * dtype.itemsize} bits", RECONVERT)
    return dtype.newbyteorder(header.endianness)


def _offset(path: Path, header: Any) -> int:
    offset = float(header["vox_offset"])
    least = header.sizeof_hdr + 4
    # No converter writes a gigabyte of extensions before the data, so a larger offset is a damaged one.
    if not (least <= offset <= 1 << 30 and offset.is_integer()):
        seen = f"data that begin at byte {offset:g} (vox_offset)"
        raise BolusError(Code.CORRUPT, path, seen, f"a whole number from {least}", RECONVERT)
    return int(offset)


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0:  # by the standard: no scaling is given
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        seen = f"scl_slope {slope:g} and scl_inter {inter:g}"
        raise BolusError(Code.CORRUPT, path, seen, "finite scaling factors", RECONVERT)
    return slope, inter


def _time_step(header: Any) -> float | None:
    unit = SECONDS.get(int(header["xyzt_units"]) & 0x38)
    step = float(header["pixdim"][4])
    return step * unit if unit and math.isfinite(step) and step > 0 else None


def _grid(path: Path, header: Any, shape: tuple[int, ...]) -> Grid:
    zooms = tuple(abs(float(zoom)) for zoom in header["pixdim"][1:4])
    if not all(SMALLEST_VOXEL <= zoom <= LARGEST_VOXEL for zoom in zooms):
        seen = f"voxels of {' x '.join(f'{zoom:g}' for zoom in zooms)} mm (pixdim)"
        expected = f"{SMALLEST_VOXEL} to {LARGEST_VOXEL} mm along every axis"
        raise BolusError(Code.GEOM, path, seen, expected, RECONVERT)
    for name in ("qform_code", "sform_code"):
        if not 0 <= header[name] <= MOST_CODE:
            seen = f"a {name} of {header[name]}"
            raise BolusError(Code.GEOM, path, seen, f"0 to {MOST_CODE}", RECONVERT)
    qform, qform_code = _qform(path, header)
    sform, sform_code = header.get_sform(coded=True)
    known = [(name, form) for name, form in (("sform", sform), ("qform", qform)) if form is not None]
    for name, form in known:
        _check_affine(path, name, form)
    # Different codes name different spaces (scanner, aligned, template): those two may well differ.
    if qform is not None and sform is not None and qform_code == sform_code:
        _check_agreement(path, disagreement(shape, qform, sform))
    affine = known[0][1] if known else header.get_base_affine()
    return Grid(
        (shape[0], shape[1], shape[2]), affine, (zooms[0], zooms[1], zooms[2]),
        qform, int(qform_code), sform, int(sform_code),
    )  # fmt: skip


def _qform(path: Path, header: Any) -> tuple[NDArray[Any] | None, int]:
    if not header["qform_code"]:
        return None, 0
    if header["pixdim"][0] == 0:  # by the standard: the same as 1
        header["pixdim"][0] = 1
    if abs(header["pixdim"][0]) != 1:
        seen = f"a qfac of {header['pixdim'][0]:g} (pixdim[0])"
        raise BolusError(Code.GEOM, path, seen, "1 or -1", RECONVERT)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as not finite
            qform, code = header.get_qform(coded=True)
    except ValueError as error:
        seen = f"a qform that is no rotation ({error})"
        raise BolusError(Code.GEOM, path, seen, "a unit quaternion", RECONVERT) from error
    return qform, int(code)


def disagreement(shape: tuple[int, ...], first: NDArray[Any], second: NDArray[Any]) -> float:
    """How far apart (mm) two affines (4, 4) put the same voxel of a grid: the largest over its corners."""
    corners = np.array(np.meshgrid(*((0, n - 1) for n in shape[:3]))).reshape(3, -1)
    apart = (first - second) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(apart[:3], axis=0).max())


def _check_affine(path: Path, name: str, form: NDArray[Any]) -> None:
    if not (np.abs(form) <= FARTHEST).all():
        seen = f"a {name} of {form[:3].tolist()}"
        raise BolusError(Code.GEOM, path, seen, f"finite numbers of at most {FARTHEST:g} mm", RECONVERT)
    sizes = np.linalg.norm(form[:3, :3], axis=0)
    volume = abs(float(np.linalg.det(form[:3, :3])))
    if volume <= 1e-3 * float(sizes.prod()):
        seen = f"a {name} that cannot be inverted: {form[:3].round(4).tolist()}"
        raise BolusError(Code.GEOM, path, seen, "three independent axes", RECONVERT)


def _check_agreement(path: Path, apart: float) -> None:
    if apart > MOST_DISAGREEMENT:
        seen = f"a qform and an sform of one space that are up to {apart:.3g} mm apart"
        mend = "Find out which is right and copy it over the other (`fslorient -copysform2qform`, or back)."
        raise BolusError(Code.GEOM, path, seen, f"at most {MOST_DISAGREEMENT:g} mm", mend)
