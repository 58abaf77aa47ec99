"""What is particular to one computing centre: queue, account, resources, modules, container; from a TOML file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bolus.errors import BolusError, Code, nearest

SCHEDULERS = ("slurm", "pbs", "sge", "lsf")
VARIABLE = "BOLUS_SITE"
ONE_LINE = ("queue", "account", "qos", "gres", "container", "python", "interface", "logs")
OTHER_NAMES = {"partition": "queue"}
UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?", re.IGNORECASE)
WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d)(?::([0-5]\d))?")


def _key(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Site:
    """How jobs are handed in at one computing centre; every key may be left out of the file.

    An empty text or 0 leaves the matter to the scheduler. Resources are those of one job.
    """

    scheduler: str = _key("", "slurm, pbs, sge or lsf, where --scheduler does not say")
    queue: str = _key("", "queue; with Slurm its partition (the key `partition` means the same)")
    account: str = _key("", "account or project that pays")
    qos: str = _key("", "quality of service (Slurm)")
    cpus: int = _key(1, "processors of a job; as many scans are computed at a time")
    gpus: int = _key(0, "GPUs of a job; where there are any, one scan at a time on each")
    gres: str = _key("", "how the GPUs are asked for, e.g. gpu:a100:1, where their number is not enough")
    memory: str = _key("", "memory of a job, e.g. 16G")
    walltime: str = _key("", "the longest a job may take, e.g. 12:00:00 or 2-00:00:00; it goes on in another")
    restarts: int = _key(20, "how often a job that came to the end of its time may go on in another")
    modules: tuple[str, ...] = _key((), "modules to load before")
    before: tuple[str, ...] = _key((), "lines of shell to run before, as they are")
    container: str = _key("", "what stands before the command, e.g. apptainer exec --nv /images/bolus.sif")
    python: str = _key("", "the Python of the nodes, where it is another than the one at hand")
    driver_memory: str = _key("4G", "memory of the job that only hands out the scans, without --array")
    parallel_environment: str = _key("smp", "name of the one for the processors of one machine (SGE)")
    interface: str = _key("", "network interface between driver and workers, e.g. ib0")
    directives: tuple[str, ...] = _key((), "further directives for the scheduler, as they are")
    logs: str = _key("", "folder for what the jobs say; else OUT_DIR/.bolus/logs")

    @property
    def mebibytes(self) -> int | None:
        """Memory of a job in MiB, None where it is left to the scheduler."""
        return _mebibytes(self.memory)

    @property
    def seconds(self) -> int | None:
        """The longest a job may take in s, None where it is left to the scheduler."""
        found = WALLTIME.fullmatch(self.walltime)
        if found is None:
            return None
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def find(named: Path | None) -> Path | None:
    """The file that holds for this user: the named one, $BOLUS_SITE, ~/.config/bolus/site.toml, or none."""
    if named is not None:
        return named
    if said := os.environ.get(VARIABLE):
        return Path(said)
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bolus" / "site.toml"
    return own if own.is_file() else None


def load(named: Path | None = None) -> Site:
    """The settings of this site; the defaults where there is no file.

    Raises BolusError E_RECIPE for a file that cannot be read, an unknown key or a value that cannot be.
    """
    path = find(named)
    if path is None:
        return Site()
    known = {each.name: each.default for each in fields(Site)}
    values: dict[str, Any] = {}
    for said, value in _parsed(path).items():
        name = OTHER_NAMES.get(said, said)
        if name not in known:
            names = [*known, *OTHER_NAMES]
            raise _refusal(path, f"the key {said!r}", "a key of `bolus submit --help`", nearest(said, names))
        values[name] = _checked(path, said, value, known[name])
    site = Site(**values)
    _check(path, site)
    return site


def _mebibytes(text: str) -> int | None:
    found = MEMORY.fullmatch(text)
    return max(1, round(float(found[1]) * UNITS[found[2].upper()])) if found else None


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _refusal(path, f"{error.strerror}", "a readable TOML file", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mend = 'Write a line for each key, like cpus = 8 or queue = "short".'
        raise _refusal(path, str(error), "valid TOML", mend) from error


def _checked(path: Path, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise _refusal(path, f"{name} = {value!r}", "a list of texts", f'Write {name} = ["..."].')
    if isinstance(default, int):
        least = 1 if default == 1 else 0
        if type(value) is int and value >= least:
            return value
        raise _refusal(path, f"{name} = {value!r}", f"a whole number from {least}", "Correct the value.")
    if isinstance(value, str):
        return value
    raise _refusal(path, f"{name} = {value!r}", "a text", f'Write {name} = "{value}".')


def _check(path: Path, site: Site) -> None:
    if site.scheduler and site.scheduler not in SCHEDULERS:
        expected = f"one of {', '.join(SCHEDULERS)}"
        raise _refusal(path, f"scheduler = {site.scheduler!r}", expected, nearest(site.scheduler, SCHEDULERS))
    for name in ("memory", "driver_memory"):
        if (said := getattr(site, name)) and _mebibytes(said) is None:
            raise _refusal(path, f"{name} = {said!r}", "a number with K, M, G or T", 'Like "16G".')
    if site.walltime and not site.seconds:
        mend = 'Like "12:00:00" or "2-00:00:00".'
        raise _refusal(path, f"walltime = {site.walltime!r}", "[days-]hours:minutes[:seconds]", mend)
    lines = {name: getattr(site, name) for name in ONE_LINE}
    lines |= {"directives": "".join(site.directives), "modules": "".join(site.modules)}
    for name, text in lines.items():
        if "\n" in text:
            raise _refusal(path, f"a line break in {name}", "one line", "Remove it.")
    if site.logs and not Path(site.logs).is_absolute():
        raise _refusal(path, f"logs = {site.logs!r}", "the full path of a folder", "Begin it with a slash.")


def _refusal(path: Path, seen: str, expected: str, mend: str) -> BolusError:
    return BolusError(Code.RECIPE, path, seen, expected, mend)
