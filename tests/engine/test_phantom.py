"""The phantom is what it says: deterministic, any matrix, valid BIDS, exact where no noise was asked for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.errors import BolusError, Code
from bolus.nifti import load
from bolus.phantom import Design, asl_truth, classes, subject_of, write_cohort, write_frame, write_session
from bolus.phantom.anatomy import head_of
from bolus.phantom.tissue import BLOOD_ONLY, LABEL

SMALL = (24, 24, 6)
TRUTH = Path("derivatives", "phantom")


def image(folder, name):
    (path,) = folder.rglob(f"{name}.nii.gz")
    return load(path)[0].scaled()


def every_file(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exact")
    write_cohort(folder, 1, shape=(32, 32, 6), snr=None)
    return folder


def test_the_same_seed_makes_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_cohort(tmp_path / name, 2, shape=SMALL, seed=seed)
    first, again, other = (every_file(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    series = [name for name in first if name.endswith(("_dsc.nii.gz", "_asl.nii.gz"))]
    assert len(series) == 4
    assert all(first[name] != other[name] for name in series)


def test_sessions_written_apart_and_backwards_are_those_of_the_cohort(tmp_path):
    write_cohort(tmp_path / "whole", 2, sessions=2, shape=SMALL)
    design = Design(2, sessions=2, shape=SMALL)
    write_frame(tmp_path / "parts", design)
    for subject, session in ((2, 2), (1, 2), (2, 1), (1, 1)):
        write_session(tmp_path / "parts", design, subject, session)
    assert every_file(tmp_path / "whole") == every_file(tmp_path / "parts")


def test_several_echoes_decay_and_are_lifted_alike_by_t1(tmp_path):
    times = (0.012, 0.03, 0.05)
    for name, echo_times in (("one", (0.03,)), ("three", times)):
        write_cohort(tmp_path / name, 1, shape=SMALL, snr=None, contrasts=("dsc",), echo_times=echo_times)
    echoes = [image(tmp_path / "three", f"sub-01_echo-{n}_dsc").astype(float) for n in (1, 2, 3)]
    np.testing.assert_allclose(echoes[1], image(tmp_path / "one", "sub-01_dsc"), rtol=1e-6)
    for number, time in enumerate(times, 1):
        (path,) = (tmp_path / "three/sub-01").rglob(f"*_echo-{number}_dsc.json")
        assert json.loads(path.read_text())["EchoTime"] == time
    labels = image(tmp_path / "three", "sub-01_desc-dsc_dseg")
    relaxed = [-np.log(echo[labels == LABEL["tumour_rim"]].mean(0)) for echo in echoes]
    relaxed = [each - each[0] for each in relaxed]
    slopes = [(relaxed[k + 1] - relaxed[k]) / (times[k + 1] - times[k]) for k in (0, 1)]
    np.testing.assert_allclose(slopes[0], slopes[1], atol=0.02 * slopes[0].max())
    assert slopes[0].max() > 4 and (slopes[0][-5:] > relaxed[1][-5:] / 0.03 + 0.1).all()
    assert np.nanmax(image(tmp_path / "one", "sub-01_desc-dsc_k2")) > 0
    assert np.nanmax(image(tmp_path / "three", "sub-01_desc-dsc_k2")) == 0


@pytest.mark.parametrize("times", [(), (0.03, 0.02), (-0.01,), (0.03, 0.5)])
def test_impossible_echo_times_are_refused(times):
    with pytest.raises(BolusError, match="echo_times"):
        Design(1, echo_times=times)


@pytest.mark.parametrize("shape", [(16, 16, 4), (33, 31, 5), (64, 64, 1), (12, 13, 1), (20, 48, 30)])
def test_any_matrix_holds_a_head_with_its_structures(tmp_path, shape):
    write_cohort(tmp_path, 1, shape=shape, volumes=24)
    names = {"grey_matter", "white_matter", "artery"}
    if min(shape[:2]) >= 16:
        names |= {"grey_matter_delayed", "white_matter_delayed", "tumour_rim", "csf"}
    for contrast, series in (("dsc", "sub-01_dsc"), ("asl", "sub-01_asl")):
        labels = image(tmp_path, f"sub-01_desc-{contrast}_dseg")
        assert image(tmp_path, series).shape[:3] == labels.shape
        present = {tissue.name for tissue in classes() if (labels == tissue.label).any()}
        assert names <= present
    assert image(tmp_path, "sub-01_dsc").shape == (*shape, 24)


def test_at_the_default_matrix_every_tissue_is_there_in_every_subject():
    for number in range(1, 7):
        counts = np.bincount(head_of((64, 64, 12), subject_of(1, number)).labels.ravel(), minlength=13)
        assert counts.min() >= 20, dict(zip((tissue.name for tissue in classes()), counts, strict=True))
    assert {subject_of(1, number).tumour_side for number in (1, 2)} == {-1, 1}


def test_the_tumour_and_the_late_territory_lie_in_opposite_hemispheres():
    subject = subject_of(5, 1)
    head = head_of((64, 64, 12), subject)
    across = head.grid.affine[0, 3] + head.grid.affine[0, 0] * np.indices(head.labels.shape)[0]
    rim, late = (across[head.labels == LABEL[name]] for name in ("tumour_rim", "white_matter_delayed"))
    assert subject.tumour_side * rim.mean() > 20
    assert (subject.tumour_side * late < 0).all()


def test_subjects_differ_in_flow_by_at_most_fifteen_percent():
    factors = np.array([subject_of(1, number).cbf_factor for number in range(1, 101)])
    assert 0.85 <= factors.min() < 0.9
    assert 1.1 < factors.max() <= 1.15
    grey, nominal = (values[LABEL["grey_matter"]] for values in (classes(1.1), classes()))
    assert grey.cbf == pytest.approx(1.1 * nominal.cbf)
    assert (grey.mtt, grey.delay, grey.att) == (nominal.mtt, nominal.delay, nominal.att)


@pytest.mark.parametrize(
    ("sessions", "name"), [(1, "sub-01/perf/sub-01"), (2, "sub-01/ses-2/perf/sub-01_ses-2")]
)
def test_names_have_a_session_only_where_there_are_several(tmp_path, sessions, name):
    write_cohort(tmp_path, 1, sessions=sessions, shape=SMALL)
    images = ("dsc.nii.gz", "asl.nii.gz", "m0scan.nii.gz")
    texts = ("dsc.json", "asl.json", "aslcontext.tsv", "m0scan.json")
    assert all((tmp_path / f"{name}_{ending}").is_file() for ending in images + texts)
    assert len(list(tmp_path.glob("sub-*/**/*_dsc.nii.gz"))) == sessions
    intended = json.loads((tmp_path / f"{name}_m0scan.json").read_text())["IntendedFor"]
    assert intended == f"bids::{name}_asl.nii.gz"


def test_the_truth_serves_as_derivatives_of_both_contrasts(exact):
    scans = {found.scan.contrast: found for found in find_scans(exact, derivatives=[exact / TRUTH])}
    assert all(found.problem is None for found in scans.values())
    masks = {"label-brain_mask", "label-lesion_mask"}
    assert masks | {"label-AIF_mask", "aif"} <= set(scans["dsc"].scan.derivatives)
    assert masks | {"T1map"} <= set(scans["asl"].scan.derivatives)


def test_volume_is_flow_times_transit_time_in_every_voxel(exact):
    cbf, cbv, mtt = (image(exact, f"sub-01_desc-dsc_{name}") for name in ("cbf", "cbv", "mtt"))
    known = np.isfinite(cbf) & np.isfinite(mtt) & (cbf > 0)
    assert known.sum() > 500
    np.testing.assert_allclose(cbv[known], cbf[known] * mtt[known] / 60, rtol=1e-6)
    fluid = image(exact, "sub-01_desc-dsc_dseg") == LABEL["csf"]
    assert (cbf[fluid] == 0).all()
    assert (cbv[fluid] == 0).all()
    artery = image(exact, "sub-01_label-AIF_desc-dsc_mask") > 0
    assert artery.sum() >= 8
    np.testing.assert_allclose(cbv[artery], BLOOD_ONLY, rtol=1e-6)


def test_maps_are_zero_outside_the_brain_and_unknown_only_without_flow_or_in_arteries(exact):
    for contrast, names in (("dsc", ("cbf", "cbv", "mtt", "delay", "k2")), ("asl", ("cbf", "att", "T1map"))):
        brain = image(exact, f"sub-01_label-brain_desc-{contrast}_mask") > 0
        tissue = np.isin(image(exact, f"sub-01_desc-{contrast}_dseg"), range(4, 11))
        assert (tissue <= brain).all()
        for name in names:
            values = image(exact, f"sub-01_desc-{contrast}_{name}")
            assert (values[~brain] == 0).all()
            assert np.isfinite(values[tissue]).all()


def test_exact_signals_give_back_the_arterial_input(exact):
    volume, _ = load(exact / "sub-01/perf/sub-01_dsc.nii.gz")
    assert volume.data.dtype == np.int16
    signal = volume.scaled().astype(float)
    labels = image(exact, "sub-01_desc-dsc_dseg")
    table = np.loadtxt(next(exact.rglob("*_aif.tsv")), skiprows=1)
    np.testing.assert_allclose(table[:, 0], 1.5 * np.arange(60))
    artery = signal[labels == LABEL["artery"]]
    relaxation = -np.log(artery / artery[:, :1]) / 0.03
    half_a_step = 0.5 * volume.slope / 0.03
    bound = 1.01 * half_a_step * (1 / artery + 1 / artery[:, :1])
    assert (np.abs(relaxation - table[:, 1]) <= bound).all()
    assert 0.09 < artery.min() / artery[0, 0] < 0.13


def test_exact_signals_of_a_tissue_are_alike_flat_before_the_bolus_and_dark_in_it(exact):
    signal = image(exact, "sub-01_dsc")
    labels = image(exact, "sub-01_desc-dsc_dseg")
    for name in ("grey_matter", "white_matter_delayed", "tumour_rim"):
        curves = signal[labels == LABEL[name]]
        assert (curves == curves[0]).all()
        assert (curves[0, :8] == curves[0, 0]).all()
        assert curves[0].min() < 0.98 * curves[0, 0]
    still = signal[labels == LABEL["csf"]]
    assert (still == still[0, 0]).all()


@pytest.mark.parametrize("labeling", ["PCASL", "PASL"])
def test_exact_pairs_over_calibration_are_the_labelled_difference(tmp_path, labeling):
    write_cohort(tmp_path, 1, shape=SMALL, snr=float("inf"), contrasts=("asl",), labeling=labeling)
    series, m0, t1 = (image(tmp_path, f"sub-01_{name}") for name in ("asl", "m0scan", "desc-asl_T1map"))
    labels = image(tmp_path, "sub-01_desc-asl_dseg")
    delays = json.loads((tmp_path / "sub-01/perf/sub-01_asl.json").read_text())["PostLabelingDelay"]
    assert series.shape[3] == len(delays) == 64
    person = subject_of(1, 1)
    tissues = classes(person.cbf_factor, person.delay_of_territory)
    for name in ("grey_matter", "white_matter", "grey_matter_delayed", "tumour_rim", "csf", "artery"):
        tissue, here = tissues[LABEL[name]], labels == LABEL[name]
        full = m0[here] / (1 - np.exp(-10 / t1[here]))
        pairs = (series[here][:, 0::2] - series[here][:, 1::2]) / full[:, None]
        truth = [asl_truth.difference(tissue, labeling, delay) for delay in delays[::2]]
        assert len(pairs) > 0
        np.testing.assert_allclose(pairs, np.tile(truth, (len(pairs), 1)), atol=5e-7)


def test_noise_is_what_was_asked_for_and_never_clipped(tmp_path):
    write_cohort(tmp_path / "usual", 1, shape=(32, 32, 6), snr=100, contrasts=("dsc",))
    labels = image(tmp_path, "sub-01_desc-dsc_dseg")
    baseline = image(tmp_path, "sub-01_dsc")[..., :8][labels == LABEL["grey_matter"]]
    assert baseline.mean() / baseline.std() == pytest.approx(100, rel=0.05)
    write_cohort(tmp_path / "poor", 1, shape=SMALL, snr=3)
    for name in ("dsc", "asl", "m0scan"):
        stored = load(tmp_path / f"poor/sub-01/perf/sub-01_{name}.nii.gz")[0].data
        assert stored.dtype == np.int16
        assert 0 <= stored.min() < stored.max() < 32767


@pytest.mark.parametrize(
    "options",
    [{"snr": None}, {"sessions": 2, "labeling": "PASL"}, {"contrasts": ("asl",)}],
    ids=["exact", "sessions-PASL", "asl-only"],
)
def test_the_validator_finds_no_error(tmp_path, options):
    write_cohort(tmp_path, 2, shape=SMALL, **options)
    beside = Path(sys.executable).with_name("bids-validator-deno")
    command = beside if beside.exists() else shutil.which("bids-validator-deno")
    assert command is not None, "bids-validator-deno belongs to the test extra"
    for folder in (tmp_path, tmp_path / TRUTH):
        done = subprocess.run(
            [command, "--format", "json", folder], capture_output=True, text=True, check=False, timeout=120
        )
        report = json.loads(done.stdout)
        errors = [issue for issue in report["issues"]["issues"] if issue["severity"] == "error"]
        assert errors == []
        assert done.returncode == 0
        assert report["summary"]["totalFiles"] >= 3


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BolusError, match="not empty") as refusal:
        write_cohort(tmp_path, 1)
    assert refusal.value.code is Code.PATH
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subjects", 0),
        ("sessions", 0),
        ("shape", (11, 64, 12)),
        ("volumes", 10),
        ("snr", 0.0),
        ("seed", -1),
        ("contrasts", ("dce",)),
        ("labeling", "VSASL"),
    ],
)
def test_an_impossible_design_is_refused_by_name(name, value):
    with pytest.raises(BolusError, match=name) as refusal:
        Design(**{"subjects": 1, name: value})
    assert refusal.value.code is Code.RECIPE
