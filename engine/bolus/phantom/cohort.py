"""The whole phantom: its BIDS folder, what stands at its top, and every session of every subject."""

from __future__ import annotations

from pathlib import Path

from bolus.errors import BolusError, Code
from bolus.phantom.anatomy import subject_of
from bolus.phantom.design import Design, Labeling
from bolus.phantom.dsc_truth import ECHO_TIME
from bolus.phantom.files import write_json, write_table
from bolus.phantom.session import TRUTH, write_session
from bolus.phantom.tissue import TISSUES
from bolus.recipe import version

BIDS_VERSION = "1.10.0"
README = """A phantom of brain perfusion
============================

Synthetic DSC and ASL series of heads that do not exist, whose blood flow, blood volume and transit times
are known. Made by `bolus phantom`; the same options and seed make the same voxels again.

Each head has grey and white matter, ventricles, a tumour (enhancing rim, necrotic core, oedema), a
territory of one hemisphere that blood reaches 1.5 to 2 s late, arteries and a venous sinus. Flow differs
from subject to subject by up to 15 %. In ASL the vessels are crushed.

The truth lies in derivatives/phantom, on the grid of each series: maps, tissue classes, masks and the
arterial input function. It comes from numerical integration of the models in steps of at most 10 ms.

DSC is not part of BIDS yet: its files (`*_dsc.nii.gz`) are named in .bidsignore.
"""
TRUTH_README = """The truth of the phantom
========================

Endings: `desc-dsc_...` lies on the grid of the DSC series, `desc-asl_...` on that of the ASL series.
Tissue classes (`dseg`) are named in dseg.tsv. Units are in the sidecar of each map.
"""


def write_cohort(
    folder: Path,
    subjects: int,
    *,
    sessions: int = 1,
    shape: tuple[int, int, int] = (64, 64, 12),
    volumes: int = 60,
    snr: float | None = 100.0,
    seed: int = 1,
    contrasts: tuple[str, ...] = ("dsc", "asl"),
    labeling: Labeling = "PCASL",
    echo_times: tuple[float, ...] = (ECHO_TIME,),
) -> None:
    """Write a BIDS cohort with known truth into an empty or new folder; the arguments are those of Design.

    Raises BolusError: E_RECIPE for an impossible design, E_PATH for a folder that is in use; OSError.
    """
    design = Design(subjects, sessions, shape, volumes, snr, seed, contrasts, labeling, echo_times)
    write_frame(folder, design)
    for subject in range(1, subjects + 1):
        for session in range(1, sessions + 1):
            write_session(folder, design, subject, session)


def write_frame(folder: Path, design: Design) -> None:
    """Write what stands at the top of the cohort and of its truth; sessions may follow in any order, at once.

    Raises BolusError E_PATH for a folder that is in use; OSError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        seen = "a folder that is not empty" if folder.is_dir() else "a file"
        mend = "Name another folder: a phantom is never mixed with other data."
        raise BolusError(Code.PATH, folder, seen, "a new or empty folder", mend)
    truth = folder / TRUTH
    truth.mkdir(parents=True)
    _describe(folder, "Phantom of brain perfusion", "raw")
    _describe(truth, "Truth of the phantom of brain perfusion", "derivative")
    (folder / "README").write_text(README, encoding="utf-8")
    (truth / "README").write_text(TRUTH_README, encoding="utf-8")
    if "dsc" in design.contrasts:
        (folder / ".bidsignore").write_text("*_dsc.nii.gz\n*_dsc.json\n", encoding="utf-8")
    (truth / ".bidsignore").write_text("*_desc-dsc_*\n*_desc-asl_*\n", encoding="utf-8")
    write_table(truth / "dseg.tsv", ("index", "name"), ((tissue.label, tissue.name) for tissue in TISSUES))
    _participants(folder, design)


def _describe(folder: Path, name: str, kind: str) -> None:
    made_by = {"Name": "bolus", "Version": version(), "Description": "bolus phantom"}
    content = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": kind,
        "License": "CC0",
        "Authors": ["The bolus developers"],
        "GeneratedBy": [made_by],
    }
    write_json(folder / "dataset_description.json", content)


def _participants(folder: Path, design: Design) -> None:
    rows = []
    for number in range(1, design.subjects + 1):
        head = subject_of(design.seed, number)
        side = "right" if head.tumour_side > 0 else "left"
        name = design.prefix(number, 1).split("_")[0]
        rows.append((name, side, f"{2 * head.tumour_radius:.1f}", f"{head.cbf_factor:.4f}"))
    columns = {
        "tumour_side": {
            "Description": "Hemisphere of the tumour",
            "Levels": {"left": "Left", "right": "Right"},
        },
        "tumour_diameter": {"Description": "Mean diameter of the tumour", "Units": "mm"},
        "cbf_factor": {"Description": "Flow of this brain relative to the nominal one"},
    }
    write_table(folder / "participants.tsv", ("participant_id", *columns), rows)
    write_json(folder / "participants.json", columns)
