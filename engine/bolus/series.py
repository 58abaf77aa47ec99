"""The nouns of a scan: Scan, Volume, Series with its DSC or ASL acquisition, Curves, AIF, Maps, Stamp, Outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError
from bolus_kernels.asl.protocol import AslProtocol
from bolus_kernels.dsc.protocol import DscProtocol
from bolus_kernels.method import Contrast

Array = NDArray[Any]


@dataclass(frozen=True)
class Scan:
    """One perfusion scan as it lies in the tree: which files belong to it, nothing of what is in them.

    `sidecars` go from the nearest to the most general (BIDS inheritance: the nearest wins key by key);
    where there are several echoes `echo_sidecars` are those of each image in turn, and `sidecars` all of them.
    `derivatives` maps a suffix as the contract names it ("label-brain_mask", "T1map", "aif") to its file.
    """

    subject: str
    session: str | None
    contrast: Contrast
    name: str
    images: tuple[Path, ...]
    sidecars: tuple[Path, ...] = ()
    echo_sidecars: tuple[tuple[Path, ...], ...] = ()
    context: Path | None = None
    m0: tuple[Path, ...] = ()
    m0_sidecars: tuple[Path, ...] = ()
    derivatives: Mapping[str, Path] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its maps go, below the output folder: `sub-01/ses-1/perf`."""
        session = (f"ses-{self.session}",) if self.session else ()
        return Path(f"sub-{self.subject}", *session, "perf")

    @property
    def key(self) -> str:
        """Its name in tables and the ledger, one per scan: `sub-01_ses-1_run-2_dsc`."""
        return f"{self.name}_{self.contrast}"

    def files(self) -> tuple[Path, ...]:
        """Every file that its maps depend on."""
        context = (self.context,) if self.context else ()
        return (
            *self.images,
            *self.sidecars,
            *context,
            *self.m0,
            *self.m0_sidecars,
            *self.derivatives.values(),
        )


@dataclass(frozen=True)
class Found:
    """A scan that discovery met, and what is already known to be wrong with it (None: nothing yet)."""

    scan: Scan
    problem: BolusError | None = None


@dataclass(frozen=True)
class Grid:
    """Where voxels lie in space, as the input's header says it; outputs keep all of it."""

    shape: tuple[int, int, int]
    affine: Array
    zooms: tuple[float, float, float]
    qform: Array | None
    qform_code: int
    sform: Array | None
    sform_code: int


@dataclass(frozen=True)
class Volume:
    """One image in its stored dtype, (x, y, z) or (x, y, z, t), Fortran order; value = slope * stored + inter.

    `time_step` is the header's time between volumes (s), None where the header does not say it with a unit.
    """

    data: Array
    slope: float
    inter: float
    grid: Grid
    path: Path
    time_step: float | None = None

    def scaled(self) -> Array:
        """The values as float32, in Fortran order; for one volume at a time, a series stays as it is stored."""
        return np.asarray(self.data * np.float32(self.slope) + np.float32(self.inter), np.float32, order="F")


@dataclass(frozen=True)
class DSC:
    """How a DSC series was acquired: one echo time (s) per image, repetition time (s), flip angle (degrees)."""

    echo_time: tuple[float, ...]
    repetition_time: float
    flip_angle: float | None = None
    magnetic_field_strength: float | None = None


@dataclass(frozen=True)
class ASL:
    """How an ASL series was acquired; per-volume fields have one entry per volume, in seconds.

    `context` holds the volume types of the aslcontext table, "otherEcho" for volumes of a longer echo.
    `bolus_cut_off` is how a pulsed bolus was ended; `bolus_stated` where it was not, and a user said how long it lasts.
    `sub_bolus_duration` (s) and `time_encoded` (the sidecar's word for it) are there where the label of one volume
    has several parts. `m0` is the calibration image, one number (of arterial blood), or None when it lies inside
    the series ("Included") or there is none ("Absent"); it is (x, y, z, k) where its volumes differ in
    `m0_repetition_time`, which then has one entry for each. Look-Locker readouts follow each
    other every `look_locker_interval`, each volume's of its `flip_angle` (degrees; None without such readouts).
    `slice_timing` is (slices,) s after the first slice along `slice_axis`, None for a 3D readout.
    """

    labeling: Literal["PCASL", "CASL", "PASL", "VSASL"]
    context: tuple[str, ...]
    post_labeling_delay: tuple[float, ...]
    labeling_duration: tuple[float, ...]
    m0_type: Literal["Separate", "Included", "Estimate", "Absent"]
    m0: Volume | float | None
    m0_repetition_time: float | tuple[float, ...] | None
    labeling_efficiency: float | None
    background_suppression: bool
    background_suppression_pulses: int | None
    magnetic_field_strength: float
    slice_timing: tuple[float, ...] | None = None
    slice_axis: int = 2
    bolus_cut_off: Literal["QUIPSS", "QUIPSSII", "Q2TIPS"] | None = None
    bolus_stated: bool = False
    sub_bolus_duration: tuple[float, ...] = ()
    time_encoded: str | None = None
    look_locker_interval: float | None = None
    flip_angle: tuple[float, ...] | None = None
    m0_flip_angle: float | None = None
    m0_echo_time: float | None = None


@dataclass(frozen=True)
class GivenAIF:
    """An arterial input function from a table: time (s) and signal or delta R2* (1/s)."""

    time: Array
    values: Array
    column: Literal["signal", "delta_r2star"]
    path: Path


@dataclass(frozen=True)
class Series:
    """What was read of one scan: images in stored dtype, acquisition, given masks and maps, content hashes.

    `given` maps a derivative's suffix to its image on the series' grid; `sources` maps each file read to
    its SHA-256; `warnings` says what is doubtful but not wrong.
    """

    scan: Scan
    images: tuple[Volume, ...]
    acquisition: DSC | ASL
    given: Mapping[str, Volume]
    aif: GivenAIF | None
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class AIF:
    """The arterial input function used: time (t,) s, concentration (t,) 1/s, its voxels, how it was found.

    `warnings` says what is not as one expects of an artery.
    """

    time: Array
    concentration: Array
    voxels: Array
    how: str
    quality: Mapping[str, float]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Region:
    """A neighbourhood with an arterial input of its own: its rows among the curves (m,), sorted, and that input."""

    rows: Array
    aif: AIF


@dataclass(frozen=True)
class PureTissue:
    """A tissue that voxels hold a share of, for the correction of partial volume.

    m0 : (n,) float32, image of the voxels in which this tissue is recovered. t1 : s. partition_coefficient : ml/g.
    later : s, by how much blood arrives later in it than the recipe's prior, or the literature's, says.
    """

    m0: Array
    t1: float
    partition_coefficient: float
    later: float


@dataclass(frozen=True)
class Curves:
    """What a kernel eats, DSC and ASL alike: one curve per voxel of the mask that can be computed at all.

    values : (n, t) float32, Fortran order (time slowest), 1/s (DSC) or fraction of M0 (ASL).
    voxels : (n,) int64, position in the Fortran-ordered grid; state : (n,) uint8; mask : (x, y, z) bool.
    `extra` are maps that preparation already made (name as a file ending -> (x, y, z) float32 and its unit).
    `regions`, where there are any, hold every row once; each is computed with its own arterial input.
    `tissues` maps GM, WM, CSF to their probability (n,) float32, where maps of it were given; `pure` those of them
    that are to be told apart to what is known of them.
    `structure` is (n, k) float32, images that show the anatomy, where neighbours are asked.
    """

    values: Array
    voxels: Array
    state: Array
    mask: Array
    protocol: DscProtocol | AslProtocol
    grid: Grid
    scan: Scan
    constants: Mapping[str, Any]
    sources: Mapping[str, str]
    aif: AIF | None = None
    extra: tuple[Map, ...] = ()
    warnings: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    tissues: Mapping[str, Array] = field(default_factory=dict)
    pure: Mapping[str, PureTissue] = field(default_factory=dict)
    structure: Array | None = None


@dataclass(frozen=True)
class Map:
    """One finished map: how its file ends, its volume (x, y, z), unit, and everything its sidecar says.

    A residue function is (x, y, z, L), with `step` s between its samples.
    """

    ending: str
    data: Array
    unit: str
    description: str
    method: str
    equation: str
    paper: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    step: float | None = None


@dataclass(frozen=True)
class Maps:
    """All maps of one scan with what they share: grid, AIF, device, source hashes, numbers, warnings."""

    scan: Scan
    grid: Grid
    items: tuple[Map, ...]
    device: str
    sources: Mapping[str, str]
    aif: AIF | None
    numbers: Mapping[str, float]
    warnings: tuple[str, ...]


class Stamp(NamedTuple):
    """What one file was: its SHA-256, its size in bytes and its time of change in ns."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Outcome:
    """What became of one scan: its files (below the output folder), SHA-256 of its sources, its row in the table."""

    outputs: Mapping[str, Stamp]
    sources: Mapping[str, str]
    device: str
    voxels: int
    numbers: Mapping[str, float]
    warnings: tuple[str, ...]
