"""What belongs to a scan: sidecars from near to far, its calibration image, given masks and maps."""

import json

import pytest

from bolus.bids import find_scans
from bolus.errors import Code


def intended(path, targets):
    path.write_text(json.dumps({"IntendedFor": targets}))


def relative(paths, root):
    return [str(path.relative_to(root)) for path in paths]


def the_problem(found):
    problems = [each.problem for each in found if each.problem]
    assert len(problems) == 1
    problem = problems[0]
    assert problem.file and problem.seen and problem.expected and problem.mend
    return problem


def test_sidecars_are_inherited_from_near_to_far(study):
    perf = "sub-01/ses-1/perf"
    root = study(
        f"{perf}/sub-01_ses-1_task-rest_run-1_asl.nii.gz",
        f"{perf}/sub-01_ses-1_task-rest_run-1_asl.json",
        f"{perf}/sub-01_ses-1_asl.json",
        f"{perf}/sub-01_ses-1_run-2_asl.json",
        f"{perf}/sub-01_ses-1_task-rest_run-1_dsc.json",
        "sub-01/ses-1/sub-01_ses-1_asl.json",
        "sub-01/sub-01_asl.json",
        "task-rest_asl.json",
        "task-move_asl.json",
        "asl.json",
        "task-rest_aslcontext.tsv",
    )
    (root.parent / "asl.json").write_text("{}")
    (found,) = find_scans(root)
    assert relative(found.scan.sidecars, root) == [
        f"{perf}/sub-01_ses-1_task-rest_run-1_asl.json",
        f"{perf}/sub-01_ses-1_asl.json",
        "sub-01/ses-1/sub-01_ses-1_asl.json",
        "sub-01/sub-01_asl.json",
        "task-rest_asl.json",
        "asl.json",
    ]
    assert found.scan.context == root / "task-rest_aslcontext.tsv"


def test_sidecars_that_say_equally_much_are_ambiguous(study):
    root = study(
        "sub-01/perf/sub-01_task-rest_run-1_asl.nii.gz",
        "task-rest_asl.json",
        "run-1_asl.json",
        "sub-02/perf/sub-02_asl.nii.gz",
    )
    found = find_scans(root)
    problem = the_problem(found)
    assert problem.code == Code.AMBIGUOUS and "task-rest_asl.json" in problem.seen
    assert found[1].problem is None


@pytest.mark.parametrize(
    "target",
    [
        "perf/sub-01_ses-1_asl.nii.gz",
        "ses-1/perf/sub-01_ses-1_asl.nii.gz",
        "./ses-1/perf/sub-01_ses-1_asl.nii.gz",
        "ses-1/perf/sub-01_ses-1_asl.nii",
        "bids::sub-01/ses-1/perf/sub-01_ses-1_asl.nii.gz",
        "bids:raw:sub-01/ses-1/perf/sub-01_ses-1_asl.nii.gz",
        "sub-01/ses-1/perf/sub-01_ses-1_asl.nii.gz",
        ["ses-1/perf/sub-01_ses-1_run-9_asl.nii.gz", "bids::sub-01/ses-1/perf/sub-01_ses-1_asl.nii.gz"],
    ],
)
@pytest.mark.parametrize("folder", ["perf", "fmap"])
def test_a_calibration_image_is_found_by_what_it_is_intended_for(study, target, folder):
    m0 = f"sub-01/ses-1/{folder}/sub-01_ses-1_acq-short_m0scan"
    root = study("sub-01/ses-1/perf/sub-01_ses-1_asl.nii.gz", f"{m0}.nii.gz", f"{m0}.json")
    intended(root / f"{m0}.json", target)
    (found,) = find_scans(root)
    assert relative(found.scan.m0, root) == [f"{m0}.nii.gz"]
    assert relative(found.scan.m0_sidecars, root) == [f"{m0}.json"]


def test_a_calibration_image_without_intention_goes_by_its_name(study):
    perf = "sub-01/perf/sub-01"
    root = study(
        f"{perf}_run-1_asl.nii.gz", f"{perf}_run-2_asl.nii.gz", f"{perf}_run-3_asl.nii.gz",
        f"{perf}_run-1_m0scan.nii.gz", f"{perf}_run-2_m0scan.nii.gz", f"{perf}_run-2_m0scan.json",
        "sub-01/fmap/sub-01_run-3_m0scan.nii.gz",
    )  # fmt: skip
    intended(root / f"{perf}_run-2_m0scan.json", "perf/sub-01_run-3_asl.nii.gz")
    found = find_scans(root)
    assert [relative(each.scan.m0, root) for each in found] == [
        [f"{perf}_run-1_m0scan.nii.gz"],
        [],
        [f"{perf}_run-2_m0scan.nii.gz"],
    ]


def test_two_calibration_images_are_ambiguous(study):
    m0 = [f"sub-01/perf/sub-01_dir-{way}_m0scan" for way in ("ap", "pa")]
    root = study(
        "sub-01/perf/sub-01_asl.nii.gz", *(f"{path}.nii.gz" for path in m0), *(f"{path}.json" for path in m0)
    )
    for path in m0:
        intended(root / f"{path}.json", "perf/sub-01_asl.nii.gz")
    problem = the_problem(find_scans(root))
    assert problem.code == Code.AMBIGUOUS and "dir-ap" in problem.seen and "dir-pa" in problem.seen


def directed(root, ours, **theirs):
    """A series and its calibration images, each phase-encoded along one direction (None: not said)."""
    for path, way in {"perf/sub-01_asl": ours, **theirs}.items():
        said = {} if way is None else {"PhaseEncodingDirection": way}
        if not path.endswith("asl"):
            said["IntendedFor"] = "bids::sub-01/perf/sub-01_asl.nii.gz"
        (root / "sub-01" / f"{path}.json").write_text(json.dumps(said))


AP, PA = "perf/sub-01_dir-ap_m0scan", "fmap/sub-01_dir-pa_m0scan"


@pytest.mark.parametrize(
    ("ours", "ap", "pa", "used"),
    [
        ("j-", "j-", "j", AP),
        ("j", "j-", "j", PA),
        ("j", "j-", None, AP),
        (None, "j-", "j", AP),
        ("j", "j", "j", AP),
        ("i", "j-", "j", AP),
    ],
)
def test_of_several_calibration_images_the_one_that_is_distorted_as_the_series_is_comes_first(
    study, ours, ap, pa, used
):
    root = study("sub-01/perf/sub-01_asl.nii.gz", *(f"sub-01/{path}.nii.gz" for path in (AP, PA)))
    directed(root, ours, **{AP: ap, PA: pa})
    (found,) = find_scans(root)
    assert found.problem is None
    first, other = relative(found.scan.m0, root)
    assert first == f"sub-01/{used}.nii.gz" and {first, other} == {
        f"sub-01/{path}.nii.gz" for path in (AP, PA)
    }
    assert relative(found.scan.m0_sidecars, root) == [f"sub-01/{used}.json"]


def test_two_calibration_images_of_one_folder_are_told_apart_by_direction(study):
    pair = ["perf/sub-01_dir-ap_m0scan", "perf/sub-01_dir-pa_m0scan"]
    root = study("sub-01/perf/sub-01_asl.nii.gz", *(f"sub-01/{path}.nii.gz" for path in pair))
    directed(root, "j", **{pair[0]: "j-", pair[1]: "j"})
    (found,) = find_scans(root)
    assert relative(found.scan.m0, root) == [f"sub-01/{path}.nii.gz" for path in pair[::-1]]
    directed(root, "j", **{pair[0]: "j", pair[1]: "j"})
    assert the_problem(find_scans(root)).code == Code.AMBIGUOUS


def test_a_broken_sidecar_of_a_calibration_image_is_left_to_reading(study):
    root = study(*(f"sub-01/perf/sub-01_{name}" for name in ("asl.nii.gz", "m0scan.nii.gz", "m0scan.json")))
    (root / "sub-01/perf/sub-01_m0scan.json").write_text("{not json")
    (found,) = find_scans(root)
    assert found.problem is None
    assert relative(found.scan.m0, root) == ["sub-01/perf/sub-01_m0scan.nii.gz"]


def derivatives(root, *names):
    for name in names:
        path = root / "sub-01/perf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def test_derivatives_apply_by_their_entities(study, tmp_path):
    root = study(
        "sub-01/perf/sub-01_run-1_asl.nii.gz", "sub-01/perf/sub-01_run-1_dsc.nii.gz", "sub-01/perf/sub-01_run-2_dsc.nii.gz"
    )  # fmt: skip
    masks = derivatives(
        tmp_path / "masks",
        "sub-01_desc-brain_mask.nii.gz",
        "sub-01_label-lesion_mask.nii.gz",
        "sub-01_label-lesion_desc-dsc_mask.nii.gz",
        "sub-01_run-2_label-lesion_desc-dsc_mask.nii.gz",
        "sub-01_run-1_label-AIF_mask.nii",
        "sub-01_label-VOF_mask.nii.gz",
        "sub-01_label-NAWM_desc-asl_mask.nii.gz",
        "sub-01_label-GM_probseg.nii.gz",
        "sub-01_T1map.nii.gz",
        "sub-01_space-MNI_ADC.nii.gz",
        "sub-01_run-1_aif.tsv",
        "sub-01_run-1_aif.json",
        "sub-01_desc-truth_T1map.nii.gz",
        "sub-01_desc-other_label-brain_mask.nii.gz",
    )
    maps = derivatives(tmp_path / "maps", "sub-01_label-WM_probseg.nii.gz", "sub-01_run-2_ADC.nii.gz")
    asl, first, second = find_scans(root, derivatives=[masks, maps])
    assert not any(each.problem for each in (asl, first, second))
    names = {key: path.name for key, path in asl.scan.derivatives.items()}
    assert names == {
        "label-brain_mask": "sub-01_desc-brain_mask.nii.gz",
        "label-lesion_mask": "sub-01_label-lesion_mask.nii.gz",
        "label-NAWM_mask": "sub-01_label-NAWM_desc-asl_mask.nii.gz",
        "label-GM_probseg": "sub-01_label-GM_probseg.nii.gz",
        "label-WM_probseg": "sub-01_label-WM_probseg.nii.gz",
        "T1map": "sub-01_T1map.nii.gz",
    }
    assert first.scan.derivatives["label-lesion_mask"].name == "sub-01_label-lesion_desc-dsc_mask.nii.gz"
    assert first.scan.derivatives["label-AIF_mask"].name == "sub-01_run-1_label-AIF_mask.nii"
    assert first.scan.derivatives["aif"].name == "sub-01_run-1_aif.tsv"
    assert (
        second.scan.derivatives["label-lesion_mask"].name == "sub-01_run-2_label-lesion_desc-dsc_mask.nii.gz"
    )
    assert second.scan.derivatives["ADC"].name == "sub-01_run-2_ADC.nii.gz"
    assert {"label-AIF_mask", "aif"}.isdisjoint(second.scan.derivatives)
    assert "ADC" not in first.scan.derivatives


def test_regions_of_a_calibration_are_for_asl_alone(study, tmp_path):
    root = study("sub-01/perf/sub-01_asl.nii.gz", "sub-01/perf/sub-01_dsc.nii.gz")
    names = ["att", "label-CSF_mask", "label-CSF_probseg", "label-WM_mask"]
    given = derivatives(
        tmp_path / "masks", *(f"sub-01_{name}.nii.gz" for name in names), "sub-01_label-GM_mask.nii.gz"
    )
    asl, dsc = find_scans(root, derivatives=[given])
    assert list(asl.scan.derivatives) == names and not dsc.scan.derivatives


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sub-01_label-brain_mask.nii.gz", "sub-01_desc-brain_mask.nii.gz"),
        ("sub-01_label-brain_mask.nii.gz", "sub-01_label-brain_mask.nii"),
        ("sub-01_run-1_label-lesion_mask.nii.gz", "sub-01_label-lesion_desc-dsc_mask.nii.gz"),
    ],
)
def test_derivatives_that_say_equally_much_are_ambiguous(study, tmp_path, one, other):
    root = study("sub-01/perf/sub-01_run-1_dsc.nii.gz")
    problem = the_problem(find_scans(root, derivatives=[derivatives(tmp_path / "masks", one, other)]))
    assert problem.code == Code.AMBIGUOUS and one in problem.seen and other in problem.seen
