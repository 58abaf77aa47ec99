"""Discovery: every scan of a tree is found once and in order; what is odd is a row and stops nothing."""

import os

import pytest

from bolus.bids import find_scans
from bolus.errors import Code


def keys(found):
    return [each.scan.key for each in found]


def the_problem(found):
    problems = [each.problem for each in found if each.problem]
    assert len(problems) == 1
    problem = problems[0]
    assert problem.file and problem.seen and problem.expected and problem.mend
    return problem


def test_every_scan_is_found_once_in_order(study):
    root = study(
        "sub-02/perf/sub-02_dsc.nii",
        "sub-01/ses-b/perf/sub-01_ses-b_run-2_asl.nii.gz",
        "sub-01/ses-b/perf/sub-01_ses-b_run-1_asl.nii.gz",
        "sub-01/ses-a/perf/sub-01_ses-a_dsc.nii.gz",
        "sub-01/ses-a/perf/sub-01_ses-a_asl.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
        "sub-01/ses-a/perf/._sub-01_ses-a_dsc.nii.gz",
        "sub-01/ses-a/perf/notes.txt",
        "derivatives/bolus/sub-01/perf/sub-01_asl.nii.gz",
    )
    found = find_scans(root)
    assert keys(found) == [
        "sub-01_ses-a_asl",
        "sub-01_ses-a_dsc",
        "sub-01_ses-b_run-1_asl",
        "sub-01_ses-b_run-2_asl",
        "sub-02_dsc",
    ]
    assert all(each.problem is None for each in found)
    assert found == find_scans(root)
    assert [str(each.scan.folder) for each in found][:1] == ["sub-01/ses-a/perf"]
    assert found[4].scan.session is None
    assert keys(find_scans(root, contrast="dsc")) == ["sub-01_ses-a_dsc", "sub-02_dsc"]


@pytest.mark.parametrize("subject", ["01", "sub-01"])
@pytest.mark.parametrize("session", ["b", "ses-b"])
def test_labels_are_taken_with_or_without_prefix(study, subject, session):
    names = [f"sub-{s}/ses-{v}/perf/sub-{s}_ses-{v}_asl.nii.gz" for s in ("01", "02") for v in "ab"]
    root = study(*names, "sub-01/perf/sub-01_asl.nii.gz")
    assert keys(find_scans(root, participants=[subject], sessions=[session])) == ["sub-01_ses-b_asl"]


def test_an_unknown_label_names_the_nearest(study, refused):
    root = study("sub-control01/ses-baseline/perf/sub-control01_ses-baseline_asl.nii.gz")
    error = refused(find_scans, root, participants=["contrl01"])
    assert error.code == Code.PATH and "contrl01" in error.seen and "control01" in error.mend
    error = refused(find_scans, root, sessions=["basline"])
    assert error.code == Code.PATH and "basline" in error.seen and "baseline" in error.mend
    error = refused(find_scans, root, participants=["sub-../../etc"])
    assert "../../etc" in error.seen


def test_echoes_are_one_scan(study):
    root = study(
        *(f"sub-01/perf/sub-01_echo-{echo}_dsc.{end}" for echo in (2, 1, 10) for end in ("nii.gz", "json"))
    )
    (found,) = find_scans(root)
    assert found.problem is None
    assert found.scan.key == "sub-01_dsc"
    assert [path.name for path in found.scan.images] == [f"sub-01_echo-{n}_dsc.nii.gz" for n in (1, 2, 10)]
    assert len(found.scan.sidecars) == 3


ODD = {
    "both packed and not": (["sub-01_asl.nii", "sub-01_asl.nii.gz"], Code.AMBIGUOUS, "sub-01_asl.nii.gz"),
    "one echo twice": (["sub-01_echo-1_dsc.nii", "sub-01_echo-01_dsc.nii"], Code.AMBIGUOUS, "echo-01"),
    "echo and none": (["sub-01_echo-2_dsc.nii", "sub-01_dsc.nii"], Code.AMBIGUOUS, "echo-2"),
    "echo no number": (["sub-01_echo-one_dsc.nii"], Code.PATH, "echo-one"),
    "newline": (["sub-01_acq-a\nb_asl.nii.gz"], Code.PATH, r"a\nb"),
    "command": (["sub-01_acq-$(rm);x_asl.nii.gz"], Code.PATH, "$(rm);x"),
    "control": (["sub-01_acq-\x1b[31m_asl.nii.gz"], Code.PATH, r"\x1b"),
    "dots": (["sub-01_acq-.._asl.nii.gz"], Code.PATH, ".."),
    "not unicode": ([os.fsdecode(b"sub-01_acq-\xff_asl.nii.gz")], Code.PATH, r"\udcff"),
    "long": (["sub-01_acq-" + "a" * 200 + "_asl.nii.gz"], Code.PATH, "211 characters"),
    "capitals": (["sub-01_ASL.nii.gz"], Code.PATH, "_ASL.nii.gz"),
    "capital ending": (["sub-01_asl.NII.GZ"], Code.PATH, "_asl.NII.GZ"),
    "no entities": (["_asl.nii.gz"], Code.PATH, "_asl.nii.gz"),
    "twice": (["sub-01_run-1_run-2_asl.nii.gz"], Code.PATH, "run-1_run-2"),
    "another subject": (["sub-02_asl.nii.gz"], Code.PATH, "sub-02_asl.nii.gz in sub-01"),
    "another session": (["sub-01_ses-1_asl.nii.gz"], Code.PATH, "ses-1"),
    "phase": (["sub-01_part-phase_dsc.nii.gz"], Code.META, "part-phase"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_name_is_a_row_of_its_own_and_stops_nothing(study, case):
    names, code, seen = ODD[case]
    root = study("sub-03/perf/sub-03_asl.nii.gz", *(f"sub-01/perf/{name}" for name in names))
    found = find_scans(root)
    assert len(found) == 2
    problem = the_problem(found)
    assert problem.code == code
    assert seen in problem.seen
    assert found[1].scan.key == "sub-03_asl" and found[1].problem is None
    assert all(len(each) < 200 for each in keys(found))
    assert all(
        each.isascii() and each.isprintable() and "/" not in each and ".." not in each for each in keys(found)
    )


@pytest.mark.parametrize("folder", ["sub-0;1", "sub-a b", "sub-01\n", "sub-..", "sub-"])
def test_an_odd_folder_is_a_row_of_its_own(study, folder):
    root = study(f"{folder}/perf/{folder}_asl.nii.gz", "sub-03/perf/sub-03_asl.nii.gz")
    found = find_scans(root)
    assert the_problem(found).code == Code.PATH
    assert len(found) == len(set(keys(found))) == 2
    assert all(".." not in str(each.scan.folder) and str(each.scan.folder).isprintable() for each in found)


@pytest.mark.parametrize("what", ["sub-01/perf/sub-01_asl.nii.gz", "sub-01/perf", "sub-01"])
def test_a_link_out_of_the_tree_is_refused(study, tmp_path, what, refused):
    root = study("sub-01/perf/sub-01_asl.nii.gz", "sub-02/perf/sub-02_asl.nii.gz")
    outside = tmp_path / "outside"
    (root / what).rename(outside)
    (root / what).symlink_to(outside)
    found = find_scans(root)
    problem = the_problem(found)
    assert problem.code == Code.PATH and str(outside) in problem.seen
    assert found[1].problem is None


@pytest.mark.parametrize(
    ("target", "seen"), [("../../.git/annex/objects/aa", "where nothing is"), ("sub-01_asl.nii.gz", "circle")]
)
def test_a_link_to_nothing_is_known_before_the_scan_is_begun(study, target, seen):
    root = study("sub-01/perf/sub-01_asl.json", "sub-02/perf/sub-02_asl.nii.gz")
    (root / "sub-01/perf/sub-01_asl.nii.gz").symlink_to(target)
    found = find_scans(root)
    problem = the_problem(found)
    assert problem.code == Code.PATH and seen in problem.seen
    assert found[1].problem is None


def test_a_folder_whose_files_one_may_not_look_at_is_a_row_of_its_own(study, monkeypatch):
    root = study("sub-01/perf/sub-01_asl.nii.gz", "sub-02/perf/sub-02_asl.nii.gz")
    real = type(root).is_symlink

    def is_symlink(self):
        if self.parent == root / "sub-01/perf":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr("pathlib.Path.is_symlink", is_symlink)
    found = find_scans(root)
    problem = the_problem(found)
    assert problem.code == Code.PERM and problem.file.startswith(str(root / "sub-01/perf"))
    assert found[1].problem is None


def test_links_within_the_tree_are_followed(study):
    root = study("sub-01/perf/sub-01_asl.json", ".git/annex/objects/aa")
    (root / "sub-01/perf/sub-01_asl.nii.gz").symlink_to("../../.git/annex/objects/aa")
    (root / "sub-02").symlink_to("nowhere")
    (root / "sub-03").symlink_to("sub-03")
    assert [each.problem for each in find_scans(root)] == [None]


def test_the_root_may_be_a_link(study, tmp_path):
    (tmp_path / "link").symlink_to(study("sub-01/perf/sub-01_asl.nii.gz"))
    (found,) = find_scans(tmp_path / "link")
    assert found.problem is None
    assert found.scan.images[0].is_relative_to(tmp_path / "link")


def test_a_folder_without_permission_is_a_row_of_its_own(study, monkeypatch):
    root = study("sub-01/perf/sub-01_asl.nii.gz", "sub-02/perf/sub-02_asl.nii.gz")
    locked = root / "sub-01/perf"
    real = type(root).iterdir

    def iterdir(self):
        if self == locked:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    # The superuser may read everything, so a folder's mode alone would prove nothing there.
    monkeypatch.setattr("pathlib.Path.iterdir", iterdir)
    found = find_scans(root)
    problem = the_problem(found)
    assert problem.code == Code.PERM and problem.file == str(locked)
    assert keys(found)[1] == "sub-02_asl"


def test_a_root_without_scans_says_what_is_nearest(study, tmp_path, refused):
    root = study("rawdata/sub-01/perf/sub-01_perf.nii.gz")
    error = refused(find_scans, root.parent / "studdy")
    assert error.code == Code.PATH and "study" in error.mend
    error = refused(find_scans, root)
    assert "no sub-* folder" in error.seen and "rawdata" in error.mend
    error = refused(find_scans, root / "rawdata")
    assert "sub-01_perf.nii.gz" in error.seen and "manifest" in error.mend
    error = refused(find_scans, root / "rawdata/sub-01")
    assert "one subject" in error.seen and str(root / "rawdata") in error.mend
    error = refused(find_scans, root / "rawdata/sub-01/perf/sub-01_perf.nii.gz")
    assert "a file" in error.seen
    error = refused(find_scans, root / "rawdata", derivatives=[tmp_path / "none"])
    assert error.file == str(tmp_path / "none")
