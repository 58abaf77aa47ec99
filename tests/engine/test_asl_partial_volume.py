"""Pure grey and white matter end to end: from files with tissue maps to flow, against a brain whose truth is known."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from benchmarks.asl import simulate as simulate_asl
from benchmarks.asl.brain import PHYSICAL, brain, mask
from benchmarks.reference.partial_volume import tissue_flows, tissue_signals
from bolus.bids import find_scans
from bolus.errors import Code
from bolus.pipeline import process
from bolus_kernels.device import cpu
from tests.engine.made import recipe

TISSUES = ("GM", "WM", "CSF")
SHAPE, VOXEL = (40, 40, 3), (4.0, 4.0, 5.0)
REPETITION_TIME = 3.0
AROUND = np.ones((5, 5, 1))
WISH, WITHIN = "asl.partial_volume=regression", "asl.partial_volume=posterior"
SEVERAL = replace(simulate_asl.PCASL, repeats=1, m0_repetition_time=REPETITION_TIME)
PULSED = replace(simulate_asl.PASL, repeats=1, m0_repetition_time=REPETITION_TIME)
ONE = replace(SEVERAL, delays=(1.8,), repeats=2)


@pytest.fixture(scope="module")
def head():
    return brain(SHAPE, VOXEL, PHYSICAL)


def save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(data, np.float32), np.diag([*VOXEL, 1.0])), path)


def write(root, head, acquisition, given=TISSUES, **meta):
    """A data set of one scan, with its brain mask and the maps of the tissues named in `given`."""
    scan = simulate_asl.acquire(head, acquisition)
    stem = root / "sub-01/perf/sub-01"
    images = np.stack([scan.control, scan.label], axis=4).reshape(*SHAPE, -1)
    save(stem.with_name("sub-01_asl.nii.gz"), images)
    save(stem.with_name("sub-01_m0scan.nii.gz"), scan.m0)
    told = {
        "ArterialSpinLabelingType": acquisition.labeling,
        "PostLabelingDelay": np.repeat(scan.delays, 2).tolist(),
        "LabelingDuration": acquisition.duration,
        "LabelingEfficiency": acquisition.efficiency,
        "BackgroundSuppression": False,
        "M0Type": "Separate",
        "MagneticFieldStrength": 3,
        "MRAcquisitionType": "3D",
        "RepetitionTimePreparation": 5.0,
    } | meta
    if acquisition.labeling == "PASL":
        del told["LabelingDuration"]
        told |= {"BolusCutOffFlag": True, "BolusCutOffTechnique": "QUIPSSII"}
        told["BolusCutOffDelayTime"] = acquisition.duration
    stem.with_name("sub-01_asl.json").write_text(json.dumps(told))
    stem.with_name("sub-01_m0scan.json").write_text(
        json.dumps({"RepetitionTimePreparation": REPETITION_TIME})
    )
    rows = ["control", "label"] * scan.control.shape[3]
    stem.with_name("sub-01_aslcontext.tsv").write_text("\n".join(["volume_type", *rows]) + "\n")
    beside = root / "derivatives/maps/sub-01/perf"
    save(beside / "sub-01_label-brain_mask.nii.gz", mask(head))
    for name in given:
        save(beside / f"sub-01_label-{name}_probseg.nii.gz", head.fractions[name.lower()])
    return scan


def processed(root, *sets):
    """Every map by its file's ending, and the sidecars likewise."""
    (found,) = find_scans(root, derivatives=[root / "derivatives/maps"])
    assert found.problem is None
    outcome = process(found.scan, root / "out", recipe(*sets), cpu())
    maps, told = {}, {}
    for path in sorted((root / "out").rglob("sub-01_*.nii.gz")):
        ending = path.name.removeprefix("sub-01_").removesuffix(".nii.gz")
        maps[ending] = np.asarray(nibabel.load(path).dataobj)
        told[ending] = json.loads(path.with_name(f"sub-01_{ending}.json").read_text())
    return maps, told, outcome


def plain(head):
    """Where the neighbours of a voxel are alike: no lesion, and blood that is either late or not."""
    lesion = head.fractions["rim"] + head.fractions["core"] > 0
    late, punctual = (binary_dilation(where, AROUND) for where in (head.late, ~head.late))
    return mask(head) & ~binary_dilation(lesion, AROUND) & ~(late & punctual)


@pytest.mark.parametrize("acquisition", [SEVERAL, PULSED], ids=["PCASL", "PASL"])
def test_pure_flow_and_arrival_are_those_of_the_tissue(tmp_path, head, acquisition):
    write(tmp_path, head, acquisition)
    maps, told, outcome = processed(tmp_path, WISH)
    for name in ("gm", "wm"):
        held = mask(head) & (head.fractions[name] >= 0.1)
        cbf, att = maps[f"desc-{name}_cbf"], maps[f"desc-{name}_att"]
        known = held & np.isfinite(cbf)
        assert known.sum() > 0.97 * held.sum()
        error = cbf / head.cbf[name] - 1
        assert abs(error[known].mean()) < 0.03
        alike = known & plain(head)
        assert alike.sum() > 500
        assert np.abs(error[alike]).max() < 0.01
        assert np.abs(att - head.att[name])[alike].max() < 0.02  # it drifts by 0.01 s over the neighbours
        mixed = maps["cbf"][held & (head.fractions[name] < 0.7)].mean() / head.tissues[name].cbf - 1
        assert abs(mixed) > 0.15
        assert (cbf[~mask(head)] == 0).all()
        assert np.isnan(cbf[mask(head) & (head.fractions[name] < 0.09)]).all()
        assert np.isfinite(maps[f"desc-{name}Sd_cbf"][known]).all()
        said = told[f"desc-{name}_cbf"]["Parameters"]
        assert said["PartitionCoefficient"]["Value"] == PHYSICAL[name].partition_coefficient
        assert said["T1Tissue"]["Value"] == pytest.approx(PHYSICAL[name].t1)
        assert said["PartialVolume"]["Kernel"] == [5, 5, 1]
        assert "Asllani" in told[f"desc-{name}_cbf"]["Reference"]
        assert f"pure {'grey' if name == 'gm' else 'white'} matter" in told[f"desc-{name}_att"]["Description"]
        assert outcome.numbers[f"median_desc-{name}_cbf"] == pytest.approx(head.tissues[name].cbf, rel=0.01)
    said = [told[f"desc-{name}_att"]["Parameters"] for name in ("gm", "wm")]
    later = [each["PartialVolume"]["Later"]["Value"] for each in said]
    assert later[1] - later[0] == pytest.approx(0.3)
    assert not any(
        {"att_mean", "att_sd"} & each.keys() for each in said
    )  # what the scan says took their place
    assert told["cbf"]["Parameters"]["PartitionCoefficient"]["Value"] == 0.9


@pytest.mark.parametrize("acquisition", [SEVERAL, PULSED], ids=["PCASL", "PASL"])
def test_within_the_posterior_pure_flow_and_arrival_are_those_of_the_tissue(tmp_path, head, acquisition):
    write(tmp_path, head, acquisition)
    maps, told, _ = processed(tmp_path, WITHIN)
    for name in ("gm", "wm"):
        held = mask(head) & (head.fractions[name] >= 0.1)
        cbf, att = maps[f"desc-{name}_cbf"], maps[f"desc-{name}_att"]
        known = held & np.isfinite(cbf)
        assert known.sum() > 0.97 * held.sum()
        alike = known & plain(head)
        assert alike.sum() > 500
        error = cbf / head.cbf[name] - 1
        assert abs(error[alike].mean()) < 0.03
        assert np.median(np.abs(error[alike])) < 0.02
        assert np.median(np.abs(att - head.att[name])[alike]) < 0.02
        assert (cbf[~mask(head)] == 0).all()
        assert np.isnan(cbf[mask(head) & (head.fractions[name] < 0.09)]).all()
        assert (maps[f"desc-{name}Sd_cbf"][known] > 0).all()
        said = told[f"desc-{name}_cbf"]
        assert said["Parameters"]["PartialVolume"]["Window"]["Value"] <= 2
        assert said["Parameters"]["ArrivalPrior"]["Mean"]["Source"] == "literature"
        assert said["Parameters"]["PartitionCoefficient"]["Value"] == PHYSICAL[name].partition_coefficient
        assert "Chappell" in said["Reference"] and "window" in said["Equation"]


def test_one_delay_is_refused_within_the_posterior(tmp_path, head, refused):
    write(tmp_path, head, ONE)
    error = refused(processed, tmp_path, WITHIN)
    assert error.code == Code.RECIPE
    assert "asl.partial_volume = posterior" in error.seen
    assert "regression" in error.mend


def test_one_delay_is_quantified_as_the_reference_does(tmp_path, head):
    scan = write(tmp_path, head, ONE)
    maps, _, _ = processed(tmp_path, WISH)
    assert "desc-gm_att" not in maps
    inside = mask(head)
    difference = (scan.control - scan.label).mean(3)
    shares = [head.fractions[name.lower()].astype(np.float32) for name in TISSUES]
    places = np.argwhere(inside & (shares[0] > 0.15) & (shares[1] > 0.15))[::7]
    assert len(places) > 20
    for x, y, z in places:
        voxel = int(x), int(y), int(z)
        expected = tissue_flows(
            "PCASL",
            tissue_signals(difference, shares[:2], voxel, 2, inside),
            tissue_signals(scan.m0, shares, voxel, 2, inside),
            1.8, 1.8, efficiency=0.85, t1_blood=1.65, m0_repetition_time=REPETITION_TIME,
        )  # fmt: skip
        found = maps["desc-gm_cbf"][voxel], maps["desc-wm_cbf"][voxel]
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_one_number_as_m0_is_that_of_blood(tmp_path, head):
    """900 is M0 of blood in this brain: each tissue's is its water times it, whatever else is in the voxel."""
    write(tmp_path, head, SEVERAL)
    maps, _, _ = processed(tmp_path, WISH, "asl.calibration=value", "asl.m0_value=900")
    for name in ("gm", "wm"):
        alike = plain(head) & np.isfinite(maps[f"desc-{name}_cbf"]) & (head.fractions[name] >= 0.1)
        assert alike.sum() > 500
        assert np.abs(maps[f"desc-{name}_cbf"][alike] / head.cbf[name][alike] - 1).max() < 0.01


def test_the_uncorrected_maps_are_not_touched_and_the_fluid_may_be_left_out(tmp_path, head):
    write(tmp_path / "with", head, ONE)
    write(tmp_path / "without", head, ONE, given=("GM", "WM"))
    corrected, _, _ = processed(tmp_path / "with", WISH)
    usual, told, _ = processed(tmp_path / "without")
    assert not [ending for ending in usual if "gm" in ending or "wm" in ending]
    assert "PartialVolume" not in told["cbf"]["Parameters"]
    for ending, values in usual.items():
        np.testing.assert_array_equal(values, corrected[ending])
    implied, _, _ = processed(tmp_path / "without", WISH)
    # what is neither is fluid where a tumour is too, so that only voxels far from it can be compared
    far = plain(head) & (np.sum([head.fractions[name.lower()] for name in TISSUES], axis=0) > 0.99)
    far = far & ~binary_dilation(mask(head) & ~far, AROUND) & np.isfinite(corrected["desc-gm_cbf"])
    assert far.sum() > 100
    np.testing.assert_allclose(implied["desc-gm_cbf"][far], corrected["desc-gm_cbf"][far], rtol=1e-3)


def test_the_reach_is_obeyed(tmp_path, head):
    write(tmp_path, head, ONE)
    _, told, _ = processed(tmp_path, WISH, "asl.partial_volume_reach=1")
    assert told["desc-gm_cbf"]["Parameters"]["PartialVolume"]["Kernel"] == [3, 3, 1]


def test_a_given_prior_of_arrivals_is_later_in_white_matter(tmp_path, head):
    write(tmp_path, head, SEVERAL)
    _, told, _ = processed(tmp_path, WISH, "asl.multi_delay.att_prior=given")
    said = [told[f"desc-{name}_att"]["Parameters"] for name in ("gm", "wm")]
    assert said[1]["att_mean"] - said[0]["att_mean"] == pytest.approx(0.3)
    assert all("ArrivalPrior" not in each and each["att_sd"] == 1.0 for each in said)


@pytest.mark.parametrize("given", [(), ("GM",), ("WM", "CSF")])
def test_a_missing_tissue_map_is_named(tmp_path, head, refused, given):
    write(tmp_path, head, ONE, given=given)
    error = refused(processed, tmp_path, WITHIN)
    assert "asl.partial_volume = posterior" in error.expected
    error = refused(processed, tmp_path, WISH)
    assert error.code == Code.META
    for name in ("GM", "WM"):
        assert (f"no label-{name}_probseg" in error.seen) == (name not in given)


@pytest.mark.parametrize(
    ("field", "sets", "t1", "doubt"),
    [
        (1.5, (), (1.2, 0.65), False),
        (4.7, ("asl.t1_blood=1.9",), (1.3, 1.1), True),
        (4.7, ("asl.t1_blood=1.9", "asl.t1_gm=1.6", "asl.t1_wm=1.2"), (1.6, 1.2), False),
    ],
)
def test_another_field_strength_has_its_own_t1_or_is_doubted(tmp_path, head, field, sets, t1, doubt):
    write(tmp_path, head, ONE, MagneticFieldStrength=field)
    _, told, outcome = processed(tmp_path, WISH, *sets)
    said = [told[f"desc-{name}_cbf"]["Parameters"]["T1Tissue"]["Value"] for name in ("gm", "wm")]
    assert said == pytest.approx(t1)
    assert any("as at 3 T" in warning for warning in outcome.warnings) == doubt
