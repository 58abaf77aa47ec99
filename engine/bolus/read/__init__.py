"""Read: the files of a scan -> Series; whatever is wrong with a file is found and named here."""

from bolus.read.scan import read

__all__ = ["read"]
