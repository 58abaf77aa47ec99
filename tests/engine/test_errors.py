"""Refusals: on one line whatever a name holds, and every refusal of the system in words that help."""

import errno
import os
import pickle

import pytest

from bolus.errors import BolusError, Code, of_system, printable

KNOWN = {
    errno.ENOSPC: Code.SPACE, errno.EDQUOT: Code.SPACE, errno.EFBIG: Code.SPACE, errno.EACCES: Code.PERM,
    errno.EPERM: Code.PERM, errno.EROFS: Code.PERM, errno.ENOENT: Code.PATH, errno.ENOTDIR: Code.PATH,
    errno.EISDIR: Code.PATH, errno.ELOOP: Code.PATH, errno.ENAMETOOLONG: Code.PATH, errno.EMFILE: Code.MEMORY,
    errno.ENFILE: Code.MEMORY, errno.EIO: Code.CORRUPT, errno.ESTALE: Code.CORRUPT, errno.ETIMEDOUT: Code.CORRUPT,
}  # fmt: skip


@pytest.mark.parametrize("text", ["plain", "K\u00f6ln 3 % (x)", "\u8108 \u2264 1"])
def test_what_can_be_printed_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\tb", r"a\tb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\u202egz.iin", r"\u202egz.iin"),
        (os.fsdecode(b"K\xf6ln"), r"K\udcf6ln"),
        ("a\u2028b", r"a\u2028b"),
    ],
)
def test_what_cannot_be_printed_is_escaped_wherever_it_stands(text, shown):
    error = BolusError(Code.PATH, text, text, text, text)
    assert (error.file, error.seen, error.expected, error.mend) == (shown,) * 4
    assert str(error).isprintable() and str(error).encode()
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.code is Code.PATH


@pytest.mark.parametrize("number", KNOWN)
def test_what_the_system_refuses_has_a_code_and_words(number):
    error = of_system(OSError(number, os.strerror(number)), "/data/out")
    assert error is not None
    assert (error.code, error.file) == (KNOWN[number], "/data/out")
    assert all((error.seen, error.expected, error.mend)) and "{" not in error.seen


def test_what_is_no_fault_of_file_or_machine_has_none():
    assert of_system(OSError(errno.EINVAL, "Invalid argument"), "x") is None
    assert of_system(OSError("no number"), "x") is None
