"""What can be wrong with a scan: a code, the file, what was seen, what was expected, how to mend it."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Code(StrEnum):
    """Every kind of refusal there is; scripts may rely on these names."""

    CORRUPT = "E_CORRUPT"
    SHAPE = "E_SHAPE"
    DATA = "E_DATA"
    TOO_FEW = "E_TOO_FEW"
    META = "E_META"
    GEOM = "E_GEOM"
    BOMB = "E_BOMB"
    AMBIGUOUS = "E_AMBIGUOUS"
    PATH = "E_PATH"
    PERM = "E_PERM"
    SPACE = "E_SPACE"
    LOCKED = "E_LOCKED"
    DEVICE = "E_DEVICE"
    MEMORY = "E_MEMORY"
    WORKER_DIED = "E_WORKER_DIED"
    TIMEOUT = "E_TIMEOUT"
    RECIPE = "E_RECIPE"
    AIF = "E_AIF"
    IMPLAUSIBLE = "E_IMPLAUSIBLE"
    INTERNAL = "E_INTERNAL"


class BolusError(Exception):
    """One refusal, in words for the person whose file it is; it survives pickling between processes."""

    def __init__(self, code: Code, file: Path | str, seen: str, expected: str, mend: str) -> None:
        file, seen, expected, mend = (printable(str(part)) for part in (file, seen, expected, mend))
        super().__init__(code, file, seen, expected, mend)
        self.code = Code(code)
        self.file, self.seen, self.expected, self.mend = file, seen, expected, mend

    def __str__(self) -> str:
        return f"{self.code} {self.file}: {self.sentence()}"

    def sentence(self) -> str:
        """Seen, expected and mend as one line, without code and file."""
        return f"saw {self.seen}; expected {self.expected}. {self.mend}"


def printable(text: str) -> str:
    """The text on one line that no terminal obeys and any encoding holds: what is neither, as its escape.

    A name on disk may hold line breaks, terminal codes, marks that turn the writing round, and bytes of no text.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """How to go on after an unknown name: the closest known ones, else the first few."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"There are: {', '.join(names[:5])}{more}." if names else "There are none."


class _Known(NamedTuple):
    """What an error number of the system comes to; {why} stands for the system's own words."""

    code: Code
    seen: str
    expected: str
    mend: str


_FULL = _Known(
    Code.SPACE,
    "a full disk or quota",
    "room for the maps",
    "Free some space or raise the quota, then run again: what is done stays done.",
)
_FORBIDDEN = _Known(
    Code.PERM,
    "permission denied",
    "a file or folder one may use",
    "Change the permissions (chmod, setfacl), or choose another output folder.",
)
_READ_ONLY = _Known(
    Code.PERM,
    "a read-only file system",
    "a folder one may write to",
    "Choose another output folder; in a container, bind it writable.",
)
_GONE = _Known(
    Code.PATH,
    "no such file",
    "the file that was there",
    "Restore the file or correct its name, then run again.",
)
_NO_PLACE = _Known(Code.PATH, "a path that cannot be ({why})", "a file or folder", "Correct the path.")
_OPEN = _Known(
    Code.MEMORY,
    "as many open files as this process may have",
    "some more",
    "Raise the limit (`ulimit -n 1024`), or run fewer workers.",
)
_BROKEN = _Known(
    Code.CORRUPT,
    "a read or write error ({why})",
    "a disk or network share that answers",
    "Check the disk or the network share, then run again: what is done stays done.",
)
_SYSTEM = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _FORBIDDEN),
    errno.EROFS: _READ_ONLY,
    errno.ENOENT: _GONE,
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG), _NO_PLACE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _OPEN),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ENODEV), _BROKEN),
}


def of_system(error: OSError, file: Path | str) -> BolusError | None:
    """What the operating system refused, as a refusal about a file; None for what is no fault of file or machine."""
    known = _SYSTEM.get(error.errno or 0)
    if known is None:
        return None
    return BolusError(known.code, file, known.seen.format(why=error.strerror), known.expected, known.mend)
