"""The tissue classes of the phantom: what each is made of, which every truth map and curve follows."""

from __future__ import annotations

from dataclasses import dataclass, replace

DENSITY = 1.04
HEMATOCRIT_LARGE, HEMATOCRIT_SMALL = 0.45, 0.25
# rho/kappa, g/ml: a gram of tissue's plasma volume as the volume of artery that carries as much tracer.
RHO_OVER_KAPPA = DENSITY * (1 - HEMATOCRIT_SMALL) / (1 - HEMATOCRIT_LARGE)
BLOOD_ONLY = 100 / RHO_OVER_KAPPA
"""The blood volume (ml/100g) at which a voxel's curve has the area of the arterial input itself."""
T1_BLOOD = 1.65
PARTITION_COEFFICIENT = 0.9
DELAY_OF_TERRITORY = 1.75


@dataclass(frozen=True)
class Tissue:
    """One class of voxels and its true values; the same flow is seen by DSC and by ASL.

    cbf : ml/100g/min (NaN in an artery, where it has no meaning). mtt : s. shape : of the gamma-distributed
    transit times (1: exponential residue). delay : s after the arterial input. att : s after labelling.
    t1 : s. k2 : 1/s, leakage (BSW). s0 : baseline of the DSC series, m0 : equilibrium magnetisation, both
    relative to grey matter.
    """

    label: int
    name: str
    cbf: float
    mtt: float
    shape: float
    delay: float
    att: float
    t1: float
    s0: float
    m0: float
    k2: float = 0.0

    @property
    def cbv(self) -> float:
        """Blood volume, ml/100g, by the central volume theorem: CBF MTT / 60."""
        if self.cbf == 0:
            return 0.0
        return BLOOD_ONLY if self.mtt == 0 else self.cbf * self.mtt / 60


NONE = float("nan")
# A venous sinus is the arterial input after 4 s of transit: blood only, so its flow follows from its volume.
VEIN_MTT = 4.0
VEIN_CBF = 60 * BLOOD_ONLY / VEIN_MTT

# fmt: off
TISSUES = (
    #          name                    cbf       mtt       shape delay att   t1        s0    m0    k2
    Tissue(0,  "air",                  0.0,      NONE,     1.0,  NONE, NONE, 1.0,      0.0,  0.0),
    Tissue(1,  "skull",                0.0,      NONE,     1.0,  NONE, NONE, 0.5,      0.06, 0.05),
    Tissue(2,  "scalp",                0.0,      NONE,     1.0,  NONE, NONE, 0.4,      0.30, 0.30),
    Tissue(3,  "csf",                  0.0,      NONE,     1.0,  NONE, NONE, 4.0,      1.40, 1.15),
    Tissue(4,  "grey_matter",          60.0,     4.2,      1.0,  0.5,  1.0,  1.3,      1.00, 1.00),
    Tissue(5,  "white_matter",         24.0,     5.0,      1.8,  0.8,  1.4,  1.1,      0.85, 0.85),
    Tissue(6,  "grey_matter_delayed",  48.0,     5.6,      1.0,  0.5,  1.0,  1.3,      1.00, 1.00),
    Tissue(7,  "white_matter_delayed", 18.0,     6.7,      1.8,  0.8,  1.4,  1.1,      0.85, 0.85),
    Tissue(8,  "tumour_rim",           95.0,     6.0,      1.0,  0.4,  0.9,  1.5,      1.05, 0.95, 0.008),
    Tissue(9,  "tumour_necrosis",      4.0,      8.0,      1.0,  1.2,  1.6,  2.4,      1.25, 1.05),
    Tissue(10, "oedema",               15.0,     5.6,      1.8,  0.9,  1.5,  1.6,      1.20, 1.00),
    Tissue(11, "artery",               NONE,     0.0,      NONE, 0.0,  NONE, T1_BLOOD, 1.30, 1.00),
    Tissue(12, "vein",                 VEIN_CBF, VEIN_MTT, 3.0,  3.0,  NONE, T1_BLOOD, 1.20, 1.00),
)
# fmt: on
LABEL = {tissue.name: tissue.label for tissue in TISSUES}
DELAYED = ("grey_matter_delayed", "white_matter_delayed")
PARENCHYMA = tuple(tissue.name for tissue in TISSUES[4:11])
NON_ENHANCING = tuple(tissue.name for tissue in TISSUES[4:8])


def classes(cbf_factor: float = 1.0, delay_of_territory: float = DELAY_OF_TERRITORY) -> tuple[Tissue, ...]:
    """Every tissue class with its true values, at the index that is its label; for one subject, or nominal.

    cbf_factor : multiplies the flow of all parenchyma, the transit times stay. delay_of_territory : s,
    later than elsewhere in both contrasts.
    """
    return tuple(_of_subject(tissue, cbf_factor, delay_of_territory) for tissue in TISSUES)


def _of_subject(tissue: Tissue, cbf_factor: float, late: float) -> Tissue:
    if tissue.name in DELAYED:
        tissue = replace(tissue, delay=tissue.delay + late, att=tissue.att + late)
    if tissue.name in PARENCHYMA:
        tissue = replace(tissue, cbf=tissue.cbf * cbf_factor)
    return tissue
