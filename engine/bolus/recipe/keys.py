"""Every key of a recipe: its default, what it may be, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from bolus_kernels.shelf import of_family, shelf

AUTO, NONE = "auto", "none"
Kind = Literal["choice", "choices", "number", "number or auto", "numbers", "count", "switch"]


@dataclass(frozen=True)
class Key:
    """One line of a recipe: its default, what it may be, and what it means."""

    default: Any
    kind: Kind
    meaning: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0


@cache
def keys() -> Mapping[str, Key]:
    """Every key there is; the methods on the shelf add a table each for their parameters."""
    volumes = tuple(of_family("volume"))
    corrections = tuple(name for name in volumes if "k2" in shelf()[name].maps)
    quantifications = tuple(of_family("quantification"))
    general = {
        "dsc.dummy_scans": Key(0, "count", "volumes dropped before the steady state", high=100),
        "dsc.deconvolution": Key(
            ["osvd"], "choices", "how the residue is found", tuple(of_family("deconvolution"))
        ),
        "dsc.leakage": Key(["bsw"], "choices", "corrections written beside the uncorrected CBV", corrections),
        "dsc.cbv": Key("bsw", "choice", "the CBV that MTT uses", volumes),
        "dsc.first_pass": Key(False, "switch", "true: also the CBV of the first pass alone (gamma variate)"),
        "dsc.residue": Key(False, "switch", "true: also write the residue functions themselves"),
        "dsc.bootstrap": Key(
            0, "count", "replicates of the residual bootstrap for SD maps; 0: none", high=10000
        ),
        "dsc.aif": Key(
            AUTO,
            "choice",
            "auto takes a given TSV or mask first, else kmeans",
            (AUTO, "kmeans", "peruzzo", "mask", "tsv", "population", "local"),
        ),
        "dsc.vof": Key("none", "choice", "the vein that the AIF's area is scaled to", ("none", AUTO, "mask")),
        "dsc.reference": Key(
            AUTO, "choice", "normal tissue for leakage: found, or the NAWM mask", (AUTO, "mask")
        ),
        "dsc.hematocrit_large": Key(0.45, "number", "in large vessels, 1", high=0.9),
        "dsc.hematocrit_small": Key(0.25, "number", "in capillaries, 1", high=0.9),
        "dsc.density": Key(1.04, "number", "of brain tissue, g/ml", low=0.5, high=2.0),
        "dsc.relative": Key(False, "switch", "true: kappa/rho = 1, units a.u."),
        "asl.quantification": Key(AUTO, "choice", "auto: by the number of delays", (AUTO, *quantifications)),
        "asl.arterial": Key(False, "switch", "true: several delays also tell blood still in arteries (aBV)"),
        "asl.spatial": Key(
            False, "switch", "true: also maps with a prior from the neighbours (several delays)"
        ),
        "asl.transit_time": Key(
            "fitted",
            "choice",
            "given: known from an att map (s), at any number of delays",
            ("fitted", "given"),
        ),
        "asl.mode": Key(False, "switch", "true: also the likeliest CBF and ATT (several delays)"),
        "asl.t1_relaxation": Key("tissue", "choice", "T1' after arrival", ("tissue", "blood")),
        "asl.t1_blood": Key(AUTO, "number or auto", "s; auto: by field strength", low=0.5, high=4.0),
        "asl.t1_source": Key(
            AUTO,
            "choice",
            "of T1 of tissue; auto: T1map, t1_tissue if set, GM and WM, by field",
            (AUTO, "map", "tissues", "constant"),
        ),
        "asl.t1_tissue": Key(
            AUTO, "number or auto", "s, where nothing else tells; auto: by field", low=0.3, high=4.0
        ),
        "asl.t1_gm": Key(AUTO, "number or auto", "s, of pure GM; auto: by field strength", low=0.3, high=4.0),
        "asl.t1_wm": Key(AUTO, "number or auto", "s, of pure WM; auto: by field strength", low=0.3, high=4.0),
        "asl.partition_coefficient": Key(0.9, "number", "of blood and brain, ml/g", low=0.5, high=1.2),
        "asl.labeling_efficiency": Key(
            AUTO, "number or auto", "auto: the sidecar's, else by type", low=0.05, high=1.0
        ),
        "asl.background_suppression": Key(
            "multiply",
            "choice",
            "efficiency x 0.95 per pulse, or pulses in it",
            ("multiply", "included", "ignore"),
        ),
        "asl.encoding": Key(
            NONE, "choice", "of a time-encoded label", (NONE, "hadamard", "walsh", "paley", "matrix")
        ),
        "asl.encoding_size": Key(8, "count", "encodings in a cycle of volumes", low=4, high=64),
        "asl.encoding_matrix": Key([], "numbers", "row by row: 1 control, -1 label", low=-1.0, high=1.0),
        "asl.encoding_durations": Key([], "numbers", "s, of the label's parts; []: the sidecar's", high=20.0),
        "asl.bolus_duration": Key(
            0.0, "number", "s, of a pulsed bolus that was not cut off; 0: unknown, and refused", high=10.0
        ),
        "asl.velocity_selective": Key(
            NONE, "choice", "what its pulses do", (NONE, "saturation", "inversion")
        ),
        "asl.velocity_selective_echo_time": Key(0.0, "number", "s, transverse meanwhile", high=0.2),
        "asl.outliers": Key(
            NONE,
            "choice",
            "pairs dropped, or bent voxel by voxel",
            (NONE, "score", "enable", "scrub", "robust"),
        ),
        "asl.partial_volume": Key(
            NONE, "choice", "pure GM and WM, from their maps", (NONE, "regression", "posterior")
        ),
        "asl.partial_volume_reach": Key(
            2, "count", "voxels to each side (regression); most SD of the window (posterior)", low=1, high=10
        ),
        "asl.calibration": Key("voxelwise", "choice", "what M0 is", ("voxelwise", "reference", "value")),
        "asl.calibration_tissue": Key("csf", "choice", "the reference", ("csf", "wm")),
        "asl.m0_value": Key(0.0, "number", "M0 of arterial blood, in the signal's unit", high=1e12),
        "asl.m0_smoothing": Key(0.0, "number", "FWHM of M0's smoothing, mm", high=50.0),
        "asl.m0_erosion": Key(0, "count", "voxels at the brain's edge that take M0 from within", high=10),
    }
    found: dict[str, Key] = {}
    for contrast in ("dsc", "asl"):
        found |= {name: key for name, key in general.items() if name.startswith(f"{contrast}.")}
        for method in shelf().values():
            if method.contrast == contrast:
                for name, known in method.parameters.items():
                    meaning = f"{known.low:g} to {known.high:g}, {known.unit}"
                    found[f"{contrast}.{method.name}.{name}"] = Key(
                        known.default, "number", meaning, low=known.low, high=known.high
                    )
                for name, names in method.choices.items():
                    found[f"{contrast}.{method.name}.{name}"] = Key(
                        names[0], "choice", " or ".join(names), names
                    )
    return found
