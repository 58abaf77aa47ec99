"""A manifest: scans of any name, one row each; a bad row stops nothing, a bad table is refused."""

import pytest

from bolus.bids import from_manifest
from bolus.errors import Code


def keys(found):
    return [each.scan.key for each in found]


def derivatives(root, *names):
    for name in names:
        path = root / "sub-01/perf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def manifest(folder, *rows, head="subject\tsession\tmodality\tpath\tjson\tm0\taslcontext"):
    path = folder / "scans.tsv"
    path.write_text("\n".join((head, *("\t".join(row) for row in rows))) + "\n")
    return path


def test_a_manifest_lists_scans_of_any_name(tmp_path):
    for name in ("one.json", "m0.json", "two.nii.gz"):
        (tmp_path / name).write_text("{}")
    masks = derivatives(tmp_path / "masks", "sub-01_label-brain_desc-dsc_mask.nii.gz")
    path = manifest(
        tmp_path,
        ("sub-01", "n/a", "dsc", "one.nii.gz", "", "", ""),
        ("01", "ses-2", "asl", "deep/two.nii.gz", "two.json", "m0.nii", "context.tsv"),
        ("01", "", "dsc", "raw/sub-01_run-2_dsc.nii", "n/a", "", ""),
    )
    first, second, third = (each.scan for each in from_manifest(path, derivatives=[masks]))
    assert (first.key, second.key, third.key) == ("sub-01_dsc", "sub-01_ses-2_asl", "sub-01_run-2_dsc")
    assert first.sidecars == (tmp_path / "one.json",)
    assert list(first.derivatives) == ["label-brain_mask"]
    assert second.images == (tmp_path / "deep/two.nii.gz",)
    assert second.sidecars == (tmp_path / "two.json",)
    assert (second.m0, second.m0_sidecars) == ((tmp_path / "m0.nii",), (tmp_path / "m0.json",))
    assert second.context == tmp_path / "context.tsv"
    assert third.sidecars == ()
    assert [each.scan.key for each in from_manifest(path, contrast="asl")] == ["sub-01_ses-2_asl"]
    assert len(from_manifest(path, participants=["sub-01"], sessions=["2"])) == 1


def test_the_echoes_of_one_scan_stand_in_one_row(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    rows = [
        ("01", "", "dsc", "a.nii.gz;b.nii.gz", ""),
        ("02", "", "dsc", "a.nii.gz; b.nii.gz", "b.json;a.json"),
        ("03", "", "dsc", "x/sub-03_run-2_echo-1_dsc.nii;x/sub-03_run-2_echo-2_dsc.nii", ""),
    ]
    path = manifest(tmp_path, *rows, head=f"{HEAD}\tjson")
    first, second, third = (each.scan for each in from_manifest(path))
    assert first.images == second.images == (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert first.echo_sidecars == ((tmp_path / "a.json",), (tmp_path / "b.json",))
    assert second.echo_sidecars == ((tmp_path / "b.json",), (tmp_path / "a.json",))
    assert set(second.sidecars) == {tmp_path / "a.json", tmp_path / "b.json"}
    assert third.key == "sub-03_run-2_dsc" and third.echo_sidecars == ((), ())


def test_echoes_and_sidecars_that_do_not_match_and_echoes_in_rows_are_told(tmp_path):
    rows = [
        ("01", "", "dsc", "a.nii;b.nii", "a.json"),
        ("02", "", "dsc", "sub-02_echo-1_dsc.nii", "n/a"),
        ("02", "", "dsc", "sub-02_echo-2_dsc.nii", "n/a"),
    ]
    uneven, *apart = from_manifest(manifest(tmp_path, *rows, head=f"{HEAD}\tjson"))
    assert uneven.problem.code is Code.META and "2 images and 1 JSON" in uneven.problem.seen
    assert all(each.problem.code is Code.AMBIGUOUS and "a.nii;b.nii" in each.problem.mend for each in apart)


HEAD = "subject\tsession\tmodality\tpath"
BAD_TABLES = {
    "unknown column": (f"{HEAD}\tm0scan", [], Code.META, "m0scan"),
    "no path": ("subject\tmodality", [], Code.META, "subject, modality"),
    "commas": ("subject,modality,path", [], Code.META, "subject,modality,path"),
    "short row": (HEAD, [("01", "asl")], Code.META, "2 cells in line 2"),
    "modality": (HEAD, [("01", "", "DCS", "a.nii")], Code.META, "DCS"),
    "empty cell": (HEAD, [("01", "", "asl", "n/a")], Code.META, "no path in line 2"),
    "no row": (HEAD, [], Code.PATH, "0 rows"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, case, refused):
    head, rows, code, seen = BAD_TABLES[case]
    path = manifest(tmp_path, *rows, head=head)
    error = refused(from_manifest, path)
    assert error.file == str(path) and error.code == code and seen in error.seen


def test_bad_rows_of_a_manifest_stop_nothing(tmp_path, refused):
    path = manifest(
        tmp_path,
        ("../../x", "", "asl", "a.nii"),
        ("02", "", "asl", "b.nii"),
        ("03", "", "asl", "c.nii"),
        ("03", "", "asl", "d.nii"),
        head=HEAD,
    )
    found = from_manifest(path)
    assert [each.problem.code if each.problem else None for each in found] == [
        Code.PATH, None, Code.AMBIGUOUS, Code.AMBIGUOUS
    ]  # fmt: skip
    assert "../../x" in found[0].problem.seen
    assert len(set(keys(found))) == 4 and not any("/" in key or ".." in key for key in keys(found))
    error = refused(from_manifest, path, participants=["04"])
    assert error.code == Code.PATH and "04" in error.seen
    assert refused(from_manifest, tmp_path / "none.tsv").code == Code.PATH


def test_a_label_that_no_file_could_bear_is_a_row_of_its_own(tmp_path):
    listed = tmp_path / "scans.tsv"
    listed.write_text(f"subject\tmodality\tpath\n{'a' * 300}\tdsc\ta.nii\n1\tdsc\tb.nii\n")
    found = from_manifest(listed)
    assert found[0].problem is not None and found[0].problem.code == Code.PATH
    assert "characters" in found[0].problem.seen and found[1].problem is None
    assert max(len(each.scan.key) for each in found) < 200 > len(found[0].scan.subject)
