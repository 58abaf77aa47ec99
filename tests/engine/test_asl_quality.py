"""Quality numbers of an ASL scan: as the float64 reference says, by the names of the table, told in the sidecar."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.asl import brain as asl_brain
from benchmarks.reference import asl_quality as reference
from bolus.compute import compute
from bolus.prepare import prepare
from bolus_kernels.device import cpu
from tests.engine.made import asl_series, recipe, volume
from tests.engine.spoilt import SEVERAL, SHAPE, SINGLE, VOXEL, brain, inside, scanned

GREY = {"qei", "spatial_cov", "tsnr", "negative_gm", "mean_gm_cbf"}
BRAIN = {"spatial_cov_brain", "tsnr_brain", "negative_brain", "mean_brain_cbf"}


def maps_of(series, *sets):
    curves = prepare(series, recipe(*sets))
    maps = compute(curves, recipe(*sets), cpu())
    return maps, {item.ending: item for item in maps.items}, curves


def quality(maps):
    return {name: value for name, value in maps.numbers.items() if not name.startswith(("median_", "share_"))}


@pytest.fixture(scope="module")
def single():
    return maps_of(zoomed(scanned()))


def zoomed(series):
    """With the voxel size of the phantom in the header, mm."""
    image = series.images[0]
    return replace(series, images=(replace(image, grid=replace(image.grid, zooms=VOXEL)),))


def test_every_number_is_that_of_the_reference(single):
    maps, items, curves = single
    found = quality(maps)
    cbf = items["cbf"].data.astype(np.float64)
    gm, wm = brain().fractions["gm"].astype(np.float32), brain().fractions["wm"].astype(np.float32)
    csf = np.clip(1 - gm - wm, 0, 1)
    smooth = reference.smoothed(cbf, tuple(1e-3 * size for size in VOXEL))
    grey = inside() & (gm > 0.8)
    rows = grey.reshape(-1, order="F")[curves.voxels]
    ratios = [reference.temporal_snr(curve) for curve in curves.values[rows].astype(np.float64)]
    expected = {
        "qei": reference.quality_evaluation_index(smooth, gm, wm, csf, inside()),
        "spatial_cov": reference.spatial_variation(cbf, grey),
        "negative_gm": reference.negative_share(cbf, grey),
        "tsnr": np.mean(ratios),
        "mean_gm_cbf": cbf[grey].mean(),
        "volumes_used": 40.0,
    }
    assert found.keys() == expected.keys() == GREY | {"volumes_used"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name
    assert 0.3 < found["qei"] < 1 and found["negative_gm"] > 0


def test_the_sidecar_of_the_flow_tells_them_and_no_other(single):
    maps, items, _ = single
    assert items["cbf"].parameters["Quality"] == quality(maps)
    assert json.loads(json.dumps(dict(items["cbf"].parameters["Quality"]))) == quality(maps)
    assert not any("Quality" in item.parameters for ending, item in items.items() if ending != "cbf")


def test_several_delays_add_the_mean_transit_time():
    maps, items, _ = maps_of(scanned(SEVERAL))
    found = quality(maps)
    assert found.keys() == GREY | {"volumes_used", "mean_gm_att"}
    grey = inside() & (brain().fractions["gm"] > 0.8)
    assert found["mean_gm_att"] == pytest.approx(items["att"].data[grey].mean(), rel=1e-5)
    truth = asl_brain.mixed(brain(), brain().cbf)[grey].mean()
    assert found["mean_gm_cbf"] == pytest.approx(truth, rel=0.1)
    assert found["volumes_used"] == 96


def test_tsnr_of_several_delays_is_mean_signal_over_the_scatter_within_delays():
    random = np.random.default_rng(2)
    level, sd, delays = np.array([4.0, 10.0, 7.0]), 2.0, np.repeat([1.0, 1.5, 2.0], 40)
    differences = np.repeat(level, 40) + random.normal(0, sd, (*SHAPE, 120))
    data = np.zeros((*SHAPE, 240))
    data[..., ::2], data[..., 1::2] = 800, 800 - differences
    series = asl_series(data, ("control", "label") * 120, post_labeling_delay=tuple(np.repeat(delays, 2)))
    maps, _, _ = maps_of(series)
    assert quality(maps)["tsnr_brain"] == pytest.approx(level.mean() / sd, rel=0.02)


def test_without_repeats_there_is_no_tsnr():
    maps, _, _ = maps_of(scanned(replace(SINGLE, repeats=1)))
    assert quality(maps).keys() == GREY - {"tsnr"} | {"volumes_used"}


@pytest.mark.parametrize("maps", [(), ("WM",)])
def test_without_a_map_of_grey_matter_the_brain_is_told_and_called_so(maps):
    found = quality(maps_of(scanned(maps=maps))[0])
    assert found.keys() == BRAIN | {"volumes_used"}


def test_with_grey_matter_alone_there_is_no_qei():
    assert quality(maps_of(scanned(maps=("GM",)))[0]).keys() == GREY - {"qei"} | {"volumes_used"}


def test_a_map_without_any_sure_grey_matter_falls_back_to_the_brain():
    series = scanned()
    dull = volume(np.full(SHAPE, 0.4, np.float32))
    given = {**series.given, "label-GM_probseg": dull, "label-WM_probseg": dull}
    assert quality(maps_of(replace(series, given=given))[0]).keys() == BRAIN | {"volumes_used"}


def test_voxels_without_flow_count_nowhere(single):
    series = scanned()
    image = series.images[0]
    data = image.data.copy(order="F")
    broken = np.argwhere(inside())[::40]
    data[tuple(broken.T)] = np.nan
    probability = series.given["label-GM_probseg"]
    holed = probability.data.copy(order="F")
    holed[tuple(broken[::2].T)] = np.nan
    given = {**series.given, "label-GM_probseg": replace(probability, data=holed)}
    maps, _, _ = maps_of(zoomed(replace(series, images=(replace(image, data=data),), given=given)))
    found, whole = quality(maps), quality(single[0])
    assert found.keys() == whole.keys()
    for name, value in whole.items():
        assert found[name] == pytest.approx(value, rel=0.12, abs=0.01), name


def test_what_was_dropped_was_not_used_and_the_numbers_say_it_is_better():
    spoilt = {3: "shift", 7: "spikes", 11: "noise"}
    before = quality(maps_of(scanned(spoilt=spoilt))[0])
    after = quality(maps_of(scanned(spoilt=spoilt), "asl.outliers=score")[0])
    assert (before["volumes_used"], after["volumes_used"]) == (40, 34)
    assert after["qei"] > before["qei"] and after["tsnr"] > before["tsnr"]
    assert after["spatial_cov"] < before["spatial_cov"] and after["negative_gm"] < before["negative_gm"]


def test_quality_falls_with_noise_and_flow_of_no_structure_has_none():
    found = [quality(maps_of(scanned(replace(SINGLE, snr=snr)))[0])["qei"] for snr in (600.0, 150.0, 40.0)]
    assert found[0] > found[1] > found[2] > 0
    series = scanned()
    turned = {**series.given}
    turned["label-GM_probseg"], turned["label-WM_probseg"] = (
        series.given["label-WM_probseg"],
        series.given["label-GM_probseg"],
    )
    assert quality(maps_of(replace(series, given=turned))[0])["qei"] == 0.0
