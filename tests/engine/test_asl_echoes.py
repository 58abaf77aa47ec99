"""ASL of several echoes, in files of their own or in one: the shortest is quantified, with the M0 of the same echo."""

import json

import numpy as np
import pytest

from bolus.bids import find_scans
from bolus.errors import Code
from bolus.nifti import load as load_image
from bolus.pipeline import process
from bolus_kernels.device import cpu
from tests.engine.labelled import BRIGHTNESS, head, painted, recovered, save
from tests.engine.made import recipe
from tests.engine.test_asl_schemes import META, layout, well_inside

TIMES, T2_STAR = (0.014, 0.032, 0.05), 0.05
PAIR = ["control", "label"]


def dimmed(image, time):
    return (image * np.exp(-time / T2_STAR)).astype(np.float32)


def maps_of(root, folder):
    (found,) = find_scans(root)
    assert found.problem is None
    outcome = process(found.scan, folder / "maps", recipe(), cpu())
    maps = {
        path.name.removeprefix("sub-Sub1_").removesuffix(".nii.gz"): load_image(path)[0].scaled()
        for path in (folder / "maps").rglob("*.nii.gz")
    }
    return maps, outcome


def plain(tmp_path):
    """Maps of one echo without decay."""
    made = layout(PAIR * 2)
    return maps_of(made.write(tmp_path / "plain"), tmp_path / "one")[0]


def check(maps, tmp_path, time):
    expected = plain(tmp_path)
    inside = well_inside(maps, "gm")
    np.testing.assert_allclose(maps["cbf"][inside], expected["cbf"][inside], rtol=1e-4)
    np.testing.assert_allclose(maps["m0"][inside], BRIGHTNESS["gm"] * np.exp(-time / T2_STAR), rtol=1e-3)


def echo_files(root, order=(1, 2, 3), m0_echoes=True, intended=True):
    """A data set of one file for each echo; the echo of index `order[k]` has the time TIMES[k]."""
    made = layout(PAIR * 2)
    perf = root / "sub-Sub1" / "perf"
    perf.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
    (perf / "sub-Sub1_asl.json").write_text(json.dumps(META))
    (perf / "sub-Sub1_aslcontext.tsv").write_text("\n".join(["volume_type", *made.context]) + "\n")
    calibration = painted(head(made.shape), {t: recovered(10) * m0 for t, m0 in BRIGHTNESS.items()})
    series = [f"perf/sub-Sub1_echo-{number}_asl.nii.gz" for number in order]
    for number, time in zip(order, TIMES, strict=True):
        save(perf / f"sub-Sub1_echo-{number}_asl.nii.gz", dimmed(made.series(), time))
        (perf / f"sub-Sub1_echo-{number}_asl.json").write_text(json.dumps({"EchoTime": time}))
        if m0_echoes:
            save(perf / f"sub-Sub1_echo-{number}_m0scan.nii.gz", dimmed(calibration, time))
            said = {"RepetitionTimePreparation": 10, "EchoTime": time} | (
                {"IntendedFor": series} if intended else {}
            )
            (perf / f"sub-Sub1_echo-{number}_m0scan.json").write_text(json.dumps(said))
    if not m0_echoes:
        save(
            perf / "sub-Sub1_m0scan.nii.gz",
            np.stack([dimmed(calibration, time) for time in TIMES[::-1]], axis=3),
        )
        said = {"RepetitionTimePreparation": 10, "EchoTime": TIMES[::-1], "IntendedFor": series}
        (perf / "sub-Sub1_m0scan.json").write_text(json.dumps(said))
    return root


@pytest.mark.parametrize("intended", [True, False])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_of_echo_files_the_shortest_is_used_with_its_own_m0(tmp_path, order, intended):
    maps, outcome = maps_of(echo_files(tmp_path / "data", order, intended=intended), tmp_path)
    check(maps, tmp_path, TIMES[0])
    (warning,) = outcome.warnings
    assert f"echo-{order[0]}_asl.nii.gz (0.014 s), was used" in warning
    assert f"echo-{order[2]}_asl.nii.gz (0.05 s)" in warning.partition("not used")[2]


def test_of_calibration_volumes_those_of_the_series_echo_are_used(tmp_path):
    maps, outcome = maps_of(echo_files(tmp_path / "data", m0_echoes=False), tmp_path)
    check(maps, tmp_path, TIMES[0])
    assert any("2 calibration volumes of other echo times" in warning for warning in outcome.warnings)


def test_equal_or_missing_echo_times_are_refused(tmp_path, refused):
    root = echo_files(tmp_path / "data")
    path = root / "sub-Sub1" / "perf" / "sub-Sub1_echo-2_asl.json"
    path.write_text('{"EchoTime": 0.014}')
    error = refused(maps_of, root, tmp_path)
    assert error.code is Code.META and "0.014, 0.014" in error.seen
    path.unlink()
    assert "no EchoTime" in refused(maps_of, root, tmp_path).seen


@pytest.mark.parametrize("included", [True, False])
def test_of_volumes_in_one_file_those_of_the_shortest_are_used(tmp_path, included):
    """Echo after echo of each readout, as an interleaved conversion gives them; M0 too where it is included."""
    context = [kind for kind in (["m0scan"] if included else []) + PAIR * 2 for _ in TIMES]
    times = list(TIMES) * (len(context) // 3)
    made = layout(
        context, EchoTime=times, **{"M0Type": "Included", "RepetitionTimePreparation": 10} if included else {}
    )
    made.m0["perf/sub-Sub1_m0scan"][0]["EchoTime"] = TIMES[0]
    if included:
        made.m0.clear()
    data = np.stack(
        [dimmed(v, time) for v, time in zip(np.moveaxis(made.series(), 3, 0), times, strict=True)], axis=3
    )
    maps, outcome = maps_of(made.write(tmp_path / "data", data), tmp_path)
    inside = well_inside(maps, "gm")
    np.testing.assert_allclose(
        maps["m0"][inside], BRIGHTNESS["gm"] * (np.exp(-TIMES[0] / T2_STAR) if included else 1), rtol=1e-3
    )
    share = 1 if included else np.exp(-TIMES[0] / T2_STAR)  # the M0 that this layout gives does not decay
    np.testing.assert_allclose(maps["cbf"][inside], share * plain(tmp_path)["cbf"][inside], rtol=1e-4)
    (warning,) = outcome.warnings
    assert warning.startswith(
        f"the volumes of the shortest echo time, 0.014 s, were used; {len(context) * 2 // 3} of"
    )


def test_a_calibration_of_another_echo_is_told(tmp_path):
    made = layout(PAIR, EchoTime=0.014)
    made.m0["perf/sub-Sub1_m0scan"] = (made.m0["perf/sub-Sub1_m0scan"][0] | {"EchoTime": 0.03}, 1)
    _, outcome = maps_of(made.write(tmp_path / "data"), tmp_path)
    assert any("0.03 s, the series 0.014 s: T2* does not cancel" in warning for warning in outcome.warnings)
