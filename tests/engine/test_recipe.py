"""The recipe: TOML and --set say the same, what they cannot say is refused, and equal recipes have equal hashes."""

import pytest

from bolus.errors import Code
from bolus.recipe import idle_settings, keys, load, signature

CONTRACT = {
    "dsc.deconvolution": ["osvd"],
    "dsc.leakage": ["bsw"],
    "dsc.cbv": "bsw",
    "dsc.aif": "auto",
    "dsc.hematocrit_large": 0.45,
    "dsc.hematocrit_small": 0.25,
    "dsc.density": 1.04,
    "dsc.relative": False,
    "dsc.osvd.oscillation_index": 0.035,
    "asl.quantification": "auto",
    "asl.t1_relaxation": "tissue",
    "asl.labeling_efficiency": "auto",
    "asl.background_suppression": "multiply",
}
CHANGES = (
    ("dsc.deconvolution", '["csvd", "osvd"]', "csvd,osvd"),
    ("dsc.deconvolution", '["csvd"]', " csvd "),
    ("dsc.relative", "true", "true"),
    ("dsc.density", "1", "1.0"),
    ("dsc.hematocrit_large", "0.4", "0.4"),
    ("dsc.dummy_scans", "3", "3"),
    ("dsc.osvd.oscillation_index", "0.08", "8e-2"),
    ("asl.t1_blood", "1.6", "1.6"),
    ("asl.t1_blood", '"auto"', "auto"),
    ("asl.labeling_efficiency", "0.7", "0.7"),
    ("asl.background_suppression", '"ignore"', "ignore"),
    ("asl.encoding_durations", "[1.8, 1]", "1.8, 1"),
)


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write


def line(key, value):
    above, _, name = key.rpartition(".")
    return f"[{above}]\n{name} = {value}\n"


def test_the_defaults_are_those_of_the_contract():
    recipe = load(None)
    assert {key: recipe[key] for key in CONTRACT} == CONTRACT


@pytest.mark.parametrize(("key", "in_toml", "in_set"), CHANGES)
def test_toml_and_set_give_the_same_recipe(toml, key, in_toml, in_set):
    read, said = load(toml(line(key, in_toml))), load(None, [f"{key}={in_set}"])
    assert read == said and read.hash == said.hash
    assert type(read[key]) is type(said[key])


def test_set_overrules_the_file_and_the_last_set_the_others(toml):
    path = toml("[dsc]\ndensity = 1.0\n")
    assert load(path)["dsc.density"] == 1.0
    assert load(path, ["dsc.density=1.1", "dsc.density = 1.2"])["dsc.density"] == 1.2


def test_an_empty_list_asks_for_nothing():
    assert load(None, ["dsc.leakage=", "dsc.cbv=uncorrected"])["dsc.leakage"] == []


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("dsc.deconvolution=ovsd", "osvd"),
        ("dsc.deconvolusion=osvd", "dsc.deconvolution"),
        ("deconvolution=osvd", "dsc.deconvolution"),
        ("oscillation_index=0.1", "dsc.osvd.oscillation_index"),
        ("asl.quantification=multi-delay", "multi_delay"),
        ("dsc.aif=kmean", "kmeans"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(refused, toml, text, near):
    error = refused(load, None, [text])
    assert error.code is Code.RECIPE and near in error.mend
    key, _, value = text.partition("=")
    if "." in key:
        value = f'["{value}"]' if key.endswith("ion") and "dsc" in key else f'"{value}"'
        error = refused(load, toml(line(key, value)))
        assert error.code is Code.RECIPE and near in error.mend and error.file.endswith("recipe.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dsc.density", "true"),
        ("dsc.density", '"1.04"'),
        ("dsc.density", "nan"),
        ("dsc.density", "inf"),
        ("dsc.density", "-inf"),
        ("dsc.density", "[1.04]"),
        ("dsc.density", "5.0"),
        ("dsc.density", '"auto"'),
        ("dsc.density", "1979-05-27"),
        ("dsc.hematocrit_large", "-0.1"),
        ("dsc.osvd.oscillation_index", "1e9"),
        ("dsc.relative", "1"),
        ("dsc.relative", '"true"'),
        ("dsc.dummy_scans", "2.0"),
        ("dsc.dummy_scans", "-1"),
        ("dsc.dummy_scans", "true"),
        ("dsc.deconvolution", '"osvd"'),
        ("dsc.deconvolution", "[1]"),
        ("dsc.deconvolution", '[["osvd"]]'),
        ("dsc.deconvolution", '["osvd", "osvd"]'),
        ("dsc.cbv", '["bsw"]'),
        ("dsc.cbv", "{ bsw = 1 }"),
        ("asl.t1_blood", "false"),
        ("asl.t1_blood", "1650"),
        ("asl.labeling_efficiency", "85"),
        ("asl.labeling_efficiency", "0"),
        ("asl.encoding_durations", "1.8"),
        ("asl.encoding_durations", '["1.8"]'),
        ("asl.encoding_durations", "[1800]"),
        ("asl.encoding_matrix", "[true, 1]"),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_refused(refused, toml, key, value):
    error = refused(load, toml(line(key, value)))
    assert error.code is Code.RECIPE and key in error.seen


@pytest.mark.parametrize(
    "text",
    [
        "dsc.density",
        "=1",
        "dsc.density=",
        "dsc.density=one",
        "dsc.density=nan",
        "dsc.density=true",
        "dsc.relative=yes",
        "dsc.dummy_scans=1.5",
        "dsc.deconvolution=csvd,csvd",
        "asl.t1_blood=Auto",
    ],
)
def test_a_set_that_cannot_be_meant_is_refused(refused, text):
    assert refused(load, None, [text]).code is Code.RECIPE


def test_the_cbv_of_mtt_must_be_one_that_is_computed(refused, toml):
    error = refused(load, None, ["dsc.leakage="])
    assert error.code is Code.RECIPE and "dsc.cbv" in error.seen
    assert refused(load, toml("[dsc]\nleakage = []\n")).code is Code.RECIPE


def test_what_is_not_toml_is_refused_with_its_file(refused, toml, tmp_path):
    for path in (toml("[dsc\n"), tmp_path / "none.toml", tmp_path):
        error = refused(load, path)
        assert error.code is Code.RECIPE and error.file == str(path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe4\n")
    assert refused(load, tmp_path / "latin.toml").code is Code.RECIPE
    assert refused(load, toml("dsc = 3\n")).code is Code.RECIPE


@pytest.mark.parametrize("sets", [(), ("dsc.deconvolution=csvd,osvd", "asl.t1_blood=1.7", "dsc.density=1")])
def test_a_recipe_written_and_read_back_is_the_same(toml, sets):
    recipe = load(None, sets)
    again = load(toml(recipe.toml()))
    assert again == recipe and again.hash == recipe.hash and again.toml() == recipe.toml()
    assert all(f"{key.rpartition('.')[2]} = " in recipe.toml() for key in keys())


def test_a_signature_changes_with_what_its_maps_depend_on_and_with_nothing_else():
    def changed(text):
        before, after = load(None), load(None, [text])
        assert before.hash != after.hash
        return {c for c in ("dsc", "asl") if signature(before, c) != signature(after, c)}

    assert changed("dsc.density=1.05") == {"dsc"}
    assert changed("dsc.deconvolution=csvd") == {"dsc"}
    assert changed("dsc.osvd.oscillation_index=0.1") == {"dsc"}
    assert changed("asl.t1_tissue=1.2") == {"asl"}
    assert changed("asl.multi_delay.att_mean=1.0") == {"asl"}
    idle = next(key for key in keys() if key.startswith("dsc.csvd."))
    assert changed(f"{idle}=0.15") == set()


def test_a_setting_that_changes_nothing_is_known():
    texts = ["dsc.csvd.threshold=0.15", "asl.multi_delay.att_sd=1.5"]
    assert idle_settings(load(None)) == []
    assert idle_settings(load(None, texts)) == ["dsc.csvd.threshold"]
    assert idle_settings(load(None, [*texts, "dsc.deconvolution=osvd,csvd"])) == []
    assert idle_settings(load(None, [*texts, "asl.arterial=true", "asl.quantification=kinetic_model"])) == [
        "dsc.csvd.threshold", "asl.multi_delay.att_sd",
    ]  # fmt: skip


@pytest.mark.parametrize("beside", ["asl.spatial=true", "asl.partial_volume=posterior", None])
def test_a_signature_knows_the_priors_that_maps_beside_the_method_s_take(beside):
    """With asl.arterial another method is chosen, and multi_delay's priors count only where other maps take them."""
    sets = ["asl.arterial=true", *([beside] if beside else [])]
    before, after = load(None, sets), load(None, [*sets, "asl.multi_delay.cbf_sd=100"])
    assert (signature(before, "asl") != signature(after, "asl")) == (beside is not None)


@pytest.mark.parametrize("model", ["dispersion=gamma", "dispersion=gaussian", "tissue=two_compartment"])
def test_a_model_that_no_method_would_use_is_refused(refused, model):
    text = f"asl.kinetic_model.{model}"
    error = refused(load, None, [text])
    assert error.code is Code.RECIPE and text.partition("=")[0] in error.seen and "asl.arterial" in error.mend
    for beside in ("asl.arterial=true", "asl.quantification=kinetic_model"):
        assert load(None, [text, beside])


@pytest.mark.parametrize("beside", ["arterial=true", "quantification=kinetic_model", "spatial=true"])
def test_a_given_transit_time_is_for_methods_that_take_it(refused, beside):
    error = refused(load, None, ["asl.transit_time=given", f"asl.{beside}"])
    assert error.code is Code.RECIPE and beside.partition("=")[0] in error.seen


@pytest.mark.parametrize(("begin", "end"), [(40, 20), (35, 35), (70, 60)])
def test_a_window_that_ends_before_it_begins_is_refused(refused, begin, end):
    texts = [f"dsc.summary.recovery_from={begin}", f"dsc.summary.recovery_to={end}"]
    error = refused(load, None, texts)
    assert error.code is Code.RECIPE and "recovery_from" in error.seen
    assert load(None, [texts[0], f"dsc.summary.recovery_to={begin + 5}"])
