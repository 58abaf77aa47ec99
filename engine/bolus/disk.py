"""Bytes on disk: looked at before they are opened, hashed as they lie, inflated only under a limit."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code
from bolus.strangers import stranger

GZIP = b"\x1f\x8b"
# Deflate packs empty background up to 1000:1, so a small mask may; no measured series comes near 100:1.
SMALL = 256 << 20
MOST_RATIO = 100
MOST_BYTES = 64 << 30
MOST_TEXT = 16 << 20
SLACK = 1 << 20
FIRST = 4096
"""Bytes of a gzipped image that nearly always hold its header."""


def size(path: Path) -> int:
    """The size in bytes of a regular file that can be reached; raises E_PATH or E_PERM."""
    try:
        status = path.stat()
    except PermissionError as error:
        raise no_permission(path) from error
    except FileNotFoundError as error:
        if not path.is_symlink():
            raise BolusError(
                Code.PATH, path, "no such file", "a file", "Restore the file or correct its name."
            ) from error
        seen = f"a link to {path.readlink()}, where nothing is"
        mend = "Fetch the content (`datalad get`, `git annex get`) or correct the link."
        raise BolusError(Code.PATH, path, seen, "a file or a link to one", mend) from error
    except OSError as error:  # a loop of links, a file used as a folder, a name too long
        seen = error.strerror or str(error)
        if error.errno == errno.ELOOP:
            seen = f"a link to {path.readlink()} that leads round in a circle"
        raise BolusError(Code.PATH, path, seen, "a file", "Correct the path.") from error
    if not stat.S_ISREG(status.st_mode):
        seen = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise BolusError(Code.PATH, path, seen, "a regular file", "Put the file itself in its place.")
    if status.st_size == 0:
        mend = "Copy the file again: the copy or the conversion that made it was interrupted."
        raise BolusError(Code.CORRUPT, path, "an empty file (0 bytes)", "a file with content", mend)
    return status.st_size


def read_text(path: Path) -> tuple[str, str]:
    """A text file as UTF-8 (a byte-order mark is dropped) and the SHA-256 of its bytes; raises E_CORRUPT."""
    length = size(path)
    if length > MOST_TEXT:
        mend = "Check that this is the table or sidecar that its name says."
        raise BolusError(Code.BOMB, path, f"{length} bytes of text", f"at most {MOST_TEXT}", mend)
    raw = _read(path)
    try:
        return raw.decode("utf-8-sig"), digest(raw)
    except UnicodeDecodeError as error:
        seen = f"byte 0x{raw[error.start]:02x} at position {error.start}, which is not UTF-8"
        raise BolusError(Code.CORRUPT, path, seen, "text in UTF-8", "Save the file as UTF-8.") from error


def read_image(path: Path, head: int, announced: Callable[[bytes], int]) -> tuple[NDArray[np.uint8], str]:
    """An image's bytes, inflated if gzipped, and the SHA-256 of the file; nothing large before it is judged.

    `announced` is given the first `head` bytes and returns how many the image must have in all. Returns
    (announced,) uint8. Raises E_CORRUPT, E_BOMB, E_MEMORY, E_PATH, E_PERM and whatever `announced` raises.
    """
    length = size(path)
    start, packed = read_head(path, head)
    total = announced(start)
    _judge(path, length, total, packed)
    raw = _read(path)
    sha = digest(raw)  # now, while what was read is still in the processor's cache
    content = _inflate(path, raw, total) if packed else np.frombuffer(raw, np.uint8)
    if content.size != total:
        raise _wrong_length(path, content.size, total)
    return content, sha


def read_head(path: Path, head: int) -> tuple[bytes, bool]:
    """The first `head` bytes of an image, and whether it is gzipped; raises E_CORRUPT, E_PATH, E_PERM."""
    length = size(path)
    with _open(path) as file:
        first = bytes(file.read(max(head, FIRST)))
    packed = first.startswith(GZIP)
    start = first[:head] if not packed else _inflate_first(first, head) or _inflate_start(path, head)
    if packed and not start:
        seen = f"a gzip file of {length} bytes that holds nothing"
        raise BolusError(Code.CORRUPT, path, seen, "a gzipped image", "Copy the file again from its source.")
    if known := stranger(start):
        what, mend = known
        raise BolusError(Code.CORRUPT, path, what, "a NIfTI image", mend)
    return start, packed


def digest(raw: bytes) -> str:
    """The SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def no_permission(path: Path) -> BolusError:
    """The refusal for a file or folder that this user may not read."""
    mend = "Ask its owner for read permission, or run as a user who has it (`chmod`, `setfacl`)."
    return BolusError(Code.PERM, path, "permission denied", "a file this user may read", mend)


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except PermissionError as error:
        raise no_permission(path) from error


def _read(path: Path) -> bytes:
    with _open(path) as file:
        try:
            return bytes(file.read())
        except OSError as error:
            seen = f"a read error ({error.strerror or error})"
            mend = "Check the disk or the network share, then copy the file again."
            raise BolusError(Code.CORRUPT, path, seen, "a file that can be read to its end", mend) from error


def _inflate_first(first: bytes, head: int) -> bytes:
    """What `head` bytes the first ones of a gzip file hold; nothing where they are damaged or too few."""
    from isal import isal_zlib

    with suppress(isal_zlib.error):  # type: ignore[arg-type]
        start = bytes(isal_zlib.decompressobj(31).decompress(first, head))
        if len(start) == head:
            return start
    return b""


def _inflate_start(path: Path, head: int) -> bytes:
    from isal import igzip, isal_zlib

    with _open(path) as file:
        try:
            return bytes(igzip.IGzipFile(fileobj=file).read(head))
        except (EOFError, OSError, isal_zlib.error) as error:  # type: ignore[misc]
            raise _damaged(path, error) from error


def _inflate(path: Path, raw: bytes, total: int) -> NDArray[np.uint8]:
    from isal import igzip, isal_zlib

    content = np.empty(total, np.uint8)
    stream = igzip.IGzipFile(fileobj=raw, mode="rb")  # bytes as they are, not copied once more by a BytesIO
    view = content.data
    done = 0
    try:
        # In small bites, because a gzip stream builds its answer elsewhere and then copies it.
        while done < total and (got := stream.readinto(view[done : done + SLACK])):
            done += got
        more = len(stream.read(SLACK))  # at the end of the stream this also compares its CRC and length
        endless = more == SLACK and bool(stream.read(1))
    except (EOFError, OSError, isal_zlib.error) as error:  # type: ignore[misc]
        raise _damaged(path, error, done) from error
    if endless:
        seen = f"more than {SLACK} bytes after the {total} that the header announces"
        mend = "Do not unpack it; convert the scan again from its source."
        raise BolusError(Code.BOMB, path, seen, f"{total} bytes once unpacked", mend)
    if more or done < total:
        raise _wrong_length(path, done + more, total)
    return content


def _judge(path: Path, length: int, total: int, packed: bool) -> None:
    mend = "Check the dimensions in the header against the scan; convert it again from its source."
    if total > MOST_BYTES:
        seen = f"a header that announces {total} bytes in a file of {length}"
        raise BolusError(Code.BOMB, path, seen, f"an image of at most {MOST_BYTES} bytes", mend)
    if packed and total > SMALL and total > MOST_RATIO * length:
        seen = f"{length} bytes that would unpack to {total} ({total // length}:1)"
        raise BolusError(Code.BOMB, path, seen, f"at most {MOST_RATIO}:1 above {SMALL} bytes", mend)
    if length > total + SLACK:
        raise _wrong_length(path, length, total)
    if not packed and length < total:
        raise _wrong_length(path, length, total)
    if total + length > (free := _available_memory()):
        seen = f"an image of {total} bytes, and {free} bytes of free memory"
        mend = "Run fewer workers at a time, or on a machine with more memory."
        raise BolusError(Code.MEMORY, path, seen, "an image that fits into memory", mend)


def _available_memory() -> int:
    with Path("/proc/meminfo").open() as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) << 10


def _wrong_length(path: Path, seen: int, expected: int) -> BolusError:
    if seen < expected:
        what = f"{seen} bytes: the file is cut short by {expected - seen}"
    else:
        what = f"{seen} bytes: {seen - expected} follow the image's end"
    mend = "Copy or convert the file again from its source."
    return BolusError(Code.CORRUPT, path, what, f"the {expected} bytes that the header announces", mend)


def _damaged(path: Path, error: BaseException, done: int = 0) -> BolusError:
    if isinstance(error, EOFError):
        what = "an incomplete gzip file: it ends before its content does"
    elif "CRC" in str(error):
        what = (
            "a damaged gzip file: its content does not have the checksum (CRC) that it had when it was packed"
        )
    elif "Not a gzipped file" in str(error):
        what = "a gzip file with other bytes behind its end"
    else:
        what = f"a damaged gzip file ({error})"
    if done:
        what += f"; {done} bytes could be unpacked"
    mend = "Compare the file's checksum with its source and copy it again."
    return BolusError(Code.CORRUPT, path, what, "a whole gzip file", mend)
