"""What a phantom cohort is to be: how many, how large, how noisy; checked at the door."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bolus.errors import BolusError, Code
from bolus.phantom.dsc_truth import ECHO_TIME

Labeling = Literal["PCASL", "PASL"]
FEWEST_VOLUMES, SMALLEST_MATRIX = 24, 12
LONGEST_ECHO = 0.2


@dataclass(frozen=True)
class Design:
    """A cohort, wholly determined: the same design gives the same voxels and tables.

    shape : voxels of the DSC grid (x, y, z). volumes : of the DSC series. snr : of a DSC volume in grey
    matter (None or infinity: no noise); an ASL volume has half as much again. echo_times : s, of
    the DSC series; several make a file each. Raises BolusError: E_RECIPE.
    """

    subjects: int
    sessions: int = 1
    shape: tuple[int, int, int] = (64, 64, 12)
    volumes: int = 60
    snr: float | None = 100.0
    seed: int = 1
    contrasts: tuple[str, ...] = ("dsc", "asl")
    labeling: Labeling = "PCASL"
    echo_times: tuple[float, ...] = (ECHO_TIME,)

    def __post_init__(self) -> None:
        _expect("subjects", self.subjects, self.subjects >= 1, "at least 1")
        _expect("sessions", self.sessions, self.sessions >= 1, "at least 1")
        whole = len(self.shape) == 3 and min(self.shape[:2]) >= SMALLEST_MATRIX and self.shape[2] >= 1
        _expect("shape", self.shape, whole, f"x, y of at least {SMALLEST_MATRIX} and at least 1 slice")
        enough = self.volumes >= FEWEST_VOLUMES
        _expect("volumes", self.volumes, enough, f"at least {FEWEST_VOLUMES}, so that the bolus fits in")
        _expect("snr", self.snr, self.snr is None or self.snr > 0, "a positive number, or none for no noise")
        _expect("seed", self.seed, self.seed >= 0, "0 or more")
        known = bool(self.contrasts) and set(self.contrasts) <= {"dsc", "asl"}
        _expect("contrasts", self.contrasts, known, "dsc, asl or both")
        times = (0.0, *self.echo_times, LONGEST_ECHO)
        rising = len(times) > 2 and all(before < after for before, after in pairwise(times))
        _expect("echo_times", self.echo_times, rising, f"times that rise, below {LONGEST_ECHO} s")
        _expect("labeling", self.labeling, self.labeling in ("PCASL", "PASL"), "PCASL or PASL")

    @property
    def noise(self) -> float:
        """Standard deviation of each channel's noise, relative to the baseline of grey matter."""
        return 1 / self.snr if self.snr is not None and math.isfinite(self.snr) else 0.0

    def prefix(self, subject: int, session: int) -> str:
        """How a session's files begin (`sub-01_ses-2`); a cohort of one session each has no `ses-`."""
        width = max(2, len(str(self.subjects)))
        name = f"sub-{subject:0{width}d}"
        return f"{name}_ses-{session}" if self.sessions > 1 else name


def _expect(name: str, seen: object, good: bool, expected: str) -> None:
    if not good:
        mend = f"Ask for a phantom with another value of `{name}`."
        raise BolusError(Code.RECIPE, "phantom", f"{name} = {seen}", expected, mend)
