"""T1 of tissue: from a map, from a number, or from the shares of grey and white matter; which one the recipe decides."""

import numpy as np
import pytest

from bolus.compute import compute
from bolus.errors import Code
from bolus.prepare import prepare
from bolus_kernels.device import cpu
from tests.engine.made import SHAPE, asl_series, recipe, volume

T1 = {"GM": 1.3, "WM": 1.1}
DELAYS = np.arange(0.25, 3.0, 0.25)
EVERYWHERE = {"GM": 0.6, "WM": 0.3}


def series_of(shares=None, data=None, context=("control", "label"), **changes):
    """A series with maps of some tissues' shares, each one number or an image."""
    if data is None:
        data = np.broadcast_to(np.float32([800, 792]), (*SHAPE, 2))
    made = asl_series(np.asfortranarray(data, np.float32), list(context), **changes)
    for name, share in (shares or {}).items():
        image = np.broadcast_to(np.float32(share), SHAPE)
        made.given[f"label-{name}_probseg"] = volume(image, name=f"sub-01_label-{name}_probseg.nii.gz")
    return made


def prepared(*sets, **changes):
    return prepare(series_of(**changes), recipe(*sets))


def found(*sets, **changes):
    """T1 that all voxels share, and what the sidecar says of it."""
    curves = prepared(*sets, **changes)
    (value,) = set(curves.protocol.t1_tissue.tolist())
    return value, curves.constants["T1Tissue"]


def mixed(grey, white, t1=T1):
    return (grey + white) / (grey / t1["GM"] + white / t1["WM"])


def test_maps_of_grey_and_white_matter_tell_t1_by_their_shares():
    random = np.random.default_rng(3)
    grey, white = random.uniform(0, 0.5, (2, *SHAPE)).astype(np.float32)
    curves = prepared(shares={"GM": grey, "WM": white})
    expected = mixed(grey.astype(float), white.astype(float)).reshape(-1, order="F")
    np.testing.assert_allclose(curves.protocol.t1_tissue, expected, rtol=1e-6)
    told = curves.constants["T1Tissue"]
    assert told["Source"] == "sub-01_label-GM_probseg.nii.gz and sub-01_label-WM_probseg.nii.gz"
    assert {name: told[name]["Value"] for name in T1} == T1 and told["NeitherGMNorWM"]["Value"] == 1.3
    assert not curves.warnings


def test_fluid_has_no_part_in_it_and_a_voxel_of_neither_takes_the_number():
    grey, white = np.full(SHAPE, 0.1), np.full(SHAPE, 0.2)
    grey[0], white[0] = 0, 0
    grey[1], white[1] = np.nan, np.nan
    fluid = 1 - np.nan_to_num(grey) - np.nan_to_num(white)
    curves = prepared(
        "asl.t1_source=tissues", "asl.t1_tissue=1.5", shares={"GM": grey, "WM": white, "CSF": fluid}
    )
    t1 = curves.protocol.t1_tissue.reshape(SHAPE, order="F")
    assert (t1[:2] == np.float32(1.5)).all()
    np.testing.assert_allclose(t1[2:], mixed(0.1, 0.2), rtol=1e-6)


def test_which_source_counts_is_told():
    t1map = np.full(SHAPE, 1.45, np.float32)
    by_map, by_shares = (pytest.approx(1.45), "sub-01_T1map.nii.gz"), pytest.approx(mixed(0.6, 0.3))
    value, told = found(shares=EVERYWHERE, t1map=t1map)
    assert (value, told["Source"]) == by_map
    value, told = found("asl.t1_source=map", shares=EVERYWHERE, t1map=t1map)
    assert (value, told["Source"]) == by_map
    value, told = found("asl.t1_source=tissues", shares=EVERYWHERE, t1map=t1map)
    assert value == by_shares and told["Mean"] == "of 1/T1, by the shares of GM and WM"
    value, told = found("asl.t1_source=constant", shares=EVERYWHERE, t1map=t1map)
    assert value == pytest.approx(1.3) and told["Value"] == 1.3
    value, told = found("asl.t1_tissue=1.2", shares=EVERYWHERE)
    assert value == pytest.approx(1.2) and told["Source"] == "recipe"
    value, told = found(shares={"GM": 0.6})
    assert value == pytest.approx(1.3) and "by field strength" in told["Source"]


def test_t1_of_the_pure_tissues_is_the_recipe_s_else_by_field_strength():
    value, told = found("asl.t1_gm=1.6", "asl.t1_wm=0.84", shares=EVERYWHERE)
    assert value == pytest.approx(mixed(0.6, 0.3, {"GM": 1.6, "WM": 0.84}))
    assert told["GM"]["Source"] == told["WM"]["Source"] == "recipe"
    assert found(shares=EVERYWHERE, magnetic_field_strength=1.5)[0] == pytest.approx(
        mixed(0.6, 0.3, {"GM": 1.2, "WM": 0.65})
    )
    other = {"shares": EVERYWHERE, "magnetic_field_strength": 4.7}
    doubts = prepared("asl.t1_blood=1.9", **other).warnings
    assert any("as at 3 T: set asl.t1_gm and asl.t1_wm" in doubt for doubt in doubts)
    assert not prepared("asl.t1_blood=1.9", "asl.t1_gm=1.6", "asl.t1_wm=1.2", **other).warnings


@pytest.mark.parametrize(("field", "grey", "white"), [(1.5, 1.197, 0.646), (7.0, 1.939, 1.126)])
def test_t1_of_the_pure_tissues_is_what_was_measured_at_that_field(field, grey, white):
    """Wright et al. 2008, abstract: with the MPRAGE sequence, in four subjects; at 3 T it is another paper's."""
    _, told = found(shares=EVERYWHERE, magnetic_field_strength=field)
    for name, published in (("GM", grey), ("WM", white)):
        assert told[name]["Value"] == pytest.approx(published, abs=0.005) and "Wright" in told[name]["Source"]
    assert "Wright" in told["NeitherGMNorWM"]["Source"]
    _, told = found(shares=EVERYWHERE)
    assert all("Chappell" in told[name]["Source"] for name in ("GM", "WM", "NeitherGMNorWM"))


@pytest.mark.parametrize(
    ("source", "given", "seen"),
    [
        ("map", {"shares": EVERYWHERE}, "no T1map"),
        ("tissues", {}, "no label-GM_probseg and no label-WM_probseg"),
        ("tissues", {"shares": {"GM": 1.0}}, "no label-WM_probseg"),
    ],
)
def test_a_source_that_is_not_there_is_refused(refused, source, given, seen):
    error = refused(prepare, series_of(**given), recipe(f"asl.t1_source={source}"))
    assert error.code is Code.META and error.seen == seen and f"asl.t1_source = {source}" in error.expected


def test_flow_of_mixed_voxels_is_that_of_their_tissues():
    """Truth: label that arrives in GM and WM and decays with the T1 of each, alike perfused, integrated finely."""
    share = np.linspace(0, 1, SHAPE[0])[:, None, None]
    flow, att, tau, t1_blood, partition = 60.0 / 6000, 0.8, 1.8, 1.65, 0.9
    step = 1e-4
    since = np.arange(att, att + tau, step) + step / 2
    held = {}
    for name, t1 in T1.items():
        rate = 1 / t1 + flow / partition
        left = [np.exp(-rate * (tau + pld - since))[since < tau + pld].sum() * step for pld in DELAYS]
        held[name] = 2 * 0.85 / partition * flow * np.exp(-att / t1_blood) * np.array(left)
    difference = share[..., None] * held["GM"] + (1 - share[..., None]) * held["WM"]
    data = np.full((*SHAPE, 2 * DELAYS.size), 800.0)
    data[..., 1::2] -= 1000 * difference
    made = series_of(
        {"GM": share, "WM": 1 - share}, data, ["control", "label"] * DELAYS.size,
        post_labeling_delay=tuple(np.repeat(DELAYS, 2)), labeling_duration=(tau,) * (2 * DELAYS.size),
    )  # fmt: skip

    def error(*sets):
        maps = compute(prepare(made, recipe(*sets)), recipe(*sets), cpu())
        (cbf,) = (item.data for item in maps.items if item.ending == "cbf")
        return np.abs(cbf / 60 - 1).max()

    assert error() < 5e-3
    assert error("asl.t1_source=constant") > 0.05
