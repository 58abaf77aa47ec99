"""From files to files: a phantom without noise goes in, and what is known of it comes out."""

import json
from pathlib import Path

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.nifti import load as load_image
from bolus.phantom import classes, subject_of, write_cohort
from bolus.phantom.asl_truth import DELAYS, LABELING_DURATION, LABELING_EFFICIENCY
from bolus.phantom.tissue import LABEL, PARENCHYMA
from bolus.pipeline import process
from bolus_kernels.device import cpu
from tests.engine.made import recipe

SHAPE = (32, 32, 6)
# The label must have arrived when the last image is taken: all classes here; in csf and vessels no label flows.
FLOWING = PARENCHYMA
README_UNITS = {
    "dsc": {
        "desc-osvd_cbf": "ml/100g/min", "desc-csvd_cbf": "ml/100g/min", "desc-osvd_mtt": "s", "desc-csvd_mtt": "s",
        "desc-osvd_tmax": "s", "desc-csvd_tmax": "s", "desc-uncorrected_cbv": "ml/100g", "desc-bsw_cbv": "ml/100g",
        "desc-bsw_k1": "1", "desc-bsw_k2": "1/s", "desc-dscfit_state": "label",
        "label-brain_desc-dsc_mask": "0/1",
    },
    "asl": {
        "cbf": "ml/100g/min", "att": "s", "desc-sd_cbf": "ml/100g/min", "desc-sd_att": "s", "deltam": "arbitrary",
        "m0": "arbitrary", "desc-aslfit_state": "label", "label-brain_desc-asl_mask": "0/1",
    },
}  # fmt: skip


class Session:
    """One session of a phantom, processed; its maps and its truth by the endings of their files."""

    def __init__(self, data, out, contrast):
        self.data, self.out, self.contrast = data, out, contrast
        self.labels = self.truth("dseg")
        self.tissues = {tissue.name: tissue for tissue in classes(*personal())}

    def map(self, ending):
        (path,) = self.out.rglob(f"sub-01_{ending}.nii.gz")
        return load_image(path)[0].scaled()

    def truth(self, ending):
        (path,) = self.data.rglob(f"sub-01_desc-{self.contrast}_{ending}.nii.gz")
        return load_image(path)[0].data

    def within(self, name):
        inside = self.labels == LABEL[name]
        assert inside.any(), name
        return inside


def personal():
    person = subject_of(1, 1)
    return person.cbf_factor, person.delay_of_territory


def processed(folder, contrast, sets=(), **options):
    write_cohort(folder / "data", 1, shape=SHAPE, snr=None, contrasts=(contrast,), **options)
    (found,) = find_scans(folder / "data", derivatives=[folder / "data/derivatives/phantom"])
    assert found.problem is None
    process(found.scan, folder / "maps", recipe(*sets), cpu())
    return Session(folder / "data", folder / "maps", contrast)


@pytest.fixture(scope="module", params=["PCASL", "PASL"])
def asl(request, tmp_path_factory):
    made = processed(tmp_path_factory.mktemp("asl"), "asl", labeling=request.param)
    made.labeling = request.param
    return made


@pytest.fixture(scope="module")
def dsc(tmp_path_factory):
    return processed(tmp_path_factory.mktemp("dsc"), "dsc", ["dsc.deconvolution=csvd,osvd"])


@pytest.mark.parametrize("name", FLOWING)
def test_asl_without_noise_gives_flow_and_arrival_of_every_tissue(asl, name):
    tissue, inside = asl.tissues[name], asl.within(name)
    last = max(DELAYS[asl.labeling]) + (LABELING_DURATION["PCASL"] if asl.labeling == "PCASL" else 0)
    assert tissue.att < last
    assert abs(np.mean(asl.map("cbf")[inside] - tissue.cbf)) <= 0.3
    assert np.sqrt(np.mean((asl.map("att")[inside] - tissue.att) ** 2)) <= 0.01


def test_every_brain_voxel_with_a_label_has_a_value_and_a_spread(asl):
    flowing = np.isin(asl.labels, [LABEL[name] for name in FLOWING])
    assert (asl.map("desc-aslfit_state")[flowing] == 0).all()
    for ending in ("desc-sd_cbf", "desc-sd_att"):
        assert (asl.map(ending)[flowing] > 0).all()


@pytest.mark.parametrize("name", [name for name in PARENCHYMA if classes()[LABEL[name]].k2 == 0])
def test_dsc_without_noise_gives_the_blood_volume_of_every_tight_tissue(dsc, name):
    tissue, inside = dsc.tissues[name], dsc.within(name)
    volume = dsc.map("desc-uncorrected_cbv")[inside]
    assert np.isfinite(volume).all()
    assert abs(np.median(volume) / tissue.cbv - 1) <= 0.03


def test_the_correction_brings_the_leaky_rim_nearer_and_leaves_normal_brain_alone(dsc):
    tissue, inside = dsc.tissues["tumour_rim"], dsc.within("tumour_rim")
    uncorrected, corrected = (np.median(dsc.map(f"desc-{how}_cbv")[inside]) for how in ("uncorrected", "bsw"))
    assert uncorrected < 0.9 * tissue.cbv
    assert abs(corrected - tissue.cbv) < 0.7 * abs(uncorrected - tissue.cbv)
    assert np.median(dsc.map("desc-bsw_k2")[inside]) > 0.3 * tissue.k2
    for name in (
        "grey_matter",
        "white_matter",
    ):  # what arrives late is taken for leakage, so not the territory
        volume = np.median(dsc.map("desc-bsw_cbv")[dsc.within(name)])
        assert volume == pytest.approx(dsc.tissues[name].cbv, rel=0.03)


def test_the_delayed_territory_is_late(dsc):
    late = dsc.tissues["grey_matter_delayed"].delay - dsc.tissues["grey_matter"].delay
    tmax = dsc.map("desc-osvd_tmax")
    apart = np.median(tmax[dsc.within("grey_matter_delayed")]) - np.median(tmax[dsc.within("grey_matter")])
    assert apart == pytest.approx(late, abs=1.5)


def test_every_map_of_the_table_is_there_with_its_unit(asl, dsc):
    for session in (asl, dsc):
        for ending, unit in README_UNITS[session.contrast].items():
            (sidecar,) = session.out.rglob(f"sub-01_{ending}.json")
            assert json.loads(sidecar.read_text())["Units"] == unit
            image = session.map(ending)
            assert image.shape == session.labels.shape
            assert not image[session.map(f"label-brain_desc-{session.contrast}_mask") == 0].any()
    assert list(dsc.out.rglob("sub-01_aif.tsv"))


def test_no_sidecar_names_a_folder_of_this_machine(asl, dsc):
    for session in (asl, dsc):
        for path in session.out.rglob("*.json"):
            assert str(session.data.parent) not in path.read_text()


def test_the_truth_s_own_input_is_the_one_used(dsc):
    said = json.loads(next(dsc.out.rglob("sub-01_aif.json")).read_text())
    assert said["Method"] == "table (delta_r2star)"


# One delay: the last of the phantom's, cut out of its series.


@pytest.fixture(scope="module", params=["PCASL", "PASL"])
def single(request, tmp_path_factory):
    """A session of one delay with slices read one after another, and its delay (s)."""
    from bolus import nifti

    labeling, folder = request.param, tmp_path_factory.mktemp("single")
    write_cohort(folder / "data", 1, shape=SHAPE, snr=None, contrasts=("asl",), labeling=labeling)
    perf = folder / "data/sub-01/perf"
    volume, _ = load_image(perf / "sub-01_asl.nii.gz")
    nifti.save(perf / "sub-01_asl.nii.gz", volume.data[..., -4:], volume.grid, tr=6.0)
    sidecar = perf / "sub-01_asl.json"
    delay = DELAYS[labeling][-1]
    timing = [0.1 * z for z in range(SHAPE[2])]
    changed = {
        "PostLabelingDelay": delay,
        "MRAcquisitionType": "2D",
        "SliceTiming": timing,
        "TotalAcquiredPairs": 2,
    }
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | changed))
    (perf / "sub-01_aslcontext.tsv").write_text("volume_type\ncontrol\nlabel\ncontrol\nlabel\n")
    (found,) = find_scans(folder / "data")
    process(found.scan, folder / "maps", recipe(), cpu())
    made = Session(folder / "data", folder / "maps", "asl")
    made.labeling, made.delay, made.timing = labeling, delay, np.array(timing)
    return made


def test_one_delay_is_the_published_formula(single):
    """Alsop 2015, equations 1 and 2, from the maps of difference and calibration that lie beside it."""
    blood, efficiency = 1.65, LABELING_EFFICIENCY[single.labeling]
    duration = LABELING_DURATION[single.labeling]
    delivered = duration if single.labeling == "PASL" else blood * (1 - np.exp(-duration / blood))
    good = single.map("label-brain_desc-asl_mask") > 0
    difference, m0 = (single.map(ending).astype(float) for ending in ("deltam", "m0"))
    late = np.exp((single.delay + single.timing) / blood)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 6000 * 0.9 * difference * late / (2 * efficiency * delivered * m0)
    np.testing.assert_allclose(single.map("cbf")[good], expected[good], rtol=1e-5, atol=1e-5)
    assert not list(single.out.rglob("*_att.nii.gz"))


def test_the_ratios_of_flow_and_of_difference_follow_the_exact_invariant(single):
    """CBF ratio / deltaM ratio = (M0_ref / M0) exp((PLD - PLD_ref) / T1b), voxel by voxel."""
    flowing = np.argwhere(np.isin(single.labels, [LABEL[name] for name in FLOWING]))
    one, other = flowing[:: len(flowing) // 40], flowing[:: len(flowing) // 40][::-1]
    flow, difference, m0 = (single.map(ending).astype(float) for ending in ("cbf", "deltam", "m0"))
    ratios = [image[tuple(one.T)] / image[tuple(other.T)] for image in (flow, difference, m0)]
    later = single.timing[one[:, 2]] - single.timing[other[:, 2]]
    assert np.ptp(later) > 0.3
    np.testing.assert_allclose(ratios[0] / ratios[1], np.exp(later / 1.65) / ratios[2], rtol=1e-4)


def test_the_same_files_give_the_same_bytes(dsc, tmp_path):
    (found,) = find_scans(dsc.data, derivatives=[dsc.data / "derivatives/phantom"])
    outcome = process(found.scan, tmp_path, recipe("dsc.deconvolution=csvd,osvd"), cpu(2))
    for name in outcome.outputs:
        assert (tmp_path / name).read_bytes() == (dsc.out / name).read_bytes(), name
    assert Path(next(iter(outcome.outputs))).parts[0] == "sub-01"
